"""What xdp_ports and tc_ingress_ports should do, said a second time: by slices of the packet."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import packetrig
from packetrig import TC, XDP

MOST_EXTENSIONS = 6
EXTENSIONS = {0: "hop-by-hop", 43: "routing", 44: "fragment", 60: "destination options"}
TCP, UDP, SCTP = 6, 17, 132


class Reason(IntEnum):
    """Name the reasons as enum ports_reason does: they index the map `reasons`."""

    MALFORMED = 0
    NO_PORT = 1
    LATER_FRAGMENT = 2
    ALLOWED = 3
    DENIED = 4
    UNLISTED = 5


class Malformed(Exception):
    """A header is cut, or states a length that cannot be true."""


@packetrig.model
def xdp_ports(frame: bytes, maps: Any, globals: Any) -> Any:  # noqa: A002
    """Answer with the verdict, the frame as it is, and the two counts."""
    is_dropped, changes = _answer(frame, maps, bool(globals.closed))
    return XDP.DROP if is_dropped else XDP.PASS, frame, changes


@packetrig.model
def tc_ingress_ports(frame: bytes, maps: Any, globals: Any) -> Any:  # noqa: A002
    """Answer with the verdict at TC, the frame as it is, and the two counts."""
    is_dropped, changes = _answer(frame, maps, bool(globals.closed))
    return TC.SHOT if is_dropped else TC.OK, frame, changes


def _answer(frame: bytes, maps: Any, closed: bool) -> tuple[bool, dict[str, Any]]:
    reason, key = decide(frame, maps.rules)
    counted = sum(maps.reasons[reason])
    changes: dict[str, Any] = {"reasons": {int(reason): (counted, counted + 1)}}
    if key is not None:
        rule = dict(maps.rules[key])
        changes["rules"] = {key: (rule, {**rule, "packets": rule["packets"] + 1})}
    dropped = (Reason.MALFORMED, Reason.DENIED, *((Reason.UNLISTED,) if closed else ()))
    return reason in dropped, changes


def decide(frame: bytes, rules: Any) -> tuple[Reason, bytes | None]:
    """Name the reason, and the rule that was met by its key."""
    try:
        found = destination(frame)
    except Malformed:
        return Reason.MALFORMED, None
    if isinstance(found, Reason):
        return found, None
    protocol, port = found
    key = port.to_bytes(2, "big") + bytes((protocol, 0))
    rule = rules.get(key)
    if rule is None:
        return Reason.UNLISTED, None
    return (Reason.DENIED if rule["deny"] else Reason.ALLOWED), key


def destination(frame: bytes) -> Reason | tuple[int, int]:
    """Find protocol and destination port, or say why there is none."""
    kind, rest = _number(frame, 12), frame[14:]
    for _ in range(2):
        if kind in (0x8100, 0x88A8):
            kind, rest = _number(rest, 2), rest[4:]
    if kind == 0x0800:
        protocol, fragment, rest, left = _ipv4(rest)
    elif kind == 0x86DD:
        protocol, fragment, rest, left = _ipv6(rest)
    else:
        return Reason.NO_PORT
    if protocol not in (TCP, UDP, SCTP):
        return Reason.NO_PORT
    if fragment >> 3:
        return Reason.LATER_FRAGMENT
    return protocol, _port(protocol, rest, left, is_first=bool(fragment))


def _port(protocol: int, segment: bytes, left: float, *, is_first: bool) -> int:
    least = {TCP: 20, UDP: 8, SCTP: 12}[protocol]
    if len(segment) < least:
        raise Malformed
    if protocol == TCP and not least <= (segment[12] >> 4) * 4 <= len(segment):
        raise Malformed
    if protocol == UDP:
        stated = _number(segment, 4)
        if stated < least or (stated > left and not is_first):
            raise Malformed
    return _number(segment, 2)


# Both return protocol, fragment (its offset in bytes, and 1 for "more"), what of the packet is
# there, and how much of it should be.


def _ipv4(packet: bytes) -> tuple[int, int, bytes, float]:
    if len(packet) < 20:
        raise Malformed
    size, total = (packet[0] & 15) * 4, _number(packet, 2)
    if packet[0] >> 4 != 4 or not 20 <= size <= min(total, len(packet)):
        raise Malformed
    flags = _number(packet, 6)
    fragment = (flags & 0x1FFF) << 3 | bool(flags & 0x2000)
    return packet[9], fragment, packet[size:total], total - size


def _ipv6(packet: bytes) -> tuple[int, int, bytes, float]:
    if len(packet) < 40 or packet[0] >> 4 != 6:
        raise Malformed
    left, kind, rest = float(_number(packet, 4)), packet[6], packet[40:]
    if not left and kind == 0:
        left = float("inf")  # a jumbogram
    else:
        rest = rest[: int(left)]
    fragment = 0
    for _ in range(MOST_EXTENSIONS):
        if kind not in EXTENSIONS:
            break
        if len(rest) < 8:
            raise Malformed
        size = 8 if kind == 44 else 8 + rest[1] * 8
        if len(rest) < size:
            raise Malformed
        if kind == 44:
            fragment = _number(rest, 2) & 0xFFF9
        kind, rest, left = rest[0], rest[size:], left - size
        if fragment >> 3:
            return kind, fragment, rest, left
    if kind in EXTENSIONS:
        raise Malformed
    return kind, fragment, rest, left


def _number(data: bytes, offset: int) -> int:
    if len(data) < offset + 2:
        raise Malformed
    return int.from_bytes(data[offset : offset + 2], "big")
