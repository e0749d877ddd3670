"""Arguments of strategies: a value or a strategy each, checked with their names."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypedDict, TypeVar

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")
Arg: TypeAlias = T | SearchStrategy[T] | SearchStrategy[T | None] | None
Address: TypeAlias = str | int | bytes | ipaddress.IPv4Address | ipaddress.IPv6Address
Mac: TypeAlias = str | bytes
Values: TypeAlias = Mapping[str, Any]  # Any: what each name stands for is in _CONVERTERS


class Ethernet(TypedDict, total=False):
    """The arguments for Ethernet: addresses, and VLAN tags from the outside in."""

    source_mac: Arg[Mac]
    destination_mac: Arg[Mac]
    vlans: Arg[int | Iterable[int]]


class Network(Ethernet, total=False):
    """The arguments for IPv4 and IPv6. What only one of them has, chooses that one."""

    version: Arg[int]
    source: Arg[Address]
    destination: Arg[Address]
    ttl: Arg[int]
    tos: Arg[int]
    ip_length: Arg[int]
    identification: Arg[int]
    fragment_offset: Arg[int]
    more_fragments: Arg[bool]
    # IPv4
    dont_fragment: Arg[bool]
    ip_options: Arg[bytes]
    ihl: Arg[int]
    ip_checksum: Arg[int]
    # IPv6
    flow_label: Arg[int]
    extensions: Arg[Iterable[tuple[int, bytes]]]


_LOWER = frozenset(Network.__annotations__)
_ONLY_V4 = frozenset({"dont_fragment", "ip_options", "ihl", "ip_checksum"})
_ONLY_V6 = frozenset({"flow_label", "extensions"})

# Random decisions of one example: a single draw, from which every field takes what it needs. All
# zeros is the plainest packet, which is what Hypothesis shrinks to.
PICKS = 98


def drawn(
    assemble: Callable[[bytes, Values], bytes],
    arguments: Mapping[str, object],
    lower: Mapping[str, object] | None = None,
    *,
    has_network: bool = True,
) -> SearchStrategy[bytes]:
    """Make the strategy: one draw of decisions, one for each argument that is a strategy."""
    given = {
        name: value for name, value in {**arguments, **(lower or {})}.items() if value is not None
    }
    _check_names(lower or {}, _LOWER if has_network else frozenset(Ethernet.__annotations__))
    _check_version(given)
    fixed = {
        name: converted(name, value)
        for name, value in given.items()
        if not isinstance(value, SearchStrategy)
    }
    open_names = [name for name in given if name not in fixed]

    def packet(picked: tuple[Any, ...]) -> bytes:
        values = dict(fixed)
        for name, value in zip(open_names, picked[1:], strict=True):
            if value is not None:
                values[name] = converted(name, value)
        return assemble(picked[0], values)

    parts: list[SearchStrategy[Any]] = [st.binary(min_size=PICKS, max_size=PICKS)]
    parts += [given[name] for name in open_names]  # type: ignore[misc] # sifted by isinstance above
    return st.tuples(*parts).map(packet)


def _check_names(lower: Mapping[str, object], known: frozenset[str]) -> None:
    for name in lower:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f", did you mean {near[0]}?" if near else ""
            raise InvalidArgument(f"there is no argument {name}{hint}")


def _check_version(given: Mapping[str, object]) -> None:
    v4, v6 = sorted(_ONLY_V4 & given.keys()), sorted(_ONLY_V6 & given.keys())
    if v4 and v6:
        raise InvalidArgument(f"{v4[0]}= is of IPv4 and {v6[0]}= of IPv6: no packet has both")
    if given.get("version") in (4, 6):
        wrong = v6 if given["version"] == 4 else v4
        if wrong:
            raise InvalidArgument(f"{wrong[0]}= does not go with version={given['version']}")


def version_of(picks: bytes, values: Values) -> int:
    """Find the IP version that the arguments ask for; where none does, it is picked."""
    asked: dict[str, int] = {}
    if "version" in values:
        asked["version"] = values["version"]
    for name in ("source", "destination"):
        if name in values:
            asked[name] = 6 if len(values[name]) == 16 else 4
    for name in _ONLY_V4 & values.keys():
        asked[name] = 4
    for name in _ONLY_V6 & values.keys():
        asked[name] = 6
    if not asked:
        return 6 if picks[0] & 1 else 4
    if len(set(asked.values())) > 1:
        told = ", ".join(f"{name}= means IPv{version}" for name, version in asked.items())
        raise InvalidArgument(f"the arguments contradict each other: {told}")
    return next(iter(asked.values()))


def converted(name: str, value: object) -> object:
    """Check one value of one argument, and give it as the assembly wants it."""
    most = _MOST.get(name)
    if most is not None:
        return _number(name, value, most)
    convert = _CONVERTERS.get(name)
    if convert is None:
        return value
    try:
        return convert(value)
    except (TypeError, ValueError) as e:
        raise InvalidArgument(f"{name}={value!r}: {e}") from e


def _number(name: str, value: object, most: int) -> int:
    if isinstance(value, int) and 0 <= value <= most:
        return int(value)
    raise InvalidArgument(f"{name}={value!r}: it takes an int from 0 to {most}")


def _version(value: object) -> int:
    if value not in (4, 6):
        raise ValueError("it takes 4 or 6")
    return 4 if value == 4 else 6


def _address(value: Any) -> bytes:
    return ipaddress.ip_address(value).packed


def _mac(value: Any) -> bytes:
    packed = value if isinstance(value, bytes) else bytes.fromhex(str(value).replace(":", ""))
    if len(packed) != 6:
        raise ValueError("it takes six bytes, or text like 02:00:00:00:00:01")
    return packed


def _vlans(value: Any) -> tuple[int, ...]:
    tags = (value,) if isinstance(value, int) else tuple(value)
    for tag in tags:
        if not 0 <= tag <= 0xFFFF:
            raise ValueError("a tag is an int from 0 to 65535")
    return tags


def _octets(value: Any, *, most: int) -> bytes:
    if not isinstance(value, (bytes, bytearray)):
        raise TypeError("it takes bytes")
    if len(value) > most:
        raise ValueError(f"{len(value)} bytes do not fit: at most {most} do")
    return bytes(value)


def _extensions(value: Any) -> tuple[tuple[int, bytes], ...]:
    chain = tuple(value)
    for each in chain:
        if len(each) != 2 or not isinstance(each[1], bytes) or len(each[1]) % 8 != 7:
            raise ValueError(
                "it takes pairs of a protocol number and the header without its first byte"
                " (7, 15, 23... bytes)"
            )
    return chain


def _flags(value: Any) -> int:
    if isinstance(value, str):
        unknown = set(value) - set("FSRPAUEC")
        if unknown:
            raise ValueError("the letters are F S R P A U E C")
        return sum(1 << "FSRPAUEC".index(letter) for letter in set(value))
    if not isinstance(value, int) or not 0 <= value <= 0xFFF:
        raise ValueError("it takes letters such as 'SA', or an int from 0 to 4095")
    return value


_MOST = {
    **dict.fromkeys(("ttl", "tos", "protocol", "kind", "code"), 0xFF),
    **dict.fromkeys(("ihl", "data_offset"), 0xF),
    **dict.fromkeys(("source_port", "destination_port", "window", "urgent"), 0xFFFF),
    **dict.fromkeys(("identification", "ip_length", "ip_checksum", "length"), 0xFFFF),
    **dict.fromkeys(("checksum", "ethertype", "operation"), 0xFFFF),
    **dict.fromkeys(("sequence", "acknowledgment", "crc", "tag"), 0xFFFFFFFF),
    "fragment_offset": 0x1FFF,
    "flow_label": 0xFFFFF,
}
_CONVERTERS: dict[str, Callable[[Any], object]] = {
    "version": _version,
    "source": _address,
    "destination": _address,
    "sender": _address,
    "target": _address,
    "source_mac": _mac,
    "destination_mac": _mac,
    "sender_mac": _mac,
    "target_mac": _mac,
    "vlans": _vlans,
    "flags": _flags,
    "dont_fragment": bool,
    "more_fragments": bool,
    "extensions": _extensions,
    "options": lambda value: _octets(value, most=40),
    "ip_options": lambda value: _octets(value, most=40),
    "rest": lambda value: _octets(value, most=4).ljust(4, b"\0"),
    # What is left of 65,535 under the longest headers.
    "payload": lambda value: _octets(value, most=65_000),
    "method": lambda value: _octets(_encoded(value), most=1000),
    "path": lambda value: _octets(_encoded(value), most=60_000),
}


def _encoded(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value
