"""What was given on the command line, read: frames, captures, macros, globals, the program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .. import files
from ..errors import Error, InputRefused
from ..objects import Object
from ..packets import pcap
from ..packets.pcap import Record
from ..replay import Setup
from ..spec import Spec, build


def definitions(words: Iterable[str]) -> dict[str, str | int | None]:
    """Read --define: NAME, or NAME=VALUE; a number stays a number."""
    found: dict[str, str | int | None] = {}
    for word in words:
        name, has_value, text = word.partition("=")
        found[name] = _number(text) if has_value else None
    return found


def values(words: Iterable[str]) -> dict[str, Any]:
    """Read --set: global=value; numbers (0x too), true, false, or text for addresses and names."""
    found: dict[str, Any] = {}
    for word in words:
        name, has_value, text = word.partition("=")
        if not has_value or not name:
            raise Error(f"--set {word}: write a global and its value: --set port=8080")
        found[name] = {"true": True, "false": False}.get(text, _number(text))
    return found


def _number(text: str) -> str | int:
    try:
        return int(text, 0)
    except ValueError:
        return text


def spec_of(source: str, define: Sequence[str] = (), include: tuple[str, ...] = ()) -> Spec:
    """Build a source, or read an object; macros and folders of headers are for sources only."""
    if files.is_object(source):
        for option in [*(["--define"] if define else []), *(["--include"] if include else [])]:
            raise Error(f"{source}: is compiled already: {option} needs the C file")
    return build(source, define=definitions(define), include=include)


def load(
    spec: Spec, setup: Setup, *, program: str | None, kind: str | None, values: dict[str, Any]
) -> Object:
    """Load an object of which exactly one program is to be run."""
    loaded = setup.load(spec, program=program, kind=kind, values=values)
    if len(loaded.programs) > 1:
        names = ", ".join(loaded.programs)
        loaded.close()
        raise Error(f"{spec.name} holds several programs: {names}; choose one with --program")
    return loaded


def records(captures: Sequence[str], frames: Sequence[str]) -> Iterator[Record]:
    """Give the packets of the captures, then the frames, numbered through.

    Raises:
        Error: There is nothing to yield, in all or in one of the captures.
    """
    if not captures and not frames:
        raise Error("no packets: give --pcap FILE, or --frame HEX for a single one")
    return _numbered(captures, [_octets(text, at) for at, text in enumerate(frames, 1)])


def _numbered(captures: Sequence[str], frames: Iterable[bytes]) -> Iterator[Record]:
    number = 0
    for path in captures:
        before = number
        for record in pcap.read(Path(path)):
            number += 1
            yield Record(number, record.time_ns, record.data, record.original_length)
        if number == before:
            raise Error(f"{path}: holds no packet: nothing can be tested with it")
    for at, data in enumerate(frames, number + 1):
        yield Record(at, 0, data, len(data))


def _octets(text: str, at: int) -> bytes:
    try:
        return bytes.fromhex(text.replace(":", " "))
    except ValueError as e:
        shown = text if len(text) <= 40 else f"{text[:37]}..."
        raise InputRefused(
            f"--frame {at}: '{shown}' is not hexadecimal: two digits a byte, like 0200000000010..."
        ) from e
