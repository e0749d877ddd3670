"""A pytest plugin that counts what tests execute of the objects that are judged.

The gate runs `pytest -p packetrig.gate.counter` with PACKETRIG_GATE_COUNT naming a folder, and
PACKETRIG_GATE_OBJECTS, in JSON, the hashes of the objects with the sources they are built from.
Whatever a test loads of those is loaded as its counting twin instead, in this process and for as
long as pytest runs; each process (pytest-xdist has several) writes what it counted into files of
its own there.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import weakref
from pathlib import Path
from typing import Any

from .. import coverage
from .._bpf import lib
from ..coverage.gathered import minus, plus
from ..errors import CompileError, Error, LoadError
from ..objects import Object
from ..spec import Spec, build

FOLDER, OBJECTS = "PACKETRIG_GATE_COUNT", "PACKETRIG_GATE_OBJECTS"


def pytest_configure(config: Any) -> None:
    """Begin to count, when the gate asks for it."""
    if folder := os.environ.get(FOLDER):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        lib.pr_die_with_parent()
        counter = Counter(Path(folder), json.loads(os.environ.get(OBJECTS, "{}")))
        counter.watch()
        config.pluginmanager.register(counter, "packetrig-gate-counter")
        config.add_cleanup(counter.close)


class Counter:
    """Load twins in place of the objects that are judged, and add up what they count."""

    def __init__(self, folder: Path, wanted: dict[str, str]) -> None:
        self._folder = folder
        self._wanted = wanted
        self._load: Any = Spec.load
        self._twins: dict[str, Spec | None] = {}
        self._live: list[tuple[weakref.ref[Object], str, coverage.Counters]] = []
        self._seen: dict[int, bytes] = {}
        self._sums: dict[str, bytes] = {}
        self._plain: dict[str, str] = {}
        self._failed: list[str] = []

    def watch(self) -> None:
        """Put twins in place."""
        load = self._load

        @functools.wraps(load)
        def loaded(spec: Spec, **how: Any) -> Object:
            twin = self._twin(spec)
            if twin is not None:
                try:
                    found: Object = load(twin, **how)
                except LoadError as e:
                    self._plain[spec.sha256] = f"with counters the kernel refuses it: {e}"
                else:
                    counters = coverage.Counters(found)
                    self._live.append((weakref.ref(found), spec.sha256, counters))
                    return found
            plain: Object = load(spec, **how)
            return plain

        Spec.load = loaded  # type: ignore[method-assign, assignment]

    def _twin(self, spec: Spec) -> Spec | None:
        digest = spec.sha256
        if digest not in self._wanted or spec.is_instrumented:
            return None
        if digest not in self._twins:
            self._twins[digest] = None
            try:
                # A test may have read the object from its file, which knows no source.
                built = spec if spec.command else build(self._wanted[digest])
                self._twins[digest] = coverage.twin(built)
            except (CompileError, Error) as e:
                self._plain[digest] = str(e)
        return self._twins[digest]

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note which tests do not pass on twins: those are told, and decide nothing."""
        if report.failed and not hasattr(report, "node"):
            self._failed.append(report.nodeid)

    def pytest_runtest_logfinish(self) -> None:
        """Take what was counted, and let go of objects that are closed."""
        self._collect()

    def _collect(self) -> None:
        kept = []
        for owner, digest, counters in self._live:
            now = counters.take()
            before = self._seen.get(id(counters))
            if now != before:
                since = minus(now, before) if before else now
                were = self._sums.get(digest)
                self._sums[digest] = plus(were, since) if were else since
                self._seen[id(counters)] = now
            found = owner()
            if found is not None and not found.is_closed:
                kept.append((owner, digest, counters))
            else:
                del self._seen[id(counters)]
        self._live = kept

    def close(self) -> None:
        """Write down what was counted, and let objects be loaded as they are again."""
        self._collect()
        Spec.load = self._load  # type: ignore[method-assign]
        told = {
            "counters": {digest: found.hex() for digest, found in self._sums.items()},
            "plain": self._plain,
            "failed": sorted(set(self._failed)),
        }
        text = json.dumps(told, sort_keys=True)
        (self._folder / f"{os.getpid()}.json").write_text(text, encoding="utf-8")
