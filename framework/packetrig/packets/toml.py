"""TOML that people read: values as text, and a table for each layer of a frame.

The standard library reads TOML and does not write it. What is written here reads back the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .written import Hexadecimal, written

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def value(given: Any, *, is_top: bool = True) -> str:
    """Write a number, text, or a list or table of those; lists of more than numbers take lines."""
    if isinstance(given, Hexadecimal):
        return f"0x{int(given):0{given.digits}x}"
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, int):
        return str(int(given))
    if isinstance(given, float):
        return repr(given)
    if isinstance(given, str):
        return '"' + "".join(map(_escaped, given)) + '"'
    if isinstance(given, Mapping):
        # An inline table stays on its line.
        inner = ", ".join(f"{key(name)} = {value(v, is_top=False)}" for name, v in given.items())
        return f"{{ {inner} }}" if inner else "{}"
    is_rows = is_top and len(given) > 1 and not all(isinstance(each, int) for each in given)
    rows = [value(each, is_top=False) for each in given]
    return (
        "[\n" + "".join(f"    {row},\n" for row in rows) + "]"
        if is_rows
        else f"[{', '.join(rows)}]"
    )


def key(name: str) -> str:
    """Write a key: bare where it can be, else as text."""
    return name if _BARE.fullmatch(name) else value(name)


def layers(frame: bytes, *, under: str) -> Iterator[str]:
    """Write a frame as `[under.<layer>]` tables, with an empty line before each."""
    for layer, fields in written(frame).items():
        yield from ("", f"[{under}.{key(layer)}]")
        yield from (f"{key(name)} = {value(given)}" for name, given in fields.items())


def _escaped(character: str) -> str:
    is_plain = character.isprintable() and character not in _ESCAPES
    return character if is_plain else _ESCAPES.get(character, _coded(character))


def _coded(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
