"""Checks that a program declares: what it may change, by how much, what comes of doing it twice.

Each is made by a function that is given what is allowed; it compares bytes, without scapy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import Error
from ..packets import frames
from ..packets.frames import Header
from .fields import LENGTH, PAYLOAD, bits_of, fields_of, known, name_at
from .rules import Check

if TYPE_CHECKING:
    from ..run import Run


def only_change(*fields: str, adds: Collection[str] = (), takes: Collection[str] = ()) -> Check:
    """Make the check that nothing changes but these fields: `only_change("IP.ttl", "IP.chksum")`.

    Names are those of `run.changes`: scapy's layers and fields, `IP:2` for the second layer of a
    name, `ICMPv6` for each of its messages, a layer alone for all of its fields, `"Raw.load"`
    for what follows the last header, `"length"` for bytes that go or come at the end. Without any,
    the frame stays as it is.

    Args:
        adds: Layers that may be put in front of what was there, the outermost ones: ("IP",).
        takes: Layers that may be taken off, the outermost ones: ("Dot1Q", "Dot1AD").

    Raises:
        NoSuchName: There is no such layer or field.
    """
    names = tuple(known(name) for name in fields)
    added, taken = _layers("adds", adds), _layers("takes", takes)

    def only_declared_fields_change(before: bytes, run: Run) -> None:
        data = run.data
        if data == before:
            return
        headers = frames.walk(before)
        more = len(data) - len(before)
        was, now = before, data
        if more < 0 and taken:
            was, cut = _without(before, headers, taken, -more)
            headers = _moved(headers, cut)
        elif more > 0 and added:
            now, _ = _without(data, frames.walk(data), added, more)
        size = min(len(was), len(now))
        assert len(was) == len(now) or LENGTH in names, (
            f"the length changed from {len(before)} to {len(data)}"
        )
        at = _first_difference(was, now, size, _mask(headers, names, len(was)))
        if at is not None:
            offset, bits = at
            raise AssertionError(f"{name_at(headers, offset, bits)} changed")

    only_declared_fields_change.__doc__ = only_change.__doc__
    made = partial(only_change, *fields, adds=added, takes=taken)
    return Check(only_declared_fields_change, made=made)


def length_changes(*, by: int | Collection[int] = ()) -> Check:
    """Make the check that a frame keeps its length, or changes it by one of these: `by=-4`.

    A collection lists all that may be: `by=(20, 40)`. Keeping the length is always allowed.
    """
    allowed: set[Any] = {0, *((by,) if isinstance(by, int) else by)}
    if odd := [each for each in allowed if not isinstance(each, int)]:
        raise Error(f"length_changes(by={by!r}): {odd[0]!r} is no number of bytes")
    told = " or ".join(f"{each:+d}" for each in sorted(allowed - {0})) or "nothing"

    def the_length_changes_only_as_declared(before: bytes, run: Run) -> None:
        more = len(run.data) - len(before)
        assert more in allowed, f"it changed by {more:+d}, declared is {told}"

    the_length_changes_only_as_declared.__doc__ = length_changes.__doc__
    return Check(
        the_length_changes_only_as_declared, made=partial(length_changes, by=tuple(allowed))
    )


def _idempotent(before: bytes, run: Run, again: Callable[..., Run]) -> None:
    """Give the program its own output, from the same state: it must leave it as it is."""
    if run.data == before:
        return
    second = again(run.data)
    assert second.data == run.data, "its own output is changed once more"
    assert second.verdict == run.verdict, f"{run.verdict!r}, and {second.verdict!r} of its output"


a_second_pass_changes_nothing = Check(_idempotent, name="a_second_pass_changes_nothing")


def _layers(what: str, layers: Collection[str]) -> frozenset[str]:
    if isinstance(layers, str):
        layers = (layers,)
    for layer in layers:
        if "." in known(layer) or layer in (PAYLOAD, LENGTH):
            raise Error(f"only_change: {what}= takes layers such as 'IP', not {layer!r}")
    return frozenset(layers)


def _without(
    frame: bytes, headers: tuple[Header, ...], layers: frozenset[str], size: int
) -> tuple[bytes, list[Header]]:
    # Leave out the outermost headers of these layers, as many as make up the difference.
    cut: list[Header] = []
    for header in headers:
        if header.layer in layers and header.length <= size and header.end <= len(frame):
            cut.append(header)
            size -= header.length
        if not size:
            break
    for header in reversed(cut):
        frame = frame[: header.offset] + frame[header.end :]
    return frame, cut


def _moved(headers: tuple[Header, ...], cut: list[Header]) -> tuple[Header, ...]:
    return tuple(
        header._replace(
            offset=header.offset - sum(c.length for c in cut if c.offset < header.offset)
        )
        for header in headers
        if header not in cut
    )


def _mask(headers: tuple[Header, ...], names: tuple[str, ...], size: int) -> bytes:
    """Mark the bits that may change with ones."""
    allowed = bytearray(size)
    last = headers[-1].end if headers else 0
    for header in headers:
        own = {header.name, "ICMPv6" if header.layer.startswith("ICMPv6") else header.name}
        for field in fields_of(header.layer):
            if any(name in names or f"{name}.{field}" in names for name in own):
                _set(allowed, *bits_of(header, field))
    if PAYLOAD in names:
        allowed[last:] = b"\xff" * (size - last)
    return bytes(allowed)


def _set(mask: bytearray, start: int, end: int) -> None:
    for bit in range(start, min(end, 8 * len(mask))):
        if not bit & 7 and bit + 8 <= end:
            mask[bit >> 3] = 0xFF
        else:
            mask[bit >> 3] |= 0x80 >> (bit & 7)


def _first_difference(a: bytes, b: bytes, size: int, mask: bytes) -> tuple[int, int] | None:
    # One look at the whole as numbers; byte by byte only where something is wrong.
    differs = int.from_bytes(a[:size], "big") ^ int.from_bytes(b[:size], "big")
    wrong = differs & ~int.from_bytes(mask[:size], "big")
    if not wrong:
        return None
    offset = size - (wrong.bit_length() + 7) // 8
    return offset, wrong >> 8 * (size - 1 - offset) & 0xFF
