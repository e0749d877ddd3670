"""Where in the C source a failure is decided: the line that tells it from what passes.

The failing story is compared with the nearest one that passes: the one, of those that are a change
away, whose last packet executes most nearly the same. The place is

1. the last line that only the failing packet executes; in most programs the `return` it leaves by;
2. without one, the last condition that it decides in a way that the passing packet does not;
3. without that either (the values decide, not the way), the last line that it executes.

Lines are counted in the order of the source, those of headers first: in C, what is called stands
above who calls it. Without counters nothing of this is known, and the place is the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from ..coverage import Counters, Measured, Profile, measure, texts
from ..errors import Error, InputRefused
from .finding import Place
from .sums import executed
from .target import Target

Story = Sequence[bytes]

_CANDIDATES = 256
# A line of these alone is executed with the one before it, and says nothing.
_EMPTY = set("{}();, \t")


def of(target: Target, failing: Story, passing: Iterable[Story] = ()) -> Place:
    """Find the place of a failing story; the nearest of the `passing` ones come last.

    Candidates that fail as well, in another way, are passed over.
    """
    path = str(target.recipe.plain.source or target.recipe.plain.name)
    profile = target.object.spec.profile
    if not target.has_feedback or profile is None:
        return Place(shown(path, path))
    mine = _taken(target, failing)
    wrong = measure(profile, [mine])
    nearest = _nearest(target, profile, mine, list(passing)[-_CANDIDATES:])
    right = measure(profile, [nearest]) if nearest else None
    found = _decided(wrong, right, _whole(path))
    if found is None:
        return Place(shown(path, path))
    file, line, column = found
    told = shown(file, path)
    return Place(told, line, column, _function(wrong, file, line), _line(file, line))


def _taken(target: Target, story: Story) -> bytes:
    """Run a story and return what its last packet counted."""
    target.begin(target.object)
    for frame in story[:-1]:
        with suppress(InputRefused):  # as when it was judged
            target.program.run(frame)
    counters = Counters(target.object)
    counters.clear()
    target.program.run(story[-1])
    return counters.take()


def _nearest(target: Target, profile: Profile, mine: bytes, passing: list[Story]) -> bytes:
    own = executed(profile, mine)
    found = []
    for age, story in enumerate(reversed(passing)):
        try:
            taken = _taken(target, story)
        except Error:  # the kernel refuses it
            continue
        found.append((len(own ^ executed(profile, taken)), age, taken, story))
    for _, _, taken, story in sorted(found, key=lambda each: each[:2]):
        if target.check(story) is None:
            return taken
    return b""


def _decided(wrong: Measured, right: Measured | None, source: str) -> tuple[str, int, int] | None:
    mine = list(_lines(wrong, source))
    if right is not None:
        others = set(_lines(right, source))
        only = [each for each in mine if each not in others]
        if only:
            return (*only[-1], 0)
        if apart := _conditions(wrong, right, source):
            return apart[-1]
    return (*mine[-1], 0) if mine else None


def _lines(found: Measured, source: str) -> Iterator[tuple[str, int]]:
    for path in _in_order(found, source):
        for line, count in sorted(found.files[path].line_counts.items()):
            if count and set(_line(path, line)) - _EMPTY:
                yield path, line


def _conditions(wrong: Measured, right: Measured, source: str) -> list[tuple[str, int, int]]:
    apart = []
    for path in _in_order(wrong, source):
        theirs = (
            {}
            if path not in right.files
            else {(each.line, each.column): each for each in right.files[path].branch_list}
        )
        for mine in wrong.files[path].branch_list:
            other = theirs.get((mine.line, mine.column))
            ways = (bool(mine.true_count), bool(mine.false_count))
            if other is None or not any(ways):
                continue
            if ways != (bool(other.true_count), bool(other.false_count)):
                apart.append((path, mine.line, mine.column))
    return apart


def _in_order(found: Measured, source: str) -> list[str]:
    return sorted(found.files, key=lambda path: (_whole(path) == source, path))


def _function(found: Measured, file: str, line: int) -> str:
    begun = [each for each in found.files[file].function_list if each.line <= line]
    return begun[-1].name if begun else ""


@lru_cache(maxsize=1024)
def _whole(path: str) -> str:
    return os.path.realpath(path)


def shown(file: str, source: str) -> str:
    """Name a file as people do: from where they stand, or by the folder that they gave it in.

    Counters name files whole, and behind links; the source may have been named by one.
    """
    here, whole, given = Path.cwd(), Path(_whole(file)), Path(source).parent
    plain = Path(os.path.normpath(here / file))
    if plain.is_relative_to(here):
        return str(plain.relative_to(here))
    beside = Path(_whole(str(given)))
    if whole.is_relative_to(beside):
        return os.path.normpath(given / whole.relative_to(beside))
    return str(plain)


def _line(path: str, line: int) -> str:
    lines = _text(path, texts.times())
    return lines[line - 1].strip() if 0 < line <= len(lines) else ""


@lru_cache(maxsize=16)
def _text(path: str, _times: int) -> tuple[str, ...]:
    try:
        return tuple(texts.read(path).split("\n"))
    except OSError:
        return ()
