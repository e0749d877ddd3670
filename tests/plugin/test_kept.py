"""Findings that were kept: tests of every later run of the whole project."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from packetrig.fuzz import crashfile
from packetrig.fuzz.finding import Finding, Made, Place
from packetrig.packets import craft

pytest_plugins = ["pytester"]

NETWORK = craft.Network(bytes((10, 0, 0, 66)), bytes((10, 0, 0, 1)))
FRAME = NETWORK.frame(craft.udp(b"hello", NETWORK), craft.UDP)
CHECK = "right_checksums_stay_right"
PLAIN = "def test_it():\n    pass\n"

Run = Callable[..., pytest.RunResult]
Keep = Callable[..., Path]


@pytest.fixture
def keep(project: pytest.Pytester) -> Keep:
    """Write a crash file; xdp_door makes a wrong checksum of every IPv4 packet."""

    def write(*, kept: bool = True, source: str = "progs/xdp_door.bpf.c", **state: object) -> Path:
        made = Made(source, "xdp_door", **state)  # type: ignore[arg-type]
        finding = Finding(
            CHECK, Place(source, 42), (FRAME,), made, "right checksums stay right", "XDP.PASS"
        )
        folder = project.path / crashfile.FOLDER
        crashfile.write(finding, folder)
        path = crashfile.path_of(finding, folder)
        if kept:
            crashfile.keep(path)
        return path

    return write


@pytest.fixture
def whole(project: pytest.Pytester) -> Run:
    """Run pytest on the project, which has one test of its own."""
    project.makepyfile(**{"tests/test_it": PLAIN})

    def run(*args: str) -> pytest.RunResult:
        return project.runpytest_inprocess("-p", "no:cacheprovider", "-W", "default", *args)

    return run


def test_a_finding_that_is_back_fails_the_run_and_says_how_to_see_it(
    whole: Run, keep: Keep
) -> None:
    path = keep()

    result = whole()

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            f"*/xdp_door/{path.name}: found at progs/xdp_door.bpf.c:42, and it is back",
            "E   Failure: xdp_door: right checksums stay right does not hold: *",
            f"repeat: packetrig replay {path.stem}",
            f"this test alone: pytest fixtures/crashes/xdp_door/{path.name}::stays_fixed",
        ]
    )


def test_a_finding_that_stays_fixed_passes(whole: Run, keep: Keep) -> None:
    keep(maps={"blocked": {"10.0.0.66": 0}})

    whole().assert_outcomes(passed=2)


def test_one_that_was_not_kept_is_no_test_until_it_is_named(whole: Run, keep: Keep) -> None:
    path = keep(kept=False)

    whole().assert_outcomes(passed=1)
    whole("fixtures/crashes").assert_outcomes()
    whole(str(path)).assert_outcomes(failed=1)


@pytest.mark.parametrize(
    ("args", "count"),
    [
        ((), 2),
        (("tests",), 2),
        (("tests", "progs"), 2),
        (("fixtures/crashes",), 1),
        (("tests/test_it.py",), 1),
        (("tests/test_it.py::test_it",), 1),
        (("tests/deep",), 1),
        (("-k", "stays_fixed"), 1),
        (("--deselect", "tests/test_it.py"), 1),
    ],
    ids=str,
)
def test_they_belong_to_runs_of_whole_folders(
    whole: Run, keep: Keep, project: pytest.Pytester, args: tuple[str, ...], count: int
) -> None:
    keep(maps={"blocked": {"10.0.0.66": 0}})
    if "tests/deep" in args:
        project.makepyfile(**{"tests/deep/test_deep": PLAIN})

    assert whole(*args).parseoutcomes()["passed"] == count


def test_its_id_runs_it_alone(whole: Run, keep: Keep) -> None:
    path = keep(maps={"blocked": {"10.0.0.66": 0}})

    whole(f"{path}::stays_fixed").assert_outcomes(passed=1)


@pytest.mark.slow
def test_each_runs_once_under_xdist(whole: Run, keep: Keep) -> None:
    keep(maps={"blocked": {"10.0.0.66": 0}})

    whole("-n", "2").assert_outcomes(passed=2)


def test_it_counts_towards_coverage(whole: Run, keep: Keep) -> None:
    keep(maps={"blocked": {"10.0.0.66": 0}})

    result = whole("--bpf-cov=progs/xdp_door.bpf.c")

    result.assert_outcomes(passed=2)
    result.stdout.re_match_lines([r"progs/xdp_door.bpf.c +\d+ +\d+ .*[1-9][\d.]*%"])


def test_what_cannot_be_told_is_an_error_and_not_the_programs_fault(whole: Run, keep: Keep) -> None:
    path = keep(source="progs/xdp_dor.bpf.c")

    result = whole()

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            f"*{path.name}: a finding that was kept",
            "E   NotFound: progs/xdp_dor.bpf.c: *did you mean xdp_door.bpf.c?*",
            "*packetrig: an error, not a failure*",
        ]
    )


def test_a_file_of_a_newer_format_is_an_error(whole: Run, keep: Keep) -> None:
    path = keep()
    path.write_text(path.read_text().replace("format = 1", "format = 2"))

    result = whole()

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E   Error: *.toml: of format 2, written by a newer packetrig*"])


def test_other_files_beside_them_are_left_alone(
    whole: Run, keep: Keep, project: pytest.Pytester
) -> None:
    path = keep(maps={"blocked": {"10.0.0.66": 0}})
    path.with_name("notes.toml").write_text("hello = 1\n")
    (project.path / "tests" / "kept.toml").write_text("kept = true\n")

    whole().assert_outcomes(passed=2)


@pytest.mark.parametrize("blocked", [{}, {"10.0.0.66": 0}], ids=["it fails", "it passes"])
def test_the_test_that_a_crash_file_holds_can_be_pasted(
    whole: Run, keep: Keep, project: pytest.Pytester, blocked: dict[str, int]
) -> None:
    path = keep(kept=False, maps={"blocked": blocked})
    text = tomllib.loads(path.read_text())["repeat"]["pytest"]
    project.makepyfile(test_pasted=text)

    result = whole("test_pasted.py")

    result.assert_outcomes(**{"passed" if blocked else "failed": 1})
    name = f"test_{CHECK}_{path.stem}"
    assert blocked or f"FAILED test_pasted.py::{name}" in result.stdout.str()
