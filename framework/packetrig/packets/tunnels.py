"""Build the headers of tunnels: a packet inside another one.

As in `craft`, each function takes what it carries first and gives bytes; a field that is given is
written as it is, whether it is right or not.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from .frames import ETHERTYPE_IPV4, ETHERTYPE_IPV6, inet_checksum

ETHERNET_BRIDGED = 0x6558  # what GRE and GENEVE call a whole Ethernet frame
IPIP, IPV6_INSIDE, GRE = 4, 41, 47
VXLAN_PORT, GENEVE_PORT, GUE_PORT = 4789, 6081, 6080
ETHERTYPE_MPLS = 0x8847


def protocol_of(ethertype: int) -> int | None:
    """Give IP's protocol number for an IP packet inside another; None for what is not IP."""
    return {ETHERTYPE_IPV4: IPIP, ETHERTYPE_IPV6: IPV6_INSIDE}.get(ethertype)


def gre(
    payload: bytes,
    kind: int,
    *,
    key: int | None = None,
    sequence: int | None = None,
    has_checksum: bool = False,
    checksum: int | None = None,
    version: int = 0,
) -> bytes:
    """Put GRE before a packet of this ethertype, with those optional fields that are given."""
    has_checksum = has_checksum or checksum is not None
    flags = has_checksum << 15 | (key is not None) << 13 | (sequence is not None) << 12 | version
    header = struct.pack("!HH", flags, kind)
    if has_checksum:
        header += struct.pack("!HH", checksum or 0, 0)
    if key is not None:
        header += key.to_bytes(4, "big")
    if sequence is not None:
        header += sequence.to_bytes(4, "big")
    if has_checksum and checksum is None:
        number = inet_checksum(header + payload)
        header = header[:4] + number.to_bytes(2, "big") + header[6:]
    return header + payload


def vxlan(frame: bytes, *, vni: int = 0, flags: int = 0x08) -> bytes:
    """Put VXLAN before a frame; the flag 8 says that the network's number is there."""
    return struct.pack("!B3xI", flags, vni << 8) + frame


def geneve(
    payload: bytes,
    kind: int = ETHERNET_BRIDGED,
    *,
    vni: int = 0,
    options: bytes = b"",
    version: int = 0,
    option_length: int | None = None,
) -> bytes:
    """Put GENEVE before a packet of this ethertype; `options` are filled up to whole words."""
    options += bytes(-len(options) % 4)
    words = len(options) // 4 if option_length is None else option_length
    first = version << 6 | words & 0x3F
    return struct.pack("!BBHI", first, 0, kind, vni << 8) + options + payload


def gue(
    payload: bytes,
    protocol: int,
    *,
    fields: bytes = b"",
    variant: int = 0,
    header_length: int | None = None,
) -> bytes:
    """Put Generic UDP Encapsulation before a packet of this IP protocol.

    Variant 1 has no header at all: the first nibble of the IP packet tells it.
    """
    if variant == 1:
        return payload
    fields += bytes(-len(fields) % 4)
    words = len(fields) // 4 if header_length is None else header_length
    return struct.pack("!BBH", variant << 6 | words & 0x1F, protocol, 0) + fields + payload


def mpls(payload: bytes, labels: Sequence[int], *, ttl: int = 64) -> bytes:
    """Put MPLS labels before a packet, from the outside in; the last has the bottom flag."""
    stack = b""
    for position, label in enumerate(labels):
        is_bottom = position == len(labels) - 1
        stack += (label << 12 | is_bottom << 8 | ttl).to_bytes(4, "big")
    return stack + payload
