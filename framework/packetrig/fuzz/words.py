"""What a set-up speaks of: the addresses, numbers and texts in it, and which stand together."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

_MAC = re.compile(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")


@dataclass(frozen=True, slots=True)
class Words:
    """Hold words by what they are; addresses as bytes."""

    v4: tuple[bytes, ...] = ()
    v6: tuple[bytes, ...] = ()
    macs: tuple[bytes, ...] = ()
    numbers: tuple[int, ...] = ()
    texts: tuple[bytes, ...] = ()
    # Words that stand in one entry: an address, a port and a protocol make sense as they are.
    groups: tuple[Words, ...] = ()

    @classmethod
    def of(cls, maps: Mapping[str, Any], values: Mapping[str, Any] | None = None) -> Self:
        """Collect the words of a set-up file's maps and globals, however deep they stand."""
        groups = [cls._of(_leaves(group, depth=1)) for group in _groups(maps)]
        told = [each for each in groups if each.numbers and (each.v4 or each.v6)]
        leaves = [*_leaves(maps), *_leaves(values or {}, depth=0)]
        return cls._of(iter(leaves), tuple(dict.fromkeys(told)))

    @classmethod
    def _of(cls, leaves: Iterator[Any], groups: tuple[Words, ...] = ()) -> Self:
        found: dict[str, dict[Any, None]] = {
            name: {} for name in ("v4", "v6", "macs", "numbers", "texts")
        }
        for leaf in leaves:
            for kind, word in _read(leaf):
                found[kind][word] = None
        return cls(**{name: tuple(words) for name, words in found.items()}, groups=groups)


def _read(leaf: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(leaf, int) and not isinstance(leaf, bool):
        yield "numbers", leaf
    if not isinstance(leaf, str):
        return
    if leaf.isdigit():
        yield "numbers", int(leaf)
        return
    if _MAC.fullmatch(leaf):
        yield "macs", bytes.fromhex(leaf.replace(":", ""))
        return
    try:
        address = ipaddress.ip_network(leaf, strict=False).network_address
    except ValueError:
        if leaf:
            yield "texts", leaf.encode()
        return
    if isinstance(address, ipaddress.IPv4Address):
        yield "v4", address.packed
    elif address.ipv4_mapped is not None:
        yield "v4", address.ipv4_mapped.packed
    else:
        yield "v6", address.packed


def _leaves(part: Any, *, depth: int = 0) -> Iterator[Any]:
    if isinstance(part, Mapping):
        for key, value in part.items():
            # The outermost keys are the names of maps, the inner ones mostly those of fields.
            if depth == 1 or (depth and all(kind != "texts" for kind, _ in _read(key))):
                yield key
            yield from _leaves(value, depth=depth + 1)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _leaves(value, depth=depth + 1)
    else:
        yield part


def _groups(part: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(part, Mapping):
        if part and not any(isinstance(value, Mapping | list) for value in part.values()):
            yield part
        for value in part.values():
            yield from _groups(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _groups(value)
