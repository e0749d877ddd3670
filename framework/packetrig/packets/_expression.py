"""Write a frame down as the scapy source text that builds it."""

from __future__ import annotations

import itertools
from typing import Any

from . import _scapy

_CHECKSUMS = frozenset({"chksum", "cksum"})


def expression(frame: bytes) -> str:
    """Write scapy source text that rebuilds exactly these bytes, after `from scapy.all import *`.

    It says what differs from scapy's defaults: a length or a checksum stands there only if it is
    not the one that scapy computes. The text is tried before it is given out. What scapy cannot
    give back as it was becomes `Raw(load=...)`, from the layer on that is to blame; at worst it
    is `Ether(bytes.fromhex("..."))`, or `Raw` in place of `Ether` if it is too short for one.
    """
    frame = bytes(frame)
    layers = list(_scapy.chain(_scapy.dissect(frame)))
    known = _evaluable(layers)
    for count in range(known, 0, -1):
        text = _attempt(frame, layers[:count], is_whole=count == len(layers))
        if text:
            return text
    text = f'Ether(bytes.fromhex("{frame.hex()}"))'
    if len(frame) >= 14 and _evaluated(text) == frame:
        return text
    return f'Raw(bytes.fromhex("{frame.hex()}"))'


def _evaluable(layers: list[Any]) -> int:
    # How many layers, from the front, the star import knows; the others live in scapy.contrib.
    names = vars(_scapy.scapy_all())
    for count, layer in enumerate(layers):
        if names.get(layer.__class__.__name__) is not layer.__class__:
            return count
    return len(layers)


def _attempt(frame: bytes, layers: list[Any], *, is_whole: bool) -> str:
    try:
        sources = layers if is_whole else [*layers, _raw(frame, layers)]
        for keep_automatic in (False, True):
            stack = _stacked(frame, sources, keep_automatic=keep_automatic)
            text = str(stack.command())
            if bytes(stack) == frame and _evaluated(text) == frame:
                return text
    except Exception:  # any: scapy fails in its own ways on fields that it read but cannot write
        return ""
    return ""


def _raw(frame: bytes, layers: list[Any]) -> Any:
    header = sum(len(layer.raw_packet_cache or b"") for layer in layers)
    return _scapy.scapy_all().Raw(load=frame[header:])


def _stacked(frame: bytes, sources: list[Any], *, keep_automatic: bool) -> Any:
    # First the bare classes: what one layer sets in the other by standing on it, may be left out.
    bare = [source.__class__() for source in sources]
    for lower, upper in itertools.pairwise(bare):
        lower.add_payload(upper)
    for layer, source in zip(bare, sources, strict=True):
        for name, value in source.fields.items():
            if keep_automatic or _is_told(layer, name, value):
                layer.fields[name] = value
    if not keep_automatic:
        _correct(frame, bare, sources)
    return bare[0]


def _is_told(layer: Any, name: str, value: Any) -> bool:
    if _scapy.is_host_field(layer, name):
        return True
    default = layer.overloaded_fields.get(name, layer.default_fields.get(name))
    return default is not None and bool(value != default)


def _correct(frame: bytes, bare: list[Any], sources: list[Any]) -> None:
    # Whatever scapy computes differently from what the frame holds has to be told after all;
    # checksums last, because they follow from everything else.
    for left_alone in (_CHECKSUMS, frozenset[str]()):
        built = bytes(bare[0])
        if built == frame:
            return
        seen = list(_scapy.chain(_scapy.dissect(built)))
        for layer, source, rebuilt in zip(bare, sources, seen, strict=False):
            if layer.__class__ is not rebuilt.__class__:
                break
            for name, value in source.fields.items():
                if name not in left_alone and rebuilt.fields.get(name) != value:
                    layer.fields[name] = value


def _evaluated(text: str) -> bytes | None:
    # The text is scapy's own repr of classes and plain values: nothing in it comes unquoted from
    # the frame.
    try:
        return bytes(eval(text, dict(vars(_scapy.scapy_all()))))
    except Exception:  # any: see _attempt
        return None
