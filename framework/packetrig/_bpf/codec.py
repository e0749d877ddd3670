"""Turn Python values into the bytes of a BTF type, and back.

What is worked out once for each type: a format of the struct module and two functions, `lower`
from a value to what that format packs, `lift` from what it unpacks to a value.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv6Address
from typing import Any, cast

from ..errors import CodecError
from .btf import Btf, Kind, Type
from .layout import LARGEST, LETTERS, Codec, Field, Misfit, shown
from .scalars import (
    FLOATS,
    be_codec,
    bool_codec,
    enum_codec,
    float_codec,
    int_codec,
    lift_in6,
    lower_in6,
    octets_codec,
)
from .structs import Fields

__all__ = ["Codec", "Field", "codec"]

# libc's names for what linux/types.h calls __be32 and __be16 are among them.
_BE_NAMES = {"__be16": 2, "__be32": 4, "__be64": 8, "in_addr_t": 4, "in_port_t": 2}


def codec(btf: Btf, type_id: int) -> Codec:
    """Work out how the values of a type are encoded; the answer is kept with the Btf.

    Raises:
        CodecError: the type has no size (a function, void, a struct that is only declared).
        LoadError: the BTF is damaged.
    """
    known = btf.codecs.get(type_id, btf)
    if known is None:
        raise CodecError(f"damaged BTF: type {type_id} contains itself")
    if known is not btf:
        return cast(Codec, known)
    btf.codecs[type_id] = None
    try:
        made = _make(btf, type_id)
    except RecursionError as e:
        raise CodecError(f"damaged BTF: type {type_id} is nested too deep") from e
    finally:
        del btf.codecs[type_id]
    btf.codecs[type_id] = made
    return made


def _make(btf: Btf, type_id: int) -> Codec:
    plain = btf.strip(type_id)
    name, be_size = _name_of(btf, type_id, plain)
    order, size = btf.order, plain.size
    if plain.kind is Kind.INT:
        if be_size and be_size == size:
            return be_codec(name, size, order)
        if plain.is_bool and size in LETTERS:
            return bool_codec(name, size, order)
        return int_codec(name, size, order, is_signed=plain.is_signed)
    if plain.kind is Kind.PTR:
        return int_codec(name, 8, order, is_signed=False)
    if plain.kind in (Kind.ENUM, Kind.ENUM64) and size in LETTERS:
        return enum_codec(name, plain, order)
    if plain.kind is Kind.FLOAT:
        return float_codec(name, size, order) if size in FLOATS else octets_codec(name, size, order)
    if plain.kind is Kind.ARRAY:
        return _array(btf, plain)
    if plain.kind is Kind.STRUCT and plain.name == "in6_addr" and size == 16:
        return Codec(name, 16, "16s", order, lower_in6, lift_in6)
    if plain.kind in (Kind.STRUCT, Kind.UNION):
        from_fields = Fields(name, size, order, tuple(_fields_of(btf, plain)))
        return from_fields.codec()
    raise CodecError(f"{name}: a {plain.kind.name.lower()} has no value that could be encoded")


def _name_of(btf: Btf, type_id: int, plain: Type) -> tuple[str, int]:
    # The name as C spells it, and the size that a big-endian typedef on the way asks for.
    name, be_size, here = "", 0, btf.type(type_id)
    while here is not plain:
        if here.kind is Kind.TYPEDEF:
            name = name or here.name
            be_size = be_size or _BE_NAMES.get(here.name, 0)
        here = btf.type(here.target)
    if name:
        return name, be_size
    if plain.kind is Kind.PTR:
        return "pointer", 0
    prefix = {Kind.STRUCT: "struct ", Kind.UNION: "union ", Kind.FWD: "struct "}.get(plain.kind, "")
    prefix = "enum " if plain.kind in (Kind.ENUM, Kind.ENUM64) else prefix
    return prefix + (plain.name or "(unnamed)" if prefix else plain.name or "void"), 0


def _array(btf: Btf, plain: Type) -> Codec:
    element, inner, count = codec(btf, plain.target), btf.strip(plain.target), plain.count
    base, bracket, rest = element.name.partition("[")
    name, size, order = f"{base}[{count}]{bracket}{rest}", element.size * count, btf.order
    if size > LARGEST or (count and not element.size):
        raise CodecError(f"{name}: {count} elements of {element.size} bytes cannot be encoded")
    if inner.kind is Kind.INT and inner.size == 1 and not inner.is_bool:
        # char is signed on some machines and not on others: its name decides.
        if inner.name == "char":
            return octets_codec(name, count, order, is_text=True)
        if not inner.is_signed:
            return octets_codec(name, count, order)
    each = struct.Struct(order + element.format)
    is_in6 = (
        count == 4 and element.size == 4 and element.lift is not None and inner.kind is Kind.INT
    )

    def lower(value: Any) -> bytes:
        if isinstance(value, bytes | bytearray | memoryview) and len(value) == size:
            return bytes(value)
        if is_in6 and isinstance(value, str | IPv6Address):
            return lower_in6(value)
        if not isinstance(value, list | tuple):
            raise Misfit(
                f"{shown(value)} does not fit; {name} takes {count} values or {size} bytes"
            )
        if len(value) != count:
            raise Misfit(f"{len(value)} values given, {name} takes {count}")
        packed = []
        for i, item in enumerate(value):
            try:
                packed.append(each.pack(element.lower(item)))
            except Misfit as e:
                e.path.append(f"[{i}]")
                raise
        return b"".join(packed)

    def lift(raw: bytes) -> tuple[Any, ...]:
        if not count:
            return ()
        up = element.lift
        if up is None:
            return tuple([wire for (wire,) in each.iter_unpack(raw)])
        return tuple([up(wire) for (wire,) in each.iter_unpack(raw)])

    return Codec(name, size, f"{size}s", order, lower, lift)


def _fields_of(
    btf: Btf, plain: Type, base: int = 0, around: tuple[int, ...] = ()
) -> Iterator[Field]:
    # Unnamed structs and unions are looked through, unnamed bit fields are padding.
    if plain.id in around:
        raise CodecError("damaged BTF: an unnamed struct contains itself")
    for member in plain.members:
        inner, at, bits = btf.strip(member.type_id), base + member.offset, member.bits
        if not member.name:
            if inner.kind in (Kind.STRUCT, Kind.UNION):
                yield from _fields_of(btf, inner, at, (*around, plain.id))
            continue
        if not bits and inner.kind is Kind.INT and 0 < inner.bits < inner.size * 8:
            # Before the kind flag, a bit field was a type of its own.
            bits, at = inner.bits, at + inner.bit_offset
        made = codec(btf, inner.id if bits else member.type_id)
        is_number = inner.kind in (Kind.INT, Kind.ENUM, Kind.ENUM64) and made.size in LETTERS
        if bits > made.size * 8 or (not is_number if bits else at % 8):
            where = f"{plain.name}.{member.name}"
            raise CodecError(f"damaged BTF: {where} lies at {at}, {bits} bits wide")
        yield Field(member.name, at // 8, made, bits, at, inner.is_signed)
