"""Codecs of structs and unions."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, cast

from ..errors import CodecError, no_such
from .layout import LARGEST, Codec, Field, Misfit, shown
from .values import Record, Shape


class Fields:
    """Encode and decode one struct: by one format, or field by field where fields share bytes."""

    __slots__ = (
        "_by_name",
        "_fields",
        "_formats",
        "_lifts",
        "_lowers",
        "_order",
        "_packer",
        "_shape",
    )

    def __init__(self, name: str, size: int, order: str, fields: tuple[Field, ...]) -> None:
        if size > LARGEST:
            raise CodecError(f"damaged BTF: {name} of {size} bytes")
        for f in fields:
            end = (f.bit_offset + f.bits + 7) // 8 if f.bits else f.offset + f.codec.size
            if end > size:
                raise CodecError(
                    f"damaged BTF: {name}.{f.name} ends at {end}, the struct at {size}"
                )
        names = tuple(f.name for f in fields)
        index = {label: i for i, label in enumerate(names)}
        places = tuple((f.bit_offset, f.codec.name) for f in fields)
        self._shape = Shape(name, names, size, places, index)
        self._fields, self._order = fields, order
        self._by_name = {f.name: f for f in fields}
        self._lifts = tuple(f.codec.lift for f in fields)
        self._lowers = tuple((f.name, f.codec.lower, _zero(f.codec)) for f in fields)
        form = _one_format(fields, size)
        self._packer = struct.Struct(order + form) if form is not None else None

    def codec(self) -> Codec:
        simple = self._packer is not None
        lift = self._lift if simple else self._lift_shared
        if simple and not any(self._lifts):
            lift = self._lift_plain
        shape = self._shape
        form = f"{shape.size}s"
        return Codec(shape.name, shape.size, form, self._order, self._lower, lift, self._fields)

    def _lower(self, value: Any) -> bytes:
        shape = self._shape
        if isinstance(value, Record) and value.is_of(shape):
            return value.raw
        if not isinstance(value, Mapping):
            if isinstance(value, bytes | bytearray | memoryview) and len(value) == shape.size:
                return bytes(value)
            if len(shape.names) != 1:
                have = ", ".join(shape.names)
                raise Misfit(
                    f"{shown(value)} does not fit; give a dict of {have} or {shape.size} bytes"
                )
            value = {shape.names[0]: value}
        for label in value:
            if label not in shape.index:
                raise Misfit(str(no_such("field", str(label), shape.names, owner="it")))
        if self._packer is None:
            return self._lower_shared(value)
        wires = []
        for label, lower, zero in self._lowers:
            try:
                wires.append(lower(value[label]) if label in value else zero)
            except Misfit as e:
                e.path.append(f".{label}")
                raise
        return self._packer.pack(*wires)

    def _lift_plain(self, raw: bytes) -> Record:
        return Record(self._shape, cast(struct.Struct, self._packer).unpack(raw), raw)

    def _lift(self, raw: bytes) -> Record:
        wires = cast(struct.Struct, self._packer).unpack(raw)
        values = [
            wire if up is None else up(wire) for up, wire in zip(self._lifts, wires, strict=True)
        ]
        return Record(self._shape, tuple(values), raw)

    def _lift_shared(self, raw: bytes) -> Record:
        return Record(self._shape, tuple([self._read(f, raw) for f in self._fields]), raw)

    def _lower_shared(self, value: Mapping[str, Any]) -> bytes:
        buffer = bytearray(self._shape.size)
        written = []
        for label, item in value.items():
            f = self._by_name[label]
            try:
                self._write(f, buffer, item)
            except Misfit as e:
                e.path.append(f".{label}")
                raise
            written.append((f, self._part(f, buffer)))
        for f, part in written:
            if self._part(f, buffer) != part:
                others = " and ".join(label for label in value)
                raise Misfit(f"{f.name} shares its bytes with another field of {others}; give one")
        return bytes(buffer)

    # One field of many: as an int of its bits for a bit field, else as bytes.
    def _part(self, f: Field, raw: bytes | bytearray) -> int | bytes:
        if not f.bits:
            return bytes(raw[f.offset : f.offset + f.codec.size])
        start, stop, shift = self._span(f)
        return int.from_bytes(raw[start:stop], self._byte_order()) >> shift & ((1 << f.bits) - 1)

    def _read(self, f: Field, raw: bytes) -> Any:
        part = self._part(f, raw)
        if isinstance(part, bytes):
            return f.codec.decode(part)
        number = part - (1 << f.bits) if f.is_signed and part >> (f.bits - 1) else part
        return number if f.codec.lift is None else f.codec.lift(number)

    def _write(self, f: Field, buffer: bytearray, item: Any) -> None:
        if not f.bits:
            buffer[f.offset : f.offset + f.codec.size] = f.codec.pack(f.codec.lower(item))
            return
        low, high = -(1 << f.bits - 1) if f.is_signed else 0, (1 << f.bits - f.is_signed) - 1
        number = f.codec.lower(item)
        if not low <= number <= high:
            raise Misfit(f"{number} does not fit, its {f.bits} bits take {low} to {high}")
        start, stop, shift = self._span(f)
        mask = (1 << f.bits) - 1
        whole = int.from_bytes(buffer[start:stop], self._byte_order()) & ~(mask << shift)
        whole |= (number & mask) << shift
        buffer[start:stop] = whole.to_bytes(stop - start, self._byte_order())

    def _span(self, f: Field) -> tuple[int, int, int]:
        # The bytes that a bit field lies in, and how far its lowest bit is from their end.
        start, stop = f.bit_offset // 8, (f.bit_offset + f.bits + 7) // 8
        shift = f.bit_offset - start * 8
        if self._order == ">":
            shift = stop * 8 - f.bit_offset - f.bits
        return start, stop, shift

    def _byte_order(self) -> Any:
        return "little" if self._order == "<" else "big"


def _zero(made: Codec) -> Any:
    return b"" if made.format.endswith("s") else 0


def _one_format(fields: tuple[Field, ...], size: int) -> str | None:
    # None when fields share bytes or are no whole bytes.
    form, at = [], 0
    for f in fields:
        if f.bits or f.offset < at:
            return None
        form.append(f"{f.offset - at}x{f.codec.format}")
        at = f.offset + f.codec.size
    return "".join(form) + f"{size - at}x"
