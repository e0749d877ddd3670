"""From pieces of source that were counted to lines: the way of llvm-cov, number for number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .._bpf.covmap import RegionKind

Place = tuple[int, int]


class Piece(NamedTuple):
    """Hold a counted region of one file; it ends before `end`."""

    start: Place
    end: Place
    kind: RegionKind
    times: int


class Segment(NamedTuple):
    """Hold a point of a file from which on another count holds, up to the next one."""

    place: Place
    times: int
    has_count: bool
    is_entry: bool
    is_gap: bool


def segments(pieces: Iterable[Piece]) -> list[Segment]:
    """Lay the nested pieces of a file flat."""
    builder = _Builder()
    builder.build(_combined(pieces))
    return builder.found


def line_counts(found: list[Segment]) -> dict[int, int]:
    """Tell how often each line ran; lines without code are left out."""
    if not found:
        return {}
    by_line: dict[int, list[Segment]] = {}
    for segment in found:
        by_line.setdefault(segment.place[0], []).append(segment)
    counts: dict[int, int] = {}
    before: Segment | None = None  # what held at the end of the line before
    for line in range(found[0].place[0], found[-1].place[0] + 1):
        own = by_line.get(line, [])
        count = _line_count(own, before)
        if count is not None:
            counts[line] = count
        before = own[-1] if own else before
    return counts


def _line_count(own: list[Segment], before: Segment | None) -> int | None:
    entries = [s.times for s in own if s.is_entry and s.has_count and not s.is_gap]
    is_skipped = bool(own) and own[0].is_entry and not own[0].has_count
    is_within = before is not None and before.has_count
    is_mapped = not is_skipped and (is_within or bool(entries))
    is_mapped = is_mapped or any(s.is_entry and s.has_count for s in own)
    if not is_mapped:
        return None
    start = before.times if before is not None else 0
    return max([start, *entries])


def _combined(pieces: Iterable[Piece]) -> list[Piece]:
    """Sort pieces, outer ones first, and add up those of one place."""
    found: list[Piece] = []
    for piece in sorted(pieces, key=lambda p: (p.start, (-p.end[0], -p.end[1]), p.kind)):
        last = found[-1] if found else None
        if last is None or (last.start, last.end) != (piece.start, piece.end):
            found.append(piece)
        elif last.kind is piece.kind:
            # A macro that expands to another one covers the same twice: it is counted once.
            found[-1] = last._replace(times=last.times + piece.times)
    return found


class _Builder:
    def __init__(self) -> None:
        self.found: list[Segment] = []
        self._active: list[Piece] = []

    def build(self, pieces: list[Piece]) -> None:
        for index, piece in enumerate(pieces):
            start = piece.start
            still = [p for p in self._active if p.end > start]
            done = [p for p in self._active if p.end <= start]
            if done:
                self._active = still + done
                self._complete(start, len(still))
            is_entry = piece.kind is not RegionKind.GAP
            is_last = index + 1 == len(pieces)
            if start == piece.end:  # nothing is in it, as where a macro of the system stood
                # llvm-cov would leave out the line of the last one in a file, although it ran.
                is_skipped = piece.kind is RegionKind.SKIPPED or (is_last and not self._active)
                over = self._active[-1] if self._active else piece
                self._begin(over, start, is_entry=is_entry, is_skipped=is_skipped)
                if is_skipped and self._active:
                    self._begin(self._active[-1], start)
                continue
            if is_last or start != pieces[index + 1].start:
                self._begin(piece, start, is_entry=is_entry)
            self._active.append(piece)
        if self._active:
            self._complete(None, 0)

    def _complete(self, place: Place | None, first: int) -> None:
        """End the active pieces from `first` on, before `place`."""
        ends = self._ended_by(first)
        for index, piece in enumerate(ends[1:], 1):
            end = ends[index - 1].end
            if place is not None and end == place:
                break
            if end != piece.end:
                same = [p for p in ends[index:] if p.end == piece.end]
                self._begin(same[-1], end)
        last = ends[-1]
        if first and last.end != place:
            self._begin(self._active[first - 1], last.end)
        elif not first and last.end != place:
            self._begin(last, last.end, is_skipped=True)
        del self._active[first:]

    def _ended_by(self, first: int) -> list[Piece]:
        return sorted(self._active[first:], key=lambda p: p.end)

    def _begin(
        self, piece: Piece, place: Place, *, is_entry: bool = False, is_skipped: bool = False
    ) -> None:
        has_count = not is_skipped and piece.kind is not RegionKind.SKIPPED
        if self.found and not is_entry and not is_skipped:
            last = self.found[-1]
            if (last.has_count, last.times, last.is_entry) == (has_count, piece.times, False):
                return
        if has_count:
            is_gap = piece.kind is RegionKind.GAP
            self.found.append(Segment(place, piece.times, True, is_entry, is_gap))
        else:
            self.found.append(Segment(place, 0, False, is_entry, False))


def ranges(lines: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Join lines that follow each other to (first, last)."""
    first = last = None
    for line in sorted(lines):
        if first is None or last is None:
            first = last = line
        elif line == last + 1:
            last = line
        else:
            yield first, last
            first = last = line
    if first is not None and last is not None:
        yield first, last
