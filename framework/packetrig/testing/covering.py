"""Coverage of a pytest run: programs are loaded as their counting twins, and reported at the end.

The options are named after pytest-cov's. `Spec.load` is watched while the session lasts, so that it
does not matter how a test comes to a program: `fixture()`, `build()`, in a worker of pytest-xdist.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from .. import files, toolchain
from ..coverage import appended, reports
from ..coverage.gathered import Gathered
from ..coverage.measuring import is_wanted
from ..coverage.watching import Add, Watch
from ..errors import Error, Unsupported
from ..objects import Object
from ..spec import Spec
from ..toolchain import llvm
from . import coverage_files as kinds

_TOLD = "packetrig_coverage"


class Coverage:
    """Measure a session; registered as a plugin when --bpf-cov is given."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        here = config.invocation_params.dir
        asked = config.getoption("bpf_cov")
        # One without a path means everything.
        given = [] if None in asked else [here / path for path in asked]
        self._below = tuple(map(str, given)) or None
        self._has_mcdc = bool(config.getoption("bpf_cov_mcdc"))
        self._by_test = config.getoption("bpf_cov_context") == "test"
        self._gathered = Gathered()
        self._test = ""
        self._watch = Watch(
            built=self._built, counting=self._counting, refused=self._plain, mcdc=self._has_mcdc
        )
        self._total: float | None = None
        self._lines: list[str] = []
        self._clang = 0
        self._workers: set[str] = set()
        self.is_worker = hasattr(config, "workerinput")
        self._wanted = [] if self.is_worker else kinds.asked(config)
        append = config.getoption("bpf_cov_append")
        self._kept = here / append if append and not self.is_worker else None
        self._earlier: dict[str, Any] = {}
        if not self.is_worker:
            self._check(given)
        self._is_wanted = is_wanted(self._below)
        self._watch.begin()

    def _check(self, given: list[Path]) -> None:
        """Say before the first test what could not be done after the last one."""
        least = self._config.getoption("bpf_cov_fail_under")
        if least is not None and not 0 <= least <= 100:  # nan would hold of anything
            raise pytest.UsageError(f"--bpf-cov-fail-under={least:g}: give a percentage, 0 to 100")
        for path in given:
            if not path.exists():
                raise pytest.UsageError(f"--bpf-cov={path}: there is no such file or folder")
            if not _sources(path):
                # As for pytest-cov's option, the next word is taken for the path.
                raise pytest.UsageError(
                    f"--bpf-cov={path}: there is no C source in it (for all that tests build, "
                    "--bpf-cov without a path is the last word)"
                )
        try:
            for each in self._wanted:
                each.check()
            if self._kept is not None:
                files.check(self._kept, makes_folders=True)
                self._earlier = appended.read(self._kept)
        except Error as e:
            raise pytest.UsageError(str(e)) from e
        try:
            self._check_tools()
        except Error as e:  # the machine is at fault, and not who asked
            pytest.exit(str(e), returncode=2)

    def _check_tools(self) -> None:
        self._clang = toolchain.find_clang().major
        if self._has_mcdc and not llvm.has_mcdc():
            why = f"clang {llvm.MCDC_SINCE} or newer is needed, this is {self._clang}"
            raise Unsupported("--bpf-cov-mcdc", why)
        if self._has_mcdc or any(each.needs_llvm for each in self._wanted):
            toolchain.tool("llvm-cov")
            toolchain.tool("llvm-profdata")

    def _built(self, spec: Spec) -> Spec | None:
        return spec if self._is_meant(spec) else None

    def _counting(self, found: Object) -> Add:
        assert found.spec.profile is not None
        counted = self._gathered.note(found.spec.name, found.spec.profile)

        def add(counters: bytes, bitmap: bytes) -> None:
            counted.add(counters, bitmap, self._test if self._by_test else "")

        return add

    def _plain(self, spec: Spec, reason: str) -> None:
        self._gathered.plain[_name(spec)] = re.sub(
            rf"^({re.escape(_name(spec))}|{re.escape(spec.name)}): ", "", reason
        )

    def _is_meant(self, spec: Spec) -> bool:
        """Tell whether an object's source, or a header that it includes, is to be measured."""
        source = spec.command[-1] if spec.command else _name(spec)
        return any(map(self._is_wanted, (source, *spec.headers)))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Collect after each test: what it counted is its own."""
        self._test = item.nodeid
        result = yield
        self._watch.collect()
        self._test = ""
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Report when the last test has run, so that too little coverage can fail the run."""
        try:
            result = yield
        except (session.Failed, session.Interrupted, KeyboardInterrupt, pytest.exit.Exception):
            self._finish(session)  # -x, Ctrl-C: what ran until then is shown
            raise
        self._finish(session)
        return result

    def _finish(self, session: pytest.Session) -> None:
        self._watch.collect()
        if self.is_worker or session.config.option.collectonly:
            return
        if self._kept is not None:
            self._gathered.lost += appended.add(self._gathered, self._earlier)
        for name in sorted(self._workers):  # stopped with the session, before they told anything
            self._lose(name)
        try:
            wrong = "; ".join(self._report())
        except Error as e:
            wrong = str(e)
        if wrong:
            pytest.exit(f"coverage of BPF programs: {wrong}", returncode=2)
        if self._is_too_little:
            session.testsfailed += 1

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Tell pytest-xdist's controller what this worker counted."""
        worker = getattr(session.config, "workeroutput", None)
        if worker is not None:
            worker[_TOLD] = self._gathered.told()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: Any) -> None:
        """Remember a worker of pytest-xdist, which is to tell what it counted."""
        self._workers.add(_worker(node))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker of pytest-xdist counted."""
        self._workers.discard(_worker(node))
        told = getattr(node, "workeroutput", {}).get(_TOLD)
        if told is not None:
            self._gathered.take_over(told)
        else:
            self._lose(_worker(node))

    def _lose(self, name: str) -> None:
        self._gathered.lost.append(f"{name} ended early; what its tests reached is not counted")

    def _report(self) -> Iterator[str]:
        """Write what was asked for; the answer is what could not be written."""
        conditions = None
        if self._has_mcdc:
            conditions = reports.conditions(self._gathered, self._is_wanted)
        report = reports.Report(
            self._gathered,
            self._gathered.measured(self._below),
            self._config.rootpath,
            self._below or (),
            has_branches=bool(self._config.getoption("bpf_cov_branch")),
            conditions=conditions,
            contexts=self._gathered.contexts(self._below) if self._by_test else {},
        )
        self._total = report.percent
        if self._kept is not None:
            try:
                appended.write(self._kept, self._gathered)
            except Error as e:
                yield str(e)
        for each in self._wanted:
            try:
                self._lines += each.write(report)
            except Error as e:
                yield str(e)

    @property
    def _is_too_little(self) -> bool:
        least = self._config.getoption("bpf_cov_fail_under")
        return least is not None and self._total is not None and self._total < least

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the table, what was written, and whether it is enough."""
        if self.is_worker or self._total is None:
            return
        count = len(self._gathered.objects)
        objects = f"{count} object{'' if count == 1 else 's'}"
        terminalreporter.section(f"packetrig: coverage of {objects}, clang {self._clang}")
        for line in self._lines:
            terminalreporter.write_line(line)
        if not (count or self._gathered.lost or self._gathered.plain):
            which = "whose source is below --bpf-cov" if self._below else "that it built"
            terminalreporter.write_line(f"no test loaded a program {which}")
        if self._is_too_little:
            least = self._config.getoption("bpf_cov_fail_under")
            terminalreporter.write_line(
                f"FAIL required coverage of BPF programs of {least:g}% not reached: "
                f"{self._total:.2f}%",
                red=True,
                bold=True,
            )

    def pytest_unconfigure(self) -> None:
        """Let objects be loaded as they are again."""
        self._watch.end()


def _worker(node: Any) -> str:
    return str(getattr(getattr(node, "gateway", None), "id", "a worker"))


def _sources(path: Path) -> bool:
    if path.is_file():
        return path.suffix in (".c", ".h")
    return any(found.suffix in (".c", ".h") for found in path.rglob("*.[ch]"))


def _name(spec: Spec) -> str:
    return str(spec.source or spec.path or spec.name)
