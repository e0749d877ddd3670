"""`packetrig run`: the table, the comparison, what is written, and how it exits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from packetrig import build
from packetrig.packets import pcap

from .given import ABORTED, BLOCKED, GOOD, ILLEGAL, SHORT, STATE, Ended, shown

Command = Callable[..., Ended]
Capture = Callable[..., str]

MIX = "progs/xdp_mix.bpf.c"


def test_every_packet_has_a_line_with_its_verdict_and_the_totals_follow(
    packetrig: Command, capture: Capture
) -> None:
    ended = packetrig(
        *("run", MIX, "--setup", "state.toml", "--set", "hop=1"),
        *("--pcap", capture(GOOD, BLOCKED, SHORT, ABORTED, ILLEGAL)),
    )

    assert ended.out == shown("run.txt")
    assert (ended.code, ended.err) == (0, "")


def test_maps_and_globals_keep_their_state_from_packet_to_packet(
    packetrig: Command, capture: Capture
) -> None:
    ended = packetrig("run", MIX, "--set", "limit=2", "--pcap", capture(GOOD, GOOD, GOOD, GOOD))

    assert ended.out.endswith("\n4 packets: 2 PASS, 2 DROP\n")


def test_with_renew_every_packet_is_the_first(packetrig: Command, capture: Capture) -> None:
    ended = packetrig(
        *("run", MIX, "--renew", "--setup", "state.toml", "--set", "limit=1"),
        *("--pcap", capture(GOOD, BLOCKED, GOOD, BLOCKED)),
    )

    assert ended.out.endswith("\n4 packets: 2 PASS, 2 DROP\n")


def test_what_is_refused_is_never_counted_as_tested(packetrig: Command) -> None:
    ended = packetrig("run", MIX, "--frame", SHORT.hex())

    assert (ended.code, ended.err) == (
        2,
        "packetrig: xdp_mix: no packet was tested, 1 refused\n",
    )
    assert ended.out.endswith("\nno packet tested; 1 refused, not tested\n")


def test_a_packet_that_the_snap_length_cut_is_refused(packetrig: Command, capture: Capture) -> None:
    cut = pcap.Record(1, 0, BLOCKED, 1500)

    ended = packetrig("run", MIX, "--pcap", capture(cut, GOOD), "--out", "passed.pcap")

    assert f"only {len(BLOCKED)} of 1500 bytes were captured (snap length)" in ended.out
    assert ended.out.endswith("1 packet: 1 PASS; 1 refused, not tested\n")
    assert [record.data for record in pcap.read("passed.pcap")] == [GOOD]


def test_a_limit_leaves_lines_out_and_no_packet(packetrig: Command, capture: Capture) -> None:
    ended = packetrig("run", MIX, "--limit", 1, "--pcap", capture(*[GOOD] * 5))

    assert ended.out.splitlines()[2:] == [
        "     1  0.000000  Ether / IP 10.0.0.1 > 10.0.0.9 / UDP 40000 > 53 / 5 bytes 'hello'  PASS",
        "",
        "... 4 more, not shown (--limit)",
        "5 packets: 5 PASS",
    ]


def test_captures_and_frames_are_numbered_through(packetrig: Command, capture: Capture) -> None:
    one, two = capture(GOOD, GOOD), capture(GOOD, name="two.pcap")

    ended = packetrig("run", MIX, "--pcap", one, "--pcap", two, "--frame", GOOD.hex(":"))

    assert [line.split()[0] for line in ended.out.splitlines()[2:-2]] == ["1", "2", "3", "4"]


def test_a_checksum_that_the_program_made_wrong_is_told(packetrig: Command) -> None:
    already = GOOD[:24] + bytes(2) + GOOD[26:]

    ended = packetrig("run", MIX, "--set", "hop=1", "--frame", GOOD.hex(), "--frame", already.hex())

    first, second = ended.out.splitlines()[2:4]
    assert first.endswith("IP.ttl 64 -> 63, wrong IP.chksum")
    assert second.endswith("IP.ttl 64 -> 63")


STALE = "progs/tc_stale.bpf.c"
PLAIN = bytes(12) + b"\x88\xb5" + bytes(46)


@pytest.mark.parametrize("renew", [(), ("--renew",)], ids=["kept", "renewed"])
def test_a_sum_that_a_program_leaves_stale_is_a_failure(
    packetrig: Command, renew: tuple[str, ...]
) -> None:
    words = ("run", STALE, "--frame", PLAIN.hex(), "--frame", SHORT.hex(), *renew)

    without, ended = packetrig(*words), packetrig(*words, "--checksum-complete")

    assert (without.code, ended.code) == (0, 1)
    assert "Ether / 46 bytes " in ended.out
    assert " FAILS    skb->csum is stale after the run: " in ended.out
    assert ended.out.endswith("\n1 packet: 1 FAILS; 1 refused, not tested\n")


def test_the_failure_stands_in_the_document_beside_its_frame(packetrig: Command) -> None:
    ended = packetrig("run", STALE, "--frame", PLAIN.hex(), "--checksum-complete", "--json")

    document = json.loads(ended.out)
    (packet,) = document["packets"]
    assert packet["failure"].startswith("stale: skb->csum is stale")
    assert (packet["verdict"], packet["refused"]) == (None, None)
    assert (document["tested"], document["failed"], document["verdicts"]) == (1, 1, {})
    assert ended.code == 1


def test_the_sum_is_for_one_program_that_is_given_an_skb(packetrig: Command) -> None:
    asked = ("--frame", PLAIN.hex(), "--checksum-complete")

    compared = packetrig("run", STALE, *asked, "--against", STALE)
    xdp = packetrig("run", MIX, *asked)

    assert compared == Ended(
        2, "", "packetrig: --checksum-complete is for one program: leave --against out\n"
    )
    assert xdp.code == 2
    assert "is for programs that are given an skb, this one is xdp" in xdp.out


def test_out_holds_what_passed_as_the_program_left_it(
    packetrig: Command, capture: Capture, place: Path
) -> None:
    ended = packetrig(
        *("run", MIX, "--setup", "state.toml", "--set", "hop=1", "--out", "out.pcap"),
        *("--pcap", capture(BLOCKED, GOOD, ABORTED, SHORT)),
    )

    written = list(pcap.read(place / "out.pcap"))
    assert ended.code == 0
    assert [record.data for record in written] == [GOOD[:22] + b"\x3f" + GOOD[23:]]
    assert written[0].time_ns == 1000


def test_only_packets_that_another_program_treats_otherwise_are_shown(
    packetrig: Command, capture: Capture, place: Path
) -> None:
    other = build("progs/xdp_mix.bpf.c", define={"VERDICT": "XDP_TX"})
    (place / "old.o").write_bytes(other.data)

    ended = packetrig("run", MIX, "--pcap", capture(ABORTED, GOOD, SHORT), "--against", "old.o")

    assert ended.out == shown("run_against.txt")
    assert ended.code == 1


def test_a_program_does_the_same_as_itself(packetrig: Command, capture: Capture) -> None:
    ended = packetrig("run", MIX, "--pcap", capture(GOOD, ABORTED, SHORT), "--against", MIX)

    assert ended.code == 0
    assert ended.out.endswith("; none differ\n")


def test_a_macro_makes_another_program(packetrig: Command) -> None:
    ended = packetrig("run", MIX, "--define", "VERDICT=XDP_TX", "--frame", GOOD.hex())

    assert ended.out.endswith("\n1 packet: 1 TX\n")


@pytest.mark.parametrize("words", [("run",), ("bench", "--rounds", 3)])
def test_headers_are_found_in_a_folder_of_their_own(
    packetrig: Command, place: Path, words: tuple[object, ...]
) -> None:
    (place / "headers").mkdir()
    (place / "headers" / "verdict.h").write_text("#define VERDICT 3 /* XDP_TX */\n")
    mix = place / MIX
    (place / "own.bpf.c").write_text(f'#include "verdict.h"\n{mix.read_text()}')
    frame = ("--frame", GOOD.hex())

    assert packetrig(*words, "own.bpf.c", *frame).code == 2
    ended = packetrig(*words, "own.bpf.c", "--include", "headers", *frame)

    assert (ended.code, "TX" in ended.out) == (0, True), ended


def test_one_of_several_programs_is_chosen_and_what_tc_leaves_is_shown(packetrig: Command) -> None:
    words = ("run", "progs/two.bpf.c", "--frame", GOOD.hex())

    assert packetrig(*words) == Ended(
        2,
        "",
        "packetrig: two.bpf.o holds several programs: way_in, way_out_egress; "
        "choose one with --program\n",
    )
    ended = packetrig(*words, "--program", "way_out_egress")
    assert ended.code == 0
    assert "SHOT     mark 5" in ended.out


def test_json_is_one_document(packetrig: Command, capture: Capture) -> None:
    ended = packetrig("run", MIX, "--json", "--set", "hop=0x1", "--pcap", capture(GOOD, SHORT))

    found = json.loads(ended.out)
    first, second = found.pop("packets")
    assert found == {
        "format": 1,
        "program": "xdp_mix",
        "kind": "xdp",
        "object": build(MIX).sha256,
        "against": None,
        "tested": 1,
        "verdicts": {"PASS": 1},
        "refused": 1,
        "failed": 0,
        "differing": None,
    }
    assert (first["verdict"], first["frame"], first["data"][44:46]) == ("PASS", GOOD.hex(), "3f")
    assert (second["verdict"], second["data"]) == (None, None)
    assert second["refused"].startswith("a frame of 13 bytes: ")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("progs/xdp_mix.bpf.c",), "no packets: give --pcap FILE, or --frame HEX"),
        ((MIX, "--frame", "0g"), "--frame 1: '0g' is not hexadecimal"),
        ((MIX, "--pcap", "absent.pcap"), "absent.pcap: there is no such capture"),
        ((MIX, "--pcap", "nothing.pcap"), "nothing.pcap: is empty"),
        ((MIX, "--pcap", "no-packet.pcap"), "no-packet.pcap: holds no packet"),
        ((MIX, "--pcap", "raw.pcap"), "raw.pcap: holds raw IP"),
        ((MIX, "--pcap", "state.toml"), "state.toml: is not a pcap or pcapng file"),
        (("progs/xdp_mux.bpf.c", "--frame", "00"), "did you mean xdp_mix.bpf.c?"),
        (("absent.o", "--frame", "00"), "no object file absent.o"),
        (("raw.o", "--frame", "00"), "raw.o: "),
        (("progs/xdp_rejected.bpf.c", "--frame", "00"), "xdp_rejected: rejected by the verifier: "),
        (("progs/cgroup_connect.bpf.c", "--frame", GOOD.hex()), "cgroup_connect"),
        (
            (MIX, "--frame", "00", "--program", "xdp_mux"),
            "no program named 'xdp_mux', did",
        ),
        ((MIX, "--frame", "00", "--kind", "xpd"), "no program kind 'xpd'"),
        ((MIX, "--frame", "00", "--set", "limit"), "--set limit: write a global and its value"),
        (
            (MIX, "--frame", "00", "--set", "limt=1"),
            "no global named 'limt', did you",
        ),
        ((MIX, "--frame", "00", "--set", "limit=many"), "limit"),
        ((MIX, "--frame", "00", "--setup", "absent.toml"), "absent.toml: there is no"),
        (
            (MIX, "--frame", "00", "--limit", "-1"),
            "-1 is not in the range",
        ),
        ((MIX, "--frame", "00", "--setup", "raw.pcap"), "raw.pcap: is not TOML: "),
        ((MIX, "--frame", "00", "--setup", "odd.toml"), "odd.toml: unknown part 'map'"),
        ((MIX, "--frame", "00", "--setup", "wrong.toml"), "wrong.toml: no map named 'blokced'"),
        ((MIX, "--frame", "00", "--setup", "value.toml"), "value.toml: "),
        ((MIX, "--frame", "00", "--setup", "flat.toml"), "flat.toml: maps is no table"),
        ((MIX, "--frame", GOOD.hex(), "--out", "absent/out.pcap"), "absent"),
        (("raw.o", "--define", "A=1", "--frame", "00"), "raw.o: is compiled already"),
        ((MIX, "--frame", GOOD.hex(), "--against", "absent.o"), "no object file absent.o"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    packetrig: Command, place: Path, words: tuple[str, ...], error: str
) -> None:
    (place / "raw.o").write_bytes(b"no ELF at all")
    (place / "odd.toml").write_text("[map.blocked]\n")
    (place / "flat.toml").write_text("maps = 1\n")
    (place / "wrong.toml").write_text("format = 1\n[maps.blokced]\n1 = 1\n")
    (place / "value.toml").write_text(STATE.replace("0\n", '"many"\n'))

    ended = packetrig("run", *words)

    assert error in ended.err
    assert ended.err.startswith("packetrig: ")
    assert ended.err.count("\n") == 1
    assert ended.code == 2


def test_a_capture_that_breaks_off_shows_what_came_before(
    packetrig: Command, capture: Capture, place: Path
) -> None:
    name = capture(GOOD, GOOD)
    (place / name).write_bytes((place / name).read_bytes()[:-3])

    ended = packetrig("run", MIX, "--pcap", name)

    assert ended.code == 2
    assert "in.pcap: breaks off in packet 2" in ended.err


def test_verbose_tells_all_that_clang_or_the_verifier_said(packetrig: Command, place: Path) -> None:
    (place / "wrong.bpf.c").write_text("int wrong(void) { return nothing; }\n")

    clang = packetrig("-v", "run", "wrong.bpf.c", "--frame", "00")
    verifier = packetrig("-v", "run", "progs/xdp_rejected.bpf.c", "--frame", "00")

    assert "return nothing;" in clang.err
    assert "<-- refused here" in verifier.err
    assert "return eth->h_proto ? XDP_PASS : XDP_DROP;" in verifier.err
    assert (clang.code, verifier.code) == (2, 2)


@pytest.mark.parametrize(
    ("out", "error"),
    [
        ("none/x.pcap", "none/x.pcap: cannot be written: there is no folder "),
        ("progs", "progs: is a folder; name a file"),
        ("state.toml/x.pcap", "state.toml/x.pcap: cannot be written: "),
    ],
)
def test_where_nothing_can_be_written_nothing_is_run(
    packetrig: Command, out: str, error: str
) -> None:
    ended = packetrig("run", MIX, "--frame", GOOD.hex(), "--out", out)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"packetrig: {error}")
    assert ended.err.count("\n") == 1


def test_a_device_without_an_end_is_refused_at_once(packetrig: Command) -> None:
    as_capture = packetrig("run", MIX, "--pcap", "/dev/zero")
    as_source = packetrig("run", "/dev/zero", "--frame", GOOD.hex())

    assert (as_capture.code, as_source.code) == (2, 2)
    assert as_capture.err.startswith("packetrig: /dev/zero: is not a pcap or pcapng file: ")
    assert as_source.err == "packetrig: /dev/zero: is a device, name a C file\n"


def test_a_capture_that_cannot_be_read_leaves_nothing_on_stdout(packetrig: Command) -> None:
    ended = packetrig("run", MIX, "--pcap", "raw.pcap")

    assert (ended.code, ended.out) == (2, "")
