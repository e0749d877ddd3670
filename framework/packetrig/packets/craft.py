"""Build frames from fields with struct: fifty times as fast as scapy, and able to lie.

Each function takes what it carries first and gives bytes. A field that is None is made right
(lengths, checksums); a field that is given is written as it is, right or not. Addresses are
packed bytes here.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from .frames import ETHERTYPE_IPV4, ETHERTYPE_IPV6, crc32c, inet_checksum

TCP, UDP, ICMP, ICMPV6, SCTP = 6, 17, 1, 58, 132

MAC_SOURCE = bytes.fromhex("020000000001")
MAC_DESTINATION = bytes.fromhex("020000000002")


def padded(options: bytes) -> bytes:
    """Fill options up to whole 32-bit words, with zeros, as both IPv4 and TCP want it."""
    return options + bytes(-len(options) % 4)


def ethernet(
    payload: bytes,
    kind: int,
    *,
    source: bytes = MAC_SOURCE,
    destination: bytes = MAC_DESTINATION,
    vlans: Sequence[int | tuple[int, int]] = (),
) -> bytes:
    """Put Ethernet around a packet; `vlans` are tags from the outside in.

    The outer of two tags is of 802.1ad, as in a provider's network; a pair says its ethertype.
    """
    tags = b""
    for position, tag in enumerate(vlans):
        if isinstance(tag, int):
            tag = (0x88A8 if position < len(vlans) - 1 else 0x8100, tag)
        tags += struct.pack("!HH", *tag)
    return destination + source + tags + kind.to_bytes(2, "big") + payload


@dataclass(frozen=True, slots=True)
class Network:
    """Describe an IPv4 or IPv6 header: which one is told by the length of the addresses."""

    source: bytes = bytes((192, 0, 2, 1))
    destination: bytes = bytes((192, 0, 2, 2))
    ttl: int = 64
    tos: int = 0
    # IPv4 alone
    identification: int = 0
    dont_fragment: bool = False
    options: bytes = b""
    ihl: int | None = None
    length: int | None = None  # total length in IPv4, payload length in IPv6
    checksum: int | None = None
    # IPv6 alone; extensions are pairs of a protocol number and the header's bytes from its
    # second byte on: the first one, which tells what follows, is filled in.
    flow_label: int = 0
    extensions: Sequence[tuple[int, bytes]] = ()
    # both; an offset in units of 8 bytes
    fragment_offset: int = 0
    more_fragments: bool = False
    version: int | None = None

    @property
    def is_v6(self) -> bool:
        """Tell IPv6 from IPv4."""
        return len(self.source) == 16

    def pseudo(self, protocol: int, length: int) -> bytes:
        """Give the pseudo header that the checksums of TCP, UDP and ICMPv6 begin with."""
        return self.source + self.destination + struct.pack("!II", length, protocol)

    def packet(self, payload: bytes, protocol: int) -> bytes:
        """Give the packet without Ethernet."""
        return self._v6(payload, protocol) if self.is_v6 else self._v4(payload, protocol)

    def _v4(self, payload: bytes, protocol: int) -> bytes:
        options = padded(self.options)
        size = 20 + len(options)
        words = size // 4 if self.ihl is None else self.ihl
        length = size + len(payload) if self.length is None else self.length
        flags = (self.dont_fragment << 14) | (self.more_fragments << 13) | self.fragment_offset
        version = 4 if self.version is None else self.version
        header = struct.pack(
            "!BBHHHBBH4s4s",
            version << 4 | words,
            self.tos,
            length & 0xFFFF,
            self.identification,
            flags,
            self.ttl,
            protocol,
            self.checksum or 0,
            self.source,
            self.destination,
        )
        header += options
        if self.checksum is None:
            # What a receiver sums up is as long as ihl says, where the frame is long enough.
            covered = (header + payload)[: max(words * 4, 20)]
            header = header[:10] + inet_checksum(covered).to_bytes(2, "big") + header[12:]
        return header + payload

    def _v6(self, payload: bytes, protocol: int) -> bytes:
        extensions = list(self.extensions)
        if self.fragment_offset or self.more_fragments:
            position = self.fragment_offset << 3 | self.more_fragments
            extensions.append((44, struct.pack("!xHI", position, self.identification)))
        follow = [kind for kind, _ in extensions[1:]] + [protocol]
        chain = b"".join(
            bytes((kind,)) + body for kind, (_, body) in zip(follow, extensions, strict=False)
        )
        length = len(chain) + len(payload) if self.length is None else self.length
        version = 6 if self.version is None else self.version
        first = version << 28 | self.tos << 20 | self.flow_label
        protocol = extensions[0][0] if extensions else protocol
        fixed = struct.pack("!IHBB", first, length & 0xFFFF, protocol, self.ttl)
        return fixed + self.source + self.destination + chain + payload

    def frame(self, payload: bytes, protocol: int, **lower: object) -> bytes:
        """Give the packet in Ethernet; `lower` are the arguments of `ethernet`."""
        kind = ETHERTYPE_IPV6 if self.is_v6 else ETHERTYPE_IPV4
        return ethernet(self.packet(payload, protocol), kind, **lower)  # type: ignore[arg-type] # passed through


V4 = Network()
V6 = Network(
    source=bytes.fromhex("20010db8000000000000000000000001"),
    destination=bytes.fromhex("20010db8000000000000000000000002"),
)


def tcp(
    payload: bytes,
    network: Network,
    *,
    source_port: int = 40000,
    destination_port: int = 80,
    sequence: int = 0,
    acknowledgment: int = 0,
    flags: int = 0x18,
    window: int = 0xFFFF,
    urgent: int = 0,
    options: bytes = b"",
    data_offset: int | None = None,
    checksum: int | None = None,
) -> bytes:
    """Build a TCP segment; flags are PSH and ACK by default, bits 8-11 are the reserved ones."""
    options = padded(options)
    words = 5 + len(options) // 4 if data_offset is None else data_offset
    segment = struct.pack(
        "!HHIIHHHH",
        source_port,
        destination_port,
        sequence,
        acknowledgment,
        words << 12 | flags,
        window,
        checksum or 0,
        urgent,
    )
    segment += options + payload
    if checksum is None:
        number = inet_checksum(network.pseudo(TCP, len(segment)) + segment)
        segment = segment[:16] + number.to_bytes(2, "big") + segment[18:]
    return segment


def udp(
    payload: bytes,
    network: Network,
    *,
    source_port: int = 40000,
    destination_port: int = 53,
    length: int | None = None,
    checksum: int | None = None,
) -> bytes:
    """Build a UDP datagram; a checksum of zero says that there is none (IPv4 only)."""
    size = 8 + len(payload)
    stated = size if length is None else length
    header = struct.pack("!HHHH", source_port, destination_port, stated & 0xFFFF, checksum or 0)
    if checksum is None:
        number = inet_checksum(network.pseudo(UDP, size) + header + payload) or 0xFFFF
        header = header[:6] + number.to_bytes(2, "big")
    return header + payload


def icmp(
    payload: bytes,
    network: Network,
    *,
    kind: int | None = None,
    code: int = 0,
    rest: bytes = bytes(4),
    checksum: int | None = None,
) -> bytes:
    """Build an ICMP or, over IPv6, an ICMPv6 message; by default an echo request."""
    kind = (128 if network.is_v6 else 8) if kind is None else kind
    message = struct.pack("!BBH", kind, code, checksum or 0) + rest + payload
    if checksum is None:
        pseudo = network.pseudo(ICMPV6, len(message)) if network.is_v6 else b""
        message = message[:2] + inet_checksum(pseudo + message).to_bytes(2, "big") + message[4:]
    return message


def sctp(
    chunks: bytes,
    *,
    source_port: int = 40000,
    destination_port: int = 80,
    tag: int = 0,
    checksum: int | None = None,
) -> bytes:
    """Build an SCTP packet around chunks."""
    header = struct.pack("!HHI", source_port, destination_port, tag)
    number = crc32c(header + bytes(4) + chunks) if checksum is None else checksum
    return header + number.to_bytes(4, "little") + chunks


def arp(
    *,
    operation: int = 1,
    sender_mac: bytes = MAC_SOURCE,
    sender: bytes = V4.source,
    target_mac: bytes = bytes(6),
    target: bytes = V4.destination,
) -> bytes:
    """Build an ARP message for IPv4 over Ethernet; by default a request."""
    fixed = struct.pack("!HHBBH", 1, ETHERTYPE_IPV4, 6, 4, operation)
    return fixed + sender_mac + sender + target_mac + target
