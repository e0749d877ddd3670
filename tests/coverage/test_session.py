"""--bpf-cov in a pytest run: what is measured, reported, merged, and said of what is not."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import packetrig.testing.comparisons
import packetrig.testing.covering
import packetrig.testing.golden
import packetrig.testing.header
import packetrig.testing.recipes
import packetrig.testing.reports
import packetrig.testing.tables
from packetrig import Spec, build, toolchain
from packetrig.toolchain import llvm

from .conftest import HEADER, SOURCE

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

CACHE = toolchain.folder(os.environ)
CLOCK = """#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int clock(struct xdp_md *ctx)
{
	if (bpf_ktime_get_ns() == 5)
		return XDP_DROP;
	return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
"""
# Programs of a coverage run that something is wrong with.
ON_REQUEST = """
#ifdef DOES_NOT_COMPILE
#error so
#endif
#ifdef WALKS_OFF_THE_FRAME
SEC("xdp") int walks(struct xdp_md *ctx)
{
	return *(int *)(long)ctx->data;
}
#endif
"""
HEAD = """
import packetrig
import pytest
from hypothesis import given, settings, strategies as st
from packetrig import XDP
shown = packetrig.fixture("progs/shown.bpf.c")
"""
TESTS = """
def test_small(shown):
    assert shown.run(bytes(14)).verdict is XDP.DROP

@pytest.mark.parametrize("size", [30, 31, 32, 40])
def test_some(shown, size):
    shown.run(bytes(size))

def test_large(shown):
    assert shown.run(bytes(100)).verdict is XDP.TX
"""

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run pytest on one test file, in a project with a program in progs/."""
    monkeypatch.setenv("PACKETRIG_CACHE", str(CACHE))
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("CI", "BUILD_NUMBER", "FORCE_COLOR", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)
    progs = pytester.path / "progs"
    progs.mkdir()
    (progs / "shown.bpf.c").write_text(SOURCE + ON_REQUEST)
    (progs / "beside.h").write_text(HEADER)
    (progs / "clock.bpf.c").write_text(CLOCK)
    pytester.makeini("[pytest]\n")

    def run_file(text: str, *args: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=HEAD + text)
        given = [f"--bpf-cov={progs}"] if "--bpf-cov" not in " ".join(args).split("=") else []
        quiet = ("-p", "no:cacheprovider", "-W", "default")
        return pytester.runpytest_inprocess(*quiet, *given, *args, no_reraise_ctrlc=True)

    return run_file


def table_of(result: pytest.RunResult) -> list[str]:
    lines = result.outlines
    start = next(i for i, line in enumerate(lines) if "packetrig: coverage of" in line)
    return [line for line in lines[start + 1 : -1] if line]


def test_the_table_stands_at_the_end(run: Run) -> None:
    result = run(TESTS)

    result.assert_outcomes(passed=6)
    assert result.ret == 0
    found = table_of(result)
    assert found[2].split()[:1] == ["progs/beside.h"]
    assert found[3].split() == ["progs/shown.bpf.c", "20", "0", "14", "1", "2", "0", "100%"]
    assert found[5].split()[0] == "TOTAL"
    assert found[6] == "lines marked unreachable, not counted: 2 (term-missing lists them)"


def test_without_the_option_nothing_is_measured(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it=HEAD + "def test_it(shown):\n    assert not shown.is_instrumented\n"
    )

    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--bpf-cov-fail-under=99")

    assert result.ret == 0
    assert "coverage" not in "\n".join(result.outlines)


def test_the_users_test_sees_the_program_as_it_was(run: Run) -> None:
    result = run(
        """
def test_it(shown):
    assert shown.is_instrumented
    assert list(shown.globals) == ["limit"] and list(shown.maps) == []
    shown.run(bytes(40))
    assert shown.globals.limit == 66

def test_it_is_renewed(shown):
    assert shown.globals.limit == 60
"""
    )

    result.assert_outcomes(passed=2)


def test_branches_count_and_what_is_missing_is_named(run: Run) -> None:
    result = run(TESTS, "--bpf-cov-branch", "--bpf-cov-report=term-missing")

    found = table_of(result)
    assert found[3].split()[-2:] == ["97.1%", "13:22->false"]
    assert found[6] == "unreachable: progs/shown.bpf.c:24-25: there is always one"


@pytest.mark.parametrize(("least", "code"), [("99", 1), ("10", 0)])
def test_too_little_fails_the_run(run: Run, least: str, code: int) -> None:
    result = run(TESTS, "--bpf-cov-branch", f"--bpf-cov-fail-under={least}")

    assert result.ret == code
    told = [line for line in result.outlines if line.startswith("FAIL required")]
    wanted = ["FAIL required coverage of BPF programs of 99% not reached: 93.33%"]
    assert told == (wanted if code else [])


def test_every_report_is_written_where_it_is_asked_for(run: Run, pytester: pytest.Pytester) -> None:
    result = run(
        TESTS,
        "--bpf-cov-report=html:pages,lcov",
        "--bpf-cov-report=json:deep/folder/c.json",
        "--bpf-cov-report=xml",
        "--bpf-cov-context=test",
    )

    written = [line for line in result.outlines if " written to " in line]
    assert [line.split()[0] for line in written] == ["html", "lcov", "json", "xml"]
    told = json.loads((pytester.path / "deep/folder/c.json").read_text())
    assert told["packetrig"]["tests"][0] == "test_it.py::test_large"
    drop = told["packetrig"]["contexts"]["progs/shown.bpf.c"]["12"]
    assert [told["packetrig"]["tests"][n] for n in drop] == ["test_it.py::test_small"]
    assert (pytester.path / "pages/shown/index.html").exists()
    assert (pytester.path / "bpf-coverage.lcov").read_text().startswith("TN:\nSF:progs/beside.h\n")
    assert 'filename="progs/shown.bpf.c"' in (pytester.path / "bpf-coverage.xml").read_text()


def test_workers_of_xdist_come_to_the_same_as_one_process(
    run: Run, pytester: pytest.Pytester
) -> None:
    options = ("--bpf-cov-report=json:{}", "--bpf-cov-branch", "--bpf-cov-context=test")
    options = (*options, "--bpf-cov-fail-under=100")
    options = (*options, "--bpf-cov-mcdc") if llvm.has_mcdc() else options
    told = []
    for name, more in (("one.json", ("-p", "no:xdist")), ("two.json", ("-n2",))):
        result = run(TESTS, *(each.format(name) for each in options), *more)
        assert result.ret == 1
        told.append(json.loads((pytester.path / name).read_text()))

    assert told[0] == told[1]
    assert told[0]["packetrig"]["files"]["progs/shown.bpf.c"]["conditions"] == (
        [1, 2] if llvm.has_mcdc() else None
    )


def test_a_worker_that_ends_early_is_told(run: Run) -> None:
    result = run(
        "import os\ndef test_it(shown):\n    os._exit(1)\n", "-n1", "--max-worker-restart=0"
    )

    result.stdout.fnmatch_lines(["lost: gw0 ended early; what its tests reached is not counted"])


def test_hypothesis_and_tables_and_renewal_are_counted(run: Run, pytester: pytest.Pytester) -> None:
    run(
        """
@settings(max_examples=50, database=None, derandomize=True)
@given(size=st.integers(14, 60))
def test_any(shown, size):
    shown.run(bytes(size))

@packetrig.table(("small", bytes(14), XDP.DROP), ("large", bytes(100), XDP.TX))
def test_rows(shown, packet, verdict):
    assert shown.run(packet).verdict is verdict

def test_reloaded(shown):
    shown.run(bytes(40))
    shown.reload()
    shown.run(bytes(40))
    shown.restore()
""",
        "--bpf-cov-report=json",
        "--bpf-cov-context=test",
    )

    told = json.loads((pytester.path / "bpf-coverage.json").read_text())
    functions = {f["name"].split(":")[-1]: f["count"] for f in told["data"][0]["functions"]}
    assert functions["shown"] >= 40 + 2 + 2
    contexts = told["packetrig"]["contexts"]["progs/shown.bpf.c"]
    names = told["packetrig"]["tests"]
    assert len(contexts["11"]) == len(names) == 4


def test_objects_that_a_test_builds_are_counted(run: Run) -> None:
    result = run(
        """
def test_it():
    with packetrig.build("progs/shown.bpf.c").load() as one:
        one.run(bytes(14))
    with packetrig.build("progs/shown.bpf.c", define={"X": 1}).load() as other:
        other.run(bytes(40))
""",
        "--bpf-cov-report=term-missing",
    )

    found = table_of(result)
    assert found[3].split()[-2:] == ["14,", "16-20"]


def test_fakes_are_kept_and_their_header_is_not_measured(run: Run) -> None:
    result = run(
        """
now = packetrig.mocks.Value(4)
clock = packetrig.fixture("progs/clock.bpf.c", mocks={"bpf_ktime_get_ns": now})
plain = packetrig.fixture("progs/clock.bpf.c")

def test_it(clock, plain):
    assert plain.run(bytes(60)).verdict is XDP.PASS
    now.now = 5
    assert clock.run(bytes(60)).verdict is XDP.DROP
"""
    )

    result.assert_outcomes(passed=1)
    found = table_of(result)
    assert found[2].split() == ["progs/clock.bpf.c", "5", "0", "2", "0", "1", "0", "100%"]
    assert found[4].startswith("TOTAL")


def test_each_build_keeps_its_own_fakes_and_definitions(run: Run) -> None:
    result = run(
        """
def test_it():
    for now in (4, 5):
        mocks = {"bpf_ktime_get_ns": packetrig.mocks.Value(now)}
        with packetrig.build("progs/clock.bpf.c", mocks=mocks, define={"N": now}).load() as clock:
            assert clock.run(bytes(60)).verdict is (XDP.DROP if now == 5 else XDP.PASS)
            assert f"--define N={now}" in clock.run(bytes(60)).repeat
"""
    )

    result.assert_outcomes(passed=1)


def test_objects_that_are_closed_leave_nothing_open_and_count_when_loaded_again(run: Run) -> None:
    result = run(
        """
import gc
import os
from packetrig.live import finish

def test_it():
    spec = packetrig.build("progs/shown.bpf.c")
    spec.load().close()
    finish()
    gc.collect()  # what tests before this one have left to do
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with spec.load() as found:
            found.run(bytes(40))
            found.reload()
    assert len(os.listdir("/proc/self/fd")) == before

def test_close(shown):
    shown.close()

def test_again(shown):
    shown.run(bytes(100))
""",
        "--bpf-cov-report=term-missing",
    )

    result.assert_outcomes(passed=3)
    assert table_of(result)[3].split()[-2:] == ["12,", "16-20"]


def test_an_object_file_is_named_as_not_measured(run: Run, pytester: pytest.Pytester) -> None:
    built = build(pytester.path / "progs/shown.bpf.c").path
    assert built is not None
    shutil.copy(built, pytester.path / "progs/given.o")

    result = run(
        'given = packetrig.fixture("progs/given.o")\n'
        "def test_it(given):\n    assert not given.is_instrumented\n"
    )

    result.assert_outcomes(passed=1)
    assert (
        "not measured: progs/given.o: it was read as an object: coverage needs the C source, "
        "build that" in table_of(result)
    )


def test_programs_that_no_test_loads_are_named(run: Run) -> None:
    result = run("def test_it(shown):\n    shown.run(bytes(40))\n")

    assert table_of(result)[-1] == "loaded by no test, not counted: progs/clock.bpf.c"


def test_where_nothing_was_measured_no_report_says_100(run: Run, pytester: pytest.Pytester) -> None:
    result = run("def test_it():\n    pass\n", "--bpf-cov-report=xml,json,html")

    assert result.ret == 0
    assert table_of(result)[-1] == "no test loaded a program whose source is below --bpf-cov"
    text = (pytester.path / "bpf-coverage.xml").read_text()
    assert 'line-rate="0" branch-rate="0" lines-covered="0"' in text
    told = json.loads((pytester.path / "bpf-coverage.json").read_text())
    assert told["packetrig"]["percent"] == 0
    assert "nothing was measured" in (pytester.path / "bpf-htmlcov/index.html").read_text()


def test_a_source_elsewhere_is_not_measured(run: Run, pytester: pytest.Pytester) -> None:
    (pytester.path / "other").mkdir()
    shutil.copy(pytester.path / "progs/clock.bpf.c", pytester.path / "other/clock.bpf.c")

    result = run(
        'clock = packetrig.fixture("other/clock.bpf.c")\n'
        "def test_it(clock):\n    assert not clock.is_instrumented\n"
    )

    result.assert_outcomes(passed=1)


def test_without_a_path_all_that_the_tests_build_is_measured(
    run: Run, pytester: pytest.Pytester, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere.bpf.c"
    elsewhere.write_text(CLOCK)
    build = f"""
def test_it(shown):
    with packetrig.build({str(elsewhere)!r}).load() as clock:
        assert clock.spec.is_instrumented and shown.is_instrumented
        clock.run(bytes(60))
"""
    result = run(build, "--bpf-cov")
    workers = run(build, "-n1", "--bpf-cov", "--bpf-cov-report=term")

    for each in (result, workers):
        names = [line.split()[0] for line in table_of(each)[2:] if line.endswith("%")]
        assert names == [str(elsewhere), "progs/beside.h", "progs/shown.bpf.c", "TOTAL"]


def test_a_folder_of_headers_can_be_measured_alone(run: Run, pytester: pytest.Pytester) -> None:
    include = pytester.path / "headers"
    include.mkdir()
    (pytester.path / "progs/beside.h").rename(include / "beside.h")

    result = run(
        """
shown = packetrig.fixture("progs/shown.bpf.c", include=("headers",))
clock = packetrig.fixture("progs/clock.bpf.c")

def test_it(shown, clock):
    shown.run(bytes(40))
    assert not clock.is_instrumented  # it includes nothing of that
""",
        f"--bpf-cov={include}",
    )

    result.assert_outcomes(passed=1)
    assert [line.split()[0] for line in table_of(result)[2:5:2]] == ["headers/beside.h", "TOTAL"]


def test_a_twin_that_the_verifier_refuses_is_replaced_by_the_plain_object(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llvm, "INSTRUMENT", (*llvm.INSTRUMENT, "-DWALKS_OFF_THE_FRAME"))

    result = run("def test_it(shown):\n    shown.run(bytes(40))\n")

    result.assert_outcomes(passed=1)
    assert result.ret == 0
    result.stdout.re_match_lines(
        [r"not measured: progs/shown.bpf.c: it loads, but not instrumented: .*invalid access to "]
    )


def test_a_twin_that_was_refused_is_not_tried_again_in_the_same_way(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llvm, "INSTRUMENT", (*llvm.INSTRUMENT, "-DWALKS_OFF_THE_FRAME"))
    tried, load = [], Spec.load

    def counted(spec: Spec, **how: object) -> object:
        tried.append(spec.is_instrumented)
        return load(spec, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(Spec, "load", counted)

    result = run(
        """
def test_it():
    for _ in range(3):
        packetrig.build("progs/shown.bpf.c").load().close()
"""
    )

    result.assert_outcomes(passed=1)
    assert tried.count(False) == 3
    assert tried.count(True) <= 4  # each optimisation once, and once as the test asked for it


def test_a_twin_that_does_not_compile_is_replaced_by_the_plain_object(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llvm, "INSTRUMENT", (*llvm.INSTRUMENT, "-DDOES_NOT_COMPILE"))

    result = run("def test_it(shown):\n    shown.run(bytes(40))\n")

    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines(
        [r"not measured: progs/shown.bpf.c: it compiles, but not instrumented: .*refused it: so"]
    )


def test_a_program_that_is_refused_anyway_fails_as_always(run: Run) -> None:
    result = run(
        """
def test_it(tmp_path):
    path = tmp_path.parent / "bad.bpf.c"
    text = open("progs/clock.bpf.c").read().replace("XDP_PASS", "*(int *)(long)ctx->data")
    open("progs/bad.bpf.c", "w").write(text)
    with pytest.raises(packetrig.VerifierError) as told:
        packetrig.build("progs/bad.bpf.c").load()
    assert not isinstance(told.value.__context__, packetrig.VerifierError)  # it is told once
"""
    )

    result.assert_outcomes(passed=1)
    assert "not measured" not in "\n".join(result.outlines)


def test_a_failure_says_that_it_ran_instrumented(run: Run) -> None:
    result = run("def test_it(shown):\n    assert shown.run(bytes(40)).verdict is XDP.DROP\n")

    result.stdout.fnmatch_lines(["  build   instrumented for coverage: what ships does not count*"])


def test_a_run_that_stops_at_a_failure_shows_what_ran_until_then(run: Run) -> None:
    result = run("def test_it(shown):\n    shown.run(bytes(14))\n    assert 0\n" + TESTS, "-x")

    result.assert_outcomes(failed=1)
    assert table_of(result)[3].split()[:3] == ["progs/shown.bpf.c", "20", "13"]


def test_loading_is_as_before_when_the_session_ends(run: Run) -> None:
    before = Spec.load

    run(TESTS)

    assert Spec.load is before


def test_a_run_that_is_interrupted_shows_what_ran_until_then(run: Run) -> None:
    text = "def test_it(shown):\n    shown.run(bytes(14))\n    raise KeyboardInterrupt\n"

    result = run(text)

    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert table_of(result)[3].split()[:3] == ["progs/shown.bpf.c", "20", "13"]


def test_workers_that_stop_at_a_failure_still_tell_what_they_counted(run: Run) -> None:
    result = run("def test_it(shown):\n    shown.run(bytes(14))\n    assert 0\n", "-x", "-n1")

    assert table_of(result)[3].split()[:3] == ["progs/shown.bpf.c", "20", "13"]
    assert "lost:" not in "\n".join(result.outlines)


# --- what is wrong with the options is said before a test runs: exit code 4, as pytest has it; what
# this machine lacks is said as early: exit code 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--bpf-cov-report=pdf"], r"--bpf-cov-report=pdf: no such report; there are term, "),
        (["--bpf-cov-report=term:x"], r"--bpf-cov-report=term:x: term takes no file"),
        (["--bpf-cov=nowhere"], r"--bpf-cov=.*nowhere: there is no such file or folder"),
        (["--bpf-cov=empty"], r"--bpf-cov=.*empty: there is no C source in it"),
        (["--bpf-cov-report=json:test_it.py/x.json"], r"test_it.py is not a folder"),
        (["--bpf-cov-report=xml:progs"], r"progs: is a folder; name a file"),
        (["--bpf-cov-context=line"], r"invalid choice: 'line'"),
        (["--bpf-cov-fail-under=much"], r"invalid float value: 'much'"),
        (["--bpf-cov-fail-under=nan"], r"--bpf-cov-fail-under=nan: give a percentage, 0 to 100"),
        (["--bpf-cov-fail-under=900"], r"--bpf-cov-fail-under=900: give a percentage"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_wrong_option_is_named_before_the_tests_run(
    run: Run, pytester: pytest.Pytester, options: list[str], told: str
) -> None:
    (pytester.path / "empty").mkdir()

    result = run("def test_it():\n    open('ran', 'w')\n", "--bpf-cov=progs", *options)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert re.search(told, "\n".join(result.errlines))
    assert not (pytester.path / "ran").exists()


def test_mcdc_with_an_old_clang_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llvm, "MCDC_SINCE", 99)

    result = run(TESTS, "--bpf-cov-mcdc")

    assert result.ret == 2
    told = "Exit: --bpf-cov-mcdc is not supported here: clang 99 or newer is needed, this is "
    assert [line for line in result.errlines if line.startswith(told)]


def test_a_missing_clang_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLANG", "no-such-clang")

    result = run("def test_it():\n    open('ran', 'w')\n")

    assert result.ret == 2
    told = [line for line in result.errlines if line]
    assert len(told) == 1
    assert told[0].startswith("Exit: CLANG=no-such-clang: there is no such program; clang 14 or")
    assert not Path("ran").exists()


def test_a_missing_llvm_cov_is_named_and_needed_for_some_reports_only(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> Path:
        raise packetrig.ToolMissing(f"no {name} of LLVM 19: apt-get install llvm-19")

    monkeypatch.setattr(toolchain, "tool", absent)
    monkeypatch.setattr(llvm, "tool", absent)

    result = run(TESTS, "--bpf-cov-report=html")
    assert result.ret == 2
    assert "Exit: no llvm-cov of LLVM 19: apt-get install llvm-19" in result.errlines
    assert run(TESTS, "--bpf-cov-report=term-missing,xml,lcov").ret == 0


def test_a_report_that_cannot_be_written_in_the_end_is_an_error_and_the_others_are(
    run: Run, pytester: pytest.Pytester
) -> None:
    result = run(
        "import pathlib\ndef test_it(shown):\n    pathlib.Path('x.xml').mkdir()\n",
        "--bpf-cov-report=term,xml:x.xml,lcov:x.lcov",
    )

    assert result.ret == 2
    assert (pytester.path / "x.lcov").exists()
    assert table_of(result)[3].split()[0] == "progs/shown.bpf.c"
    assert "coverage of BPF programs: " in "\n".join(result.outlines)
    assert "x.xml: is a folder; name a file" in "\n".join(result.outlines)


def test_what_earlier_runs_counted_is_added(run: Run, pytester: pytest.Pytester) -> None:
    small, some, large = ("-k", "small"), ("-k", "some"), ("-k", "large")
    xml = "--bpf-cov-report=term,lcov"

    first = run(TESTS, *small, "--bpf-cov-append=build/counts", "--bpf-cov-fail-under=99")
    second = run(TESTS, *some, "--bpf-cov-append=build/counts")
    third = run(TESTS, *large, "--bpf-cov-append=build/counts", "--bpf-cov-fail-under=99", xml)

    assert [each.ret for each in (first, second, third)] == [1, 0, 0]
    lcov = (pytester.path / "bpf-coverage.lcov").read_text()
    run(TESTS, xml)
    assert lcov == (pytester.path / "bpf-coverage.lcov").read_text(), "as one run counts"


def test_what_was_counted_of_another_source_is_left_out(
    run: Run, pytester: pytest.Pytester
) -> None:
    append = "--bpf-cov-append"
    run(TESTS, append)
    source = pytester.path / "progs/shown.bpf.c"
    source.write_text(source.read_text() + "\n/* another line */\n")

    result = run(TESTS, "-k", "small", append)

    assert result.ret == 0
    assert any(
        line.startswith("lost: shown.bpf.o: earlier counts are left out, ")
        and line.endswith("progs/shown.bpf.c was changed since")
        for line in table_of(result)
    )
    assert table_of(result)[3].split()[2] != "0", "only this run's"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", "is no file that --bpf-cov-append wrote; name another"),
        ('{"objects": []}', "is no file that --bpf-cov-append wrote; name another"),
        ('{"format": 2, "objects": []}', "is of format 2, this packetrig reads 1"),
        ('{"format": 1, "objects": [{"elf": "eA=="}]}', "is cut short or changed; delete it"),
    ],
)
def test_a_file_of_something_else_is_named_before_the_tests_run(
    run: Run, pytester: pytest.Pytester, text: str, said: str
) -> None:
    (pytester.path / "counts").write_text(text)

    result = run(TESTS, "--bpf-cov-append=counts")

    assert result.ret == 4
    assert said in result.stderr.str()
    assert (pytester.path / "counts").read_text() == text


def test_workers_add_to_what_was_counted(run: Run, pytester: pytest.Pytester) -> None:
    run(TESTS, "-k", "small or large", "--bpf-cov-append")

    result = run(TESTS, "-k", "some", "-n2", "--bpf-cov-append")

    assert table_of(result)[3].split() == [
        "progs/shown.bpf.c",
        "20",
        "0",
        "14",
        "1",
        "2",
        "0",
        "100%",
    ]
