"""Arguments of strategies: a value or a strategy each, checked with their names."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypedDict, TypeVar

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy

from ._values import converted, said

T = TypeVar("T")
Arg: TypeAlias = T | SearchStrategy[T] | SearchStrategy[T | None] | None
Address: TypeAlias = str | int | bytes | ipaddress.IPv4Address | ipaddress.IPv6Address
Mac: TypeAlias = str | bytes
TcpOption: TypeAlias = bytes | str | tuple[str, int | tuple[int, ...] | None]
Extension: TypeAlias = str | int | tuple[int, bytes]
Values: TypeAlias = Mapping[str, Any]  # Any: what each name stands for is in _values


class Ethernet(TypedDict, total=False):
    """The arguments for Ethernet: addresses, and VLAN tags from the outside in."""

    source_mac: Arg[Mac]
    destination_mac: Arg[Mac]
    vlans: Arg[int | Iterable[int | tuple[int, int]]]


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
    ip_options: Arg[bytes | Iterable[bytes]]
    ihl: Arg[int]
    ip_checksum: Arg[int]
    # IPv6
    flow_label: Arg[int]
    extensions: Arg[str | Iterable[Extension]]


_LOWER = frozenset(Network.__annotations__)
_ONLY_V4 = frozenset({"dont_fragment", "ip_options", "ihl", "ip_checksum"})
_ONLY_V6 = frozenset({"flow_label", "extensions"})

# Random decisions of one example: a single draw, from which every field takes what it needs. All
# zeros is the plainest packet, which is what Hypothesis shrinks to.
PICKS = 98


def drawn(
    assemble: Callable[[bytes, Values], T],
    arguments: Mapping[str, object],
    lower: Mapping[str, object] | None = None,
    *,
    has_network: bool = True,
    version: int | None = None,
    picks: int = PICKS,
) -> SearchStrategy[T]:
    """Make the strategy: one draw of decisions, one for each argument that is a strategy.

    Arguments are looked at when the first example is drawn, as Hypothesis does it: a module that
    asks for the impossible can be imported, and the test that uses it fails.
    """
    known = _LOWER if has_network else frozenset(Ethernet.__annotations__)
    _check_names(lower or {}, known, own=map(said, arguments))
    given = {
        name: value for name, value in {**arguments, **(lower or {})}.items() if value is not None
    }
    if version is not None:
        given.setdefault("version", version)
    return st.deferred(lambda: _strategy(assemble, given, picks, version))


def _strategy(
    assemble: Callable[[bytes, Values], T],
    given: Mapping[str, object],
    picks: int,
    version: int | None,
) -> SearchStrategy[T]:
    if version is not None and given["version"] != version:
        raise InvalidArgument(f"version={given['version']!r}: here it can only be {version}")
    _check_version(given)
    fixed = {}
    drawing: dict[str, SearchStrategy[Any]] = {}
    for name, value in given.items():
        if isinstance(value, SearchStrategy):
            drawing[name] = _drawable(name, value)
        else:
            fixed[name] = converted(name, value)
    names = tuple(drawing)

    def packet(picked: tuple[Any, ...]) -> T:
        values = dict(fixed)
        for name, value in zip(names, picked[1:], strict=True):
            if value is not None:
                values[name] = converted(name, value)
        return assemble(picked[0], values)

    decisions = st.binary(min_size=picks, max_size=picks)
    return st.tuples(decisions, *drawing.values()).map(packet)


def _drawable(name: str, strategy: SearchStrategy[Any]) -> SearchStrategy[Any]:
    try:
        strategy.validate()
        is_empty = strategy.is_empty
    except InvalidArgument as e:
        raise InvalidArgument(f"{said(name)}={strategy!r}: {e}") from e
    if is_empty:
        raise InvalidArgument(f"{said(name)}={strategy!r}: there is nothing to draw from it")
    return strategy


def _check_names(lower: Mapping[str, object], known: frozenset[str], own: Iterable[str]) -> None:
    for name in lower:
        if name not in known:
            near = difflib.get_close_matches(name, sorted({*known, *own}), n=1)
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
