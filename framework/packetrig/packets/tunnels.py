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
VXLAN_GPE_PORT, GTP_PORT, L2TP_PORT, MPLS_PORT = 4790, 2152, 1701, 6635
ETHERTYPE_MPLS, ETHERTYPE_PPPOE = 0x8847, 0x8864
ETHERNET_INSIDE, ROUTING = 143, 43
# What VXLAN-GPE and PPP call the packets that have these ethertypes.
_NEXT_PROTOCOLS = {ETHERTYPE_IPV4: 1, ETHERTYPE_IPV6: 2, ETHERNET_BRIDGED: 3, ETHERTYPE_MPLS: 5}
_PPP = {ETHERTYPE_IPV4: 0x0021, ETHERTYPE_IPV6: 0x0057, ETHERTYPE_MPLS: 0x0281}


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


def vxlan(
    frame: bytes, *, vni: int = 0, flags: int | None = None, kind: int | None = None
) -> bytes:
    """Put VXLAN before a frame; the flag 8 says that the network's number is there.

    With `kind` it is VXLAN-GPE, and carries a packet of this ethertype, as the flag 4 says.
    """
    following = 0 if kind is None else _NEXT_PROTOCOLS.get(kind, 0)
    flags = (0x08 if kind is None else 0x0C) if flags is None else flags
    return struct.pack("!BHBI", flags, 0, following, vni << 8) + frame


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


def segment_routing(
    segments: Sequence[bytes], *, left: int | None = None, flags: int = 0, tag: int = 0
) -> bytes:
    """Make the routing header of SRv6 (RFC 8754), but for its first byte: `(ROUTING, ...)` is an
    extension of `craft.Network`.

    `segments` are packed addresses in the order in which they are visited; `left` counts those that
    come after the one the packet goes to now, all but one if it is not given.
    """
    last = len(segments) - 1
    fixed = struct.pack(
        "!BBBBBH", 2 * len(segments), 4, last if left is None else left, last, flags, tag
    )
    return fixed + b"".join(reversed(segments))


def gtp(
    payload: bytes,
    *,
    teid: int = 0,
    sequence: int | None = None,
    flow: int | None = None,
    kind: int = 255,
    length: int | None = None,
) -> bytes:
    """Put GTP-U (3GPP TS 29.281) before a packet; `flow` is the number of 5G's PDU session."""
    container = b"" if flow is None else bytes((1, 0x10, flow & 0x3F, 0))
    options = b""
    if sequence is not None or container:
        options = struct.pack("!HBB", sequence or 0, 0, 0x85 if container else 0)
    flags = 0x30 | bool(container) << 2 | (sequence is not None) << 1
    behind = options + container + payload
    return (
        struct.pack("!BBHI", flags, kind, len(behind) if length is None else length, teid) + behind
    )


def pppoe(
    payload: bytes, kind: int, *, session: int = 1, code: int = 0, length: int | None = None
) -> bytes:
    """Put PPPoE and PPP before a packet of this ethertype."""
    inner = _PPP.get(kind, kind).to_bytes(2, "big") + payload
    return (
        struct.pack("!BBHH", 0x11, code, session, len(inner) if length is None else length) + inner
    )


def l2tp(
    payload: bytes,
    kind: int,
    *,
    tunnel: int = 1,
    session: int = 1,
    has_length: bool = False,
    length: int | None = None,
) -> bytes:
    """Put a data header of L2TP, version 2, and PPP before a packet of this ethertype."""
    inner = b"\xff\x03" + _PPP.get(kind, kind).to_bytes(2, "big") + payload
    has_length = has_length or length is not None
    stated = len(inner) + 8 if length is None else length
    head = struct.pack("!HH", 0x4002, stated) if has_length else b"\x00\x02"
    return head + struct.pack("!HH", tunnel, session) + inner
