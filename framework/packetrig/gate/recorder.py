"""A pytest plugin that writes down which objects each test used, and how the test ended.

The gate runs `pytest -p packetrig.gate.recorder` with PACKETRIG_GATE_RECORD naming a folder. Each
process (pytest-xdist has several) appends to a file of its own there, one JSON line a test.

A test has used an object when it ran one of its programs, or took the program's descriptor to
attach it; by whatever way it came to the object. So the methods of `Program` are watched, in this
process and for as long as pytest runs.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .._bpf import lib
from ..errors import CompileError
from ..program import Program

FOLDER = "PACKETRIG_GATE_RECORD"
_WATCHED = ("run", "run_many")


def pytest_configure(config: Any) -> None:
    """Begin to watch, when the gate asks for it."""
    if folder := os.environ.get(FOLDER):
        # A gate that is killed must not leave its tests running: they end as on Ctrl-C, cleaned up.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        lib.pr_die_with_parent()
        recorder = Recorder(Path(folder), root=config.rootpath)
        recorder.watch()
        config.pluginmanager.register(recorder, "packetrig-gate-recorder")
        config.add_cleanup(recorder.close)


class Recorder:
    """Collect, test by test, the hashes of the objects that it used."""

    def __init__(self, folder: Path, *, root: Path) -> None:
        # Tests are named from pytest's rootdir, and repeated from where the gate runs.
        self._root, self._here = root, Path.cwd()
        self._file = (folder / f"{os.getpid()}.jsonl").open("a", encoding="utf-8")
        self._used: set[str] = set()
        self._sources: set[str] = set()
        self._built: set[Path] = set()
        self._outcome = ""
        self._why = ""
        self._originals: dict[str, Any] = {}

    def watch(self) -> None:
        """Put a note-taker in front of what runs or attaches a program."""
        for name in _WATCHED:
            self._originals[name] = getattr(Program, name)
            setattr(Program, name, self._noting(getattr(Program, name)))
        own_fd: Any = vars(Program)["fd"]
        self._originals["fd"] = own_fd
        setattr(Program, "fd", property(self._noting(own_fd.fget)))  # noqa: B010  # for mypy

    def close(self) -> None:
        """Take the note-takers away again."""
        for name, original in self._originals.items():
            setattr(Program, name, original)
        self._originals.clear()
        self._file.close()

    def _noting(self, method: Callable[..., Any]) -> Callable[..., Any]:
        used, built = self._used, self._built

        def noted(program: Program, *args: Any, **kwargs: Any) -> Any:
            spec = program.owner.spec
            used.add(spec.sha256)
            if spec.source is not None:
                built.add(spec.source)
            return method(program, *args, **kwargs)

        noted.__doc__ = method.__doc__
        return noted

    def pytest_runtest_logstart(self) -> None:
        """Begin with a test: nothing is used yet."""
        self._used.clear()
        self._sources.clear()
        self._built.clear()
        self._outcome = self._why = ""

    def pytest_exception_interact(self, call: Any) -> None:
        """Note the source that is at fault when a fixture has no object to give."""
        error = call.excinfo.value if call.excinfo else None
        source = getattr(error, "fixture_source", "")
        if not source and isinstance(error, CompileError):
            source = error.source
        if source:
            self._sources.add(str(Path(source).resolve()))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note how set-up, call and teardown ended: the worst counts."""
        if hasattr(report, "node"):
            return  # pytest-xdist's controller hears what its workers write down themselves
        if report.failed:
            self._outcome = "failed"
            # Whatever build it used, with fakes or other macros: it is the source that failed.
            self._sources |= {str(source.resolve()) for source in self._built}
            crash = getattr(report.longrepr, "reprcrash", None)
            self._why = str(getattr(crash, "message", report.longrepr))
        elif report.skipped and self._outcome != "failed":
            self._outcome = "skipped"
            where_and_why = report.longrepr
            reason = where_and_why[2] if isinstance(where_and_why, tuple) else ""
            self._why = getattr(report, "wasxfail", "") or str(reason)
        elif report.when == "call" and not self._outcome:
            self._outcome = "passed"

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Write the test down at once, so that a killed run leaves what it had."""
        if not self._outcome:
            return
        path, separator, name = nodeid.partition("::")
        line = {
            "test": os.path.relpath(self._root / path, self._here) + separator + name,
            "objects": sorted(self._used),
            "sources": sorted(self._sources),
            "outcome": self._outcome,
            "why": self._why[:2000],
        }
        self._file.write(json.dumps(line, sort_keys=True) + "\n")
        self._file.flush()
