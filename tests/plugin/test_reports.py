"""What a failed test shows: the last runs, the comparison, what is at fault, how to repeat it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from packetrig.packets.frames import bad_checksums

pytest_plugins = ["pytester"]

Run = Callable[..., pytest.RunResult]
SNAPSHOT = Path(__file__).with_name("failures.txt")
SCAPY = "from scapy.all import IP, UDP, Ether\n"

FAILING = f"""
{SCAPY}
BAD, GOOD = "10.0.0.66", "10.0.0.1"

def test_a_listed_source_passes(door):
    door.maps.blocked[BAD] = 0
    assert door.run(Ether() / IP(src=BAD, dst=GOOD) / UDP()).verdict is XDP.PASS

def test_the_checksum_is_right(door):
    run = door.run(Ether() / IP(src=GOOD, dst=BAD) / UDP() / b"hello")
    assert run.bad_checksums == []

def test_two_runs_are_the_same(door):
    packet = Ether() / IP(src=GOOD, dst=BAD) / UDP()
    other = Ether() / IP(src=GOOD, dst=BAD, ttl=9) / UDP()
    assert door.run(packet) == door.run(other)
"""


def test_the_whole_output_of_a_run_that_fails(
    run: Run, plain: Callable[[pytest.RunResult], str]
) -> None:
    seen = plain(run(FAILING))

    if "PACKETRIG_WRITE_SNAPSHOTS" in os.environ:  # the output was changed, and read
        SNAPSHOT.write_text(seen)
    assert seen.splitlines() == SNAPSHOT.read_text().splitlines()


def test_a_test_that_passes_shows_nothing(run: Run) -> None:
    result = run("def test_it(door):\n    door.run(FRAME)\n", "-rA")

    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*answered*")


def test_the_run_of_an_earlier_test_is_not_shown(run: Run) -> None:
    result = run("""
def test_runs(door):
    door.run(FRAME)

def test_fails_without_running(door):
    assert door.run is None
""")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("*answered*")


def test_each_object_and_program_that_ran_is_told(run: Run) -> None:
    result = run("""
both = packetrig.fixture("progs/two.bpf.c", kind="xdp")

def test_it(door, both):
    door.run_many([FRAME, FRAME])
    both.programs.one.run(FRAME)
    both.programs.two.run(FRAME)
    assert False
""")

    result.stdout.fnmatch_lines(
        [
            "door answered XDP.PASS in its last run, number 2 of run_many()",
            "both (one) answered XDP.PASS in its last run",
            "both (two) answered XDP.TX in its last run",
        ]
    )


def test_the_frame_of_the_snapshot_is_a_real_packet() -> None:
    text = SNAPSHOT.read_text()
    frames = [
        bytes.fromhex(line.split("--frame ")[1].split(" ")[0])
        for line in text.splitlines()
        if "--frame " in line
    ]

    assert len(frames) == 3
    assert [bad_checksums(frame) for frame in frames] == [[], [], []]


COMPARISONS = {
    "door.run(FRAME) == FRAME": ["*a Run equals only a Run; compare run.verdict, run.data *"],
    "door.run(FRAME).data == FRAME": [
        "*assert a frame of 42 bytes == a frame of 42 bytes",
        "E * IP.ttl: 63 != 64",
        "*- left: 42 bytes*",
    ],
    "door.run(FRAME).packet == Ether(FRAME)": ["E * IP.ttl: 63 != 64"],
    "Ether(FRAME) == Ether() / IP()": ["*assert a frame of 42 bytes == a frame of 34 bytes"],
    "door.run(FRAME).changes == {'IP.ttl': (64, 62)}": ["*'IP.ttl'*"],
    "door.maps.blocked == {'10.0.0.68': 1, '10.0.0.3': 0}": [
        "E * [[]'10.0.0.68']: 5 != 1",
        "E * [[]'10.0.0.3']: only the right has it: 0",
        "E * [[]10.0.0.67 (*)]: only the left has it: 6",
    ],
    "door.maps.changes(EMPTY) == {'blocked': {'10.0.0.68': (None, 1)}}": [
        "E * [[]'blocked'][[]'10.0.0.68']: (None, 5) != (None, 1)",
        "E * [[]'blocked'][[]10.0.0.67 (*)]: only the left has it: (None, 6)",
    ],
    "door.maps.snapshot() == EMPTY": [
        "E * [[]'blocked'][[]10.0.0.68 (*)]: only the left has it: 5"
    ],
}


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_a_comparison_is_explained_in_its_own_words(run: Run, comparison: str) -> None:
    result = run(f"""
{SCAPY}
EMPTY = None

def test_it(door):
    EMPTY = door.maps.snapshot()
    door.maps.blocked["10.0.0.68"] = 5
    door.maps.blocked["10.0.0.67"] = 6
    assert {comparison}
""")

    result.assert_outcomes(failed=1)
    for line in COMPARISONS[comparison]:
        result.stdout.fnmatch_lines([line])


@pytest.mark.parametrize("comparison", ["b'abc' == b'abd'", "[1] == [2]", "{'a': 1} == {'a': 2}"])
def test_other_comparisons_are_left_to_pytest(run: Run, comparison: str) -> None:
    text = f"def test_it(door):\n    assert {comparison}\n"

    with_plugin = run(text).outlines
    without = run(text, "--assert=rewrite").outlines

    assert [line for line in with_plugin if line.startswith("E ")] == [
        line for line in without if line.startswith("E ")
    ]
    assert any(line.startswith("E  ") and "iff" in line for line in with_plugin)


def test_a_source_that_does_not_compile_shows_what_clang_says(
    run: Run, project: pytest.Pytester
) -> None:
    (project.path / "progs" / "broken.bpf.c").write_text("int broken(void) { return nothing; }\n")

    result = run('bad = packetrig.fixture("progs/broken.bpf.c")\ndef test_it(bad): pass\n')

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "test_it.py:*: packetrig.fixture('progs/broken.bpf.c')",
            "E   CompileError: progs/broken.bpf.c: *undeclared identifier 'nothing' (*.bpf.c:1)",
            "*packetrig: an error, not a failure*",
            "progs/broken.bpf.c:1:*: error: use of undeclared identifier 'nothing'",
        ]
    )


def test_a_program_that_the_verifier_refuses_is_explained(run: Run) -> None:
    result = run('bad = packetrig.fixture("progs/refused.bpf.c")\ndef test_it(bad): pass\n')

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "E   VerifierError: refused: rejected by the verifier: *refused.bpf.c:11*",
            "*packetrig: an error, not a failure*",
            "*return data[[]20[]] ? XDP_DROP : XDP_PASS;*",
        ]
    )


def test_an_error_in_the_test_ends_at_its_own_line_and_says_what_it_is(run: Run) -> None:
    result = run("def test_it(door):\n    door.run(bytes(4))\n")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">       door.run(bytes(4))",
            "E       packetrig.errors.InputRefused: xdp_door: a frame of 4 bytes: *",
            "test_it.py:*: InputRefused",
            "*packetrig: an error, not a failure*",
            "the test, its input or the machine is at fault; of the program nothing is known",
        ]
    )


def test_a_failed_check_says_how_to_repeat_it(run: Run) -> None:
    result = run("""
def test_it(door):
    raise packetrig.Failure("a hop too many", check="hops", repeat="packetrig run x.c --frame 00")
""")

    result.stdout.fnmatch_lines(
        ["E *Failure: a hop too many", "check: hops", "repeat: packetrig run x.c --frame 00"]
    )
    result.stdout.no_fnmatch_line("*an error, not a failure*")


def test_a_failed_check_of_packetrigs_own_shows_no_line_of_packetrig(run: Run) -> None:
    result = run("""
@packetrig.check
def it_is_short(before, run):
    assert len(run.data) < 20

def test_of_its_own(door):
    door.judge(FRAME, packetrig.checks.only_change(), builtin=())

def test_of_the_user(door):
    door.judge(FRAME, it_is_short, builtin=())
""")

    result.assert_outcomes(failed=2)
    result.stdout.no_fnmatch_line("*packetrig/checks/*")
    result.stdout.fnmatch_lines([">       assert len(run.data) < 20"])


WARNS = "int unused; static int idle(void) { return 1; }\n"


def test_what_clang_warns_of_is_shown_once(run: Run, project: pytest.Pytester) -> None:
    source = project.path / "progs" / "xdp_door.bpf.c"
    source.write_text(source.read_text() + WARNS)

    result = run("""
again = packetrig.fixture("progs/xdp_door.bpf.c")
def test_one(door): pass
def test_two(door, again): pass
""")

    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(["*progs/xdp_door.bpf.c:*: ClangWarning: *unused function 'idle'*"])


def test_what_clang_warns_of_can_be_made_an_error(run: Run, project: pytest.Pytester) -> None:
    source = project.path / "progs" / "xdp_door.bpf.c"
    source.write_text(source.read_text() + WARNS)

    result = run("def test_one(door): pass\n", "-W", "error::packetrig.testing.ClangWarning")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "test_it.py:*: packetrig.fixture('progs/xdp_door.bpf.c')",
            "E   ClangWarning: progs/xdp_door.bpf.c:*: warning: unused function 'idle'*",
        ]
    )
