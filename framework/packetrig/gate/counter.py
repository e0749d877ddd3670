"""A pytest plugin that counts what tests execute of the objects that are judged.

The gate runs `pytest -p packetrig.gate.counter` with PACKETRIG_GATE_COUNT naming a folder, and
PACKETRIG_GATE_OBJECTS, in JSON, the hashes of the objects with the sources they are built from.
Whatever a test loads of those is loaded as its counting twin instead, in this process and for as
long as pytest runs; each process (pytest-xdist has several) writes what it counted into files of
its own there.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from .._bpf import lib
from ..coverage.gathered import plus
from ..coverage.watching import Add, Watch
from ..errors import Error
from ..objects import Object
from ..spec import Spec, build

FOLDER, OBJECTS = "PACKETRIG_GATE_COUNT", "PACKETRIG_GATE_OBJECTS"


def pytest_configure(config: Any) -> None:
    """Begin to count, when the gate asks for it."""
    if folder := os.environ.get(FOLDER):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        lib.pr_die_with_parent()
        counter = Counter(Path(folder), json.loads(os.environ.get(OBJECTS, "{}")))
        config.pluginmanager.register(counter, "packetrig-gate-counter")
        config.add_cleanup(counter.close)


class Counter:
    """Load twins in place of the objects that are judged, and add up what they count."""

    def __init__(self, folder: Path, wanted: dict[str, str]) -> None:
        self._folder = folder
        self._wanted = wanted
        self._watch = Watch(built=self._built, counting=self._counting, refused=self._refused)
        self._sums: dict[str, bytes] = {}
        self._plain: dict[str, str] = {}
        self._failed: list[str] = []
        self._watch.begin()

    def _built(self, spec: Spec) -> Spec | None:
        digest = spec.sha256
        if digest not in self._wanted or digest in self._plain:
            return None
        if spec.command:
            return spec
        try:
            # A test may have read the object from its file, which knows no source.
            return build(self._wanted[digest])
        except Error as e:
            self._plain[digest] = str(e)
            return None

    def _counting(self, found: Object) -> Add:
        assert found.spec.plain is not None
        digest = found.spec.plain.sha256

        def add(counters: bytes, _: bytes) -> None:
            were = self._sums.get(digest)
            self._sums[digest] = plus(were, counters) if were else counters

        return add

    def _refused(self, spec: Spec, reason: str) -> None:
        self._plain[spec.sha256] = reason

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note which tests do not pass on twins: those are told, and decide nothing."""
        if report.failed and not hasattr(report, "node"):
            self._failed.append(report.nodeid)

    def pytest_runtest_logfinish(self) -> None:
        """Take what was counted."""
        self._watch.collect()

    def close(self) -> None:
        """Write down what was counted, and let objects be loaded as they are again."""
        self._watch.collect()
        self._watch.end()
        told = {
            "counters": {digest: found.hex() for digest, found in self._sums.items()},
            "plain": self._plain,
            "failed": sorted(set(self._failed)),
        }
        text = json.dumps(told, sort_keys=True)
        (self._folder / f"{os.getpid()}.json").write_text(text, encoding="utf-8")
