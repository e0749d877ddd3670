"""A finding and its crash file: what it is, what stands in it, what is wrong with another."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from packetrig import XDP, Failure, build, model
from packetrig.errors import Error, NotFound
from packetrig.fuzz import crashfile, finding, repeat
from packetrig.fuzz.finding import Finding, Made, Place
from packetrig.packets import craft, pcap
from packetrig.replay import Setup

SOURCES = Path(__file__).parents[1] / "cli" / "sources"
ABORTED = craft.MAC_DESTINATION + craft.MAC_SOURCE + b"\x88\xb5"
UDP = craft.V4.frame(craft.udp(b"hello", craft.V4), craft.UDP)
PLACE = Place("progs/xdp_mix.bpf.c", 42, 3, "xdp_mix", "return XDP_ABORTED;")
MADE = Made(
    "progs/xdp_mix.bpf.c",
    "xdp_mix",
    define={"VERDICT": "XDP_TX", "DEBUG": None},
    maps={"blocked": {"10.0.0.66": 0}},
    globals={"limit": 5},
    max_entries={"seen": 1024},
)
FOUND = Finding(
    "it_never_aborts",
    PLACE,
    (UDP, ABORTED),
    MADE,
    expected="it never aborts",
    seen="XDP.ABORTED",
    said="xdp_mix: it never aborts does not hold",
    details=("verdict: model XDP.PASS, program XDP.ABORTED",),
    after=UDP[:-1],
    seed=0,
    object_sha256="ab" * 32,
    kernel="6.18.0",
    version="0.1.0",
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the programs of the tests of the commands."""
    (tmp_path / "progs").symlink_to(SOURCES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def document(found: Finding = FOUND) -> dict[str, Any]:
    return tomllib.loads(crashfile.text_of(found))


def test_a_finding_is_its_program_check_and_place_and_not_its_input() -> None:
    same = replace(FOUND, frames=(ABORTED,), seed=9, kernel="7.0", object_sha256="")

    assert same.id == FOUND.id == "b91297475b62"
    assert replace(FOUND, check="another").id != FOUND.id
    assert replace(FOUND, place=replace(PLACE, line=43)).id != FOUND.id
    assert replace(FOUND, made=replace(MADE, program="other")).id != FOUND.id


def test_it_is_the_same_from_whatever_folder_it_was_looked_for() -> None:
    assert replace(FOUND, place=replace(PLACE, path="../x/progs/xdp_mix.bpf.c")).id == FOUND.id
    assert replace(FOUND, check="the same as a.o").id == replace(FOUND, check="the same as b").id


def test_a_failure_becomes_a_finding_with_what_was_expected_and_seen(here: Path) -> None:
    spec = build("progs/xdp_mix.bpf.c")
    with Setup(globals={"hop": 1}).load(spec) as mix, pytest.raises(Failure) as caught:
        mix.judge(UDP)

    found = finding.of(
        caught.value, [UDP], place=PLACE, made=MADE, object_sha256=spec.sha256, seed=7
    )

    assert (found.check, found.expected) == (
        "right_checksums_stay_right",
        "right checksums stay right",
    )
    assert found.seen == "XDP.PASS; IP.chksum made wrong"
    assert found.after[22] == UDP[22] - 1
    assert (found.seed, found.kernel) == (7, Path("/proc/sys/kernel/osrelease").read_text().strip())


def test_the_layers_that_differ_from_a_model_are_told(here: Path) -> None:
    @model
    def all_is_well(frame: bytes, maps: object) -> object:
        return XDP.PASS

    loaded = Setup(globals={"hop": 1}).load(build("progs/xdp_mix.bpf.c"))
    with loaded as mix, pytest.raises(Failure) as caught:
        mix.judge(UDP, model=all_is_well, without=["right_checksums_stay_right"])

    found = finding.of(caught.value, [UDP], place=PLACE, made=MADE, object_sha256="")
    assert found.details == ("model: IP ttl=64", "program: IP ttl=63")
    assert found.expected == "the program does what the model all_is_well says"


def test_reading_gives_back_what_was_written(here: Path) -> None:
    assert crashfile.write(FOUND)

    assert crashfile.read(crashfile.path_of(FOUND)) == FOUND


def test_the_file_stands_by_program_and_id_with_its_capture_beside_it(here: Path) -> None:
    crashfile.write(FOUND)

    path = Path("fixtures/crashes/xdp_mix/b91297475b62.toml")
    assert sorted(Path("fixtures").rglob("*.*")) == [path.with_suffix(".pcap"), path]
    assert [record.data for record in pcap.read(path.with_suffix(".pcap"))] == [UDP, ABORTED]


def test_a_finding_that_has_a_file_keeps_it(here: Path) -> None:
    crashfile.write(FOUND)
    path = crashfile.path_of(FOUND)
    path.write_text(path.read_text() + "# edited\n")

    assert not crashfile.write(replace(FOUND, seed=3))
    assert path.read_text().endswith("# edited\n")


def test_the_file_is_read_by_people(here: Path) -> None:
    text = crashfile.text_of(replace(FOUND, frames=(ABORTED,), after=b"", details=()))

    assert (
        text.partition("\n[repeat]")[0]
        == """\
# xdp_mix: it never aborts does not hold, decided at progs/xdp_mix.bpf.c:42.
# Found by packetrig fuzz. Again: packetrig replay b91297475b62
format = 1
id = "b91297475b62"
kept = false
check = "it_never_aborts"
expected = "it never aborts"
seen = "XDP.ABORTED"
said = "xdp_mix: it never aborts does not hold"

[place]
path = "progs/xdp_mix.bpf.c"
line = 42
column = 3
function = "xdp_mix"
code = "return XDP_ABORTED;"

[program]
source = "progs/xdp_mix.bpf.c"
name = "xdp_mix"
define = { VERDICT = "XDP_TX", DEBUG = true }
object = "abababababababababababababababababababababababababababababababab"

[found]
seed = 0
kernel = "6.18.0"
packetrig = "0.1.0"

[setup.globals]
limit = 5

[setup.max_entries]
seen = 1024

[setup.maps.blocked]
"10.0.0.66" = 0

# Ether (14 bytes)
[[frame]]

[frame.Ether]
dst = "02:00:00:00:00:02"
src = "02:00:00:00:00:01"
type = 0x88b5
"""
    )


@pytest.mark.parametrize("frame", [b"\0", bytes(13), UDP[:30], UDP + bytes(9), bytes(range(256))])
def test_any_frame_is_built_back_exactly(frame: bytes) -> None:
    found = replace(FOUND, frames=(frame,))

    assert crashfile.parsed(crashfile.text_of(found), "it").frames == (frame,)


def test_frames_in_a_row_are_written_once(here: Path) -> None:
    found = replace(FOUND, frames=(*[UDP] * 300, ABORTED))

    text = crashfile.text_of(found)

    assert text.count("[[frame]]\n") == 2
    assert "[[frame]]\ntimes = 300\n\n[frame.Ether]\n" in text
    assert crashfile.parsed(text, "it").frames == found.frames
    assert found.told_frames()[0].startswith("300 times Ether / IP ")
    assert found.told_frames()[1:] == ["Ether (14 bytes)"]
    for times in ("0", "-1", "true", '"9"', "99999999999"):
        with pytest.raises(Error, match="times = .*: it takes a number from 1 to"):
            crashfile.parsed(text.replace("times = 300", f"times = {times}"), "it")


def test_of_many_frames_the_first_and_the_last_are_told() -> None:
    frames = tuple(bytes([n]) * 14 for n in range(20))

    told = replace(FOUND, frames=frames).told_frames()

    assert (len(told), told[-2]) == (8, "... and 13 more ...")


@pytest.mark.parametrize(
    "maps",
    [
        {"rules": [{"key": {"port": 80, "of": [1, 2]}, "value": {"a": "b\n\u2028\U0001f600"}}]},
        {"odd name": {"a key": -1, '"quoted"': True}, "empty": {}},
    ],
)
def test_a_set_up_is_written_as_set_up_files_are(maps: Mapping[str, Any]) -> None:
    found = replace(FOUND, made=replace(MADE, maps=maps, globals={"ratio": 1.5}))

    read = crashfile.parsed(crashfile.text_of(found), "it").made
    assert read.maps == maps
    assert read.globals == {"ratio": 1.5}


def test_a_set_up_that_has_no_form_in_a_file_is_named() -> None:
    found = replace(FOUND, made=replace(MADE, maps={"blocked": {"10.0.0.1": b"\1"}}))

    with pytest.raises(Error, match="the set-up of xdp_mix cannot be written into a crash file"):
        crashfile.text_of(found)


def test_keeping_changes_one_word_of_the_file(here: Path) -> None:
    crashfile.write(FOUND)
    path = crashfile.path_of(FOUND)
    before = path.read_text()

    assert crashfile.keep(path)
    assert path.read_text() == before.replace("kept = false", "kept = true")
    assert not crashfile.keep(path)
    assert crashfile.read(path).is_kept


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("format = 1", "format = 2"), "of format 2, written by a newer packetrig; this one"),
        (("format = 1\n", ""), "a crash file begins with format = 1"),
        (("kept = false", "keep = false"), "unknown key 'keep'; there are: after, check"),
        (('source = "progs', 'sauce = "progs'), "has no [program] source: was it cut short?"),
        (("[[frame]]", "[[farme]]"), "unknown key 'farme'"),
        (('code = "', 'cod = "'), "[place] holds path, line, column, function, code, not 'cod'"),
        (("type = 0x88b5", "typ = 0x88b5"), "no field named 'typ', did you mean 'type'?"),
        (("[frame.Ether]", "[frame.Eter]"), "no layer named 'Eter', did you mean 'Ether'?"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_named(
    here: Path, change: tuple[str, str], told: str
) -> None:
    path = here / "it.toml"
    text = crashfile.text_of(replace(FOUND, frames=(ABORTED,), after=b""))
    path.write_text(text.replace(*change))

    with pytest.raises(Error) as caught:
        crashfile.read(path)
    assert str(caught.value).startswith(f"{path}: {told}")


@pytest.mark.slow
def test_a_file_that_was_cut_short_is_named_wherever_it_was_cut(here: Path) -> None:
    path = here / "it.toml"
    text = crashfile.text_of(FOUND)
    for size in range(0, len(text) - 1, 31):
        path.write_text(text[:size])

        with pytest.raises(Error) as caught:
            crashfile.read(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_what_is_no_text_or_no_file_is_named(here: Path) -> None:
    (here / "it.toml").write_bytes(b"\xff\xfe\0")

    with pytest.raises(Error, match=r"it.toml: is no crash file: it is not text"):
        crashfile.read(here / "it.toml")
    with pytest.raises(NotFound, match=r"absent.toml: there is no such crash file"):
        crashfile.read(here / "absent.toml")
    with pytest.raises(Error, match="cannot be read: is a directory"):
        crashfile.read(here)


def test_an_id_is_found_by_its_beginning_and_else_the_others_are_told(here: Path) -> None:
    other = replace(FOUND, check="the_verdict_is_a_legal_one")
    for each in (FOUND, other):
        crashfile.write(each)

    assert crashfile.find("b912") == crashfile.path_of(FOUND)
    assert crashfile.find("some/it.toml") == Path("some/it.toml")
    with pytest.raises(NotFound, match=f"no finding 'ffff'; .* has: .*{other.id} .xdp_mix"):
        crashfile.find("ffff")
    with pytest.raises(NotFound, match="did you mean b91297475b62"):
        crashfile.find("b91297475c63")
    with pytest.raises(NotFound, match="fixtures/empty holds none; --crashes names another"):
        crashfile.find("b912", "fixtures/empty")
    Path(f"fixtures/crashes/xdp_mix/b912{'0' * 8}.toml").write_text("")
    with pytest.raises(Error, match="'b912' is the beginning of several findings: b912"):
        crashfile.find("b912")


def test_the_line_of_bpftool_runs_as_it_stands(here: Path) -> None:
    found = replace(FOUND, made=Made("progs/xdp_mix.bpf.c", "xdp_mix"), frames=(ABORTED,))
    script = f"mount -t bpf bpf /sys/fs/bpf && {repeat.bpftool(found)}"

    run = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )

    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("Return value: 0, duration: ")


def test_the_line_of_bpftool_says_what_it_leaves_out() -> None:
    assert repeat.bpftool(FOUND).endswith("  # without the set-up and the frames before it")


def test_the_scapy_expressions_build_the_frames(here: Path) -> None:
    expressions = document()["repeat"]["scapy"]

    space: dict[str, Any] = {}
    exec("from scapy.all import *", space)
    assert [bytes(eval(each, space)) for each in expressions] == [UDP, ABORTED]


def test_a_result_for_machines_has_the_line_and_the_id() -> None:
    result = FOUND.result()

    assert (result.path, result.line, result.column) == ("progs/xdp_mix.bpf.c", 42, 3)
    assert (result.rule, result.fingerprint) == ("it_never_aborts", FOUND.id)
    assert "packetrig replay b91297475b62" in result.message
    assert finding.rules([FOUND]) == {"it_never_aborts": "it never aborts"}
