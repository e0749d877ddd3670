"""What values of a program look like in Python: numbers, addresses, records.

All of them are ordinary values with better manners: a Be is an int, an Octets is bytes, an In6 is
text, a Record is a mapping. Each hashes as what it is, so it is found in a dict by that, while
`==` also knows what else people write.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Self

from ..errors import no_such


class Be(int):
    """Hold the host number of a field that travels in network byte order (__be16, __be64)."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


class Be16(Be):
    """Hold a __be16, such as a port."""

    __slots__ = ()


class Be32(Be):
    """Hold a __be32; it also equals the IPv4 address that it spells: `key == "10.0.0.66"`."""

    __slots__ = ()

    @property
    def address(self) -> str:
        """Spell the number as an IPv4 address."""
        return socket.inet_ntop(socket.AF_INET, self.to_bytes(4, "big"))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str | IPv4Address):
            return self.address == str(other)
        return int.__eq__(self, other)  # NotImplemented passes through

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = int.__hash__

    def __repr__(self) -> str:
        return f"{self.address} ({int(self)})"

    __str__ = __repr__


class Be64(Be):
    """Hold a __be64."""

    __slots__ = ()


class Named(int):
    """Hold a value of an enum together with its `name`; it equals both."""

    name: str

    @classmethod
    def of(cls, value: int, name: str) -> Named:
        """Give a number its name."""
        named = cls(value)
        named.name = name
        return named

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return self.name == other
        return int.__eq__(self, other)  # NotImplemented passes through

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = int.__hash__

    def __repr__(self) -> str:
        return f"{self.name} ({int(self)})"

    __str__ = __repr__


class Octets(bytes):
    """Hold an array of u8; it also equals a list of its numbers and the address that it spells.

    6 bytes spell a MAC address, 16 an IPv6 address, 4 an IPv4 address.
    """

    __slots__ = ()

    @property
    def text(self) -> str:
        """Spell the bytes: as an address when they have the length of one, else in hex."""
        if len(self) == 6:
            return self.hex(":")
        if len(self) == 16:
            return socket.inet_ntop(socket.AF_INET6, bytes(self))
        if len(self) == 4:
            return socket.inet_ntop(socket.AF_INET, bytes(self))
        return self.hex()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str | IPv4Address | IPv6Address):
            return self._spells(str(other))
        if isinstance(other, list | tuple):
            return list(self) == list(other)
        return bytes.__eq__(self, other)  # NotImplemented passes through

    def _spells(self, text: str) -> bool:
        return octets_of(text, len(self)) == bytes(self)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = bytes.__hash__

    def __repr__(self) -> str:
        return repr(self.text) if len(self) in (6, 16) else bytes.__repr__(self)

    __str__ = __repr__


class In6(str):
    """Hold a struct in6_addr: the text of an IPv6 address; it also equals its 16 bytes.

    `bytes(value)` gives those.
    """

    __slots__ = ()

    def __bytes__(self) -> bytes:
        return socket.inet_pton(socket.AF_INET6, self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, bytes):
            return bytes(self) == other
        if isinstance(other, IPv6Address):
            return bytes(self) == other.packed
        if isinstance(other, str):
            return str.__eq__(self, other) or octets_of(other, 16) == bytes(self)
        return NotImplemented

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


class Untyped(Octets):
    """Hold an event whose type nobody tells; asked for a field, it says what would tell."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        # Only asked for what bytes do not have. Python itself looks for names with underscores.
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(
            f"no field '{name}' in an event of {len(self)} bytes of unknown type: no struct of the "
            "object, or more than one, has this size; keep it there with a global, "
            "const struct event *unused_event; or name it, read('event')"
        )


class Text(Octets):
    """Hold an array of char; it also equals the C string in it: all before the first NUL."""

    __slots__ = ()

    @property
    def text(self) -> str:
        """Read the C string, all before the first NUL."""
        return self.partition(b"\0")[0].decode("utf-8", "backslashreplace")

    def _spells(self, text: str) -> bool:
        return self.partition(b"\0")[0] == text.encode("utf-8", "surrogateescape")

    def __repr__(self) -> str:
        # As text when nothing is hidden behind the NUL.
        head, _, tail = self.partition(b"\0")
        plain = not tail.strip(b"\0") and head.decode("utf-8", "replace").isprintable()
        return repr(self.text) if plain else bytes.__repr__(self)

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Shape:
    """Name a struct and its fields; `places` tells apart structs of equal names and other bytes."""

    name: str
    names: tuple[str, ...]
    size: int
    places: tuple[tuple[int, str], ...]
    index: Mapping[str, int] = field(compare=False, hash=False, repr=False)


class Record(Mapping[str, Any]):
    """Hold a struct or union as a read-only mapping whose fields are attributes as well.

    It equals a dict with equal fields and prints like one; `raw` are the bytes as they were read,
    padding included. It is a copy: to change a map, assign to its key.

        flow = router.maps.flows[key]
        assert flow.packets == 1
        router.maps.flows[key] = {**flow, "packets": 2}
    """

    __slots__ = ("_shape", "_values", "raw")
    _shape: Shape
    _values: tuple[Any, ...]
    raw: bytes

    def __init__(self, shape: Shape, values: tuple[Any, ...], raw: bytes) -> None:
        _set_shape(self, shape)
        _set_values(self, values)
        _set_raw(self, raw)

    def __getitem__(self, name: str) -> Any:
        try:
            return self._values[self._shape.index[name]]
        except KeyError:
            raise no_such("field", str(name), self._shape.names, owner=self._shape.name) from None

    def __getattr__(self, name: str) -> Any:
        # Only asked for what is no attribute of the class.
        return self[name]

    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError(
            f"a record is a copy; to change '{name}', assign the whole: {{**record, '{name}': ...}}"
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._shape.names)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Record) and self._shape is other._shape:
            return self._values == other._values
        if isinstance(other, Mapping):
            return dict(self.items()) == dict(other.items())
        return NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(zip(self._shape.names, self._values, strict=True)))

    def __repr__(self) -> str:
        return repr(dict(self.items()))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._shape.names]

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Record], tuple[Shape, tuple[Any, ...], bytes]]:
        return Record, (self._shape, self._values, self.raw)

    def is_of(self, shape: Shape) -> bool:
        """Tell whether the bytes of this record are those of a struct of that shape."""
        return self._shape is shape or self._shape == shape


# __setattr__ refuses, the slots themselves do not.
_set_shape = Record.__dict__["_shape"].__set__
_set_values = Record.__dict__["_values"].__set__
_set_raw = Record.__dict__["raw"].__set__


def octets_of(text: str, size: int) -> bytes | None:
    """Read a MAC (6 bytes), IPv4 (4) or IPv6 (16) address; None when the text is no such thing."""
    try:
        if size == 6:
            parts = text.replace("-", ":").split(":")
            octets = bytes(int(part, 16) for part in parts if 0 < len(part) <= 2)
            return octets if len(octets) == len(parts) == 6 else None
        if size in (4, 16):
            family = socket.AF_INET if size == 4 else socket.AF_INET6
            return socket.inet_pton(family, text)
    except (OSError, ValueError):
        pass
    return None
