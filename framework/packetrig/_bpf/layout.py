"""The parts that codecs are made of: what fits where, and what to say when it does not."""

from __future__ import annotations

import reprlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import CodecError

# From a value to what the format packs, and from what it unpacks to a value.
Lower = Callable[[Any], Any]
Lift = Callable[[Any], Any]

# The struct module's letters for unsigned numbers, by size.
LETTERS = {1: "B", 2: "H", 4: "I", 8: "Q"}
# More than any map value or global can have; a larger type is damage.
LARGEST = 1 << 32


def shown(value: object) -> str:
    return reprlib.repr(value)


class Misfit(Exception):
    """Carry what does not fit up to Codec.encode, past the fields that it lies in."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.path: list[str] = []

    def told(self, name: str) -> str:
        return f"{name}{''.join(reversed(self.path))}: {self}"


@dataclass(frozen=True, slots=True)
class Field:
    """Describe where a field of a struct lies; `bits` is 0 for all but bit fields.

    The fields of an unnamed struct or union inside appear as fields of the struct itself.
    """

    name: str
    offset: int
    codec: Codec
    bits: int = 0
    bit_offset: int = 0
    is_signed: bool = False


class Codec:
    """Encode and decode the values of one type.

    `name` is the type as C spells it, `size` its bytes, `fields` those of a struct or union.
    """

    __slots__ = ("_unpack", "fields", "format", "lift", "lower", "name", "pack", "size")

    def __init__(
        self,
        name: str,
        size: int,
        form: str,
        order: str,
        lower: Lower,
        lift: Lift | None = None,
        fields: tuple[Field, ...] = (),
    ) -> None:
        packer = struct.Struct(order + form)
        self.name, self.size, self.format, self.fields = name, size, form, fields
        self.lower, self.lift = lower, lift
        self.pack, self._unpack = packer.pack, packer.unpack

    def encode(self, value: object) -> bytes:
        """Turn a value into exactly `size` bytes; bytes of that size are taken as they are.

        A Record of this very struct also keeps its bytes, padding included, so that a key that a
        program stored is found again; everything else gets padding of zeros.

        Raises:
            CodecError: the value does not fit; the message says which field and what would.
        """
        if type(value) is bytes and len(value) == self.size:
            return value
        try:
            return self.pack(self.lower(value))
        except Misfit as e:
            raise CodecError(e.told(self.name)) from None

    def decode(self, data: bytes) -> Any:
        """Turn exactly `size` bytes into a value.

        Raises:
            CodecError: there are more or fewer bytes.
        """
        if len(data) != self.size:
            raise CodecError(f"{self.name}: {len(data)} bytes given, it has {self.size}")
        (wire,) = self._unpack(data)
        return wire if self.lift is None else self.lift(wire)

    def __repr__(self) -> str:
        return f"<Codec {self.name}, {self.size} bytes>"
