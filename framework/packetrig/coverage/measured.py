"""What was executed: lines, regions, branches and functions, file by file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Share(NamedTuple):
    """Hold how many of how many were executed."""

    covered: int
    total: int

    @property
    def percent(self) -> float:
        """Return the share in percent; all of nothing is 100."""
        return 100.0 * self.covered / self.total if self.total else 100.0

    def __add__(self, other: object) -> Share:
        if not isinstance(other, Share):
            return NotImplemented
        return Share(self.covered + other.covered, self.total + other.total)


@dataclass(frozen=True, slots=True, order=True)
class Branch:
    """Describe a condition: where it stands, and how often it was true and false."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    true_count: int
    false_count: int

    @property
    def missing(self) -> tuple[str, ...]:
        """Name the sides that were never taken, as LINE:COLUMN->false."""
        sides = (("true", self.true_count), ("false", self.false_count))
        return tuple(f"{self.line}:{self.column}->{side}" for side, count in sides if not count)

    @property
    def share(self) -> Share:
        """Count its two sides."""
        return Share(2 - len(self.missing), 2)


@dataclass(frozen=True, slots=True, order=True)
class FunctionCount:
    """Describe a function: where it begins, and how often it was called."""

    line: int
    name: str
    count: int


@dataclass(frozen=True, slots=True, order=True)
class Excluded:
    """Describe a line that its author marked unreachable, and whether it was reached all the same.

    A line with branches is reached when every side of each was taken: then nothing is left that
    could not be. `lines` are the line itself and those that only a side of its branches leads to,
    one that was never taken.
    """

    file: str
    line: int
    reason: str
    is_reached: bool
    lines: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FileMeasure:
    """Hold what was executed of one file."""

    path: str
    line_counts: Mapping[int, int]
    branch_list: tuple[Branch, ...]
    function_list: tuple[FunctionCount, ...]
    regions: Share
    excluded: tuple[Excluded, ...] = ()

    @property
    def lines(self) -> Share:
        """Count the lines."""
        return Share(sum(map(bool, self.line_counts.values())), len(self.line_counts))

    @property
    def branches(self) -> Share:
        """Count the sides of branches."""
        return sum((each.share for each in self.branch_list), Share(0, 0))

    @property
    def functions(self) -> Share:
        """Count the functions."""
        return Share(sum(bool(f.count) for f in self.function_list), len(self.function_list))

    @property
    def missing_lines(self) -> list[int]:
        """List the lines that never ran."""
        return sorted(line for line, count in self.line_counts.items() if not count)

    @property
    def missing_branches(self) -> list[str]:
        """List the sides of branches that were never taken."""
        return [side for each in self.branch_list for side in each.missing]


@dataclass(frozen=True, slots=True)
class Measured:
    """Hold what was executed, file by file; `branches`, `lines` ... are the totals."""

    files: Mapping[str, FileMeasure]

    @property
    def lines(self) -> Share:
        """Count the lines of all files."""
        return sum((each.lines for each in self.files.values()), Share(0, 0))

    @property
    def branches(self) -> Share:
        """Count the sides of branches of all files."""
        return sum((each.branches for each in self.files.values()), Share(0, 0))

    @property
    def functions(self) -> Share:
        """Count the functions of all files."""
        return sum((each.functions for each in self.files.values()), Share(0, 0))

    @property
    def regions(self) -> Share:
        """Count the regions of all files: pieces of code that run whole or not at all."""
        return sum((each.regions for each in self.files.values()), Share(0, 0))

    @property
    def branch_list(self) -> tuple[Branch, ...]:
        """List the branches of all files."""
        return tuple(branch for each in self.files.values() for branch in each.branch_list)

    @property
    def excluded(self) -> tuple[Excluded, ...]:
        """List the lines that their authors marked unreachable."""
        return tuple(line for each in self.files.values() for line in each.excluded)
