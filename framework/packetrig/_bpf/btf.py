"""Read BTF, the types that clang -g puts into a BPF object (Documentation/bpf/btf.rst).

Parsing only finds where each type begins; a type is built when somebody asks for it.
"""

from __future__ import annotations

import difflib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from ..errors import LoadError, NoSuchName
from . import elf

MAGIC = 0xEB9F
_HEADER = "HBBIIIII"


class Kind(IntEnum):
    """Name the kinds of BTF types (include/uapi/linux/btf.h)."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


# Words that follow the three words of each type: a fixed number, and a number for each of `vlen`.
_FIXED = {Kind.INT: 1, Kind.ARRAY: 3, Kind.VAR: 1, Kind.DECL_TAG: 1}
_EACH = {
    Kind.STRUCT: 3,
    Kind.UNION: 3,
    Kind.ENUM: 2,
    Kind.FUNC_PROTO: 2,
    Kind.DATASEC: 3,
    Kind.ENUM64: 3,
}
_KINDS = tuple(Kind)
_EXTRA = tuple((_FIXED.get(kind, 0), _EACH.get(kind, 0)) for kind in _KINDS)
_SIZED = {Kind.INT, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.ENUM64, Kind.FLOAT, Kind.DATASEC}
# What changes nothing about the bytes of a value.
TRANSPARENT = frozenset(
    {Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG, Kind.VAR}
)
_PREFIXES = {
    "struct": (Kind.STRUCT, Kind.FWD),
    "union": (Kind.UNION, Kind.FWD),
    "enum": (Kind.ENUM, Kind.ENUM64),
}


@dataclass(frozen=True, slots=True)
class Member:
    """Describe a field of a struct or union, or a parameter of a function (offsets in bits).

    `bits` is the width of a bit field, 0 for an ordinary field. For the variables of a section,
    both are in bytes: the offset and the size.
    """

    name: str
    type_id: int
    offset: int = 0
    bits: int = 0


@dataclass(frozen=True, slots=True)
class Type:
    """Describe one BTF type; which fields mean something depends on its `kind`.

    `target` is the type that a pointer, typedef, array, variable or function refers to. `bits`,
    `bit_offset`, `is_signed`, `is_bool` are those of an int; `names` are an enum's.
    """

    id: int
    kind: Kind
    name: str
    size: int = 0
    target: int = 0
    count: int = 0
    members: tuple[Member, ...] = ()
    names: tuple[tuple[str, int], ...] = ()
    bits: int = 0
    bit_offset: int = 0
    is_signed: bool = False
    is_bool: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """Say which C line an instruction comes from; `instruction` counts from the section's start."""

    instruction: int
    file: str
    text: str
    line: int
    column: int


class Btf:
    """Hold the types of one object.

    Args:
        raw: the bytes of a .BTF section, or what the kernel or libbpf hand out.
        symbols: the object's symbols. clang leaves the offsets of variables empty in the file
            and libbpf fills them in at open; with the symbols they are right without libbpf.

    Raises:
        LoadError: the bytes are no BTF, or are damaged.
    """

    __slots__ = ("_built", "_ids", "_offsets", "_strings", "_symbols", "_words", "codecs", "order")

    def __init__(self, raw: bytes, *, symbols: Mapping[str, elf.Symbol] | None = None) -> None:
        self.order, start, stop, self._strings = _header(raw)
        self._symbols = symbols or {}
        self._words: tuple[int, ...] = struct.unpack_from(
            f"{self.order}{(stop - start) // 4}I", raw, start
        )
        self._offsets = _index(self._words)
        self._built: dict[int, Type] = {0: Type(0, Kind.VOID, "void")}
        self._ids: dict[str, list[int]] | None = None
        # Filled by codec.codec(): what is worked out once for each type.
        self.codecs: dict[int, object] = {}

    @classmethod
    def from_object(cls, data: bytes, *, name: str = "object") -> Btf:
        """Read the BTF of an ELF object, with the offsets of its variables."""
        found = elf.sections(data, name=name).get(".BTF")
        if found is None:
            raise LoadError(f"{name}: it has no BTF; compile it with clang -g")
        return cls(found[1], symbols=elf.symbols(data, name=name))

    def __len__(self) -> int:
        return len(self._offsets)

    @property
    def types(self) -> tuple[Type, ...]:
        """List every type; its id is its index, and 0 is void."""
        return tuple(self.type(i) for i in range(len(self._offsets)))

    def type(self, type_id: int) -> Type:
        """Look up a type by its id."""
        built = self._built.get(type_id)
        if built is None:
            if not 0 < type_id < len(self._offsets):
                raise LoadError(
                    f"damaged BTF: type {type_id} is referred to and there are {len(self._offsets)}"
                )
            built = self._built[type_id] = self._build(type_id)
        return built

    def find(self, name: str, *, kind: Kind | None = None) -> Type:
        """Look up a type by name: "flow", "struct flow", "__u32"; the first of several.

        Raises:
            NoSuchName: there is none, with the names that are near.
        """
        prefix, _, plain = name.rpartition(" ")
        kinds = _PREFIXES.get(prefix, ())
        if not kinds:
            plain = name
        names = self._names()
        for type_id in names.get(plain, ()):
            found = self.type(type_id)
            if (kind is None or found.kind is kind) and (not kinds or found.kind in kinds):
                return found
        # Not the whole list: a kernel has 100,000 of them.
        near = difflib.get_close_matches(plain, names, n=1)
        hint = f", did you mean '{near[0]}'?" if near else ""
        raise NoSuchName(f"no type named '{name}'{hint}")

    def names(self) -> tuple[str, ...]:
        """List the names of all types, each once, in the order of their ids."""
        return tuple(self._names())

    def strip(self, type_id: int) -> Type:
        """Follow typedefs, qualifiers and variables to the type that decides the bytes."""
        found = self.type(type_id)
        for _ in range(64):
            if found.kind not in TRANSPARENT:
                return found
            found = self.type(found.target)
        raise LoadError(f"damaged BTF: type {type_id} refers to itself")

    def size_of(self, type_id: int) -> int:
        """Tell how many bytes a value of a type takes; 0 for what has no size."""
        size, count = 0, 1
        for _ in range(64):
            found = self.strip(type_id)
            if found.kind is not Kind.ARRAY:
                size = 8 if found.kind is Kind.PTR else found.size
                return size * count
            type_id, count = found.target, count * found.count
        raise LoadError(f"damaged BTF: type {type_id} is an array of itself")

    def datasec(self, name: str) -> dict[str, tuple[int, int, int]]:
        """Tell the (offset, size, type id) of each variable of .bss, .data or .rodata.

        Empty when the object has no such section.
        """
        found = [self.type(i) for i in self._names().get(name, ())]
        section = next((t for t in found if t.kind is Kind.DATASEC), None)
        if section is None:
            return {}
        variables = {}
        for member in section.members:
            variable = self.type(member.type_id)
            symbol = self._symbols.get(variable.name)
            offset = member.offset if symbol is None else symbol.offset
            variables[variable.name] = (offset, member.bits, variable.target)
        return variables

    def text(self, offset: int) -> str:
        """Read the string at an offset of the BTF's strings."""
        if not 0 <= offset < len(self._strings):
            raise LoadError(f"damaged BTF: a name lies at {offset}, beyond its strings")
        return elf.text_at(self._strings, offset)

    def _names(self) -> dict[str, list[int]]:
        if self._ids is None:
            self._ids = {}
            for type_id, at in enumerate(self._offsets):
                if type_id and self._words[at]:
                    self._ids.setdefault(self.text(self._words[at]), []).append(type_id)
        return self._ids

    def _build(self, type_id: int) -> Type:
        words, at = self._words, self._offsets[type_id]
        info, size = words[at + 1], words[at + 2]
        kind, flag = _KINDS[info >> 24 & 0x1F], bool(info >> 31)
        name = self.text(words[at])
        rest = words[at + 3 : (*self._offsets[type_id + 1 : type_id + 2], len(words))[0]]
        if kind is Kind.INT:
            encoding = rest[0] >> 24 & 15
            return Type(
                type_id,
                kind,
                name,
                size,
                bits=rest[0] & 0xFF,
                bit_offset=rest[0] >> 16 & 0xFF,
                is_signed=bool(encoding & 1),
                is_bool=bool(encoding & 4),
            )
        if kind in (Kind.STRUCT, Kind.UNION):
            members = tuple(self._members(rest, is_flagged=flag))
            return Type(type_id, kind, name, size, members=members)
        if kind is Kind.ARRAY:
            return Type(type_id, kind, name, target=rest[0], count=rest[2])
        if kind in (Kind.ENUM, Kind.ENUM64):
            names = tuple(self._enumerators(kind, rest, is_signed=flag))
            return Type(type_id, kind, name, size, names=names, is_signed=flag)
        if kind is Kind.DATASEC:
            variables = (Member("", v, o, s) for v, o, s in _rows(rest, 3))
            return Type(type_id, kind, name, size, members=tuple(variables))
        if kind is Kind.FUNC_PROTO:
            parameters = (Member(self.text(n), t) for n, t in _rows(rest, 2))
            return Type(type_id, kind, name, target=size, members=tuple(parameters))
        if kind is Kind.FWD:
            return Type(type_id, kind, name)
        return Type(
            type_id, kind, name, size if kind in _SIZED else 0, 0 if kind in _SIZED else size
        )

    def _members(self, words: tuple[int, ...], *, is_flagged: bool) -> Iterator[Member]:
        for name, type_id, offset in _rows(words, 3):
            if is_flagged:
                yield Member(self.text(name), type_id, offset & 0xFFFFFF, offset >> 24)
            else:
                yield Member(self.text(name), type_id, offset)

    def _enumerators(
        self, kind: Kind, words: tuple[int, ...], *, is_signed: bool
    ) -> Iterator[tuple[str, int]]:
        bits = 32 if kind is Kind.ENUM else 64
        for row in _rows(words, bits // 32 + 1):
            value = row[1] | (row[2] << 32 if bits == 64 else 0)
            # LLVM before 15 leaves the flag out of enums with negative values: libbpf and the
            # kernel print such values as unsigned, and so do we.
            yield (
                self.text(row[0]),
                value - (1 << bits) if is_signed and value >> (bits - 1) else value,
            )


def line_info(raw_btf_ext: bytes, btf: Btf) -> dict[str, tuple[Line, ...]]:
    """Read the C lines of each section's instructions from a .BTF.ext section.

    Raises:
        LoadError: the bytes are no .BTF.ext, or are damaged.
    """
    order = _byte_order(raw_btf_ext, "no .BTF.ext")
    try:
        length, _, _, start, size = struct.unpack_from(order + "IIIII", raw_btf_ext, 4)
        at, stop = length + start, length + start + size
        if not size:
            return {}
        (record_size,) = struct.unpack_from(order + "I", raw_btf_ext, at)
        if record_size < 16 or stop > len(raw_btf_ext):
            raise LoadError("damaged .BTF.ext: its line information is cut short")
        at += 4
        found: dict[str, tuple[Line, ...]] = {}
        while at < stop:
            section, count = struct.unpack_from(order + "II", raw_btf_ext, at)
            at += 8
            if at + count * record_size > stop:
                raise LoadError("damaged .BTF.ext: its line information is cut short")
            offsets = range(at, at + count * record_size, record_size)
            rows = (struct.unpack_from(order + "IIII", raw_btf_ext, o) for o in offsets)
            found[btf.text(section)] = tuple(
                Line(row[0] // 8, btf.text(row[1]), btf.text(row[2]), row[3] >> 10, row[3] & 0x3FF)
                for row in rows
            )
            at += count * record_size
    except struct.error as e:
        raise LoadError("damaged .BTF.ext: it is cut short") from e
    return found


def _rows(words: tuple[int, ...], width: int) -> Iterator[tuple[int, ...]]:
    return (words[i : i + width] for i in range(0, len(words), width))


def _byte_order(raw: bytes, otherwise: str) -> str:
    magic = bytes(raw[:2])
    if magic == MAGIC.to_bytes(2, "little"):
        return "<"
    if magic == MAGIC.to_bytes(2, "big"):
        return ">"
    raise LoadError(
        f"{otherwise}: it begins with '{magic.hex(' ')}', not with the magic number eb9f"
    )


def _header(raw: bytes) -> tuple[str, int, int, bytes]:
    order = _byte_order(raw, "no BTF")
    if len(raw) < 24:
        raise LoadError(f"damaged BTF: {len(raw)} bytes, its header alone has 24")
    _, version, _, length, type_at, type_size, text_at, text_size = struct.unpack_from(
        order + _HEADER, raw
    )
    if version != 1:
        raise LoadError(f"BTF of version {version}, only version 1 is known")
    if max(type_at + type_size, text_at + text_size) + length > len(raw) or type_size % 4:
        raise LoadError(f"damaged BTF: {len(raw)} bytes, its types and strings need more")
    begin = length + text_at
    return order, length + type_at, length + type_at + type_size, raw[begin : begin + text_size]


def _index(words: tuple[int, ...]) -> list[int]:
    # Where each type begins; type 0 (void) is not stored.
    offsets, at, end, extra = [0], 0, len(words), _EXTRA
    while at < end:
        offsets.append(at)
        if at + 3 > end:
            raise LoadError(f"damaged BTF: type {len(offsets) - 1} is cut short")
        info = words[at + 1]
        kind = info >> 24 & 0x1F
        if not 0 < kind < len(extra):
            raise LoadError(
                f"damaged BTF: type {len(offsets) - 1} is of kind {kind}, known are 1 to 19"
            )
        fixed, each = extra[kind]
        at += 3 + fixed + each * (info & 0xFFFF)
    if at > end:
        raise LoadError(f"damaged BTF: type {len(offsets) - 1} is cut short")
    return offsets
