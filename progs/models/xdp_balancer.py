"""xdp_balancer: a flow's slot of the ring names the backend, by another address or in a tunnel.

`maglev()` fills a ring as Google's Maglev does: nearly equal shares, and few flows that move when a
backend comes or goes.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from typing import Any

import packetrig
from packetrig import XDP
from packetrig.checks import only_change

from .flows import (
    MAPPED,
    Flow,
    Left,
    Packet,
    Reason,
    packed,
    read,
    readdress,
    replace,
    size_of,
)
from .headers import TCP, UDP, inet_sum

PROBES = 8
REWRITE = 0
WORD = 0xFFFFFFFF

ICMPV6_ERRORS = (
    "ICMPv6DestUnreach",
    "ICMPv6PacketTooBig",
    "ICMPv6TimeExceeded",
    "ICMPv6ParamProblem",
)

CHECKS = (
    only_change(
        *("Ether.src", "Ether.dst", "IP.dst", "IP.ttl", "IP.chksum", "IPv6.dst", "IPv6.hlim"),
        *("TCP.chksum", "UDP.chksum", "ICMP.chksum", "Raw.load"),  # the load: what an error quotes
        *(f"{error}.cksum" for error in ICMPV6_ERRORS),
        adds=("IP", "IPv6"),
    ),
)


@packetrig.model
def xdp_balancer(frame: bytes, maps: Any, globals: Any) -> Any:  # noqa: A002
    """Answer with the verdict, the frame that is sent, and the counts."""
    changes: dict[str, Any] = {}
    try:
        packet = read(frame)
        number, backend, sent = _balanced(packet, maps, int(globals.seed), int(globals.mtu))
        counted = {
            "packets": backend["packets"] + 1,
            "bytes": backend["bytes"] + len(frame),
        }
        changes["backends"] = {number: (backend, {**backend, **counted})}
        reason, answer = Reason.SENT, (XDP.TX, sent)
    except Left as e:
        reason, answer = e.reason, (XDP.PASS, frame)
    count = sum(maps.reasons[reason])
    changes["reasons"] = {int(reason): (count, count + 1)}
    return *answer, changes


def _balanced(packet: Packet, maps: Any, seed: int, mtu: int) -> tuple[int, dict[str, Any], bytes]:
    service = maps.services.get(packet.flow.key)
    if service is None:
        raise Left(Reason.NOT_OURS)
    if packet.hops <= 1:
        raise Left(Reason.LAST_HOP)
    number = chosen(packet.flow, service["ring"], maps, seed)
    backend = maps.backends.get(number) if number else None
    if backend is None:
        raise Left(Reason.NO_BACKEND)
    address = packed(backend["address"])
    if (address[:12] == MAPPED) != (packet.version == 4):
        raise Left(Reason.NO_BACKEND)
    if service["delivery"] == REWRITE:
        sent = _rewritten(packet, address)
    else:
        if packet.length + size_of(packet.version) > mtu:
            raise Left(Reason.TOO_LONG)
        sent = _encapsulated(packet, packed(service["source"]), address)
    return number, dict(backend), bytes(backend["mac"]) + packet.frame[:6] + sent[12:]


def chosen(flow: Flow, ring: Any, maps: Any, seed: int) -> int:
    """Name the backend that a flow belongs to, or 0."""
    if not ring["slots"]:
        return 0
    start = lookup3(flow.hashed, seed) % ring["slots"]
    for step in range(PROBES):
        number = maps.ring.get(ring["first"] + (start + step) % ring["slots"], 0)
        if number and number in maps.backends:
            return int(number)
    return 0


def lookup3(data: bytes, seed: int) -> int:
    """Hash words, in the order of this machine's bytes, as Bob Jenkins' hashword() does."""
    words = [int.from_bytes(data[at : at + 4], sys.byteorder) for at in range(0, len(data), 4)]
    a = b = c = (0xDEADBEEF + len(data) + seed) & WORD
    while len(words) > 3:
        a, b, c = ((x + y) & WORD for x, y in zip((a, b, c), words, strict=False))
        words = words[3:]
        for bits in (4, 6, 8, 16, 19, 4):  # the three take turns
            a = (a - c) & WORD ^ _rotated(c, bits)
            c = (c + b) & WORD
            a, b, c = b, c, a
    a, b, c = ((x + y) & WORD for x, y in zip((a, b, c), [*words, 0, 0], strict=False))
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _rotated(b, bits)) & WORD
        a, b, c = b, c, a
    # Seven turns of three: what was c last is b now.
    return b


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) & WORD


def maglev(backends: Sequence[int], slots: int) -> list[int]:
    """Fill a ring: each backend in turn takes the next slot of its own order that is free.

    `slots` is a prime number, a hundred times as many as backends for shares within one percent.
    """
    orders = {number: _order(number, slots) for number in backends}
    taken: list[int] = [0] * slots
    left = slots
    while left and orders:
        for number, order in orders.items():
            slot = next(slot for slot in order if not taken[slot])
            taken[slot] = number
            left -= 1
            if not left:
                break
    return taken


def _order(number: int, slots: int) -> Any:
    digest = hashlib.sha256(number.to_bytes(4, "big")).digest()
    start = int.from_bytes(digest[:8], "big") % slots
    step = 1 + int.from_bytes(digest[8:16], "big") % (slots - 1)
    return iter([(start + turn * step) % slots for turn in range(slots)])


def _rewritten(packet: Packet, address: bytes) -> bytes:
    frame, at, behind = bytearray(packet.frame), packet.network, packet.transport
    old = packet.flow.destination
    if packet.protocol in (TCP, UDP):
        check = behind + (16 if packet.protocol == TCP else 6)
        readdress(frame, check, packet.protocol, old, address)
    else:
        _requote(frame, packet, address)
    _decrease(frame, at, packet.version)
    if packet.version == 4:
        replace(frame, at + 10, old[12:], address[12:])
        frame[at + 16 : at + 20] = address[12:]
    else:
        frame[at + 24 : at + 40] = address
    return bytes(frame)


def _requote(frame: bytearray, packet: Packet, address: bytes) -> None:
    old, check, quote = packet.flow.destination, packet.transport + 2, packet.transport + 8
    if packet.version == 4:
        inner = quote + 20
        replace(frame, quote + 10, old[12:], address[12:])
        frame[quote + 12 : quote + 16] = address[12:]
    else:
        inner = quote + 40
        replace(frame, check, old, address)
        frame[quote + 8 : quote + 24] = address
    field = inner + (16 if packet.flow.protocol == TCP else 6)
    if field + 2 <= packet.network + packet.length:
        before = bytes(frame[field : field + 2])
        readdress(frame, field, packet.flow.protocol, old, address)
        if packet.flow.protocol == TCP or before != b"\0\0":
            replace(frame, check, before, bytes(frame[field : field + 2]))
    if packet.version == 6:
        replace(frame, check, old, address)


def _encapsulated(packet: Packet, source: bytes, address: bytes) -> bytes:
    frame, at = bytearray(packet.frame), packet.network
    _decrease(frame, at, packet.version)
    if packet.version == 4:
        length = (packet.length + 20).to_bytes(2, "big")
        start = b"\x45" + frame[at + 1 : at + 2] + length + b"\0\0\x40\0\x40\x04"
        addresses = source[12:] + address[12:]
        check = 0xFFFF ^ inet_sum(start + addresses)
        outer = start + check.to_bytes(2, "big") + addresses
    else:
        length = packet.length.to_bytes(2, "big")
        outer = frame[at : at + 4] + length + b"\x29\x40" + source + address
    return bytes(frame[:at] + outer + frame[at:])


def _decrease(frame: bytearray, at: int, version: int) -> None:
    if version == 6:
        frame[at + 7] -= 1
        return
    before = bytes(frame[at + 8 : at + 10])
    frame[at + 8] -= 1
    replace(frame, at + 10, before, bytes(frame[at + 8 : at + 10]))
