"""What every report tells: the measurement, the names of files, the total."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..gathered import Gathered
from ..measured import FileMeasure, Measured, Share


@dataclass(frozen=True, slots=True)
class Report:
    """Hold what is to be told: `root` is what names of files are relative to.

    `conditions` are MC/DC's, per file: independent conditions, covered of all.
    """

    gathered: Gathered
    measured: Measured
    root: Path
    below: tuple[str, ...]
    has_branches: bool = False
    conditions: Mapping[str, Share] | None = None
    contexts: Mapping[str, Mapping[int, list[str]]] = field(default_factory=dict)

    @property
    def unloaded(self) -> list[str]:
        """List the programs (*.bpf.c) that lie where was measured, and that nothing loaded."""
        places = [Path(place) for place in self.below]
        there = {f for place in places for f in place.rglob("*.bpf.c")}
        there |= {place for place in places if place.name.endswith(".bpf.c")}
        seen = {os.path.realpath(f) for f in (*self.measured.files, *self.gathered.plain)}
        return sorted(self.name(str(f)) for f in there if os.path.realpath(f) not in seen)

    @property
    def total(self) -> Share:
        """Count lines, and with branches their sides as well, as coverage.py does."""
        return sum((self.share(each) for each in self.measured.files.values()), Share(0, 0))

    @property
    def percent(self) -> float:
        """Return the total in percent: of nothing that was measured, nothing."""
        return self.total.percent if self.measured.files else 0.0

    def share(self, found: FileMeasure) -> Share:
        """Count what a file's percentage is of."""
        return found.lines + found.branches if self.has_branches else found.lines

    def name(self, path: str) -> str:
        """Name a file from the root, when it is below."""
        for resolve in (os.path.abspath, os.path.realpath):
            if resolve(path).startswith(f"{resolve(self.root)}/"):
                return os.path.relpath(resolve(path), resolve(self.root))
        return path
