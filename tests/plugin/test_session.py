"""What the plugin does to a whole pytest run: its header, what it loads, xdist, its end."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from packetrig import Unsupported
from packetrig._bpf import probes
from packetrig.testing import header

pytest_plugins = ["pytester"]

Run = Callable[..., pytest.RunResult]
IMPORTED = """
import sys

HEAVY = {"scapy", "hypothesis", "cffi", "pyroute2", "click", "rich", "pydantic", "packetrig.spec"}

def pytest_sessionfinish():
    print("\\nimported:", sorted(HEAVY & set(sys.modules)))
"""


def test_the_header_says_what_this_kernel_can_do(run: Run) -> None:
    result = run("def test_it():\n    pass\n")

    result.stdout.re_match_lines(
        [r"packetrig \d+\.\d+\S*: Linux \d\S*, xdp tc and \d+ more kinds.*, clang \d+$"]
    )


def test_a_fault_in_the_header_stops_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[probes.Feature]:
        raise Unsupported("bpf(2)", "there is none")

    monkeypatch.setattr(probes, "features", broken)
    result = run("def test_it():\n    pass\n")

    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines(
        [r"packetrig \S+: nothing can be run: bpf\(2\) is not supported here: there is none$"]
    )


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([], "nothing can be run: for no known reason"),
        ([("xdp test run", "no", "it is off")], "nothing can be run: it is off"),
        ([("tc test run", "yes", "")], "tc"),
        ([("netfilter test run", "yes", ""), ("xdp test run", "no", "x")], "netfilter"),
    ],
)
def test_the_header_names_what_runs_or_why_nothing_does(
    monkeypatch: pytest.MonkeyPatch, answers: list[tuple[str, str, str]], told: str
) -> None:
    found = [probes.Feature(name, probes.Answer(answer), why) for name, answer, why in answers]
    monkeypatch.setattr(probes, "features", lambda: found)

    assert header.line().split(", ")[1] == told


@pytest.mark.slow
def test_a_run_without_kernel_tests_loads_nothing_heavy(project: pytest.Pytester) -> None:
    project.makeconftest(IMPORTED)
    project.makepyfile(test_it="def test_it():\n    assert 1 + 1 == 2\n")

    result = project.runpytest_subprocess("-s")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["imported: [[][]]"])


@pytest.mark.slow
def test_a_kernel_test_on_bytes_loads_neither_scapy_nor_hypothesis(
    project: pytest.Pytester,
) -> None:
    project.makeconftest(IMPORTED)
    project.makepyfile(
        test_it="""
        import packetrig

        door = packetrig.fixture("progs/xdp_door.bpf.c")

        @packetrig.table(("zeros", bytes(64), packetrig.XDP.PASS))
        def test_it(door, packet, verdict):
            assert door.run(packet).verdict is verdict
        """
    )

    result = project.runpytest_subprocess("-s")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["imported: [[]'packetrig.spec'[]]"])


@pytest.mark.slow
def test_workers_of_xdist_load_objects_of_their_own(project: pytest.Pytester, head: str) -> None:
    project.makepyfile(
        test_it=f"""{head}
@pytest.mark.parametrize("time", range(20))
def test_it(door, time):
    assert door.globals.seen == 0
    door.run_many([FRAME] * time)
    assert door.globals.seen == time

def test_fails(door):
    assert door.run(FRAME).verdict is XDP.DROP

missing = packetrig.fixture("progs/none.bpf.c")

def test_errs(missing):
    pass

def test_skips(door):
    raise packetrig.Unsupported("time travel", "the kernel says no")
"""
    )

    result = project.runpytest_subprocess("-n2", "-rs", "-p", "no:cacheprovider")

    result.assert_outcomes(passed=20, failed=1, errors=1, skipped=1)
    result.stdout.fnmatch_lines(["packetrig *: Linux *"])
    result.stdout.fnmatch_lines(["door answered XDP.PASS in its last run", "  repeat  packetrig *"])
    result.stdout.fnmatch_lines(["E   NotFound: no file progs/none.bpf.c*"])
    result.stdout.fnmatch_lines(["SKIPPED * bpf: time travel is not supported here*"])


@pytest.mark.slow
def test_without_the_plugin_nothing_of_it_is_there(project: pytest.Pytester) -> None:
    project.makepyfile(test_it="def test_it():\n    pass\n")

    result = project.run(sys.executable, "-m", "pytest", "-p", "no:packetrig")

    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("packetrig *: Linux *")
