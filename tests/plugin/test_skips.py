"""What this kernel or machine lacks is a skip that says why; --bpf-require makes it a failure."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable

import pytest

pytest_plugins = ["pytester"]

Run = Callable[..., pytest.RunResult]

LACKS = """
def test_in_the_test(door):
    raise packetrig.Unsupported("time travel", "the kernel says no")

@pytest.fixture
def wire():
    raise packetrig.PermissionDenied("making a wire: not permitted", capability="CAP_NET_ADMIN")

def test_in_a_fixture(wire):
    pass

calls = []

@given(st.integers())
def test_in_an_example(door, n):
    calls.append(n)
    raise packetrig.Unsupported("time travel", "the kernel says no")

def test_no_other_example_was_tried():
    assert len(calls) <= 1
"""


def test_a_skip_says_what_is_lacking_and_where(run: Run) -> None:
    result = run(LACKS, "-rs")

    result.assert_outcomes(skipped=3, passed=1)
    result.stdout.fnmatch_lines(
        [
            "SKIPPED * test_it.py:*: bpf: time travel is not supported here: the kernel says no",
            "SKIPPED * test_it.py:*: bpf: making a wire: not permitted",
        ]
    )


def test_bpf_require_turns_skips_into_failures_and_says_so(run: Run) -> None:
    result = run(LACKS, "--bpf-require")

    outcome = result.parseoutcomes()
    assert "skipped" not in outcome
    assert outcome["failed"] + outcome["errors"] == 4
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "bpf: making a wire: not permitted",
            "This would be a skip, but --bpf-require turns it into a failure.",
            "bpf: time travel is not supported here: the kernel says no",
            "This would be a skip, but --bpf-require turns it into a failure.",
        ]
    )


def test_what_the_user_skips_stays_skipped(run: Run) -> None:
    result = run('def test_it():\n    pytest.skip("not today")\n', "--bpf-require")

    result.assert_outcomes(skipped=1)


def test_an_error_that_is_no_lack_is_not_skipped(run: Run) -> None:
    result = run('def test_it(door):\n    raise packetrig.LoadError("no such thing")\n')

    result.assert_outcomes(failed=1)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv drops the capabilities")
@pytest.mark.parametrize(("option", "outcome"), [("-rs", "2 skipped"), ("--bpf-require", "errors")])
def test_without_capabilities_every_kernel_test_says_which_is_missing(
    project: pytest.Pytester, head: str, option: str, outcome: str
) -> None:
    project.makepyfile(test_it=f"{head}def test_one(door): pass\ndef test_two(door): pass\n")
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    pytest_run = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", option]

    result = project.run(*drop, *pytest_run)

    result.stdout.fnmatch_lines(
        [
            "packetrig *: Linux *, nothing can be run: CAP_BPF is missing, run it as root*",
            "*bpf: *not permitted, this process lacks CAP_BPF; run it as root or grant CAP_BPF",
            f"*{outcome}*",
        ]
    )
    line = 1 + head.splitlines().index('door = packetrig.fixture("progs/xdp_door.bpf.c")')
    if option == "-rs":  # one line for all tests of the fixture, at the fixture
        result.stdout.fnmatch_lines([f"SKIPPED [[]2[]] test_it.py:{line}: bpf: *"])
    assert result.ret == (1 if option == "--bpf-require" else 0)
