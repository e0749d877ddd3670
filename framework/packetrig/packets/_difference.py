"""Print two frames against each other: first the layers, then the bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ._layers import Part, compare, fields_of, shown, split

_ROW = 16
_MAX_ROWS = 16
_MAX_VALUE = 72


def difference(a: bytes, b: bytes, *, names: tuple[str, str] = ("expected", "seen")) -> str:
    """Show how `b` differs from `a`: layer by layer, then the changed bytes in a hexdump.

    A layer that is the same takes one line; in the others, `-` is `a` and `+` is `b`.
    """
    a, b = bytes(a), bytes(b)
    if a == b:
        return f"{names[0]} and {names[1]} are the same {_sized(a)}"
    lines = [f"- {names[0]}: {_sized(a)}", f"+ {names[1]}: {_sized(b)}"]
    parts = compare(split(a), split(b))
    width = max((len(part.name) for part in parts), default=0)
    for part in parts:
        lines.extend(_layer(part, width))
    lines.extend(_hexdump(a, b))
    return "\n".join(line.rstrip() for line in lines)


def _sized(frame: bytes) -> str:
    return f"{len(frame)} byte{'' if len(frame) == 1 else 's'}"


def _layer(part: Part, width: int) -> Iterator[str]:
    if part.before is None or part.after is None:
        sign = "+" if part.before is None else "-"
        layer = part.layers[0] or part.layers[1]
        fields = " ".join(f"{name}={_clip(shown(layer, name))}" for name in fields_of(layer))
        yield f"{sign} {part.name:<{width}}  {fields}"
    elif not part.changed:
        yield f"  {part.name:<{width}}  same"
    else:
        for sign, side in (("-", 0), ("+", 1)):
            fields = " ".join(
                f"{name}={_clip(_value(part.layers[side], name, values[side]))}"
                for name, values in part.changed.items()
            )
            yield f"{sign} {part.name:<{width}}  {fields}"


def _value(layer: Any, name: str, value: object) -> str:
    has_field = layer is not None and name in layer.fields
    return shown(layer, name) if has_field else "absent" if value is None else repr(value)


def _clip(text: str) -> str:
    return text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 3] + "..."


def _hexdump(a: bytes, b: bytes) -> Iterator[str]:
    if len(a) == len(b):
        yield f"{sum(x != y for x, y in zip(a, b, strict=True))} of {_sized(a)} differ:"
        yield from _same_length(a, b)
    else:
        yield from _other_length(a, b)


def _same_length(a: bytes, b: bytes) -> Iterator[str]:
    rows = [at for at in range(0, len(a), _ROW) if a[at : at + _ROW] != b[at : at + _ROW]]
    for at in rows[:_MAX_ROWS]:
        x, y = a[at : at + _ROW], b[at : at + _ROW]
        yield f"- {at:04x}  {x.hex(' ')}"
        yield f"+ {at:04x}  {y.hex(' ')}"
        yield " " * 8 + " ".join("^^" if i != j else "  " for i, j in zip(x, y, strict=True))
    if len(rows) > _MAX_ROWS:
        yield f"  ... and {len(rows) - _MAX_ROWS} more rows"


def _other_length(a: bytes, b: bytes) -> Iterator[str]:
    # What both begin and end with is left out: between them stands what was put in or taken out.
    shorter = min(len(a), len(b))
    head = next((at for at in range(shorter) if a[at] != b[at]), shorter)
    tail = 0
    while tail < shorter - head and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    if head and tail:
        yield f"the first {head} and the last {tail} bytes are the same; between them:"
    elif head or tail:
        ends = f"first {head}" if head else f"last {tail}"
        yield f"the {ends} bytes are the same; {'behind' if head else 'before'} them:"
    for sign, frame in (("-", a), ("+", b)):
        middle = frame[head : len(frame) - tail]
        if not middle:
            yield f"{sign} {head:04x}  nothing"
        for at in range(0, min(len(middle), _ROW * _MAX_ROWS), _ROW):
            yield f"{sign} {head + at:04x}  {middle[at : at + _ROW].hex(' ')}"
        if len(middle) > _ROW * _MAX_ROWS:
            yield f"  ... and {len(middle) - _ROW * _MAX_ROWS} more bytes"
