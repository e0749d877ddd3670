"""Which ports may be reached: what xdp_ports and tc_ingress_ports have in common."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from . import headers
from .headers import TCP, UDP, Ip, Malformed, number

SCTP = 132
LEAST = {TCP: 20, UDP: 8, SCTP: 12}


class Reason(IntEnum):
    """Name the reasons as enum ports_reason does: they index the map `reasons`."""

    MALFORMED = 0
    NO_PORT = 1
    LATER_FRAGMENT = 2
    ALLOWED = 3
    DENIED = 4
    UNLISTED = 5


def judged(frame: bytes, maps: Any, *, closed: bool) -> tuple[bool, dict[str, Any]]:
    """Tell whether a frame is dropped, and what is counted."""
    reason, key = decide(frame, maps.rules)
    count = sum(maps.reasons[reason])
    changes: dict[str, Any] = {"reasons": {int(reason): (count, count + 1)}}
    if key is not None:
        rule = dict(maps.rules[key])
        changes["rules"] = {key: (rule, {**rule, "packets": rule["packets"] + 1})}
    is_dropped = reason in (Reason.MALFORMED, Reason.DENIED)
    return is_dropped or (closed and reason is Reason.UNLISTED), changes


def decide(frame: bytes, rules: Any) -> tuple[Reason, bytes | None]:
    """Name the reason, and the rule that was met by its key."""
    try:
        header = headers.network(frame)
        if header is None or header.protocol not in LEAST:
            return Reason.NO_PORT, None
        if header.is_later_fragment:
            return Reason.LATER_FRAGMENT, None
        port = destination(header)
    except Malformed:
        return Reason.MALFORMED, None
    key = port.to_bytes(2, "big") + bytes((header.protocol, 0))
    rule = rules.get(key)
    if rule is None:
        return Reason.UNLISTED, None
    return (Reason.DENIED if rule["deny"] else Reason.ALLOWED), key


def destination(header: Ip) -> int:
    """Read the destination port. A first fragment is shorter than UDP's length says."""
    segment, least = header.payload, LEAST[header.protocol]
    if len(segment) < least:
        raise Malformed
    if header.protocol == TCP and not least <= (segment[12] >> 4) * 4 <= len(segment):
        raise Malformed
    if header.protocol == UDP:
        stated = number(segment, 4)
        if stated < least or (stated > header.stated and not header.is_fragment):
            raise Malformed
    return number(segment, 2)
