"""Read the sections and symbols of a BPF object file, and say in one line what is wrong with one.

libbpf does the loading; this is for what must be known before (no kernel, no libbpf) and for the
messages that libbpf does not give.
"""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from typing import NoReturn

from ..errors import LoadError

EM_BPF = 247
SHT_SYMTAB = 2
SHT_NOBITS = 8
SHT_REL = 9
STT_OBJECT = 1
STT_FUNC = 2

_ELF_HEADER = "HHIQQQIHHHHHH"
_SECTION_HEADER = "IIQQQQIIQQ"
_SYMBOL = "IBBHQQ"
_RELOCATION = "QQ"
_REBUILD = "compile it again with clang -target bpf"
_MACHINES = {
    0: "no machine",
    3: "32-bit x86",
    8: "MIPS",
    21: "64-bit PowerPC",
    22: "s390",
    40: "32-bit Arm",
    62: "x86-64",
    183: "AArch64",
    243: "RISC-V",
    258: "LoongArch",
}
_FILE_TYPES = {0: "no file type", 2: "an executable", 3: "a shared library", 4: "a core dump"}
# The beginnings of files that people give by mistake.
_OTHER_FILES = {
    b"BC\xc0\xde": "LLVM bitcode (clang -emit-llvm)",
    b"!<arch>\n": "an ar archive",
    b"\x7fELF": "an ELF file",
    b"#include": "C source",
    b"\xcf\xfa\xed\xfe": "a Mach-O file",
    b"\x1f\x8b": "a gzip file",
}


@dataclass(frozen=True, slots=True)
class Section:
    """Describe one section of an ELF file, as its section header does."""

    index: int
    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """Describe one symbol: where its bytes are, and whether it is a variable or a function."""

    name: str
    section: int
    offset: int
    size: int
    type: int
    is_global: bool


def sections(data: bytes, *, name: str = "object") -> dict[str, tuple[Section, bytes]]:
    """Read every section of a BPF object: its header and its bytes (none for .bss).

    Raises:
        LoadError: it is no ELF file, is truncated, or was made for another machine; the message
            begins with `name`.
    """
    found: dict[str, tuple[Section, bytes]] = {}
    for section, body in every_section(data, name=name):
        # The first of two sections of the same name is the one that libbpf reads.
        found.setdefault(section.name, (section, body))
    return found


def every_section(data: bytes, *, name: str = "object") -> list[tuple[Section, bytes]]:
    """Read every section in the file's order, several of one name among them; see sections()."""
    order, table_offset, count, names_index = _header(data, name)
    header = struct.Struct(order + _SECTION_HEADER)
    if table_offset + count * header.size > len(data):
        _truncated(name, data, table_offset + count * header.size)
    raw = [header.unpack_from(data, table_offset + i * header.size) for i in range(count)]
    for row in raw:
        if row[1] != SHT_NOBITS and row[4] + row[5] > len(data):
            _truncated(name, data, row[4] + row[5])
    if names_index >= count:
        raise LoadError(f"{name}: a broken ELF file, it has no section names; {_REBUILD}")
    strings = data[raw[names_index][4] : raw[names_index][4] + raw[names_index][5]]
    found = []
    for index, row in enumerate(raw):
        section = Section(index, text_at(strings, row[0]), *row[1:])
        body = b"" if row[1] == SHT_NOBITS else data[row[4] : row[4] + row[5]]
        found.append((section, bytes(body)))
    return found


def symbols(data: bytes, *, name: str = "object") -> dict[str, Symbol]:
    """Read the symbols of a BPF object; of two with one name, the global one is kept."""
    order = _header(data, name)[0]
    found = sections(data, name=name)
    by_index = {section.index: body for section, body in found.values()}
    entry = struct.Struct(order + _SYMBOL)
    table: dict[str, Symbol] = {}
    for section, body in found.values():
        if section.type != SHT_SYMTAB:
            continue
        strings = by_index.get(section.link, b"")
        for row in entry.iter_unpack(body[: len(body) - len(body) % entry.size]):
            symbol = text_at(strings, row[0])
            is_global = row[1] >> 4 != 0
            if symbol and (is_global or symbol not in table):
                table[symbol] = Symbol(symbol, row[3], row[4], row[5], row[1] & 15, is_global)
    return table


def slots_filled(data: bytes, *, name: str = "object") -> list[str]:
    """List what maps hold from the beginning, by name: `.values = { [1] = &tail }`, inner maps."""
    order = _header(data, name)[0]
    every = every_section(data, name=name)
    by_index = {section.index: (section, body) for section, body in every}
    relocation, entry = struct.Struct(order + _RELOCATION), struct.Struct(order + _SYMBOL)
    found: list[str] = []
    for section, body in every:
        if section.type != SHT_REL or section.name != ".rel.maps" or section.link not in by_index:
            continue
        table, rows = by_index[section.link]
        strings = by_index[table.link][1] if table.link in by_index else b""
        for _, info in relocation.iter_unpack(body[: len(body) - len(body) % relocation.size]):
            at = (info >> 32) * entry.size
            if at + entry.size <= len(rows):
                found.append(text_at(strings, entry.unpack_from(rows, at)[0]))
    return found


def text_at(strings: bytes, offset: int) -> str:
    """Read the NUL-terminated text at an offset of a string table; nothing beyond its end."""
    end = strings.find(b"\0", offset)
    return strings[offset : end if end >= 0 else len(strings)].decode("utf-8", "replace")


def _header(data: bytes, name: str) -> tuple[str, int, int, int]:
    if not data:
        raise LoadError(f"{name}: the file is empty; {_REBUILD}")
    if data[:4] != b"\x7fELF":
        kinds = [what for begin, what in _OTHER_FILES.items() if data.startswith(begin)]
        what = f"it is {kinds[0]}" if kinds else f"it begins with {data[:4].hex(' ')}"
        raise LoadError(f"{name}: not an ELF object file, {what}; give the .o that clang wrote")
    if len(data) < 6:
        _truncated(name, data, 64)
    bits, endian = data[4], data[5]
    if bits != 2:
        raise LoadError(f"{name}: a 32-bit ELF file, BPF objects are 64-bit; {_REBUILD}")
    if endian != (1 if sys.byteorder == "little" else 2):
        have, other = ("little", "big") if sys.byteorder == "little" else ("big", "little")
        raise LoadError(
            f"{name}: made for {other}-endian machines, this one is {have}-endian; {_REBUILD}"
        )
    if len(data) < 64:
        _truncated(name, data, 64)
    order = "<" if endian == 1 else ">"
    row = struct.unpack_from(order + _ELF_HEADER, data, 16)
    file_type, machine, table_offset, entry_size, count, names_index = (
        row[0],
        row[1],
        row[5],
        row[10],
        row[11],
        row[12],
    )
    if machine != EM_BPF:
        what = _MACHINES.get(machine, f"machine {machine}")
        raise LoadError(f"{name}: compiled for {what}, not for BPF; {_REBUILD}")
    if file_type != 1:
        what = _FILE_TYPES.get(file_type, f"file type {file_type}")
        raise LoadError(f"{name}: {what}, not an object file; {_REBUILD} -c")
    if not table_offset or not count or entry_size != 64:
        raise LoadError(
            f"{name}: the ELF file has no section headers; {_REBUILD} and do not strip it"
        )
    return order, table_offset, count, names_index


def _truncated(name: str, data: bytes, needed: int) -> NoReturn:
    raise LoadError(
        f"{name}: truncated, {len(data)} bytes of at least {needed}; build or copy it again"
    )
