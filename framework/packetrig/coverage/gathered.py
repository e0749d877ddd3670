"""What a whole run counted: of each object the counters, added up, and which test added what."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._bpf import profile as _profile
from .._bpf.profile import Profile
from .measured import Measured
from .measuring import Reached, measure_all

_LAST = (1 << 64) - 1


@dataclass(slots=True)
class Counted:
    """Hold what one object counted; `tests` are the counters of each test by its name."""

    name: str
    profile: Profile
    counters: bytes
    bitmap: bytes
    tests: dict[str, bytes] = field(default_factory=dict)

    def add(self, counters: bytes, bitmap: bytes, test: str = "") -> None:
        """Add what was counted since the last time."""
        self.counters = plus(self.counters, counters)
        if bitmap:
            size = self.profile.bitmap_size
            pairs = zip(self.bitmap or bytes(size), bitmap[:size], strict=True)
            self.bitmap = bytes(a | b for a, b in pairs)
        if test:
            were = self.tests.get(test)
            self.tests[test] = plus(were, counters) if were else counters


class Gathered:
    """Collect counters of objects; several of one program, or of one source, are added up."""

    def __init__(self) -> None:
        self._objects: dict[str, Counted] = {}
        self.plain: dict[str, str] = {}
        self.lost: list[str] = []

    @property
    def objects(self) -> list[Counted]:
        """List the objects, in the order of their names."""
        return [each for _, each in sorted(self._objects.items(), key=lambda i: (i[1].name, i[0]))]

    def note(self, name: str, profile: Profile) -> Counted:
        """Take note of an object, which may have counted nothing yet."""
        key = hashlib.sha256(profile.elf).hexdigest()
        if key not in self._objects:
            self._objects[key] = Counted(
                name, profile, bytes(profile.counters_size), bytes(profile.bitmap_size)
            )
        return self._objects[key]

    def told(self) -> dict[str, Any]:
        """Give it as plain values, to be sent to another process."""
        objects = [
            (o.name, str(o.profile.object), o.profile.elf, o.counters, o.bitmap, dict(o.tests))
            for o in self.objects
        ]
        return {"objects": objects, "plain": dict(self.plain)}

    def take_over(self, told: dict[str, Any]) -> None:
        """Add what another process told."""
        for name, path, elf, counters, bitmap, tests in told["objects"]:
            counted = self.note(name, _profile.read(elf, Path(path), name=name))
            counted.add(counters, bitmap)
            for test, its in tests.items():
                were = counted.tests.get(test)
                counted.tests[test] = plus(were, its) if were else its
        self.plain |= told["plain"]

    def measured(self, below: Iterable[str | os.PathLike[str]] | None) -> Measured:
        """Tell what all the objects executed."""
        return measure_all(((o.profile, o.counters) for o in self.objects), below=below)

    def contexts(
        self, below: Iterable[str | os.PathLike[str]] | None
    ) -> dict[str, dict[int, list[str]]]:
        """Tell which tests reached each line: {file: {line: [test]}}."""
        reached = Reached(below)
        found: dict[str, dict[int, list[str]]] = {}
        for test, taken in sorted(self._by_test().items()):
            lines = set().union(*(reached.lines(profile, its) for profile, its in taken))
            for path, line in lines:
                found.setdefault(path, {}).setdefault(line, []).append(test)
        return {path: dict(sorted(of_file.items())) for path, of_file in sorted(found.items())}

    def _by_test(self) -> dict[str, list[tuple[Profile, bytes]]]:
        found: dict[str, list[tuple[Profile, bytes]]] = {}
        for counted in self.objects:
            for test, counters in counted.tests.items():
                found.setdefault(test, []).append((counted.profile, counters))
        return found


def plus(one: bytes, other: bytes) -> bytes:
    """Add counters to counters."""
    return _packed(a + b for a, b in zip(values(one), values(other), strict=True))


def minus(one: bytes, other: bytes) -> bytes:
    """Take counters from counters."""
    return _packed(a - b for a, b in zip(values(one), values(other), strict=True))


def values(counters: bytes) -> tuple[int, ...]:
    """Read counters as numbers."""
    return struct.unpack(f"={len(counters) // 8}Q", counters)


def _packed(numbers: Iterable[int]) -> bytes:
    found = [number & _LAST for number in numbers]
    return struct.pack(f"={len(found)}Q", *found)


def names(objects: Iterable[Counted]) -> Iterator[tuple[str, Counted]]:
    """Give each object a name of its own: those of one source, built otherwise, are numbered."""
    seen: dict[str, int] = {}
    for each in objects:
        stem = each.name.removesuffix(".o").removesuffix(".bpf")
        seen[stem] = seen.get(stem, 0) + 1
        yield stem if seen[stem] == 1 else f"{stem}-{seen[stem]}", each
