"""Words and seeds: what a program compares with, what its set-up speaks of, where it begins."""

from __future__ import annotations

from pathlib import Path

import pytest

import packetrig
from packetrig import Error, NotFound, fuzz
from packetrig.fuzz import Corpus
from packetrig.fuzz import seeds as sources
from packetrig.fuzz.dictionary import Kind, Word, lengths_of, words_of
from packetrig.fuzz.words import Words
from packetrig.packets import frames, pcap
from packetrig.replay import Setup

ROOT = Path(__file__).parents[2]
SOURCES = Path(__file__).parent / "sources"


def words_for(name: str) -> set[Word]:
    setup = Setup.read(ROOT / "fixtures" / "policy" / f"{name}.toml")
    spec = packetrig.build(ROOT / "progs" / f"{name}.bpf.c")
    with setup.load(spec) as loaded:
        return set(words_of(spec, loaded, Words.of(setup.maps, setup.globals)))


def test_words_of_a_set_up_have_their_kinds() -> None:
    words = Words.of(
        {
            "blocked": {"10.0.0.66": 0, "2001:db8::/32": 1},
            "macs": {"02:00:00:00:00:0b": 7},
            "paths": {"/index.html": 1},
            "services": [{"key": {"address": "::ffff:10.0.0.2", "port": 80}, "value": {}}],
        },
        {"limit": 9},
    )

    assert words.v4 == (bytes((10, 0, 0, 66)), bytes((10, 0, 0, 2)))
    assert words.v6 == (bytes.fromhex("20010db8") + bytes(12),)
    assert words.macs == (bytes.fromhex("02000000000b"),)
    assert words.texts == (b"/index.html",)
    assert {0, 1, 7, 80, 9} <= set(words.numbers)
    assert [(group.v4, group.numbers) for group in words.groups if 80 in group.numbers] == [
        ((bytes((10, 0, 0, 2)),), (80,))
    ]


def test_the_dictionary_has_constants_keys_and_settings() -> None:
    found = {word.data for word in words_for("xdp_http")}

    assert {b"/index.html", b"/large.txt", b"GET ", b"\x00\x50"} <= found
    assert {b"\x88\xa8", b"\x86\xdd", b"\x08\x00"} <= found  # ethertypes, from its compares


def test_what_may_be_a_length_is_a_word_of_its_own() -> None:
    spec = packetrig.build(SOURCES / "xdp_lengths.bpf.c")
    with spec.load() as loaded:
        found = words_of(spec, loaded, Words())
    lengths = {int.from_bytes(word.data, "big") for word in found if word.kind is Kind.LENGTH}

    assert {333, 34 + 777, 1001, 1300} <= lengths  # the second is added to the data pointer
    assert all(14 <= length <= 9216 for length in lengths)
    assert 9216 >= max(lengths_of(found)) > 1300


@pytest.mark.parametrize("program", ["frame", "datagram", "payload", "last"])
def test_frames_get_the_lengths_that_a_program_asks_about(program: str) -> None:
    events = fuzz.campaign(
        SOURCES / "xdp_lengths.bpf.c",
        program=program,
        seeds=sources.plain(),
        seed=1,
        runs=100_000,
        findings=1,
    )

    assert [event.check for event in events if isinstance(event, fuzz.Found)] == ["it_never_aborts"]


def test_addresses_of_a_set_up_are_words_of_their_kind() -> None:
    found = words_for("xdp_balancer")

    assert Word(bytes((10, 0, 0, 2)), Kind.V4) in found
    assert Word(bytes.fromhex("20010db8") + bytes(11) + b"\x02", Kind.V6) in found
    assert Word((80).to_bytes(2, "big"), Kind.NUMBER) in found


def test_plain_seeds_are_sound() -> None:
    for frame in sources.plain():
        assert frames.bad_checksums(frame) == []
        assert all(header.is_whole for header in frames.walk(frame))


def test_seeds_of_a_set_up_go_where_it_decides() -> None:
    setup = Setup.read(ROOT / "fixtures" / "policy" / "xdp_balancer.toml")

    made = sources.of_setup(Words.of(setup.maps, setup.globals))

    service = bytes((10, 0, 0, 2))
    assert any(frame[30:34] == service and frame[36:38] == b"\x00\x50" for frame in made)
    assert len(set(made)) == len(made)


def ends(frame: bytes) -> tuple[bytes, bytes, int, int, int]:
    """Read addresses, protocol and ports of an IPv4 frame."""
    ports = int.from_bytes(frame[34:36], "big"), int.from_bytes(frame[36:38], "big")
    return frame[26:30], frame[30:34], frame[23], *ports


def test_seeds_of_a_connection_have_both_its_ports_and_the_address_beside_it() -> None:
    answer = {"server": "198.51.100.7", "server_port": 53, "port": 5000, "proto": 17}
    entry = {"key": answer, "value": {"client": "2001:db8::1"}}

    made = sources.of_setup(Words.of({"backs": [entry]}, {"pool": "192.0.2.64"}))

    server, pool = bytes((198, 51, 100, 7)), bytes((192, 0, 2, 64))
    found = {ends(frame) for frame in made if frame[12:14] == b"\x08\0"}
    assert (server, pool, 17, 53, 5000) in found
    assert (pool, server, 17, 5000, 53) in found


def test_seeds_of_an_echo_have_its_number() -> None:
    entry = {"server": "198.51.100.7", "server_port": 0, "id": 777, "proto": 1}

    made = sources.of_setup(Words.of({"backs": [{"key": entry, "value": 1}]}, {}))

    echoes = {frame[34] for frame in made if frame[23] == 1 and frame[38:40] == b"\x03\x09"}
    assert echoes == {0, 8}


def test_seeds_are_read_from_captures_golden_packets_and_folders(tmp_path: Path) -> None:
    capture = ROOT / "fixtures" / "pcap" / "dns.pcap"
    golden = ROOT / "fixtures" / "golden" / "progs" / "test_golden" / "xdp_http_drop.toml"
    Corpus(tmp_path).add(b"frame")
    (tmp_path / "notes.txt").write_text("not a seed")

    assert sources.read(capture) == tuple(record.data for record in pcap.read(capture))
    assert [header.name for header in frames.walk(sources.read(golden)[0])][:3] == [
        "Ether",
        "IP",
        "TCP",
    ]
    assert sources.read(tmp_path) == (b"frame",)


def test_seeds_that_are_none_are_named(tmp_path: Path) -> None:
    setup = ROOT / "fixtures" / "policy" / "xdp_http.toml"

    with pytest.raises(NotFound, match="nothing.pcap: there is no such file"):
        sources.read("nothing.pcap")
    with pytest.raises(Error, match="no seeds in it"):
        sources.read(tmp_path)
    with pytest.raises(Error, match="no golden packet"):
        sources.read(setup)
