"""Give BTF to test with: built word by word, and as clang writes it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from packetrig import toolchain
from packetrig.errors import ToolMissing

SOURCE = Path(__file__).parent / "types.bpf.c"


class Types:
    """Write a .BTF section type by type; each method answers the id of its type."""

    def __init__(self, order: str = "<") -> None:
        self.order = order
        self.strings = b"\0"
        self.words: list[int] = []
        self.count = 0

    def name(self, text: str) -> int:
        if not text:
            return 0
        at = len(self.strings)
        self.strings += text.encode() + b"\0"
        return at

    def add(self, name, kind, size, *extra, vlen=0, flag=False):
        self.words += [self.name(name), flag << 31 | kind << 24 | vlen, size, *extra]
        self.count += 1
        return self.count

    def int(self, name, size, *, signed=False, is_bool=False, bits=0, offset=0):
        encoding = (1 if signed else 0) | (4 if is_bool else 0)
        return self.add(name, 1, size, encoding << 24 | offset << 16 | (bits or size * 8))

    def pointer(self, target):
        return self.add("", 2, target)

    def array(self, element, count):
        return self.add("", 3, 0, element, element, count)

    def struct(self, name, size, *members, union=False):
        """Members are (name, type, bit offset) or (name, type, bit offset, bits)."""
        has_bits = any(len(member) > 3 for member in members)
        rows = [(self.name(m[0]), m[1], m[2] | (m[3] << 24 if len(m) > 3 else 0)) for m in members]
        flat = [word for row in rows for word in row]
        return self.add(name, 5 if union else 4, size, *flat, vlen=len(members), flag=has_bits)

    def enum(self, name, size=4, *, signed=False, **values):
        flat = [w for n, v in values.items() for w in (self.name(n), v & 0xFFFFFFFF)]
        return self.add(name, 6, size, *flat, vlen=len(values), flag=signed)

    def typedef(self, name, target):
        return self.add(name, 8, target)

    def raw(self) -> bytes:
        types = struct.pack(f"{self.order}{len(self.words)}I", *self.words)
        header = (0xEB9F, 1, 0, 24, 0, len(types), len(types), len(self.strings))
        return struct.pack(self.order + "HBBIIIII", *header) + types + self.strings


@pytest.fixture(scope="session")
def types() -> type[Types]:
    return Types


@pytest.fixture(scope="session")
def compiled(tmp_path_factory) -> Iterator[bytes]:
    """The object that clang makes of types.bpf.c."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PACKETRIG_CACHE", str(tmp_path_factory.mktemp("cache")))
        try:
            yield toolchain.compile(SOURCE).object.read_bytes()
        except ToolMissing as e:
            pytest.skip(str(e))
