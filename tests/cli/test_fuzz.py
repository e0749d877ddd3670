"""`packetrig fuzz`: what it prints, writes, and how it exits."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from packetrig import Spec, VerifierError, build
from packetrig.fuzz import crashfile
from packetrig.fuzz.corpus import Corpus
from packetrig.fuzz.fleet import Fleet

from ..fuzz.schedulers import needs_dask, scheduler
from ..fuzz.test_fleet import WITHOUT_RIGHTS
from .given import ABORTED, BLOCKED, GOOD, ILLEGAL, Ended, shown

Command = Callable[..., Ended]
Capture = Callable[..., str]

MIX = "progs/xdp_mix.bpf.c"
ABORTS, NO_VERDICT, STALE = "b91297475b62", "750ab00641cc", "e251062cf681"
FOLDER = Path("fixtures/crashes/xdp_mix")
RULES = """
import os, signal
import packetrig
from packetrig import XDP

seen = 0

@packetrig.check
def it_never_aborts(before, run):
    "Let it, for once."

@packetrig.check
def everybody_passes(before, run):
    return run.verdict is not XDP.ABORTED

@packetrig.check
def nobody_asks_twice(before, run):
    global seen
    seen += 1
    if seen == 40:
        os.kill(os.getpid(), signal.SIGINT)

@packetrig.check
def nobody_ends_it(before, run):
    global seen
    seen += 1
    if seen == 40:
        os.kill(os.getpid(), signal.SIGTERM)

@packetrig.check
def it_is_not_the_fortieth(before, run):
    global seen
    seen += 1
    return seen != 40

@packetrig.check
def it_breaks(before, run):
    return 1 // 0

@packetrig.model
def everything_passes(frame, maps):
    return XDP.PASS
"""


def plain(text: str) -> str:
    """Take out of an output what differs from run to run."""
    text = re.sub(r"in \d+\.\d s \(\d+ a second\)", "in SECONDS (RATE)", text)
    return re.sub(r"\d+ frames to begin with", "FRAMES to begin with", text)


@pytest.fixture
def fuzz(packetrig: Command, place: Path, capture: Capture) -> Command:
    """Call the command on what finds every fault of xdp_mix within a few runs."""
    (place / "rules.py").write_text(RULES)
    capture(GOOD, BLOCKED, ABORTED, ILLEGAL)

    def call(*words: object, source: str = MIX) -> Ended:
        given = ("--runs", 64, "--seed", 7, "--seeds", "in.pcap")
        return packetrig("fuzz", source, *given, *words)

    return call


def test_findings_come_first_and_then_what_was_done_and_what_was_left(fuzz: Command) -> None:
    ended = fuzz("--set", "hop=1")

    assert plain(ended.out) == shown("fuzz.txt")
    assert (ended.code, ended.err) == (1, "")


def test_each_finding_has_its_crash_file_and_capture(fuzz: Command) -> None:
    fuzz("--set", "hop=1")

    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(
        f"{name}.{kind}" for name in (ABORTS, NO_VERDICT, STALE) for kind in ("toml", "pcap")
    )
    finding = crashfile.read(FOLDER / f"{ABORTS}.toml")
    assert finding.seed == 7
    assert finding.object_sha256 == build(MIX).sha256
    assert finding.made.globals == {"hop": 1}


def test_nothing_found_is_told_and_held(fuzz: Command, capture: Capture) -> None:
    capture(GOOD)

    ended = fuzz("--runs", 1)

    assert ended.code == 0
    assert ended.out.endswith("\nnothing found\n")
    assert not Path("fixtures").exists()


def test_what_looked_wrong_and_did_not_repeat_is_undecided(fuzz: Command) -> None:
    doubt = "xdp_warned: it is not the fortieth did not hold in the loop, and does on the object"
    words = ("--check", "rules.py:it_is_not_the_fortieth", "--sarif", "out.sarif")

    ended = fuzz(*words, source="progs/xdp_warned.bpf.c")
    (run,) = json.loads(Path("out.sarif").read_text())["runs"]

    assert ended.code == 2
    assert f"\nnot repeated: {doubt}" in ended.out
    assert run["results"] == []
    (told,) = run["invocations"][0]["toolExecutionNotifications"]
    assert told["message"]["text"].startswith(doubt)


def test_the_same_seed_is_the_same_campaign(fuzz: Command) -> None:
    first = fuzz("--set", "hop=1", "--corpus", "one", "--crashes", "a")
    second = fuzz("--set", "hop=1", "--corpus", "two", "--crashes", "b")

    assert plain(second.out).replace("two", "one").replace("b/", "a/") == plain(first.out)
    assert Corpus("one").load() == Corpus("two").load() != []


def test_a_seed_is_told_when_none_was_given(packetrig: Command, place: Path) -> None:
    ended = packetrig("fuzz", MIX, "--runs", 1)

    assert re.search(r"ended by runs, seed \d+$", ended.out, re.MULTILINE)


def test_a_corpus_is_kept_and_gone_on_with(fuzz: Command) -> None:
    fuzz("--corpus", "corpus")
    before = set(Corpus("corpus").load())

    fuzz("--corpus", "corpus", "--seed", 8)

    assert before
    assert before <= set(Corpus("corpus").load())


def test_json_is_a_line_for_each_event(fuzz: Command) -> None:
    ended = fuzz("--json", "--set", "hop=1")

    events = [json.loads(line) for line in ended.out.splitlines()]
    assert (
        events[0] | {"event": "started", "format": 1, "seed": 7, "program": "xdp_mix"}
        == (events[0])
    )
    found = [event for event in events if event["event"] == "found"]
    assert {event["id"] for event in found} == {ABORTS, NO_VERDICT, STALE}
    assert found[0]["file"] == f"{FOLDER}/{found[0]['id']}.toml"
    assert (found[0]["path"], found[0]["line"] > 0) == (MIX, True)
    assert events[-1]["event"] == "ended"
    assert events[-1]["shares"]["it_never_aborts"] == events[-1]["runs"] == 64
    assert ended.code == 1


def test_sarif_and_annotations_point_at_the_line_of_c(fuzz: Command) -> None:
    ended = fuzz("--sarif", "out.sarif", "--github", "--crashes", "elsewhere")

    (run,) = json.loads(Path("out.sarif").read_text())["runs"]
    found = {each["partialFingerprints"]["packetrig/v1"]: each for each in run["results"]}
    assert set(found) == {ABORTS, NO_VERDICT}
    place = found[ABORTS]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == MIX
    line = place["region"]["startLine"]
    assert f"::error file={MIX},line={line},title=it never aborts::xdp_mix: it" in ended.out
    assert f"; packetrig replay {ABORTS} --crashes elsewhere)" in ended.out
    assert f"; packetrig replay {ABORTS} --crashes elsewhere)" in found[ABORTS]["message"]["text"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [
        each["ruleId"] for each in run["results"]
    ]


def test_sarif_says_when_nobody_could_tell(fuzz: Command) -> None:
    ended = fuzz("--sarif", "out.sarif", "--check", "rules.py:it_breaks")

    (invocation,) = json.loads(Path("out.sarif").read_text())["runs"][0]["invocations"]
    assert ended.code == 2
    assert invocation["executionSuccessful"] is False
    assert (
        "it_breaks itself failed"
        in (invocation["toolExecutionNotifications"][0]["message"]["text"])
    )


def test_a_check_of_a_built_in_ones_name_takes_its_place(fuzz: Command) -> None:
    fuzz("--check", "rules.py:it_never_aborts")

    assert [path.stem for path in FOLDER.glob("*.toml")] == [NO_VERDICT]


def test_a_check_may_be_left_out(fuzz: Command) -> None:
    fuzz("--without", "the_verdict_is_a_legal_one", "--without", "it_never_aborts")

    assert not FOLDER.exists()


def test_a_model_and_another_program_judge_too(fuzz: Command, capture: Capture) -> None:
    capture(GOOD, BLOCKED)
    other = build(MIX, define={"VERDICT": "XDP_TX"})
    Path("old.o").write_bytes(other.data)

    by_model = fuzz("--model", "rules.py", "--setup", "state.toml", "--crashes", "a")
    by_other = fuzz("--against", "old.o", "--crashes", "b")

    assert "everything_passes says otherwise (verdict: model XDP.PASS, program XDP.DROP" in (
        by_model.out
    )
    assert "it does not do the same as old.o (verdict: XDP.PASS, and in old.o XDP.TX)" in (
        by_other.out
    )
    assert (by_model.code, by_other.code) == (1, 1)


@pytest.mark.parametrize("check", ["nobody_asks_twice", "nobody_ends_it"])
def test_ctrl_c_and_sigterm_end_it_with_the_summary(fuzz: Command, check: str) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]

    ended = fuzz("--check", f"rules.py:{check}", "--runs", 100_000_000)

    assert "ended by interrupted, seed 7" in ended.out
    assert ended.out.endswith("1 finding\n")
    assert (ended.code, ended.err) == (1, "")
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.slow
def test_a_terminal_shows_how_far_it_is_and_a_pipe_does_not(fuzz: Command) -> None:
    master, slave = pty.openpty()
    command = [sys.executable, "-c", "import sys; from packetrig.cli import main; sys.exit(main())"]
    line = rb"\d+ runs \(\d+ a second\), \d+ of \d+ branches, \d+ frames, "
    told = b""
    with subprocess.Popen(
        [*command, "fuzz", MIX, "--time", "1h", "--seed", "1"],
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
    ) as run:
        os.close(slave)
        while not re.search(line, told):
            told += os.read(master, 65536)  # an error when it has ended
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate()
    os.close(master)

    assert "a second), 1" not in out.replace("ended", "")
    assert "ended by interrupted, seed 1" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--corpus", "state.toml"), "state.toml: is a file; name a folder"),
        (("--crashes", "state.toml/x"), "state.toml/x: state.toml is a file; name a folder"),
        (("--corpus", "progs"), "no part of a corpus, which holds"),
        (("--seeds", "absent.pcap"), "absent.pcap: there is no such file to take seeds from"),
        (("--seeds", "no-packet.pcap"), "no-packet.pcap: no seeds in it"),
        (("--seeds", "state.toml"), "state.toml: no golden packet, and no crash file"),
        (("--setup", "absent.toml"), "absent.toml: there is no such set-up file"),
        (("--check", "absent.py"), "absent.py: there is no such file; name checks"),
        (("--check", "rules.py:it_never_abort"), "did you mean 'it_never_aborts'?"),
        (("--check", "rules.py:it_breaks"), "check it_breaks itself failed: ZeroDivisionError"),
        (("--model", "rules.py:no"), "no model named 'no'"),
        (("--without", "it_never_abort"), "did you mean 'it_never_aborts'?"),
        (("--against", "absent.o"), "no object file absent.o"),
        (("--program", "xdp_mux"), "no program named 'xdp_mux', did you mean 'xdp_mix'?"),
        (("--time", "soon"), "'soon' is no time: write 90, 30s, 10m or 1h30m"),
        (("--time", "0"), "'0' is no time: nothing could be run in it"),
        (("--json", "--github"), "--json and --github both speak on stdout: choose one"),
        (("--set", "hop"), "--set hop: write a global and its value"),
        (("--define", "1=2"), "'1' is no name for a macro"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_named_and_nothing_is_written(
    fuzz: Command, words: tuple[str, ...], told: str
) -> None:
    before = set(Path().rglob("*"))

    ended = fuzz(*words)

    assert told in ended.err
    assert ended.err.count("\n") == 1
    assert ended.code == 2
    assert {path for path in Path().rglob("*") if "__pycache__" not in str(path)} == before


def test_a_source_that_is_not_there_or_is_refused_is_named(fuzz: Command) -> None:
    assert "did you mean xdp_mix.bpf.c?" in fuzz(source="progs/xdp_mux.bpf.c").err
    ended = fuzz(source="progs/xdp_rejected.bpf.c")
    assert (ended.code, "xdp_rejected: rejected by the verifier" in ended.err) == (2, True)
    several = fuzz(source="progs/two.bpf.c")
    assert "holds several programs: way_in, way_out_egress; choose one with" in several.err


def test_a_program_that_traces_the_kernel_is_no_choice(fuzz: Command) -> None:
    Path("mixed.bpf.c").write_text(
        "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n"
        'SEC("fentry/tcp_v4_connect") int traced(void *ctx) { return 0; }\n'
        'SEC("xdp") int entry(struct xdp_md *ctx) { return ctx->data_end - ctx->data > 50; }\n'
        'char _license[] SEC("license") = "GPL";\n'
    )
    ended = fuzz("--runs", 200, source="mixed.bpf.c")

    assert "  entry: it never aborts does not hold" in ended.out, ended.err
    assert ended.code == 1


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (MIX, "libbpf cannot open it: BTF is required, but is missing or corrupted; compile with"),
        ("small.bpf.c", "holds no debug information, so no line of C is known for what would be"),
    ],
    ids=["with maps", "without maps"],
)
def test_an_object_without_debug_information_is_named(
    fuzz: Command, place: Path, source: str, told: str
) -> None:
    (place / "small.bpf.c").write_text(
        "#define SEC(x) __attribute__((section(x), used))\n"
        'SEC("xdp") int small(void *ctx) { (void)ctx; return 0; }\n'
        'char LICENSE[] SEC("license") = "GPL";\n'
    )
    command = [word for word in build(place / source).command if word != "-g"]
    subprocess.run([*command, "-o", str(place / "bare.o")], check=True)

    ended = fuzz(source="bare.o")

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"packetrig: bare.o: {told}")


def test_without_coverage_it_searches_only_when_that_is_asked_for(
    fuzz: Command, place: Path
) -> None:
    (place / "mix.o").write_bytes(build(MIX).data)

    refused = fuzz(source="mix.o")
    ended = fuzz("--blind", source="mix.o")

    assert refused.code == 2
    assert refused.err.startswith("packetrig: mix.o: there is no coverage to be guided by: ")
    assert refused.err.endswith("; --blind searches without\n")
    assert "\nwithout coverage, so blindly: " in ended.out
    assert "at mix.o\n" in ended.out
    assert ended.code == 1


def test_a_program_that_is_refused_with_counters_is_named(
    fuzz: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Spec.load

    def refuses_counters(spec: Spec, **how: Any) -> Any:
        if spec.is_instrumented:
            raise VerifierError(f"{spec.name}: rejected by the verifier: too many instructions")
        return load(spec, **how)

    monkeypatch.setattr(Spec, "load", refuses_counters)

    ended = fuzz()

    assert ended.err == (
        "packetrig: xdp_mix: there is no coverage to be guided by: with counters the kernel "
        "refuses it: xdp_mix.bpf.o: rejected by the verifier: too many instructions; --blind "
        "searches without\n"
    )
    assert (ended.code, ended.out) == (2, "")
    assert fuzz("--blind").code == 1


def test_a_crash_file_of_a_newer_format_stops_it_before_it_begins(fuzz: Command) -> None:
    FOLDER.mkdir(parents=True)
    path = FOLDER / "0123456789ab.toml"
    path.write_text("format = 2\n")

    ended = fuzz()

    assert ended.err == (
        f"packetrig: {path}: of format 2, written by a newer packetrig; this one reads 1\n"
    )
    assert (ended.code, path.read_text()) == (2, "format = 2\n")


def test_a_finding_that_is_known_is_told_again_and_its_file_stays(fuzz: Command) -> None:
    fuzz()
    path = FOLDER / f"{ABORTS}.toml"
    crashfile.keep(path)
    before = path.read_text()

    ended = fuzz("--seed", 99)

    assert f"found {ABORTS} at" in ended.out
    assert path.read_text() == before


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_finding_whose_packet_is_right_by_now_is_written_anew(
    fuzz: Command, packetrig: Command, is_kept: bool
) -> None:
    fuzz()
    path = FOLDER / f"{ABORTS}.toml"
    known = crashfile.read(path)
    path.unlink()
    crashfile.write(replace(known, frames=(GOOD,), is_kept=is_kept))

    fuzz()

    assert crashfile.read(path).frames == known.frames
    assert packetrig("replay", ABORTS).code == 1
    moved = path.with_stem(f"{ABORTS}-1")
    assert moved.exists() is moved.with_suffix(".pcap").exists() is is_kept
    assert not is_kept or crashfile.is_kept(moved.read_text())


def test_a_check_that_was_left_out_is_left_out_again(fuzz: Command, packetrig: Command) -> None:
    fuzz("--without", "it_never_aborts", "--check", "rules.py:everybody_passes")
    path = next(
        each for each in FOLDER.glob("*.toml") if crashfile.read(each).check == "everybody_passes"
    )

    ended = packetrig("replay", path.stem, "--json")

    assert crashfile.read(path).made.without == ("it_never_aborts",)
    assert "everybody passes does not hold" in json.loads(ended.out)["findings"][0]["failure"]


@pytest.mark.slow
def test_a_full_disk_is_named_and_what_was_kept_stays_whole(fuzz: Command, place: Path) -> None:
    script = (
        "mkdir small && mount -t tmpfs -o size=8k,nr_inodes=4 tmpfs small && "
        f'"$0" -c "import sys; from packetrig.cli import main; sys.exit(main())" fuzz {MIX} '
        "--runs 3000 --seed 1 --corpus small/corpus; code=$?; cp -r small/corpus kept; exit $code"
    )
    run = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 2, run
    assert re.search(r"small/corpus/\w+\.frame: cannot be written: no space left on", run.stderr)
    assert Corpus("kept").load() != []


@pytest.mark.slow
@pytest.mark.parametrize("events", [2, 5])
def test_a_campaign_that_is_killed_has_lost_nothing_that_it_told(
    fuzz: Command, place: Path, events: int
) -> None:
    command = [sys.executable, "-c", "import sys; from packetrig.cli import main; sys.exit(main())"]
    words = ["fuzz", MIX, "--json", "--seeds", "in.pcap", "--seed", "7", "--corpus", "corpus"]
    told = []
    with subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        while len(told) < events:
            told.append(json.loads(run.stdout.readline()))
        run.kill()
        told += [json.loads(line) for line in run.stdout if line.endswith("}\n")]

    frames = {bytes.fromhex(each["frame"]) for each in told if each["event"] == "new_entry"}
    assert frames <= set(Corpus("corpus").load())
    for path in FOLDER.glob("*.toml"):
        assert crashfile.read(path).frames
    assert fuzz("--corpus", "corpus").code == 1, "and it goes on"


@pytest.mark.slow
def test_several_workers_find_the_same(fuzz: Command) -> None:
    ended = fuzz("--set", "hop=1", "--workers", 2, "--runs", 200)

    assert {path.stem for path in FOLDER.glob("*.toml")} == {ABORTS, NO_VERDICT, STALE}
    assert "worker 2 joined (" in ended.out
    assert ended.out.endswith("\n3 findings\n")
    assert ended.code == 1


@needs_dask
@pytest.mark.slow
def test_a_cluster_finds_the_same_and_keeps_it_here(
    fuzz: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(Fleet.__init__.__kwdefaults__, "patience", 60.0)
    leave_out = Fleet._leave_out
    added = []

    def joined_by_another(*given: object) -> Iterator[object]:
        added.append(started.add())
        return leave_out(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(Fleet, "_leave_out", joined_by_another)
    with scheduler() as started:
        left_out = started.add(before=WITHOUT_RIGHTS)
        ended = fuzz("--scheduler", started.address, "--corpus", "corpus")

    (joining,) = added
    assert f"{joining} joined (process {started.workers[joining].pid} of " in ended.out
    assert f"{left_out} is left out: loading a xdp program: not permitted" in ended.out
    assert "ended by runs, seed 7" in ended.out
    assert {each.stem for each in FOLDER.glob("*.toml")} == {ABORTS, NO_VERDICT}
    assert len(Corpus("corpus").load()) == len(list(place.glob("corpus/*"))) > 0
    assert (ended.code, ended.err) == (1, "")


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_named(
    fuzz: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setitem(Fleet.__init__.__kwdefaults__, "patience", 0.2)

    ended = fuzz("--scheduler", "tcp://127.0.0.1:1")

    assert "no dask scheduler answers at tcp://127.0.0.1:1" in ended.err
    assert ended.code == 2


def test_workers_and_a_scheduler_are_one_too_many(fuzz: Command) -> None:
    ended = fuzz("--workers", 2, "--scheduler", "tcp://127.0.0.1:1")

    assert (ended.code, "workers= are processes of this machine" in ended.err) == (2, True)


def test_a_finding_that_cannot_be_written_is_told_before_that_is_said(
    fuzz: Command,
) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, resource.RLIM_INFINITY))
    try:
        ended = fuzz()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    assert "found " in ended.out
    assert "cannot be written: file too large" in ended.err
    assert ended.code == 2
    assert list(FOLDER.glob("*.toml")) == []
