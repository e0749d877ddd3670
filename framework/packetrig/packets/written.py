"""Write a frame down as layers and fields, by scapy's names, and read it back to the byte.

    {"Ether": {"dst": "02:00:00:00:00:02", ..., "type": 0x0800}, "IP": {..., "ttl": 63}, ...}

Each layer is one that the headers prove (scapy's guesses from a port are not written down), and is
tried when it is written: what scapy cannot give back to the byte is `{"hex": [...]}` in its place.
What follows the last header is `Raw`, and `Padding` behind the packet: as text where it is text.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from ..errors import InputRefused, no_such
from . import _scapy
from ._layers import fields_of, split
from ._walk import walked

_BYTES_A_LINE = 16
_LOADS = ("Raw", "Padding")
_TEXT = re.compile(rb"[\t\r\n\x20-\x7e]+")


class Hexadecimal(int):
    """Be a number that people read in hexadecimal; `digits` says how many it has."""

    digits: int

    def __new__(cls, value: int, digits: int) -> Self:
        """Keep a number with its width."""
        made = super().__new__(cls, value)
        made.digits = digits
        return made


def written(frame: bytes) -> dict[str, dict[str, Any]]:
    """Write down a frame: layers by name, each with its fields in their order.

    Values are numbers, text, and lists and tables of those, so that TOML and JSON can hold them.
    """
    frame = bytes(frame)
    cursor = walked(frame)
    headers = {header.name: header for header in cursor.headers}
    layers: dict[str, dict[str, Any]] = {}
    at = 0
    for name, layer in split(frame).sure:
        header = headers[name]
        if header.offset != at or header.end > len(frame):
            break
        layers[name] = _layer(layer, frame[at : header.end])
        at = header.end
    end = max(at, cursor.end)
    for name, load in zip(_LOADS, (frame[at:end], frame[end:]), strict=True):
        if load:
            layers[name] = _load(load)
    return layers


def rebuilt(layers: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Build the frame that was written down.

    Raises:
        InputRefused: There is no such layer, or a value does not fit its field.
        NoSuchName: A layer has no such field.
    """
    return b"".join(_built(name, fields) for name, fields in layers.items())


def _built(name: str, fields: Mapping[str, Any]) -> bytes:
    if not isinstance(fields, Mapping):
        raise InputRefused(f"layer {name}: it takes a table of fields, got {fields!r}")
    if "hex" in fields:
        return _unhexed(name, fields["hex"])
    kind = name.partition(":")[0]
    if kind in _LOADS:
        load = fields.get("load")
        lines: list[Any] = load if isinstance(load, list) else [load]
        if set(fields) != {"load"} or not all(isinstance(line, str) for line in lines):
            raise InputRefused(f"layer {name}: it takes load (text) or hex, got {dict(fields)!r}")
        return "".join(lines).encode("latin-1", "replace")
    return bytes(_scapy.build(_packet(kind, fields)))


def _packet(kind: str, fields: Mapping[str, Any]) -> Any:
    known = _known()
    if kind not in known:
        # scapy has some 3000: a list of what there is would help nobody.
        near = difflib.get_close_matches(kind, known, n=1)
        hint = f", did you mean '{near[0]}'?" if near else ""
        raise InputRefused(f"no layer named '{kind}'{hint}; layers are scapy's classes")
    names = [field.name for field in known[kind].fields_desc]
    for field in fields:
        if field not in names:
            raise no_such("field", field, names, owner=kind)
    try:
        values = {field: _read(value) for field, value in fields.items()}
        with _no_names():
            return known[kind](**values)
    except Exception as e:  # any: scapy's fields check values in their own ways
        raise InputRefused(f"layer {kind}: scapy does not take {dict(fields)!r}: {e}") from e


@contextmanager
def _no_names() -> Iterator[None]:
    # What is no address is a name for scapy, which asks the network for it; or a whole network, of
    # which it takes the first address.
    net = _scapy.scapy_all().Net
    was = net.__init__

    def refuse(_: object, text: str, *_others: object, **_more: object) -> None:
        raise ValueError(f"'{text}' is no address, and names are not looked up")

    net.__init__ = refuse
    try:
        yield
    finally:
        net.__init__ = was


@functools.cache
def _known() -> Mapping[str, Any]:
    scapy = _scapy.scapy_all()
    return {layer.__name__: layer for layer in scapy.conf.layers}


def _layer(layer: Any, header: bytes) -> dict[str, Any]:
    name = layer.__class__.__name__
    try:
        fields = {field: _value(layer, field, value) for field, value in fields_of(layer).items()}
        built = _built(name, fields)
        while len(built) > len(header) and fields:
            fields.popitem()  # what scapy takes into the layer is payload by the header's own word
            built = _built(name, fields)
        if built == header:
            return fields
    except Exception:  # any: a value without plain form, or one that scapy reads and cannot write
        pass
    return {"hex": _hexed(header)}


def _load(load: bytes) -> dict[str, Any]:
    if not _TEXT.fullmatch(load):
        return {"hex": _hexed(load)}
    lines = [line.decode() for line in re.findall(rb"[^\n]*\n|[^\n]+", load)]
    return {"load": lines if len(lines) > 1 else lines[0]}


def _value(layer: Any, name: str, value: Any) -> Any:
    field: Any = layer.get_field(name)
    while hasattr(field, "fld"):  # wrapped around the field that matters
        field = field.fld
    if type(value) is int and type(field).__name__.startswith("X"):
        return Hexadecimal(value, max(2, round(2 * field.sz)))
    return _plain(value)


def _plain(value: Any) -> Any:
    """Turn a value of scapy's into numbers, text, lists and tables; `_read` turns it back."""
    if isinstance(value, bool) or type(value) is int or type(value) is str:
        return value
    if type(value).__name__ == "FlagValue":
        return str(value)
    if isinstance(value, bytes):
        return {"hex": value.hex(" ")}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value if each is not None]
    if _scapy.is_scapy(value):
        fields = {name: _plain(each) for name, each in fields_of(value).items()}
        return {"layer": value.__class__.__name__, **fields}
    raise TypeError(f"no plain form of {value!r}")


def _read(value: Any, *, is_inner: bool = False) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {"hex"}:
            return bytes.fromhex(value["hex"])
        fields = {name: each for name, each in value.items() if name != "layer"}
        return _packet(str(value.get("layer")), fields)
    if isinstance(value, list):
        values = [_read(each, is_inner=True) for each in value]
        if not is_inner:
            return values
        # An option of TCP: its name and its value, which some have not.
        return tuple(values) if len(values) != 1 else (values[0], None)
    return value


def _hexed(data: bytes) -> list[str]:
    starts = range(0, len(data), _BYTES_A_LINE)
    return [data[at : at + _BYTES_A_LINE].hex(" ") for at in starts]


def _unhexed(name: str, value: Any) -> bytes:
    lines = value if isinstance(value, list) else [value]
    try:
        return bytes.fromhex(" ".join(lines))
    except (TypeError, ValueError) as e:
        raise InputRefused(f"layer {name}: hex takes hexadecimal text, got {value!r}") from e
