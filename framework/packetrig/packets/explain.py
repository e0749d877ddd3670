"""Say in scapy's words what a frame is, and in what two frames differ.

scapy guesses (a payload's protocol from its port) and does not always give back what it read, so
identity is decided on bytes alone: frames that differ are never called equal.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ..errors import InputRefused
from . import _scapy
from ._difference import difference
from ._expression import expression
from ._layers import compare, shown, split
from ._summary import summary

__all__ = [
    "Likeness",
    "changes",
    "difference",
    "dissect",
    "expression",
    "looks_like",
    "summary",
]


def dissect(frame: bytes) -> Any:
    """Read a frame into scapy's layers; never raises: what scapy cannot read becomes Raw."""
    return _scapy.dissect(bytes(frame))


def changes(before: bytes, after: bytes) -> dict[str, tuple[Any, Any]]:
    """Tell which fields changed: `{"IP.ttl": (64, 63), "IP.chksum": (0x66CB, 0x67CB)}`.

    Keys are scapy's layer and field names (a second IP is `IP:2`, counted from the outside in
    each frame). Values are scapy's: addresses are text, numbers int, flags compare equal to both
    text and int. Beside the fields there may be:

    - `"Dot1Q": (None, {"vlan": 7, ...})`: a layer that appeared, with its fields; or vanished;
    - `"Raw.load"`: payload, as bytes, when it is no known protocol or no longer the same one;
    - `"length": (60, 64)`: whenever the length changed;
    - `"bytes": (before, after)`: the frames differ where scapy sees no difference.

    So the answer is empty only for equal frames.
    """
    before, after = bytes(before), bytes(after)
    if before == after:
        return {}
    changed: dict[str, tuple[Any, Any]] = {}
    for part in compare(split(before), split(after)):
        if part.before is None or part.after is None:
            changed[part.name] = (part.before, part.after)
            continue
        for field, values in part.changed.items():
            changed[f"{part.name}.{field}"] = values
    if not changed:
        changed["bytes"] = (before, after)
    if len(before) != len(after):
        changed["length"] = (len(before), len(after))
    return changed


@dataclass(frozen=True, slots=True)
class Likeness:
    """Answer whether a frame looks like a template: true or false, and each field that does not."""

    mismatches: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return not self.mismatches

    def __repr__(self) -> str:
        if not self.mismatches:
            return "looks like the template"
        return "\n    ".join(("does not look like the template:", *self.mismatches))


def looks_like(frame: bytes, template: Any, only: Collection[str] = ()) -> Likeness:
    """Compare a frame with a template: a scapy packet, or bytes.

    With `only`, these fields and nothing else: `only=("IP.dst", "UDP.dport")`. Without, the
    template's layers in their order and every field that was set explicitly in it: lengths,
    checksums and protocol numbers that scapy would fill in are left alone, and so is what follows
    the template's last layer. A `Raw` in the template is compared with the payload's bytes,
    whatever scapy would take them for.

    Raises:
        InputRefused: `only` names a field that the template does not have.
    """
    if isinstance(only, str):
        only = (only,)
    if not _scapy.is_scapy(template):
        template = dissect(template)
    seen = _scapy.named_layers(dissect(frame))
    if only:
        return Likeness(tuple(filter(None, (_unlike_field(seen, template, key) for key in only))))
    return Likeness(tuple(_unlike_layers(seen, template)))


def _unlike_field(seen: list[tuple[str, Any]], template: Any, key: str) -> str:
    layers = dict(_scapy.named_layers(template))
    name, _, field = key.rpartition(".")
    if name not in layers:
        raise InputRefused(
            f"looks_like: no layer for only={key!r}; the template has {', '.join(layers)}"
        )
    if field not in {each.name for each in layers[name].fields_desc}:
        names = ", ".join(each.name for each in layers[name].fields_desc)
        raise InputRefused(f"looks_like: no field for only={key!r}; {name} has {names}")
    layer = dict(seen).get(name)
    if layer is None:
        return f"{key}: the frame has no {name} (it has {_names(seen)})"
    wanted = layers[name]
    if wanted.fields.get(field) is None:  # left to scapy: as it would be built
        wanted = dict(_scapy.named_layers(dissect(_scapy.build(template)))).get(name, wanted)
    return _unlike(key, wanted, layer, field, None)


def _unlike_layers(seen: list[tuple[str, Any]], template: Any) -> list[str]:
    rebuilt = dict(_scapy.named_layers(dissect(_scapy.build(template))))
    mismatches = []
    for position, (name, wanted) in enumerate(_scapy.named_layers(template)):
        layer = seen[position][1] if position < len(seen) else None
        if wanted.__class__.__name__ == "Raw":
            load = b"" if layer is None else bytes(layer.original)
            expected = bytes(wanted.load)
            if load != expected:
                mismatches.append(f"Raw.load: expected {expected!r}, seen {load!r}")
            break
        if layer is None or seen[position][0] != name:
            mismatches.append(f"layer {position + 1}: expected {name}, seen {_names(seen)}")
            break
        for field, value in wanted.fields.items():
            if value is not None:
                line = _unlike(f"{name}.{field}", wanted, layer, field, rebuilt.get(name))
                mismatches.extend([line] if line else [])
    return mismatches


def _unlike(key: str, wanted: Any, layer: Any, field: str, rebuilt: Any) -> str:
    # Three ways to be equal: as values; as wire bytes (a MAC in capitals); and as scapy reads the
    # template back (TCP options get padded).
    expected, value = wanted.getfieldval(field), layer.getfieldval(field)
    if _is_equal(expected, value) or _is_equal(_wire(wanted, field), _wire(layer, field)):
        return ""
    if rebuilt is not None and _is_equal(rebuilt.getfieldval(field), value):
        return ""
    return f"{key}: expected {shown(wanted, field)}, seen {shown(layer, field)}"


def _is_equal(a: object, b: object) -> bool:
    try:
        return a is not None and bool(a == b)
    except Exception:  # any: comparing what scapy's fields hold runs their own code
        return False


def _wire(layer: Any, field: str) -> object:
    try:
        return layer.get_field(field).i2m(layer, layer.getfieldval(field))
    except Exception:  # any: some fields only have a wire form inside a whole packet
        return None


def _names(layers: list[tuple[str, Any]]) -> str:
    return " / ".join(name for name, _ in layers) or "nothing"
