"""Make an object that clang instrumented loadable, and read how its counters are laid out.

clang -fprofile-instr-generate gives each function a section `__llvm_prf_cnts` of u64 counters, all
of one name, each of which libbpf would take for nothing or for a map of its own. `loadable()` joins
them, in memory, to one section that libbpf loads as a map; the object as clang wrote it is what
llvm-cov reads. With -fcoverage-mcdc the same holds for `__llvm_prf_bits`, bytes of bits.
"""

from __future__ import annotations

import hashlib
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import Error
from . import elf

COUNTERS = ".data.llvm_cnts"
BITMAPS = ".data.llvm_bits"
SECTIONS = (COUNTERS, BITMAPS)
# What clang calls them. The new names are as long, so that the table of names keeps its size.
_RENAMED = {"__llvm_prf_cnts": COUNTERS, "__llvm_prf_bits": BITMAPS}
_RUNTIME = "__llvm_profile_runtime"

_ORDER = "<" if sys.byteorder == "little" else ">"
_HEADER = struct.Struct(f"{_ORDER}IIQQQQIIQQ")
_SYMBOL = struct.Struct(f"{_ORDER}IBBHQQ")
_PROGBITS, _NOTE = 1, 7
_WRITE, _ALLOCATE = 1, 2
_NO_TYPE_MASK = 0xF0


@dataclass(frozen=True, slots=True)
class Function:
    """Describe the counters of one function: how many, and where in the section they begin."""

    name: str
    hash: int
    counters: int
    offset: int
    bitmap: int = 0
    bitmap_offset: int = 0


@dataclass(frozen=True, slots=True)
class Profile:
    """Describe the counters of an instrumented object.

    `elf` is the object as clang wrote it, `object` a file with these bytes: llvm-cov reads that.
    """

    functions: tuple[Function, ...]
    counters_size: int
    bitmap_size: int
    elf: bytes = field(repr=False)
    object: Path

    def proftext(self, counters: bytes, bitmap: bytes = b"") -> str:
        """Write counters in LLVM's text format, which llvm-profdata reads."""
        return "".join(self._record(each, counters, bitmap) for each in self.functions)

    def for_llvm_cov(self) -> bytes:
        """Return the object without the records of functions that have no code in it.

        They are those of headers that the program does not use; llvm-cov would count them as never
        executed.
        """
        used = {_digest(each.name.encode()) for each in self.functions}
        patched = bytearray(self.elf)
        table = struct.unpack_from(f"{_ORDER}Q", self.elf, 0x28)[0]
        for section, body in elf.every_section(self.elf):
            if section.name == "__llvm_covfun" and struct.unpack_from("=Q", body)[0] not in used:
                struct.pack_into(f"{_ORDER}II", patched, table + section.index * 64, 0, _NOTE)
        return bytes(patched)

    def _record(self, found: Function, counters: bytes, bitmap: bytes) -> str:
        values = struct.unpack_from(f"={found.counters}Q", counters, found.offset)
        lines = [found.name, "# Func Hash:", str(found.hash), "# Num Counters:", str(len(values))]
        lines += ["# Counter Values:", *map(str, values)]
        if bitmap:
            # Also where there is none: else LLVM 19 takes over that of the record before.
            at = found.bitmap_offset
            lines += ["# Num Bitmap Bytes:", f"${found.bitmap}", "# Bitmap Byte Values:"]
            lines += [hex(byte) for byte in bitmap[at : at + found.bitmap]]
        return "\n".join(lines) + "\n\n"


def is_instrumented(sections: object) -> bool:
    """Tell from the names of its sections whether an object counts what it executes."""
    return isinstance(sections, dict) and not sections.keys().isdisjoint({*_RENAMED, *SECTIONS})


def read(data: bytes, path: Path, *, name: str = "object") -> Profile:
    """Read how the counters of an object that clang instrumented are laid out.

    Raises:
        LoadError: It is no BPF object.
        Error: It has no counters, or they are laid out in a way that is not known.
    """
    counters, bitmaps, records, names = [], [], [], {}
    for section, body in elf.every_section(data, name=name):
        if section.name == "__llvm_prf_cnts":
            counters.append(section)
        elif section.name == "__llvm_prf_bits":
            bitmaps.append(section)
        elif section.name == "__llvm_prf_data":
            records.append(body)
        elif section.name == "__llvm_prf_names":
            names.update({_digest(each): each.decode() for each in _names(body)})
    if not counters:
        raise Error(f"{name}: clang put no counters into it; its functions hold no code")
    if len(records) != len(counters) or len(bitmaps) not in (0, len(counters)):
        raise Error(
            f"{name}: {len(counters)} sections of counters, {len(records)} of their records, "
            f"{len(bitmaps)} of bitmaps: this clang lays them out in a way that is not known"
        )
    functions = []
    starts, bit_starts = list(_joined(counters)), list(_joined(bitmaps))
    for index, record in enumerate(records):  # each record is one COMDAT group with its counters
        # The first two fields of a record are these in every version of LLVM.
        key, content = struct.unpack_from("=QQ", record)
        size = bitmaps[index].size if bitmaps else 0
        at = bit_starts[index] if bitmaps else 0
        functions.append(
            Function(names[key], content, counters[index].size // 8, starts[index], size, at)
        )
    size = starts[-1] + counters[-1].size
    bits = bit_starts[-1] + bitmaps[-1].size if bitmaps else 0
    return Profile(tuple(functions), size, bits, data, path)


def loadable(data: bytes, *, name: str = "object") -> bytes:
    """Join the sections of counters to one that libbpf loads; the rest stays byte for byte."""
    found = elf.every_section(data, name=name)
    patched = bytearray(data)
    table = struct.unpack_from(f"{_ORDER}Q", data, 0x28)[0]
    moved: dict[int, tuple[int, int]] = {}  # section -> the one that holds it now, and where
    for wanted in _RENAMED:
        parts = [section for section, _ in found if section.name == wanted]
        if not parts:
            continue
        starts = list(_joined(parts))
        size = starts[-1] + parts[-1].size
        moved |= {p.index: (parts[0].index, at) for p, at in zip(parts, starts, strict=True)}
        for part in parts[1:] if size else parts:  # of no size: no map can be made of it
            _set(patched, table, part, _NOTE, flags=0, offset=part.offset, size=0)
        if size:
            patched += bytes(-len(patched) % 8)
            _set(
                patched, table, parts[0], _PROGBITS,
                flags=_WRITE | _ALLOCATE, offset=len(patched), size=size,
            )  # fmt: skip
            patched += bytes(size)
    _move_symbols(patched, found, moved)
    return _rename(bytes(patched))


def _set(
    patched: bytearray, table: int, which: elf.Section, type_: int, *, flags: int, offset: int,
    size: int,
) -> None:  # fmt: skip
    at = table + which.index * _HEADER.size
    name = _HEADER.unpack_from(patched, at)[0]
    _HEADER.pack_into(patched, at, name, type_, flags, 0, offset, size, 0, 0, 8, 0)


def _move_symbols(
    patched: bytearray, found: list[tuple[elf.Section, bytes]], moved: dict[int, tuple[int, int]]
) -> None:
    for section, body in found:
        if section.type != elf.SHT_SYMTAB:
            continue
        strings = found[section.link][1]
        for at in range(0, len(body), _SYMBOL.size):
            name, info, other, where, value, size = _SYMBOL.unpack_from(body, at)
            if where in moved:
                where, start = moved[where]
                value += start
            elif where == 0 and elf.text_at(strings, name) == _RUNTIME:
                # As an object of nobody's; libbpf would look for an extern in the kernel.
                info = info & _NO_TYPE_MASK | elf.STT_OBJECT
            else:
                continue
            _SYMBOL.pack_into(patched, section.offset + at, name, info, other, where, value, size)


def _rename(data: bytes) -> bytes:
    for old, new in _RENAMED.items():
        data = data.replace(f"{old}\0".encode(), f"{new}\0".encode())
    return data


def _joined(parts: list[elf.Section]) -> Iterator[int]:
    """Give the offset of each section when they stand one behind the other."""
    end = 0
    for part in parts:
        alignment = max(part.alignment, 1)
        end = -(-end // alignment) * alignment
        yield end
        end += part.size


def _names(blob: bytes) -> Iterator[bytes]:
    """Read `__llvm_prf_names`: lengths, then names that \\x01 divides, perhaps compressed."""
    at = 0
    while at < len(blob):
        if blob[at] == 0:  # padding
            at += 1
            continue
        size, at = uleb(blob, at)
        packed, at = uleb(blob, at)
        text = zlib.decompress(blob[at : at + packed]) if packed else blob[at : at + size]
        at += packed or size
        yield from text.split(b"\1")


def uleb(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of LEB128; the answer is the number, and where the next byte is."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _digest(name: bytes) -> int:
    return int.from_bytes(hashlib.md5(name, usedforsecurity=False).digest()[:8], "little")
