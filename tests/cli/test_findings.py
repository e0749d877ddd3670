"""`packetrig replay` and `packetrig corpus`: findings again, and the frames that campaigns keep."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from packetrig.fuzz import crashfile
from packetrig.fuzz.again import make_room
from packetrig.fuzz.corpus import Corpus
from packetrig.fuzz.finding import Finding, Made, Place
from packetrig.packets import pcap

from .given import ABORTED, BLOCKED, GOOD, ILLEGAL, SHORT, Ended, shown

Command = Callable[..., Ended]
Capture = Callable[..., str]

MIX = "progs/xdp_mix.bpf.c"
FRAME = bytes.fromhex("02000000000202000000000188b5")
FOUND = Finding(
    "it_never_aborts",
    Place(MIX, 42, 0, "xdp_mix", "return XDP_ABORTED;"),
    (FRAME,),
    Made(MIX, "xdp_mix"),
    expected="it never aborts",
    seen="XDP.ABORTED",
    object_sha256="00",
)
ID = FOUND.id
PATH = Path("fixtures/crashes/xdp_mix", f"{ID}.toml")
# The same finding in a program that does not abort.
FIXED = replace(FOUND, made=Made("progs/xdp_warned.bpf.c", "xdp_warned"))


@pytest.fixture
def found(place: Path) -> Path:
    """A finding in the project's folder of findings."""
    crashfile.write(FOUND)
    return PATH


def test_what_still_fails_is_refused_and_told_in_full(packetrig: Command, found: Path) -> None:
    ended = packetrig("replay", ID)

    assert ended.out == shown("replay.txt")
    assert (ended.code, ended.err) == (1, "")


def test_what_is_fixed_is_held(packetrig: Command, place: Path) -> None:
    crashfile.write(FIXED)

    ended = packetrig("replay", FIXED.id)

    assert ended.out.splitlines()[0] == f"FIXED  {FIXED.id}  xdp_warned: it never aborts"
    assert ended.out.splitlines()[-1] == "  now       it does what is expected"
    assert (ended.code, ended.err) == (0, "")


def test_what_cannot_be_told_is_undecided(packetrig: Command, place: Path) -> None:
    crashfile.write(replace(FOUND, made=Made("progs/xdp_mux.bpf.c", "xdp_mix")))

    ended = packetrig("replay", ID)

    assert ended.out.startswith(f"ERROR  {ID}  ")
    assert ended.err == (
        f"packetrig: {ID}: progs/xdp_mux.bpf.c: there is no such file, did you mean "
        "xdp_mix.bpf.c?; paths in a crash file are those of the folder that `packetrig fuzz` ran "
        "in\n"
    )
    assert ended.code == 2


def test_the_beginning_of_an_id_or_a_path_is_enough(packetrig: Command, found: Path) -> None:
    assert packetrig("replay", ID[:4]).code == 1
    assert packetrig("replay", found).code == 1


def test_of_several_the_worst_is_told(packetrig: Command, found: Path) -> None:
    crashfile.write(FIXED)
    broken = replace(FOUND, made=Made("progs/absent.bpf.c", "gone"))
    crashfile.write(broken)

    assert packetrig("replay", FIXED.id, broken.id).code == 2
    ended = packetrig("replay", "--all")
    words = [line.split()[0] for line in ended.out.splitlines() if ID[0] and line[:1] != " "]
    assert sorted(words) == ["ERROR", "FAILS", "FIXED"]
    assert ended.code == 1


def test_of_several_one_that_cannot_be_read_stops_none(packetrig: Command, found: Path) -> None:
    (found.parent / "0000.toml").write_text("format = 2\n")

    ended = packetrig("replay", "--all")

    assert ended.err.startswith("packetrig: fixtures/crashes/xdp_mix/0000.toml: of format 2, ")
    assert ended.out.startswith(f"FAILS  {ID}  ")
    assert ended.code == 1


def test_one_that_cannot_be_read_leaves_it_undecided_where_the_others_are_fixed(
    packetrig: Command, place: Path
) -> None:
    crashfile.write(FIXED)
    Path("fixtures/crashes/xdp_warned/0000.toml").write_text("format = 2\n")

    ended = packetrig("replay", "--all")

    assert ended.out.startswith(f"FIXED  {FIXED.id}  ")
    assert ended.code == 2


def test_a_frame_that_is_not_given_to_the_program_any_more_is_no_proof(
    packetrig: Command, place: Path
) -> None:
    crashfile.write(replace(FIXED, frames=(FRAME, SHORT)))

    ended = packetrig("replay", FIXED.id)

    assert ended.out.startswith(f"ERROR  {FIXED.id}  ")
    assert "13 bytes" in ended.err
    assert ended.code == 2


def test_a_finding_that_still_fails_stays_as_it_was_found(found: Path) -> None:
    text = found.read_text()

    make_room(replace(FOUND, frames=(FRAME + b"more",)), "fixtures/crashes")

    assert found.read_text() == text
    assert [path.name for path in found.parent.glob("*.toml")] == [found.name]


def test_keep_makes_it_a_test(packetrig: Command, found: Path) -> None:
    ended = packetrig("replay", ID, "--keep")

    assert ended.out.endswith(f"  kept      every later pytest run replays {found}\n")
    assert crashfile.read(found).is_kept
    assert json.loads(packetrig("replay", ID, "--json").out)["findings"][0]["kept"]


def test_json_is_one_document(packetrig: Command, found: Path) -> None:
    (told,) = json.loads(packetrig("replay", ID, "--json").out)["findings"]

    assert (told["id"], told["status"], told["file"]) == (ID, "FAILS", str(found))
    assert told["frames"] == [FRAME.hex()]
    assert told["failure"] == "xdp_mix: it never aborts does not hold"


def test_its_frames_are_written_as_a_capture(packetrig: Command, found: Path) -> None:
    packetrig("replay", ID, "--pcap", "again.pcap")

    assert [record.data for record in pcap.read("again.pcap")] == [FRAME]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("ffff",), f"no finding 'ffff'; fixtures/crashes has: {ID} (xdp_mix)"),
        ((), "name a finding, or --all for every one"),
        ((ID, "--crashes", "elsewhere"), f"no finding '{ID}': elsewhere holds none; --crashes"),
        (("--all", "--crashes", "elsewhere"), "elsewhere holds no finding"),
        (("absent.toml",), "absent.toml: there is no such crash file"),
        (("newer.toml",), "newer.toml: of format 2, written by a newer packetrig; this one"),
        (("cut.toml",), "cut.toml: has no [repeat] replay: was it cut short?"),
        (("raw.pcap.toml",), "raw.pcap.toml: is no crash file: it is not text"),
        ((ID, "newer.toml", "--pcap", "x.pcap"), "--pcap x.pcap: one file for 2 findings"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(
    packetrig: Command, found: Path, words: tuple[str, ...], told: str
) -> None:
    text = found.read_text()
    Path("newer.toml").write_text(text.replace("format = 1", "format = 2"))
    Path("cut.toml").write_text(text.partition("[repeat]")[0])
    Path("raw.pcap.toml").write_bytes(b"\xd4\xc3\xb2\xa1")

    ended = packetrig("replay", *words)

    assert ended.err.startswith(f"packetrig: {told}")
    assert (ended.code, ended.out) == (2, "")


def test_corpora_are_merged_from_whatever_holds_frames(
    packetrig: Command, capture: Capture, found: Path
) -> None:
    capture(GOOD, BLOCKED)
    Corpus("one").add(ILLEGAL)

    ended = packetrig("corpus", "merge", "all", "in.pcap", "one", found)

    assert (ended.code, ended.out) == (0, "all: 4 frames, 4 of them new\n")
    assert set(Corpus("all").load()) == {GOOD, BLOCKED, ILLEGAL, FRAME}
    assert packetrig("corpus", "merge", "all", "one").out == "all: 4 frames, 0 of them new\n"
    assert Corpus("one").load() == [ILLEGAL]


def test_minimising_leaves_what_covers(packetrig: Command, place: Path) -> None:
    corpus = Corpus("corpus")
    for frame in (GOOD, GOOD + bytes(9), BLOCKED, ABORTED, ABORTED + bytes(3), ILLEGAL):
        corpus.add(frame)

    ended = packetrig("corpus", "minimise", MIX, "corpus", "--setup", "state.toml")

    assert set(Corpus("corpus").load()) == {GOOD, BLOCKED, ABORTED, ILLEGAL}
    assert ended.out.startswith("corpus: 4 frames kept, 2 removed; together they reach all ")
    assert ended.code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("minimise", MIX, "absent"), "absent: holds no frame: there is nothing to minimise"),
        (("minimise", MIX, "state.toml"), "state.toml: is a file; a corpus is a folder"),
        (("minimise", MIX, "odd"), "odd/README: no part of a corpus, which holds"),
        (("minimise", "mix.o", "corpus"), "no object file mix.o"),
        (("merge", "odd", "in.pcap"), "odd/README: no part of a corpus"),
        (("merge", "state.toml", "in.pcap"), "state.toml: is a file; name a folder"),
        (("merge", "corpus", "cut"), f"cut/{32 * '0'}.frame is not what it was (3 bytes): cut"),
        (
            ("merge", "corpus", "absent.pcap"),
            "absent.pcap: there is no such file to take seeds from",
        ),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_corpus_is_named(
    packetrig: Command, capture: Capture, words: tuple[str, ...], told: str
) -> None:
    capture(GOOD)
    Corpus("corpus").add(GOOD)
    Path("odd").mkdir()
    Path("odd", "README").write_text("hello")
    Path("cut").mkdir()
    Path("cut", f"{32 * '0'}.frame").write_bytes(b"cut")

    ended = packetrig("corpus", *words)

    assert ended.err.startswith(f"packetrig: {told}")
    assert (ended.code, ended.out) == (2, "")
    assert Path("odd", "README").read_text() == "hello"
