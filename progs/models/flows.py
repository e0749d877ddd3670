"""Packets of services and of their backends, read by slices: what belongs together, and why not.

What xdp_balancer and tc_egress_balancer have in common; the one forwards, the other does not.
"""

from __future__ import annotations

import ipaddress
from enum import IntEnum
from typing import Any, NamedTuple

from . import headers
from .headers import EXTENSIONS, FRAGMENT, IPV4, IPV6, TCP, UDP, Ip, Malformed, number

ICMP, ICMPV6 = 1, 58
ERRORS = {ICMP: (3, 11, 12), ICMPV6: (1, 2, 3, 4)}
OPTIONS = EXTENSIONS.keys() - {FRAGMENT}
MAPPED = bytes(10) + b"\xff\xff"


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
        """Give the endpoint that it goes to, as maps have it."""
        return self.destination + self.ports[2:] + bytes((self.protocol, 0))

    @property
    def hashed(self) -> bytes:
        """Give the bytes that are hashed."""
        return self.source + self.destination + self.ports + bytes((self.protocol, 0, 0, 0))


class Packet(NamedTuple):
    """Hold a frame that was taken apart: `network` and `transport` are offsets."""

    frame: bytes
    network: int
    version: int
    protocol: int
    length: int
    flow: Flow

    @property
    def transport(self) -> int:
        """Tell where the transport header is."""
        return self.network + size_of(self.version)

    @property
    def hops(self) -> int:
        """Tell how many hops are left."""
        return self.frame[self.network + (8 if self.version == 4 else 7)]


def size_of(version: int) -> int:
    """Tell how long an IP header is without options."""
    return 20 if version == 4 else 40


def read(frame: bytes, *, forwarded: bool = True) -> Packet:
    """Take a frame apart, and find the flow that it belongs to.

    What is to be forwarded must be whole, and no group's.

    Raises:
        Left: There is no such flow.
    """
    try:
        return _read(frame, forwarded)
    except Malformed as e:
        raise Left(Reason.MALFORMED) from e


def _read(frame: bytes, forwarded: bool) -> Packet:
    kind, at = headers.ethernet(frame)
    if kind not in (IPV4, IPV6) or (forwarded and frame[0] & 1):
        raise Left(Reason.OTHER)
    packet = frame[at:]
    header = headers.ipv4(packet) if kind == IPV4 else headers.ipv6(packet)
    if forwarded and header.stated > len(header.payload):
        raise Malformed
    if packet[0] & 15 != 5 if kind == IPV4 else header.protocol in OPTIONS:
        raise Left(Reason.OPTIONS)
    if header.is_fragment or (kind == IPV6 and header.protocol == FRAGMENT):
        raise Left(Reason.FRAGMENT)
    if header.protocol == (ICMP if kind == IPV4 else ICMPV6):
        flow = _flow_of_error(header)
    elif header.protocol in (TCP, UDP):
        headers.ports(header)
        flow = _flow(header)
    else:
        raise Left(Reason.OTHER)
    length = size_of(header.version) + header.stated
    return Packet(frame, at, header.version, header.protocol, length, flow)


def _flow(header: Ip) -> Flow:
    before = MAPPED if header.version == 4 else b""
    ports = header.payload[:4]
    return Flow(before + header.source, before + header.destination, ports, header.protocol)


def _flow_of_error(header: Ip) -> Flow:
    message = header.payload
    if len(message) < 8:
        raise Malformed
    if message[0] not in ERRORS[header.protocol]:
        raise Left(Reason.OTHER)
    try:
        quote = (headers.ipv4 if header.version == 4 else headers.ipv6)(message[8:])
    except Malformed as e:
        raise Left(Reason.OTHER) from e
    has_options = header.version == 4 and message[8] & 15 != 5
    behind = message[8 + size_of(header.version) :]
    if has_options or quote.protocol not in (TCP, UDP) or quote.is_later_fragment:
        raise Left(Reason.OTHER)
    flow = _flow(quote)._replace(ports=behind[:4]).turned
    # Eight bytes are quoted at least, and the quoted packet was sent by who is told.
    if len(behind) < 8 or flow.destination != _flow(header).destination:
        raise Left(Reason.OTHER)
    return flow


def readdress(frame: bytearray, check: int, protocol: int, old: bytes, new: bytes) -> None:
    """Carry another address over to a transport checksum; UDP's zero says that there is none."""
    if protocol == UDP and not number(frame, check):
        return
    replace(frame, check, old, new)
    if protocol == UDP and not number(frame, check):
        frame[check : check + 2] = b"\xff\xff"


def replace(frame: bytearray, check: int, old: bytes, new: bytes) -> None:
    """Carry other words over to a checksum: RFC 1624, equation 3."""
    inverted = bytes(byte ^ 0xFF for byte in bytes(frame[check : check + 2]) + old)
    total = headers.inet_sum(inverted + new) ^ 0xFFFF
    frame[check : check + 2] = total.to_bytes(2, "big")


def packed(address: Any) -> bytes:
    """Give the 16 bytes of an address that a map holds as text."""
    return ipaddress.IPv6Address(str(address)).packed
