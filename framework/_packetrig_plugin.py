"""The pytest plugin: renewal, skips that say why, the header line, and what failed in full.

It stands outside the package and imports nothing of it before a test file does: a pytest run
without kernel tests pays for the header line alone. What it does is in `packetrig.testing`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

    from packetrig._bpf.printing import Printing
    from packetrig.live import Wire

_BEFORE = pytest.StashKey["tuple[Wire, ...]"]()
_OF_FIXTURES = pytest.StashKey["list[Wire]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of packetrig."""
    group = parser.getgroup("packetrig", "testing eBPF programs")
    group.addoption(
        "--bpf-require",
        action="store_true",
        help="fail a test that would be skipped because this kernel or machine lacks something",
    )
    group.addoption(
        "--bpf-update-golden",
        action="store_true",
        help="write what runs came to into the golden files that they are compared with",
    )
    _add_coverage_options(parser)


def _add_coverage_options(parser: pytest.Parser) -> None:
    cover = parser.getgroup(
        "packetrig coverage", "coverage of eBPF programs, as pytest-cov says it"
    )
    cover.addoption(
        "--bpf-cov",
        action="append",
        nargs="?",
        const=None,
        default=[],
        metavar="PATH",
        help="measure the programs whose C sources are PATH, or lie below it; may be repeated; "
        "without PATH all that the tests build",
    )
    cover.addoption(
        "--bpf-cov-report",
        action="append",
        default=[],
        metavar="KIND",
        help="term (the default), term-missing, html[:DIR], lcov[:FILE], json[:FILE], xml[:FILE]; "
        "may be repeated, or a list with commas",
    )
    cover.addoption(
        "--bpf-cov-fail-under",
        type=float,
        metavar="PERCENT",
        help="fail the run when less of the programs was executed",
    )
    cover.addoption(
        "--bpf-cov-append",
        nargs="?",
        const=".bpf-coverage",
        metavar="FILE",
        help="add what earlier runs counted, kept in FILE (.bpf-coverage)",
    )
    cover.addoption(
        "--bpf-cov-branch", action="store_true", help="count the sides of branches as well as lines"
    )
    cover.addoption(
        "--bpf-cov-mcdc",
        action="store_true",
        help="tell which conditions were shown to decide on their own (clang 18 or newer)",
    )
    cover.addoption(
        "--bpf-cov-context",
        choices=["test"],
        help="tell which test reached each line, in the json and html reports",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Measure coverage when that is asked for, and add the findings that are to stay fixed."""
    if _is_of_whole_folders(config):
        config.args += [str(path) for path in _crash_files(config) if _is_kept(path)]
    if config.getoption("bpf_cov"):
        from packetrig.testing import covering

        config.pluginmanager.register(covering.Coverage(config), "packetrig-coverage")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take a crash file for a test: one that is kept, or that is named."""
    if file_path.suffix != ".toml" or file_path not in _crash_files(parent.config):
        return None
    if not _is_kept(file_path) and not parent.session.isinitpath(file_path):
        return None
    from packetrig.testing import kept

    return kept.CrashFile.from_parent(parent, path=file_path)


def _crash_files(config: pytest.Config) -> list[Path]:
    return sorted((config.rootpath / "fixtures" / "crashes").glob("*/*.toml"))


def _is_kept(path: Path) -> bool:
    # Without a parser: a run without kept findings pays for a glob alone.
    try:
        return any(line.strip() == b"kept = true" for line in path.read_bytes().split(b"\n"))
    except OSError:
        return False


def _is_of_whole_folders(config: pytest.Config) -> bool:
    """Tell whether the session is of the project, or of folders right below its root.

    Who names a test, a file or a part of the tests wants those.
    """
    root, here = config.rootpath, config.invocation_params.dir
    places = [here / each for each in config.args]
    whole = {root, *(each for each in root.iterdir() if each.is_dir())}
    return bool(places) and all(Path(os.path.normpath(each)) in whole for each in places)


@pytest.fixture
def wire() -> Generator[Wire, None, None]:
    """Give a veth pair in a network namespace of the test's own; nothing of it is left behind.

    with wire.right.attach(firewall, mode="native"):
        assert wire.send(frame) == []

    A test that leaves a program attached, or a process running inside, has an error.
    """
    from packetrig.live import Wire

    with Wire() as made:
        yield made
        left = made.leftovers() if made.is_open else []
    if left:
        pytest.fail(f"the test left something behind on the wire: {'; '.join(left)}", pytrace=False)


@pytest.fixture(scope="session")
def printed(request: pytest.FixtureRequest) -> Generator[Printing, None, None]:
    """Give the lines that programs print with bpf_printk, as a list each time it is called.

    firewall.run(frame)
    assert printed() == ["blocked: 10.0.0.66"]

    They are those of this test, and of the programs that it runs itself; a failed test shows them.
    """
    from packetrig.testing import printing

    with printing.heard(request.config) as heard:
        yield heard


@pytest.fixture
def packetrig_engine(request: pytest.FixtureRequest) -> str:
    """Name the engine that this run of a test is for; see packetrig.engines."""
    return str(request.param)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Give a test under packetrig.engines its objects on the engine of this run."""
    __tracebackhide__ = True
    engine = pyfuncitem.funcargs.get("packetrig_engine")
    if engine is None or not (engines := _in_use("engines")):
        return (yield)
    with engines.running(pyfuncitem, engine):
        return (yield)


def pytest_report_header(config: pytest.Config) -> str:
    """Say in one line what this kernel can do; a fault here never stops pytest."""
    found = (
        dist.version
        for _, dist in config.pluginmanager.list_plugin_distinfo()
        if dist.metadata["name"] == "packetrig"
    )
    name = f"packetrig {next(found, '')}".rstrip()
    try:
        from packetrig.testing import header

        return f"{name}: {header.line()}"
    except Exception as e:  # whatever it is, pytest goes on
        return f"{name}: nothing can be run: {e}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Say which test runs: golden files belong to the test that names them."""
    if "packetrig" not in sys.modules:
        return (yield)
    try:
        from packetrig.testing import current
    except Exception:  # what cannot be imported is the test's to hear of, if it uses it
        return (yield)
    with current.running(item):
        return (yield)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Wait for what closed wires left; tell pytest-xdist's controller about golden files."""
    if live := sys.modules.get("packetrig.live"):
        live.finish()
    worker = getattr(session.config, "workeroutput", None)
    if worker is not None and (golden := _in_use("golden")):
        found = golden.session(session.config)
        worker["packetrig_golden"] = [sorted(map(str, s)) for s in (found.used, found.rewritten)]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker of pytest-xdist did with golden files."""
    if told := getattr(node, "workeroutput", {}).get("packetrig_golden"):
        from packetrig.testing import golden

        golden.take_over(node.config, *told)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Tell which engines differed, and which golden files were written or are not compared."""
    if lines := list(_differences(terminalreporter)):
        terminalreporter.section("packetrig: engines that differ from the test run")
        for line in lines:
            terminalreporter.write_line(line)
    golden = _in_use("golden")
    if golden is None or not config.getoption("--bpf-update-golden"):
        return
    terminalreporter.section("packetrig: golden files")
    is_whole = exitstatus == 0 and not terminalreporter.stats.get("deselected")
    for line in golden.summary(config, is_whole=is_whole):
        terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Renew every object before the first fixture of a test fills it."""
    try:
        if testing := _in_use("renewal"):
            testing.renew(item.config)
        if comparing := _in_use("comparisons"):
            comparing.forget(item.config)
        if printing := _in_use("printing"):
            printing.forget(item.config)
        return (yield)
    except Exception as e:
        _skip(e, item)
        raise


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Renew every object before each Hypothesis example."""
    __tracebackhide__ = True
    item.stash[_BEFORE] = _open_wires()
    testing = _in_use("renewal")
    putting_back = testing.before_each_example(item) if testing else None
    try:
        with testing.on_one_processor(item) if testing else nullcontext():
            return (yield)
    except Exception as e:
        _skip(e, item)
        raise
    finally:
        if putting_back:
            putting_back()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(request: pytest.FixtureRequest) -> Generator[None, object, object]:
    """Note the wires that a fixture opens: they are not the test's to close."""
    before = _open_wires()
    found = yield
    if new := [each for each in _open_wires() if each not in before]:
        request.config.stash.setdefault(_OF_FIXTURES, []).extend(new)
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Hold a test to closing the wires that it opened."""
    found = yield
    if _BEFORE not in item.stash:
        return found  # it never ran
    theirs = (*item.stash[_BEFORE], *item.config.stash.get(_OF_FIXTURES, ()))
    left = [each for each in _open_wires() if each not in theirs]
    for each in left:
        each.close()
    if left:
        pytest.fail(
            "the test left a wire open: with Wire() as wire, or the fixture `wire`", pytrace=False
        )
    return found


def _open_wires() -> tuple[Wire, ...]:
    live = sys.modules.get("packetrig.live.wire")
    return live.opened() if live else ()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say of a failed test what its objects last did, and of an error what is at fault."""
    if call.excinfo is None or "packetrig.errors" not in sys.modules:
        return (yield)
    from packetrig.testing import reports

    reports.shorten(call.excinfo, item.config)
    report = yield
    reports.complete(report, item, call.excinfo)
    return report


def pytest_assertrepr_compare(
    config: pytest.Config, op: str, left: object, right: object
) -> list[str] | None:
    """Compare runs, frames, records and map entries in their own words."""
    if op != "==" or not (_in_use("renewal") or _in_use("golden")):
        return None
    from packetrig.testing import comparisons

    return comparisons.explain(config, left, right)


def _differences(reporter: pytest.TerminalReporter) -> Generator[str, None, None]:
    # In the controller of pytest-xdist nothing of packetrig is loaded: the reports tell.
    for outcome in ("passed", "failed"):
        for report in reporter.stats.get(outcome, []):
            told = dict(getattr(report, "user_properties", ())).get("packetrig_differences")
            if told and report.when == "call":
                yield f"{report.nodeid}: {told[0]}"
                yield from (f"  {line}" for line in told[1:])


def _in_use(name: str) -> ModuleType | None:
    # What no test file has asked for has nothing to do yet.
    return sys.modules.get(f"packetrig.testing.{name}")


def _skip(error: Exception, item: pytest.Item) -> None:
    if "packetrig.errors" in sys.modules:
        from packetrig.testing import skips

        outcome: Any = skips.outcome(error, item.config)
        if outcome is not None:
            raise outcome from error
