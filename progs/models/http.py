"""The decision that xdp_http and tc_http share: which HTTP requests may pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any

from . import headers
from .headers import TCP, Ip, Malformed, number

PATH_SIZE = 64


class Reason(IntEnum):
    """Name the reasons as enum http_reason does: they index the map `reasons`."""

    MALFORMED = 0
    NOT_TCP = 1
    LATER_FRAGMENT = 2
    OTHER_PORT = 3
    NO_REQUEST = 4
    PATH_CUT = 5
    ALLOWED = 6
    REFUSED = 7

    @property
    def is_dropped(self) -> bool:
        return self in (Reason.MALFORMED, Reason.PATH_CUT, Reason.REFUSED)


def decide(frame: bytes, *, port: int, is_allowed: Callable[[bytes], bool]) -> Reason:
    """Say what the programs should, from the bytes alone."""
    try:
        header = headers.network(frame)
        if header is None or header.protocol != TCP:
            return Reason.NOT_TCP
        if header.is_later_fragment:
            return Reason.LATER_FRAGMENT
        return _segment(header, port, is_allowed)
    except Malformed:
        return Reason.MALFORMED


def _segment(header: Ip, port: int, is_allowed: Callable[[bytes], bool]) -> Reason:
    segment = header.payload
    if len(segment) < 20 or not 20 <= (segment[12] >> 4) * 4 <= len(segment):
        raise Malformed
    if number(segment, 2) != port:
        return Reason.OTHER_PORT
    payload = segment[(segment[12] >> 4) * 4 :]
    if not payload.startswith(b"GET "):
        return Reason.NO_REQUEST
    path = re.match(rb"([^ ?\0]{0,64})[ ?]", payload[4:], re.DOTALL)
    if path is None:
        return Reason.PATH_CUT
    return Reason.ALLOWED if is_allowed(path[1]) else Reason.REFUSED


def judged(frame: bytes, maps: Any, port: int) -> tuple[bool, Mapping[str, Any]]:
    """Say whether a frame is dropped, and what is counted."""
    reason = decide(
        frame, port=port, is_allowed=lambda path: path.ljust(PATH_SIZE, b"\0") in maps.allowed
    )
    count = sum(maps.reasons[reason])
    return reason.is_dropped, {"reasons": {int(reason): (count, count + 1)}}
