"""Lay two frames side by side, layer by layer, in scapy's words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import _scapy
from .frames import walk


@dataclass(frozen=True, slots=True)
class Layers:
    """Hold a frame as scapy's layers: those that its headers prove, and what scapy guessed."""

    frame: bytes
    sure: list[tuple[str, Any]]
    guessed: list[tuple[str, Any]]
    rest: bytes  # the bytes behind the sure layers


@dataclass(frozen=True, slots=True)
class Part:
    """Compare one layer: its fields before and after (None where it is absent)."""

    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    changed: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    layers: tuple[Any, Any] = (None, None)


def split(frame: bytes) -> Layers:
    """Dissect a frame, and tell what scapy read from what it guessed from a port."""
    layers = _scapy.named_layers(_scapy.dissect(frame))
    headers = [header for header in walk(frame) if header.is_whole]
    sure = 0
    while sure < min(len(layers), len(headers)) and layers[sure][0] == headers[sure].name:
        sure += 1
    rest = frame[headers[sure - 1].end :] if sure else frame
    return Layers(frame, layers[:sure], layers[sure:], rest)


def compare(before: Layers, after: Layers) -> list[Part]:
    """List the layers of two frames, in the order of the second, with the fields that changed."""
    ours, theirs = before.sure, after.sure
    parts: list[Part] = []
    if before.rest != after.rest:
        if [name for name, _ in before.guessed] == [name for name, _ in after.guessed]:
            ours, theirs = ours + before.guessed, theirs + after.guessed
        else:  # scapy takes the payload for something else than before: bytes say it better
            parts = [_payload(before.rest, after.rest)]
    old, new = dict(ours), dict(theirs)
    gone = [_part(name, layer, None) for name, layer in ours if name not in new]
    return [*(_part(name, old.get(name), layer) for name, layer in theirs), *gone, *parts]


def fields_of(layer: Any) -> dict[str, Any]:
    """Give the fields of a layer that a frame really holds, in their order."""
    return {
        each.name: layer.fields[each.name]
        for each in layer.fields_desc
        if each.name in layer.fields and layer.fields[each.name] is not None
    }


def shown(layer: Any, name: str) -> str:
    """Print a field's value as scapy does; ports stay numbers, whatever /etc/services says."""
    value = layer.getfieldval(name)
    if name in ("sport", "dport"):
        return repr(value)
    try:
        return str(layer.get_field(name).i2repr(layer, value))
    except Exception:  # any: scapy's printing of odd values raises what it likes
        return repr(value)


def _payload(before: bytes, after: bytes) -> Part:
    values = {"load": (before, after)}
    return Part("Raw", {"load": before}, {"load": after}, values)


def _part(name: str, old: Any, new: Any) -> Part:
    before = None if old is None else fields_of(old)
    after = None if new is None else fields_of(new)
    if before is None or after is None:
        if name == "Raw" or name == "Padding":
            loads = (before or {}).get("load", b""), (after or {}).get("load", b"")
            before, after = {"load": loads[0]}, {"load": loads[1]}
            return Part(name, before, after, {"load": loads}, (old, new))
        return Part(name, before, after, {}, (old, new))
    changed = {
        key: (before.get(key), after.get(key))
        for key in (before | after)
        if not _is_same(before.get(key), after.get(key))
    }
    return Part(name, before, after, changed, (old, new))


def _is_same(a: object, b: object) -> bool:
    try:
        return bool(a == b)
    except Exception:  # any: comparing what scapy's fields hold runs their own code
        return repr(a) == repr(b)
