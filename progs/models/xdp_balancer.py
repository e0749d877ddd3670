"""What xdp_balancer and tc_egress_balancer should do, said a second time: by slices of the packet.

`maglev()` fills a ring as Google's Maglev does: nearly equal shares, and few flows that move when a
backend comes or goes.
"""

from __future__ import annotations

import hashlib
import ipaddress
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import packetrig
from packetrig import TC, XDP

PROBES = 8
REWRITE, ENCAPSULATE = 0, 1
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
EXTENSIONS, FRAGMENT = (0, 43, 60), 44
ERRORS = {ICMP: (3, 11, 12), ICMPV6: (1, 2, 3, 4)}
MAPPED = bytes(10) + b"\xff\xff"
TAGS = (b"\x81\x00", b"\x88\xa8")
WORD = 0xFFFFFFFF


class Reason(IntEnum):
    """Name the reasons as enum balancer_reason does: they index the map `reasons`."""

    MALFORMED = 0
    OTHER = 1
    OPTIONS = 2
    FRAGMENT = 3
    NOT_OURS = 4
    LAST_HOP = 5
    NO_BACKEND = 6
    TOO_LONG = 7
    NO_ROOM = 8
    SENT = 9


class Left(Exception):
    """The packet passes untouched, and this is why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.name)
        self.reason = reason


class Flow(NamedTuple):
    """Hold what makes packets belong together; addresses of 16 bytes."""

    source: bytes
    destination: bytes
    ports: bytes
    protocol: int

    @property
    def turned(self) -> Flow:
        """Turn it round: the flow of the answers."""
        ports = self.ports[2:] + self.ports[:2]
        return Flow(self.destination, self.source, ports, self.protocol)

    @property
    def key(self) -> bytes:
        """Give the endpoint that it goes to, as the map `services` has it."""
        return self.destination + self.ports[2:] + bytes((self.protocol, 0))

    @property
    def packed(self) -> bytes:
        """Give the bytes that are hashed."""
        return self.source + self.destination + self.ports + bytes((self.protocol, 0, 0, 0))


class Packet(NamedTuple):
    """Hold a frame that was taken apart: `network` and `transport` are offsets."""

    frame: bytes
    network: int
    version: int
    protocol: int
    flow: Flow

    @property
    def transport(self) -> int:
        """Tell where the transport header is."""
        return self.network + (20 if self.version == 4 else 40)

    @property
    def length(self) -> int:
        """Tell how long the IP packet says that it is."""
        stated = _number(self.frame, self.network + (2 if self.version == 4 else 4))
        return stated + (0 if self.version == 4 else 40)

    @property
    def hops(self) -> int:
        """Tell how many hops are left."""
        return self.frame[self.network + (8 if self.version == 4 else 7)]


# --- the balancer


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
        if packet.length + (20 if packet.version == 4 else 40) > mtu:
            raise Left(Reason.TOO_LONG)
        sent = _encapsulated(packet, packed(service["source"]), address)
    return number, dict(backend), _mac(backend["mac"]) + packet.frame[:6] + sent[12:]


def read(frame: bytes, *, forwarded: bool = True) -> Packet:
    """Take a frame apart, and find the flow that it belongs to.

    What is to be forwarded must be whole, and no group's.
    """
    at, version = _network(frame)
    if forwarded and frame[0] & 1:
        raise Left(Reason.OTHER)
    packet = frame[at:]
    protocol, end = _ipv4(packet) if version == 4 else _ipv6(packet)
    if forwarded and end > len(packet):
        raise Left(Reason.MALFORMED)
    if packet[0] & 15 != 5 if version == 4 else protocol in EXTENSIONS:
        raise Left(Reason.OPTIONS)
    if _number(packet, 6) & 0x3FFF if version == 4 else protocol == FRAGMENT:
        raise Left(Reason.FRAGMENT)
    start = 20 if version == 4 else 40
    if protocol == (ICMP if version == 4 else ICMPV6):
        flow = _quoted_flow(packet, packet[start:end], version, protocol)
    elif protocol in (TCP, UDP):
        _check_transport(protocol, packet[start:end], end - start)
        flow = _flow(packet, version, packet[start : start + 4], protocol)
    else:
        raise Left(Reason.OTHER)
    return Packet(frame, at, version, protocol, flow)


def _network(frame: bytes) -> tuple[int, int]:
    at = 12
    for _ in range(2):
        if frame[at : at + 2] in TAGS:
            at += 4
    if len(frame) < at + 2:
        raise Left(Reason.MALFORMED)
    version = {b"\x08\x00": 4, b"\x86\xdd": 6}.get(frame[at : at + 2])
    if version is None:
        raise Left(Reason.OTHER)
    return at + 2, version


def _ipv4(packet: bytes) -> tuple[int, int]:
    size, total = (packet[:1] or b"\0")[0] & 15, _number(packet + bytes(4), 2)
    if len(packet) < 20 or packet[0] >> 4 != 4 or not 20 <= size * 4 <= min(total, len(packet)):
        raise Left(Reason.MALFORMED)
    return packet[9], total


def _ipv6(packet: bytes) -> tuple[int, int]:
    if len(packet) < 40 or packet[0] >> 4 != 6:
        raise Left(Reason.MALFORMED)
    length = _number(packet, 4)
    if not length and packet[6] == 0:
        raise Left(Reason.MALFORMED)  # a jumbogram: longer than any frame
    return packet[6], 40 + length


def _check_transport(protocol: int, segment: bytes, left: int) -> None:
    if protocol == TCP:
        is_sound = len(segment) >= 20 and 20 <= (segment[12] >> 4) * 4 <= len(segment)
    else:
        is_sound = len(segment) >= 8 and 8 <= _number(segment, 4) <= left
    if not is_sound:
        raise Left(Reason.MALFORMED)


def _flow(packet: bytes, version: int, ports: bytes, protocol: int) -> Flow:
    if version == 4:
        return Flow(MAPPED + packet[12:16], MAPPED + packet[16:20], ports, protocol)
    return Flow(packet[8:24], packet[24:40], ports, protocol)


def _quoted_flow(packet: bytes, message: bytes, version: int, protocol: int) -> Flow:
    if len(message) < 8:
        raise Left(Reason.MALFORMED)
    quote, size = message[8:], 20 if version == 4 else 40
    if message[0] not in ERRORS[protocol] or len(quote) < size + 8 or quote[0] >> 4 != version:
        raise Left(Reason.OTHER)
    inner = quote[9] if version == 4 else quote[6]
    if inner not in (TCP, UDP):
        raise Left(Reason.OTHER)
    if version == 4 and (
        quote[0] & 15 != 5 or _number(quote, 2) < 20 or _number(quote, 6) & 0x1FFF
    ):
        raise Left(Reason.OTHER)
    flow = _flow(quote, version, quote[size : size + 4], inner).turned
    if flow.destination != _flow(packet, version, b"", 0).destination:
        raise Left(Reason.OTHER)
    return flow


# --- the choice


def chosen(flow: Flow, ring: Any, maps: Any, seed: int) -> int:
    """Name the backend that a flow belongs to, or 0."""
    if not ring["slots"]:
        return 0
    start = lookup3(flow.packed, seed) % ring["slots"]
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


# --- the packet that is sent


def _rewritten(packet: Packet, address: bytes) -> bytes:
    frame, at, behind = bytearray(packet.frame), packet.network, packet.transport
    old = packet.flow.destination
    if packet.protocol in (TCP, UDP):
        check = behind + (16 if packet.protocol == TCP else 6)
        _readdress(frame, check, packet.protocol, old, address)
    else:
        _requote(frame, packet, address)
    _decrease(frame, at, packet.version)
    if packet.version == 4:
        _replace(frame, at + 10, old[12:], address[12:])
        frame[at + 16 : at + 20] = address[12:]
    else:
        frame[at + 24 : at + 40] = address
    return bytes(frame)


def _requote(frame: bytearray, packet: Packet, address: bytes) -> None:
    old, check, quote = packet.flow.destination, packet.transport + 2, packet.transport + 8
    if packet.version == 4:
        inner = quote + 20
        _replace(frame, quote + 10, old[12:], address[12:])
        frame[quote + 12 : quote + 16] = address[12:]
    else:
        inner = quote + 40
        _replace(frame, check, old, address)
        frame[quote + 8 : quote + 24] = address
    field = inner + (16 if packet.flow.protocol == TCP else 6)
    if field + 2 <= packet.network + packet.length:
        before = bytes(frame[field : field + 2])
        _readdress(frame, field, packet.flow.protocol, old, address)
        if packet.flow.protocol == TCP or before != b"\0\0":
            _replace(frame, check, before, bytes(frame[field : field + 2]))
    if packet.version == 6:
        _replace(frame, check, old, address)


def _encapsulated(packet: Packet, source: bytes, address: bytes) -> bytes:
    frame, at = bytearray(packet.frame), packet.network
    _decrease(frame, at, packet.version)
    if packet.version == 4:
        length = (packet.length + 20).to_bytes(2, "big")
        start = b"\x45" + frame[at + 1 : at + 2] + length + b"\0\0\x40\0\x40\x04"
        addresses = source[12:] + address[12:]
        check = 0xFFFF ^ _folded(start + addresses)
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
    _replace(frame, at + 10, before, bytes(frame[at + 8 : at + 10]))


def _readdress(frame: bytearray, check: int, protocol: int, old: bytes, new: bytes) -> None:
    if protocol == UDP and frame[check : check + 2] == b"\0\0":
        return
    _replace(frame, check, old, new)
    if protocol == UDP and frame[check : check + 2] == b"\0\0":
        frame[check : check + 2] = b"\xff\xff"


def _replace(frame: bytearray, check: int, old: bytes, new: bytes) -> None:
    # RFC 1624, equation 3, over as many words as there are.
    inverted = bytes(byte ^ 0xFF for byte in bytes(frame[check : check + 2]) + old)
    frame[check : check + 2] = (0xFFFF ^ _folded(inverted + new)).to_bytes(2, "big")


def _folded(data: bytes) -> int:
    total = sum(_number(data, at) for at in range(0, len(data), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


# --- the way back


@packetrig.model
def tc_egress_balancer(frame: bytes, maps: Any) -> Any:
    """Answer with the frame in the service's name, and the count."""
    try:
        packet = read(frame, forwarded=False)
    except Left:
        return TC.OK, frame, {}
    key = packet.flow.turned.key
    answers = maps.sources.get(key) if packet.protocol in (TCP, UDP) else None
    if answers is None or (packed(answers["source"])[:12] == MAPPED) != (packet.version == 4):
        return TC.OK, frame, {}
    old, new = packet.flow.source, packed(answers["source"])
    made, at = bytearray(frame), packet.network
    check = packet.transport + (16 if packet.protocol == TCP else 6)
    _readdress(made, check, packet.protocol, old, new)
    if packet.version == 4:
        _replace(made, at + 10, old[12:], new[12:])
        made[at + 12 : at + 16] = new[12:]
    else:
        made[at + 8 : at + 24] = new
    before = dict(answers)
    after = {**before, "packets": before["packets"] + 1}
    return TC.OK, bytes(made), {"sources": {key: (before, after)}}


# --- values


def packed(address: Any) -> bytes:
    """Give the 16 bytes of an address that a map holds as text."""
    return ipaddress.IPv6Address(str(address)).packed


def _mac(address: Any) -> bytes:
    return bytes(address)


def _number(data: bytes | bytearray, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 2], "big")
