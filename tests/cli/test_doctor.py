"""`packetrig doctor`: each answer is yes, no or cannot tell; never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from packetrig._bpf.probes import Answer, Feature
from packetrig.cli import machine
from packetrig.errors import Error, ToolMissing, Unsupported

from .given import GOOD, Ended

Command = Callable[..., Ended]

# Loses every capability for good, and then is the command: what a user without rights sees.
UNPRIVILEGED = """
import ctypes, sys
libc = ctypes.CDLL(None)
for capability in range(64):
    libc.prctl(24, capability)
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
libc.capset(header, (ctypes.c_uint32 * 6)())
from packetrig.cli import main
sys.exit(main())
"""


def unprivileged(*words: str, place: Path) -> Ended:
    run = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=place,
    )
    return Ended(run.returncode, run.stdout, run.stderr)


@pytest.mark.slow
def test_the_main_job_works_where_the_tests_run(packetrig: Command) -> None:
    ended = packetrig("doctor")

    assert ended.out.splitlines()[0].split() == ["what", "answer", "found", "to", "do"]
    assert ended.out.endswith("\n\nthe main job works here: build, run, attach\n")
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.slow
def test_json_has_every_answer_with_what_to_do(packetrig: Command) -> None:
    found = json.loads(packetrig("doctor", "--json").out)

    answers = {each["name"]: each for each in found["answers"]}
    assert (found["format"], found["works"]) == (1, True)
    assert {each["answer"] for each in answers.values()} <= {"yes", "no", "cannot tell"}
    assert {name for name, each in answers.items() if each["is-needed"]} == machine.MAIN_JOB
    assert {"kernel", "JIT", "kernel BTF", "no lockdown", "libbpf", "bpffs"} <= answers.keys()
    assert {
        "cgroup2",
        "kprobes",
        "XDP live frames",
        "XDP frame sizes",
        "llvm-cov",
    } <= answers.keys()


@pytest.mark.slow
def test_without_privileges_it_cannot_tell_and_says_once_what_is_missing(place: Path) -> None:
    ended = unprivileged("doctor", place=place)

    rows = {line[:22].strip(): line for line in ended.out.splitlines()}
    assert "CAP_BPF is missing" in rows["privileges"]
    assert "run it as root, or grant CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN" in rows["privileges"]
    assert ended.out.count("run it as root") == 1
    assert "cannot tell" in rows["xdp test run"]
    assert "cannot tell" in rows["veth"]
    assert (ended.code, ended.err) == (2, "")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "gate"])
def test_without_privileges_the_other_commands_are_undecided(place: Path, command: str) -> None:
    (place / "gate.toml").write_text("version = 1\n[verifier]\n")
    words = ["--policy", "gate.toml"] if command == "gate" else ["--frame", GOOD.hex()]

    ended = unprivileged(command, "progs/xdp_mix.bpf.c", *words, place=place)

    assert "this process lacks CAP_BPF; run it as root or grant CAP_BPF" in ended.out + ended.err
    assert ended.code == 2


def test_what_the_main_job_lacks_is_named(
    packetrig: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [Feature("clang", Answer.NO), Feature("JIT", Answer.NO), Feature("veth", Answer.YES)]
    monkeypatch.setattr(machine, "answers", lambda: iter(answers))

    ended = packetrig("doctor")

    assert ended.out.endswith("\nthe main job does not work here: clang\n")
    assert ended.code == 2


@pytest.mark.slow
def test_without_clang_it_says_how_to_get_one(
    packetrig: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLANG", "/nowhere/clang")

    ended = packetrig("doctor")

    row = next(line for line in ended.out.splitlines() if line.startswith("clang "))
    assert "no           CLANG=/nowhere/clang" in row
    assert "apt-get install clang-19" in row
    assert ended.code == 2


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (ToolMissing("no clang found: install one"), Answer.NO),
        (Unsupported("it", "the kernel has none"), Answer.NO),
        (Error("the interface did not come up"), Answer.UNKNOWN),
        (OSError("out of memory"), Answer.UNKNOWN),
    ],
)
def test_a_question_that_fails_is_an_answer(error: Exception, answer: Answer) -> None:
    def ask() -> str:
        raise error

    assert machine._asked("it", ask).answer is answer
