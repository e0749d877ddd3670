"""The kinds of reports that --bpf-cov-report names, and where each is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest

from .. import files
from ..coverage import reports
from ..coverage.reports import Report
from ..errors import Error

# Each kind with the name of its file or folder; those on the terminal have none.
DEFAULTS = {
    "term": "",
    "term-missing": "",
    "html": "bpf-htmlcov",
    "lcov": "bpf-coverage.lcov",
    "json": "bpf-coverage.json",
    "xml": "bpf-coverage.xml",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Describe one report that was asked for."""

    kind: str
    path: Path

    @property
    def needs_llvm(self) -> bool:
        """Tell whether llvm-cov writes it."""
        return self.kind in ("html", "json")

    def check(self) -> None:
        """Say before the tests run that it could not be written.

        Raises:
            Error: It could not be.
        """
        if not DEFAULTS[self.kind]:
            return
        place = self.path / "index.html" if self.kind == "html" else self.path
        files.check(place, makes_folders=True)
        folder = place.parent
        while not folder.exists():
            folder = folder.parent
        if not os.access(folder, os.W_OK):
            raise Error(f"{self.path}: cannot be written: permission denied in {folder}")

    def write(self, report: Report) -> Iterator[str]:
        """Write it; the answer are lines for the terminal."""
        if self.kind.startswith("term"):
            yield from reports.table(report, missing=self.kind == "term-missing")
            return
        if self.kind == "html":
            reports.html(report, self.path)
        else:
            files.write(self.path, _WRITERS[self.kind](report).encode())
        yield f"{self.kind} written to {self.path}"


def asked(config: pytest.Config) -> list[Wanted]:
    """Read --bpf-cov-report: repeatable, and each a list with commas.

    Raises:
        UsageError: There is no such kind of report.
    """
    found = []
    for given in config.getoption("bpf_cov_report") or ["term"]:
        for word in filter(None, given.split(",")):
            kind, _, name = word.partition(":")
            if kind not in DEFAULTS:
                raise pytest.UsageError(
                    f"--bpf-cov-report={word}: no such report; there are {', '.join(DEFAULTS)}"
                )
            if name and not DEFAULTS[kind]:
                raise pytest.UsageError(f"--bpf-cov-report={word}: {kind} takes no file")
            place = config.invocation_params.dir / (name or DEFAULTS[kind])
            found.append(Wanted(kind, place))
    return found


def _xml(report: Report) -> str:
    return reports.cobertura(report, version=f"packetrig {metadata.version('packetrig')}")


_WRITERS: dict[str, Callable[[Report], str]] = {
    "lcov": reports.lcov,
    "json": reports.json_report,
    "xml": _xml,
}
