"""Read clang's coverage mapping: which counters tell how often which piece of the source ran.

Section `__llvm_covmap` names the files, `__llvm_covfun` has a record for each function: its files,
expressions over counters, and regions of source with the expression that counts each.
https://llvm.org/docs/CoverageMappingFormat.html
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

from ..errors import Error
from . import elf
from .profile import Profile, uleb

# The number in the file is one less than the name that LLVM's documentation has for it.
_OLDEST, _NEWEST = 5, 6
_RECORD = struct.Struct("=QIQQ")
_GAP = 1 << 31


class RegionKind(IntEnum):
    """Name what a region of source is, with LLVM's numbers."""

    CODE = 0
    EXPANSION = 1
    SKIPPED = 2
    GAP = 3
    BRANCH = 4
    DECISION = 5
    CONDITION = 6


# How often something ran, as {number of a counter: how often to add it}; empty: never.
Sum = dict[int, int]


@dataclass(frozen=True, slots=True)
class Region:
    """Describe a piece of a function's source: lines and columns from 1, the end is exclusive.

    `file` and `expands` number the function's files; each expansion of a macro is one.
    A branch is counted twice: how often it was true (`count`) and false (`otherwise`).
    """

    kind: RegionKind
    file: int
    line: int
    column: int
    end_line: int
    end_column: int
    count: Sum
    otherwise: Sum
    expands: int = 0

    @property
    def is_folded(self) -> bool:
        """Tell of a branch whether clang knew the answer: no counter counts it."""
        return not self.count and not self.otherwise


@dataclass(frozen=True, slots=True)
class Mapped:
    """Describe the mapping of one function; the first of its files is where it stands."""

    name: str
    hash: int
    files: tuple[str, ...]
    regions: tuple[Region, ...]


def read(profile: Profile, *, name: str = "object") -> list[Mapped]:
    """Read the mapping of each function that has counters, in the order of the object.

    A function without them has no code in the object: nothing uses it.

    Raises:
        Error: The mapping is of a version that is not known.
    """
    by_digest = {int.from_bytes(_md5(f.name.encode()), "little"): f for f in profile.functions}
    files: dict[int, list[str]] = {}
    records = []
    for section, body in elf.every_section(profile.elf, name=name):
        if section.name == "__llvm_covmap":
            files |= dict(_units(body, name))
        elif section.name == "__llvm_covfun":
            records += list(_records(body))
    found = []
    for digest, content, unit, data in records:
        function = by_digest.get(digest)
        if function is not None and function.hash == content and unit in files:
            found.append(_mapped(function.name, content, files[unit], data))
    return found


def file_names(profile: Profile, *, name: str = "object") -> list[str]:
    """Name the files as llvm-cov knows them: with each ".." that an include was written with.

    Raises:
        Error: The mapping is of a version that is not known.
    """
    found: set[str] = set()
    for section, body in elf.every_section(profile.elf, name=name):
        if section.name == "__llvm_covmap":
            found.update(each for _, names in _units(body, name) for each in names[1:])
    return sorted(found)


def _units(body: bytes, name: str) -> Iterator[tuple[int, list[str]]]:
    at = 0
    while at + 16 <= len(body):
        _, size, _, version = struct.unpack_from("=4I", body, at)
        if not _OLDEST <= version <= _NEWEST:
            raise Error(
                f"{name}: clang wrote a coverage mapping of version {version + 1}; known are "
                f"{_OLDEST + 1} to {_NEWEST + 1}: use another clang (CLANG=)"
            )
        blob = body[at + 16 : at + 16 + size]
        yield int.from_bytes(_md5(blob), "little"), _file_names(blob)
        at += (16 + size + 7) & ~7


def _file_names(blob: bytes) -> list[str]:
    count, at = uleb(blob, 0)
    size, at = uleb(blob, at)
    packed, at = uleb(blob, at)
    text = zlib.decompress(blob[at : at + packed]) if packed else blob[at : at + size]
    names, at = [], 0
    for _ in range(count):
        length, at = uleb(text, at)
        names.append(text[at : at + length].decode("utf-8", "surrogateescape"))
        at += length
    # The first is the folder that the others are relative to.
    folder = names[0]
    return [folder, *(n if n[:1] == "/" else os.path.normpath(f"{folder}/{n}") for n in names[1:])]


def _records(body: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    at = 0
    while at + _RECORD.size <= len(body):
        digest, size, content, unit = _RECORD.unpack_from(body, at)
        at += _RECORD.size
        yield digest, content, unit, body[at : at + size]
        at = (at + size + 7) & ~7


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0
        self.expressions: list[tuple[int, int]] = []

    def number(self) -> int:
        value, self.at = uleb(self.data, self.at)
        return value

    def sum_of(self, counter: int) -> Sum:
        # Two bits say what it is: nothing, a counter, a difference or a sum of two others.
        tag, index = counter & 3, counter >> 2
        if tag == 0:
            return {}
        if tag == 1:
            return {index: 1}
        left, right = (self.sum_of(each) for each in self.expressions[index])
        total = dict(left)
        for each, times in right.items():
            total[each] = total.get(each, 0) + (times if tag == 3 else -times)
        # A counter that cancels out stays: with no counter at all, it would look folded.
        return total


def _mapped(name: str, content: int, files: list[str], data: bytes) -> Mapped:
    reader = _Reader(data)
    own = [os.path.normpath(files[reader.number()]) for _ in range(reader.number())]
    pairs = reader.number()
    reader.expressions = [(reader.number(), reader.number()) for _ in range(pairs)]
    regions = []
    for file in range(len(own)):
        line = 0
        for _ in range(reader.number()):
            region, line = _region(reader, file, line)
            regions.append(region)
    return Mapped(name, content, tuple(own), tuple(_counted(regions)))


def _region(reader: _Reader, file: int, line: int) -> tuple[Region, int]:
    head = reader.number()
    kind, count, otherwise, expands = RegionKind.CODE, Sum(), Sum(), 0
    if head & 3:
        count = reader.sum_of(head)
    elif head & 4:
        kind, expands = RegionKind.EXPANSION, head >> 3
    else:
        kind = RegionKind(head >> 3)
        if kind in (RegionKind.BRANCH, RegionKind.CONDITION):
            count, otherwise = reader.sum_of(reader.number()), reader.sum_of(reader.number())
        # Which bits of the bitmap it has, and which conditions come next: for llvm-cov to know.
        for _ in range({RegionKind.DECISION: 2, RegionKind.CONDITION: 3}.get(kind, 0)):
            reader.number()
    line += reader.number()
    column = reader.number()
    end_line = line + reader.number()
    end_column = reader.number()
    if end_column & _GAP:
        kind, end_column = RegionKind.GAP, end_column & ~_GAP
    if column == 0 and end_column == 0:  # whole lines
        column, end_column = 1, _GAP - 1
    if kind is RegionKind.CONDITION:
        kind = RegionKind.BRANCH
    return Region(kind, file, line, column, end_line, end_column, count, otherwise, expands), line


def _counted(regions: list[Region]) -> Iterator[Region]:
    """Give expansions their counts: as often as the first piece of what they expand to."""
    first: dict[int, Region] = {}
    for region in reversed(regions):
        first[region.file] = region
    for region in regions:
        ran = region
        while ran.kind is RegionKind.EXPANSION and ran.expands in first:
            ran = first[ran.expands]
        yield region if ran is region else replace(region, count=ran.count)


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()[:8]
