"""Codecs of numbers, enums, addresses and arrays of octets."""

from __future__ import annotations

import operator
import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Any, cast

from ..errors import CodecError, no_such
from .btf import Type
from .layout import LETTERS, Codec, Misfit, shown
from .values import Be, Be16, Be32, Be64, In6, Named, Octets, Text, octets_of

FLOATS = {2: "e", 4: "f", 8: "d"}
_BE: dict[int, type[Be]] = {2: Be16, 4: Be32, 8: Be64}


# Numbers ------------------------------------------------------------------------------------


def _limits(size: int, *, is_signed: bool) -> tuple[int, int]:
    bits = size * 8
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if is_signed else (0, (1 << bits) - 1)


def _number(value: object, name: str, low: int, high: int, *, order: str, size: int) -> int:
    # What is no plain int in range: subclasses, numpy's numbers, bytes; and all the errors.
    if isinstance(value, bytes | bytearray | memoryview):
        if len(value) != size:
            raise Misfit(f"{len(value)} bytes do not fit, {name} has {size}")
        byte_order = "little" if order == "<" else "big"
        return int.from_bytes(value, byte_order, signed=low < 0)  # type: ignore[arg-type] # mypy widens the literal
    if isinstance(value, str | IPv4Address | IPv6Address):
        hint = (
            "; declare it __be32 to give addresses, or give its bytes: socket.inet_aton(...)"
            if size == 4 and octets_of(str(value), 4)
            else ""
        )
        raise Misfit(f"{str(value)!r} is no number; {name} takes {low} to {high}{hint}")
    try:
        number = operator.index(cast(Any, value))
    except TypeError:
        raise Misfit(f"{shown(value)} is no whole number; {name} takes {low} to {high}") from None
    if not low <= number <= high:
        raise Misfit(f"{number} does not fit, {name} takes {low} to {high}")
    return number


def int_codec(name: str, size: int, order: str, *, is_signed: bool) -> Codec:
    if not 0 < size <= 16:
        raise CodecError(f"damaged BTF: {name} is a number of {size} bytes")
    low, high = _limits(size, is_signed=is_signed)

    def lower(value: Any) -> int:
        if type(value) is int and low <= value <= high:
            return value
        return _number(value, name, low, high, order=order, size=size)

    if size in LETTERS:
        letter = LETTERS[size]
        return Codec(name, size, letter.lower() if is_signed else letter, order, lower)
    # __int128, and whatever may come.
    byte_order = "little" if order == "<" else "big"

    def lower_wide(value: Any) -> bytes:
        return lower(value).to_bytes(size, byte_order, signed=is_signed)  # type: ignore[arg-type] # as above

    def lift_wide(raw: bytes) -> int:
        return int.from_bytes(raw, byte_order, signed=is_signed)  # type: ignore[arg-type] # as above

    return Codec(name, size, f"{size}s", order, lower_wide, lift_wide)


def be_codec(name: str, size: int, order: str) -> Codec:
    # In network order whatever the machine's order is, so the format is bytes.
    kind, high = _BE[size], (1 << size * 8) - 1

    def lower(value: Any) -> bytes:
        if type(value) is int and 0 <= value <= high:
            return value.to_bytes(size, "big")
        if size == 4 and isinstance(value, str | IPv4Address):
            octets = octets_of(str(value), 4)
            if octets is None:
                raise Misfit(f"{str(value)!r} is no IPv4 address; {name} takes one, or 0 to {high}")
            return octets
        return _number(value, name, 0, high, order=">", size=size).to_bytes(size, "big")

    def lift(raw: bytes) -> Be:
        return kind.from_bytes(raw, "big")

    return Codec(name, size, f"{size}s", order, lower, lift)


def bool_codec(name: str, size: int, order: str) -> Codec:
    def lower(value: Any) -> int:
        if value is True or value is False:
            return int(value)
        return _number(value, name, 0, 1, order=order, size=size)

    return Codec(name, size, LETTERS[size], order, lower, bool)


def enum_codec(name: str, plain: Type, order: str) -> Codec:
    values = dict(plain.names)
    # Of two names for one number the first is shown; both are accepted.
    known = {value: Named.of(value, label) for label, value in reversed(plain.names)}
    low, high = _limits(plain.size, is_signed=plain.is_signed)
    letter = LETTERS[plain.size]

    def lower(value: Any) -> int:
        if isinstance(value, str):
            if value not in values:
                raise Misfit(str(no_such("value", value, values, owner=name)))
            return values[value]
        if not plain.is_signed and type(value) is int and -(high + 1) // 2 <= value < 0:
            # clang before 15 does not say that an enum is signed.
            return value & high
        return _number(value, name, low, high, order=order, size=plain.size)

    def lift(wire: int) -> int:
        return known.get(wire, wire)

    form = letter.lower() if plain.is_signed else letter
    return Codec(name, plain.size, form, order, lower, lift)


def float_codec(name: str, size: int, order: str) -> Codec:
    packer = struct.Struct(order + FLOATS[size])

    def lower(value: Any) -> float:
        if isinstance(value, bytes | bytearray | memoryview) and len(value) == size:
            return cast(float, packer.unpack(value)[0])
        if isinstance(value, str | bytes | bytearray | memoryview):
            raise Misfit(f"{shown(value)} is no number")
        try:
            packer.pack(value)
        except (struct.error, OverflowError):
            raise Misfit(f"{shown(value)} does not fit, {name} has {size} bytes") from None
        return cast(float, value)

    return Codec(name, size, FLOATS[size], order, lower)


# Addresses and octets ---------------------------------------------------------------------


def lower_in6(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        if len(value) == 16:
            return bytes(value)
        raise Misfit(f"{len(value)} bytes do not fit, an IPv6 address has 16")
    octets = octets_of(str(value), 16) if isinstance(value, str | IPv6Address) else None
    if octets is None:
        raise Misfit(f"{shown(value)} is no IPv6 address; give text, ipaddress or 16 bytes")
    return octets


def lift_in6(raw: bytes) -> In6:
    return In6(socket.inet_ntop(socket.AF_INET6, raw))


_SPELLED = {4: "an IPv4 address, ", 6: "a MAC address, ", 16: "an IPv6 address, "}


def octets_codec(name: str, count: int, order: str, *, is_text: bool = False) -> Codec:
    takes = f"{name} takes {'text, ' if is_text else _SPELLED.get(count, '')}{count} bytes"

    def lower(value: Any) -> bytes:
        if isinstance(value, str | IPv4Address | IPv6Address):
            octets = (
                str(value).encode("utf-8", "surrogateescape")
                if is_text
                else octets_of(str(value), count)
            )
            if octets is None:
                raise Misfit(f"{str(value)!r} does not fit; {takes} or a list of numbers")
        elif isinstance(value, bytes | bytearray | memoryview):
            octets = bytes(value)
        elif isinstance(value, list | tuple):
            try:
                octets = bytes(value)
            except (TypeError, ValueError):
                raise Misfit(f"{shown(value)} does not fit; its numbers are 0 to 255") from None
        else:
            raise Misfit(f"{shown(value)} does not fit; {takes} or a list of numbers")
        if len(octets) == count or (is_text and len(octets) < count):
            return octets  # the format pads text with NUL
        raise Misfit(f"{len(octets)} bytes do not fit; {takes}")

    return Codec(name, count, f"{count}s", order, lower, Text if is_text else Octets)
