"""Read headers by slices of what is the packet's own; what cannot be true raises Malformed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

MOST_TAGS = 2
MOST_EXTENSIONS = 6
TAGS = (0x8100, 0x88A8)
IPV4, IPV6 = 0x0800, 0x86DD
TCP, UDP = 6, 17
FRAGMENT = 44
JUMBO = 1 << 32
EXTENSIONS = {0: "hop-by-hop", 43: "routing", FRAGMENT: "fragment", 60: "destination options"}


class Malformed(Exception):
    """A header is cut, or states a length that cannot be true."""


def number(data: bytes, offset: int) -> int:
    """Read two bytes in network order."""
    if len(data) < offset + 2:
        raise Malformed
    return int.from_bytes(data[offset : offset + 2], "big")


def ethernet(frame: bytes) -> tuple[int, int]:
    """Give the EtherType behind up to two tags, and where what it names begins."""
    kind, at = number(frame, 12), 14
    for _ in range(MOST_TAGS):
        if kind in TAGS:
            if len(frame) < at + 4:
                raise Malformed
            kind, at = number(frame, at + 2), at + 4
    return kind, at


@dataclass(frozen=True, slots=True)
class Ip:
    """Hold what an IP header says, and what it carries: the packet's own bytes, no padding."""

    version: int
    source: bytes
    destination: bytes
    protocol: int
    payload: bytes
    stated: int  # how many bytes of payload the header speaks of; a frame may be cut before
    offset: int = 0  # of a fragment
    is_fragment: bool = False

    @property
    def is_later_fragment(self) -> bool:
        return self.offset != 0


def ipv4(packet: bytes) -> Ip:
    """Read an IPv4 header with its options."""
    if len(packet) < 20:
        raise Malformed
    size, total = (packet[0] & 15) * 4, number(packet, 2)
    if packet[0] >> 4 != 4 or not 20 <= size <= min(total, len(packet)):
        raise Malformed
    place = number(packet, 6)
    return Ip(
        version=4,
        source=packet[12:16],
        destination=packet[16:20],
        protocol=packet[9],
        payload=packet[size:total],
        stated=total - size,
        offset=place & 0x1FFF,
        is_fragment=place & 0x3FFF != 0,
    )


def ipv6(packet: bytes) -> Ip:
    """Read an IPv6 header alone, whatever follows it."""
    if len(packet) < 40 or packet[0] >> 4 != 6:
        raise Malformed
    length, following, rest = number(packet, 4), packet[6], packet[40:]
    if not length and following == 0:  # a jumbogram: its length stands elsewhere
        length = JUMBO
    return Ip(6, packet[8:24], packet[24:40], following, rest[:length], length)


def extensions(header: Ip) -> Ip:
    """Step over IPv6 extension headers; a later fragment ends the walk."""
    protocol, rest, stated, place = header.protocol, header.payload, header.stated, 0
    for _ in range(MOST_EXTENSIONS):
        if protocol not in EXTENSIONS:
            break
        if len(rest) < 8:
            raise Malformed
        size = 8 if protocol == FRAGMENT else 8 + rest[1] * 8
        if len(rest) < size:
            raise Malformed
        place = number(rest, 2) if protocol == FRAGMENT else place
        protocol, rest, stated = rest[0], rest[size:], stated - size
        if place & 0xFFF8:
            break
    if protocol in EXTENSIONS and not place & 0xFFF8:
        raise Malformed
    return Ip(
        version=6,
        source=header.source,
        destination=header.destination,
        protocol=protocol,
        payload=rest,
        stated=stated,
        offset=place >> 3,
        is_fragment=place & 0xFFF9 != 0,
    )


def network(frame: bytes) -> Ip | None:
    """Read what stands between Ethernet and the transport header; None where that is not IP."""
    kind, at = ethernet(frame)
    if kind == IPV4:
        return ipv4(frame[at:])
    if kind == IPV6:
        return extensions(ipv6(frame[at:]))
    return None


def ports(header: Ip) -> tuple[int, int]:
    """Read the ports of a TCP or UDP packet whose lengths can be true.

    A TCP header must be there whole; a UDP length is held against what IP says of the packet.
    """
    data = header.payload
    if header.protocol == TCP:
        if len(data) < 20 or not 20 <= (data[12] >> 4) * 4 <= len(data):
            raise Malformed
    elif len(data) < 8 or not 8 <= number(data, 4) <= header.stated:
        raise Malformed
    return number(data, 0), number(data, 2)


def inet_sum(data: bytes) -> int:
    """Add 16-bit words as the Internet checksum does, without the last complement."""
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def replaced(packet: bytes, at: int, after: bytes, *, checksum: int) -> bytes:
    """Put words in, and carry the difference over to a checksum: a wrong one stays as wrong.

    RFC 1624: ~(~sum + ~old + new).
    """
    old = packet[at : at + len(after)]
    kept = number(packet, checksum) ^ 0xFFFF
    inverted = bytes(byte ^ 0xFF for byte in old)
    total = inet_sum(kept.to_bytes(2, "big") + inverted + after) ^ 0xFFFF
    packet = packet[:at] + after + packet[at + len(after) :]
    return packet[:checksum] + total.to_bytes(2, "big") + packet[checksum + 2 :]


def longest(prefixes: Iterable[str], address: bytes) -> str | None:
    """Find the longest of these networks that an address is in."""
    wanted = int.from_bytes(address, "big")
    best, found = -1, None
    for prefix in prefixes:
        base, _, length = prefix.partition("/")
        start = ipaddress.ip_address(base).packed
        shift = 8 * len(address) - int(length)
        if len(start) != len(address) or int(length) <= best:
            continue
        if int.from_bytes(start, "big") >> shift == wanted >> shift:
            best, found = int(length), prefix
    return found
