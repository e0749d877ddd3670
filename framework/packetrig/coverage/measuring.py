"""Work out from counters how much of a program was executed."""

from __future__ import annotations

import functools
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from .. import toolchain
from .._bpf import covmap
from .._bpf.covmap import Mapped, Region, RegionKind, Sum
from .._bpf.profile import Profile
from . import lines as _lines
from .marks import marks_of
from .measured import Branch, Excluded, FileMeasure, FunctionCount, Measured, Share

_FLAT = (RegionKind.CODE, RegionKind.EXPANSION, RegionKind.SKIPPED, RegionKind.GAP)


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
def _mapping(profile: Profile) -> list[tuple[Mapped, int, int]]:
    """Read the mapping of an object: each function, its first counter, and how many it has."""
    places = {(f.name, f.hash): (f.offset // 8, f.counters) for f in profile.functions}
    name = profile.object.name
    return [(each, *places[each.name, each.hash]) for each in covmap.read(profile, name=name)]


class Reached:
    """Tell which lines ran, of many snapshots: what a function counted is worked out once."""

    def __init__(self, below: Iterable[str | os.PathLike[str]] | None) -> None:
        self._is_wanted = is_wanted(below)
        self._known: dict[tuple[str, int, tuple[int, ...]], frozenset[tuple[str, int]]] = {}

    def lines(self, profile: Profile, counters: bytes) -> set[tuple[str, int]]:
        """Give the lines that ran, each as (file, number)."""
        numbers = struct.unpack(f"={profile.counters_size // 8}Q", counters)
        found: set[tuple[str, int]] = set()
        for mapped, first, count in _mapping(profile):
            own = numbers[first : first + count]
            if any(own):
                key = (mapped.name, mapped.hash, own)
                if key not in self._known:
                    self._known[key] = frozenset(self._of(mapped, list(own)))
                found |= self._known[key]
        return found

    def _of(self, mapped: Mapped, counters: list[int]) -> Iterator[tuple[str, int]]:
        pieces: dict[str, list[_lines.Piece]] = {}
        for region in mapped.regions:
            path = mapped.files[region.file]
            if region.kind in _FLAT and self._is_wanted(path):
                pieces.setdefault(path, []).append(_piece(region, counters, 0))
        for path, found in pieces.items():
            counts = _lines.line_counts(_lines.segments(found))
            yield from ((path, line) for line, count in counts.items() if count)


def _piece(region: Region, counters: list[int], first: int) -> _lines.Piece:
    start, end = (region.line, region.column), (region.end_line, region.end_column)
    return _lines.Piece(start, end, region.kind, _evaluate(region.count, counters, first))


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
    # By marked line: the branches of the macros that it uses.
    inside: dict[int, dict[tuple[str, _Where], tuple[int, int]]] = field(default_factory=dict)

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
        sides += self.inside.get(line, {}).values()
        return all(map(all, sides)) if sides else bool(self.lines[line])


def _tally(
    profile: Profile,
    counters: list[int],
    wanted: Callable[[str], bool],
    tallies: dict[str, _Tally],
) -> None:
    pieces: dict[str, list[_lines.Piece]] = {}
    for mapped, first, _ in _mapping(profile):
        marked = _mark(mapped, counters, first, wanted, tallies)
        head = mapped.regions[0] if mapped.regions else None
        for index, region in enumerate(mapped.regions):
            path = mapped.files[region.file]
            if not wanted(path) or index in marked.branches:
                continue
            tally = tallies.setdefault(path, _Tally())
            count = _evaluate(region.count, counters, first)
            where = (region.line, region.column, region.end_line, region.end_column)
            if region.kind in _FLAT:
                piece = _piece(region, counters, first)
                piece = piece._replace(kind=RegionKind.SKIPPED) if index in marked.code else piece
                pieces.setdefault(path, []).append(piece)
            if region.kind is RegionKind.CODE and index not in marked.code:
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


@dataclass(slots=True)
class _Marked:
    """Hold what a function's marked lines take out of the macros that they use, by its place.

    `branches` belong to the marked line, `code` is what a side leads to that was never taken.
    """

    branches: set[int] = field(default_factory=set)
    code: set[int] = field(default_factory=set)


def _mark(
    mapped: Mapped,
    counters: list[int],
    first: int,
    wanted: Callable[[str], bool],
    tallies: dict[str, _Tally],
) -> _Marked:
    """Find the branches of marked lines, and what they lead to: code counted as one side is.

    It is the side that was never taken; of a line that never ran, what it guards when true.
    """
    marks = [marks_of(path) if wanted(path) else {} for path in mapped.files]
    found = _Marked()
    uses = _uses(mapped, marks) if any(marks) else {}
    for index, branch in enumerate(mapped.regions) if any(marks) else ():
        if branch.kind is not RegionKind.BRANCH or _is_unwritten(branch):
            continue
        is_own = branch.line in marks[branch.file]
        file, line = (branch.file, branch.line) if is_own else uses.get(branch.file, (-1, 0))
        if file < 0:
            continue
        tally = tallies.setdefault(mapped.files[file], _Tally())
        both = (branch.count, branch.otherwise)
        taken = (_evaluate(both[0], counters, first), _evaluate(both[1], counters, first))
        if not is_own:
            found.branches.add(index)
            where = (branch.line, branch.column, branch.end_line, branch.end_column)
            inside = tally.inside.setdefault(line, {})
            were = inside.get((mapped.files[branch.file], where), (0, 0))
            added = (were[0] + taken[0], were[1] + taken[1])
            inside[mapped.files[branch.file], where] = added
        never = [side for side, count in zip(both, taken, strict=True) if side and not count]
        sides = never if any(taken) else never[:1]
        for at, region in enumerate(mapped.regions):
            if region.kind is not RegionKind.CODE or region.count not in sides:
                continue
            if region.file == file:
                lines = range(region.line, region.end_line + 1)
                tally.guarded.setdefault(line, set()).update(lines)
            elif uses.get(region.file) == (file, line):
                found.code.add(at)
    return found


def _uses(mapped: Mapped, marks: list[dict[int, str]]) -> dict[int, tuple[int, int]]:
    """Find the macros that marked lines use: {its file: (file, line) of the mark}."""
    found: dict[int, tuple[int, int]] = {}
    for region in mapped.regions:
        if region.kind is RegionKind.EXPANSION:
            if region.file in found:
                found[region.expands] = found[region.file]
            elif region.line in marks[region.file]:
                found[region.expands] = (region.file, region.line)
    return found


def _evaluate(sum_: Sum, counters: list[int], first: int) -> int:
    return max(0, sum(times * counters[first + index] for index, times in sum_.items()))


def plain_name(name: str) -> str:
    """Return a function's name without the file that LLVM puts in front of a static one."""
    return re.split(r"[:;]", name)[-1]
