"""How much of a program was executed: lines, regions, branches and functions, file by file."""

from __future__ import annotations

import functools
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .. import toolchain
from .._bpf import covmap
from .._bpf.covmap import Mapped, Region, RegionKind, Sum
from .._bpf.profile import Profile
from . import lines as _lines
from . import texts

_MARK = re.compile(r"/\*\s*unreachable:\s*(\S.*?)\s*\*/")
_FLAT = (RegionKind.CODE, RegionKind.EXPANSION, RegionKind.SKIPPED, RegionKind.GAP)


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


def measure(
    profile: Profile,
    counters: Iterable[bytes],
    *,
    below: Iterable[str | os.PathLike[str]] | None = None,
) -> Measured:
    """Tell what was executed, from one or more snapshots of the counters, which are added up.

    Args:
        profile: That of the instrumented object.
        counters: What `Counters.take()` gave.
        below: Only files that are these, or lie below; without it, all but the system's headers.

    Raises:
        Error: clang's coverage mapping is of a version that is not known.
    """
    return measure_all([(profile, each) for each in counters] or [(profile, b"")], below=below)


def measure_all(
    taken: Iterable[tuple[Profile, bytes]],
    *,
    below: Iterable[str | os.PathLike[str]] | None = None,
) -> Measured:
    """Tell what was executed in several objects; what they share is added up."""
    wanted = is_wanted(below)
    tallies: dict[str, _Tally] = {}
    for profile, counters in _added(taken):
        _tally(profile, counters, wanted, tallies)
    return Measured({path: tallies[path].measured(path) for path in sorted(tallies)})


def is_wanted(below: Iterable[str | os.PathLike[str]] | None) -> Callable[[str], bool]:
    """Make the question whether a file is to be measured; see measure()."""
    if below is None:
        clang = toolchain.find_clang()
        outside = ("/usr/", f"{toolchain.folder(os.environ)}/", *(f"{p}/" for p in clang.search))
        return lambda path: not path.startswith(outside)
    places = list(below)
    return functools.cache(lambda path: is_below(path, places))


def is_below(path: str, places: Iterable[str | os.PathLike[str]]) -> bool:
    """Tell whether a file is one of some places, or lies below one: by name, or where links lead.

    A folder may hold links to files elsewhere, or be one itself.
    """
    return any(
        resolve(path) == resolve(place)
        or resolve(path).startswith(f"{str(resolve(place)).rstrip('/')}/")
        for place in places
        for resolve in (os.path.abspath, os.path.realpath)
    )


def _added(taken: Iterable[tuple[Profile, bytes]]) -> list[tuple[Profile, list[int]]]:
    """Add up the counters of each object."""
    sums: dict[bytes, tuple[Profile, list[int]]] = {}
    for profile, counters in taken:
        count = profile.counters_size // 8
        values = struct.unpack(f"={count}Q", counters[: count * 8]) if counters else (0,) * count
        known = sums.get(profile.elf)
        added = [a + b for a, b in zip(known[1], values, strict=True)] if known else list(values)
        sums[profile.elf] = (profile, added)
    return list(sums.values())


@functools.lru_cache(maxsize=64)
def _mapping(profile: Profile) -> list[tuple[Mapped, int]]:
    """Read the mapping of an object: each function, and the number of its first counter."""
    offsets = {(f.name, f.hash): f.offset // 8 for f in profile.functions}
    name = profile.object.name
    return [(each, offsets[each.name, each.hash]) for each in covmap.read(profile, name=name)]


_Where = tuple[int, int, int, int]


@dataclass(slots=True)
class _Tally:
    """Add up what several objects executed of one file."""

    lines: dict[int, int] = field(default_factory=dict)
    regions: dict[_Where, int] = field(default_factory=dict)
    branches: dict[_Where, tuple[int, int]] = field(default_factory=dict)
    functions: dict[tuple[int, str], int] = field(default_factory=dict)
    # By marked line: the lines that only a side of its branches leads to.
    guarded: dict[int, set[int]] = field(default_factory=dict)

    def measured(self, path: str) -> FileMeasure:
        marks = marks_of(path)
        excluded = tuple(
            Excluded(path, line, reason, self._is_reached(line), tuple(sorted(self._of(line))))
            for line, reason in marks.items()
            if line in self.lines
        )
        out = {line for each in excluded for line in each.lines}
        branches = sorted(
            Branch(path, *where, *counts)
            for where, counts in self.branches.items()
            if where[0] not in out
        )
        regions = [count for where, count in self.regions.items() if where[0] not in out]
        return FileMeasure(
            path,
            {line: self.lines[line] for line in sorted(self.lines.keys() - out)},
            tuple(branches),
            tuple(sorted(FunctionCount(*key, n) for key, n in self.functions.items())),
            Share(sum(map(bool, regions)), len(regions)),
            excluded,
        )

    def _of(self, line: int) -> set[int]:
        guarded = {n for n in self.guarded.get(line, ()) if self.lines.get(n) == 0}
        return {line} | guarded

    def _is_reached(self, line: int) -> bool:
        sides = [counts for where, counts in self.branches.items() if where[0] == line]
        return all(map(all, sides)) if sides else bool(self.lines[line])


def _tally(
    profile: Profile,
    counters: list[int],
    wanted: Callable[[str], bool],
    tallies: dict[str, _Tally],
) -> None:
    pieces: dict[str, list[_lines.Piece]] = {}
    for mapped, first in _mapping(profile):
        for path, line, guarded in _guards(mapped, wanted, counters, first):
            tally = tallies.setdefault(path, _Tally())
            tally.guarded.setdefault(line, set()).update(guarded)
        head = mapped.regions[0] if mapped.regions else None
        for region in mapped.regions:
            path = mapped.files[region.file]
            if not wanted(path):
                continue
            tally = tallies.setdefault(path, _Tally())
            count = _evaluate(region.count, counters, first)
            where = (region.line, region.column, region.end_line, region.end_column)
            if region.kind in _FLAT:
                start, end = where[:2], where[2:]
                pieces.setdefault(path, []).append(_lines.Piece(start, end, region.kind, count))
            if region.kind is RegionKind.CODE:
                tally.regions[where] = tally.regions.get(where, 0) + count
            elif region.kind is RegionKind.BRANCH and not _is_unwritten(region):
                were = tally.branches.get(where, (0, 0))
                otherwise = _evaluate(region.otherwise, counters, first)
                tally.branches[where] = (were[0] + count, were[1] + otherwise)
            if region is head:
                key = (region.line, plain_name(mapped.name))
                tally.functions[key] = tally.functions.get(key, 0) + count
    for path, found in pieces.items():
        lines = tallies[path].lines
        for line, count in _lines.line_counts(_lines.segments(found)).items():
            lines[line] = lines.get(line, 0) + count


def _is_unwritten(branch: Region) -> bool:
    """Tell whether there is nothing to take: clang knows the answer, or nobody wrote the question.

    Where a macro of the system's headers stands, such as bpf_ntohs(), which asks whether its
    argument is a constant, its branches have a place and no extent.
    """
    is_empty = (branch.line, branch.column) == (branch.end_line, branch.end_column)
    return branch.is_folded or is_empty


def _guards(
    mapped: Mapped, wanted: Callable[[str], bool], counters: list[int], first: int
) -> Iterator[tuple[str, int, Iterable[int]]]:
    """Find what the marked branches of a function lead to: code that is counted as one side is.

    It is the side that was never taken; of a line that never ran, what it guards when true.
    """
    marks = [marks_of(path) if wanted(path) else {} for path in mapped.files]
    for branch in mapped.regions if any(marks) else ():
        if branch.kind is not RegionKind.BRANCH or branch.line not in marks[branch.file]:
            continue
        both = (branch.count, branch.otherwise)
        taken = [_evaluate(side, counters, first) for side in both]
        never = [side for side, count in zip(both, taken, strict=True) if side and not count]
        sides = never if any(taken) else never[:1]
        for region in mapped.regions:
            is_code = region.kind is RegionKind.CODE and region.file == branch.file
            if is_code and region.count in sides:
                guarded = range(region.line, region.end_line + 1)
                yield mapped.files[branch.file], branch.line, guarded


def _evaluate(sum_: Sum, counters: list[int], first: int) -> int:
    return max(0, sum(times * counters[first + index] for index, times in sum_.items()))


def plain_name(name: str) -> str:
    """Return a function's name without the file that LLVM puts in front of a static one."""
    return re.split(r"[:;]", name)[-1]


def marks_of(path: str) -> dict[int, str]:
    """Find the lines of a source that are marked unreachable, each with its reason."""
    if (text := texts.given(path)) is not None:
        return _marks_in(text)
    try:
        stat = Path(path).stat()
    except OSError:
        return {}
    return _marks(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=1024)
def _marks(path: str, _time: int, _size: int) -> dict[int, str]:
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    return _marks_in(text)


@functools.lru_cache(maxsize=256)
def _marks_in(text: str) -> dict[int, str]:
    if "unreachable:" not in text:
        return {}
    numbered = ((n, _MARK.search(line)) for n, line in enumerate(text.split("\n"), 1))
    return {number: found[1] for number, found in numbered if found}
