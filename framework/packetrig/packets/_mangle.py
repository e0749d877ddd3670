"""Break a frame in one way, chosen by a few random bytes, and say which."""

from __future__ import annotations

from collections.abc import Callable

from . import fragments
from ._lies import Field, fields_of
from .frames import Header, inet_checksum, walk, with_right_checksums
from .told import Mangled

MIN_FRAME = 14  # what the kernel's test run and every driver ask for
PICKS = 8

_Broken = tuple[str, bytes] | None


def mangle(frame: bytes, picks: bytes) -> Mangled:
    """Break a frame in one way, chosen by 8 random bytes; all zeros cuts it behind Ethernet.

    The answer says in `what` which way that was. A frame of 14 bytes or more stays one, and
    becomes another one; bytes that are no frame are left alone.
    """
    headers = walk(frame)
    if len(frame) < MIN_FRAME or not headers or len(picks) < PICKS:
        return Mangled(frame, "too short to be a frame")
    way = _WAYS[picks[0] % len(_WAYS)]
    for turn in range(len(headers)):  # where this header cannot be broken so, another may be
        broken = way(frame, headers[(picks[1] + turn) % len(headers)], picks[2:])
        if broken is not None and broken[1] != frame:
            break
    else:
        broken = _bit(frame, headers[0], picks[2:])
    return Mangled(broken[1], broken[0])


def lie(frame: bytes, header: Header, field: Field, value: int) -> bytes:
    """Write a wrong value into a field; unless it is a checksum, the checksums fit afterwards."""
    lied = field.write(frame, header, value)
    if field.is_checksum:
        return lied
    at = header.offset
    if header.layer == "IP" and at + 20 <= len(lied):
        # Also where version or ihl are such that nobody would look at it: over what ihl says.
        zeroed = lied[: at + 10] + bytes(2) + lied[at + 12 :]
        number = inet_checksum(zeroed[at : at + max(4 * (lied[at] & 15), 20)])
        lied = zeroed[: at + 10] + number.to_bytes(2, "big") + zeroed[at + 12 :]
    return with_right_checksums(lied)


def swapped(frame: bytes, first: Header, second: Header) -> bytes:
    """Let two neighbouring headers change places; nothing else is made to fit."""
    begin, middle, end = first.offset, second.offset, second.end
    return frame[:begin] + frame[middle:end] + frame[begin:middle] + frame[end:]


def _cut_behind(frame: bytes, header: Header, _picks: bytes) -> _Broken:
    return _cut(frame, header.end, f"behind {header.name}")


def _cut_inside(frame: bytes, header: Header, picks: bytes) -> _Broken:
    inside = picks[0] % header.length
    return _cut(frame, header.offset + inside, f"in {header.name}, byte {inside}")


def _cut_anywhere(frame: bytes, _header: Header, picks: bytes) -> _Broken:
    size = MIN_FRAME + _u16(picks) % (len(frame) - MIN_FRAME + 1)
    return _cut(frame, size, f"in {_owner(frame, size)}")


def _cut(frame: bytes, size: int, where: str) -> _Broken:
    if not MIN_FRAME <= size < len(frame):
        return None
    return f"cut after {size} bytes, {where}", frame[:size]


def _lie(frame: bytes, header: Header, picks: bytes) -> _Broken:
    return _one_of(frame, header, picks, [f for f in fields_of(frame, header) if not f.is_checksum])


def _checksum(frame: bytes, header: Header, picks: bytes) -> _Broken:
    return _one_of(frame, header, picks, [f for f in fields_of(frame, header) if f.is_checksum])


def _one_of(frame: bytes, header: Header, picks: bytes, fields: list[Field]) -> _Broken:
    if not fields:
        return None
    field = fields[picks[0] % len(fields)]
    value = field.read(frame, header)
    if value is None:
        return None
    others = [each for each in field.values(frame, header, value) if each != value]
    if not others:
        return None
    other = others[picks[1] % len(others)]
    what = f"{header.name}.{field.name} is {other} instead of {value}"
    return what, lie(frame, header, field, other)


def _bit(frame: bytes, _header: Header, picks: bytes) -> tuple[str, bytes]:
    bit = int.from_bytes(picks[:3], "big") % (8 * len(frame))
    at, inside = divmod(bit, 8)
    flipped = frame[:at] + bytes((frame[at] ^ 1 << inside,)) + frame[at + 1 :]
    return f"bit {inside} of byte {at} is flipped, in {_owner(frame, at)}", flipped


def _owner(frame: bytes, at: int) -> str:
    return next((each.name for each in walk(frame) if each.offset <= at < each.end), "the payload")


def _twice(frame: bytes, header: Header, _picks: bytes) -> _Broken:
    if not header.offset:  # Ethernet twice is Ethernet with a payload
        return None
    return f"{header.name} stands there twice", frame[: header.end] + frame[header.offset :]


def _missing(frame: bytes, header: Header, _picks: bytes) -> _Broken:
    if not header.offset:
        return None
    return f"{header.name} is missing", frame[: header.offset] + frame[header.end :]


def _swapped(frame: bytes, header: Header, _picks: bytes) -> _Broken:
    headers = walk(frame)
    position = headers.index(header)
    if not header.offset or position + 1 >= len(headers):
        return None
    other = headers[position + 1]
    what = f"{header.name} and {other.name} have changed places"
    return what, swapped(frame, header, other)


def _fragment(frame: bytes, _header: Header, picks: bytes) -> _Broken:
    what, offset, size, has_more = FRAGMENTS[picks[0] % len(FRAGMENTS)]
    fragment = fragments.alone(frame, offset=offset, size=size, has_more=has_more)
    return (f"a fragment {what}", bytes(fragment)) if fragment else None


# What is wrong, where it begins, how much it carries, whether more are to come (RFC 1858, 3128).
FRAGMENTS = (
    ("over the transport header of the first", 8, fragments.LARGEST, False),
    ("too small for its transport header", 0, 8, True),
    ("beyond the longest packet there is", fragments.LARGEST, 16, False),
)
_WAYS: tuple[Callable[[bytes, Header, bytes], _Broken], ...] = (
    _cut_behind,
    _cut_inside,
    _cut_anywhere,
    _lie,
    _lie,
    _lie,
    _lie,
    _checksum,
    _bit,
    _twice,
    _missing,
    _swapped,
    _fragment,
)


def _u16(picks: bytes) -> int:
    return int.from_bytes(picks[:2], "big")
