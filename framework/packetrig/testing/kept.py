"""Findings that were kept (`packetrig replay ID --keep`), as tests of every later pytest run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..errors import Error
from ..fuzz import crashfile
from ..fuzz.again import check


class CrashFile(pytest.File):
    """Collect the one test that a crash file is."""

    def collect(self) -> Iterator[KeptFinding]:
        """Yield it."""
        yield KeptFinding.from_parent(self, name="stays_fixed")


class KeptFinding(pytest.Item):
    """Replay a finding; it fails as the program does, and has an error where nobody can tell."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.funcargs: dict[str, object] = {}

    def runtest(self) -> None:
        """Run its frames and judge them, from the project's folder, as `packetrig fuzz` did."""
        __tracebackhide__ = True
        try:
            with contextlib.chdir(self.config.rootpath):
                finding = crashfile.read(self._shown())
                failure, _ = check(finding)
        except Error as e:
            e.add_note(f"{self._shown()}: a finding that was kept")
            raise
        if failure is None:
            return
        failure.repeat = f"packetrig replay {finding.id}"
        failure.add_note(f"{self._shown()}: found at {finding.place}, and it is back")
        raise failure

    def reportinfo(self) -> tuple[os.PathLike[str], int | None, str]:
        """Tell pytest what to call it."""
        return self.path, 0, str(self._shown())

    def _shown(self) -> Path:
        root = self.config.rootpath
        return self.path.relative_to(root) if self.path.is_relative_to(root) else self.path
