"""Packets out of one draw of random decisions ("picks") and the arguments that were given.

Every byte of the picks has one use in a packet (what is inside a tunnel reads them from the other
end), and zero always means the plainest choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis.errors import InvalidArgument

from .. import craft
from . import _payloads
from ._arguments import Values, version_of

_NOP = b"\x01"
_PADN = b"\x00\x01\x04\0\0\0\0"
_SEGMENT = bytes((2, 4, 0, 0, 0, 0, 0)) + craft.V6.destination  # segment routing, all visited

_IP_OPTIONS = (
    bytes.fromhex("94040000"),  # router alert
    _NOP * 4,
    bytes.fromhex("0707040000000000"),  # record route, room for one
    bytes.fromhex("4408050000000000"),  # time stamp
    _NOP * 40,
)
_EXTENSIONS: tuple[tuple[tuple[int, bytes], ...], ...] = (
    ((0, _PADN),),
    ((60, _PADN),),
    ((44, bytes(7)),),  # an "atomic" fragment: the header without a fragment (RFC 6946)
    ((43, _SEGMENT),),
    ((0, _PADN), (60, _PADN)),
    ((0, _PADN), (43, _SEGMENT), (60, b"\x01\x01\x0c" + bytes(12))),
)
TTLS = (64, 64, 64, 255, 128, 1, 2, 0)
_PORTS = (80, 80, 80, 80, 443, 8080, 53, 22, 0, 65535)
_TCP_FLAGS = (0x18, 0x10, 0x02, 0x12, 0x11, 0x04, 0x14, 0x38, 0xC2, 0x00, 0xFF)
_TCP_OPTIONS = {  # by their length in words
    0: b"",
    1: bytes.fromhex("020405b4"),
    2: bytes.fromhex("020405b4 01030307"),
    3: bytes.fromhex("0101080a 00000001 00000000"),
    4: bytes.fromhex("020405b4 0402 080a 00000001 00000000"),
    5: bytes.fromhex("020405b4 0402 080a 00000001 00000000 01 030307"),
}
_TCP_WORDS = (1, 3, 3, 5, 3, 2, 10, 3, 4, 6, 5, 3, 8)
_CHUNKS = (
    bytes.fromhex("01000014 00000001 0000ffff 00010001 00000000"),  # INIT
    bytes.fromhex("03000010 00000000 0000ffff 00000000"),  # SACK
    bytes.fromhex("0400000c 00010008 00000000"),  # HEARTBEAT
    bytes.fromhex("06000004"),  # ABORT
    bytes.fromhex("0b000004 0e000004"),  # COOKIE ACK and SHUTDOWN COMPLETE, bundled
)
_DISCOVERY = {  # of IPv6's neighbours: the second word, and the rest with the sender's MAC
    133: (bytes(4), b"\1\1" + craft.MAC_SOURCE),
    134: (bytes.fromhex("40000708"), bytes(8) + b"\1\1" + craft.MAC_SOURCE),
    135: (bytes(4), craft.V6.destination + b"\1\1" + craft.MAC_SOURCE),
    136: (bytes.fromhex("60000000"), craft.V6.source + b"\2\1" + craft.MAC_SOURCE),
}
_MACS = (craft.MAC_DESTINATION, b"\xff" * 6, bytes.fromhex("01005e000001"), bytes(6))


def u16(picks: bytes, at: int) -> int:
    return picks[at] << 8 | picks[at + 1]


def u32(picks: bytes, at: int) -> int:
    return int.from_bytes(picks[at : at + 4], "big")


def lower(picks: bytes, values: Values, payload: bytes, kind: int) -> bytes:
    """Put Ethernet around a packet. Picks 0 and 1."""
    tags: Sequence[int | tuple[int, int]] = values.get("vlans", ())
    if "vlans" not in values and picks[0] >= 0xC0:
        tags = (u16(picks, 2),)
        if picks[0] >= 0xF0:
            outer = u16(picks, 4)
            # Two tags of 802.1Q: not by the standard, and in many networks.
            tags = ((0x8100, outer) if picks[0] & 2 else outer, *tags)
    destination = values.get("destination_mac")
    if destination is None:
        destination = _MACS[picks[1] % len(_MACS) if picks[1] >= 0xC0 else 0]
    return craft.ethernet(
        payload,
        kind,
        source=values.get("source_mac", craft.MAC_SOURCE),
        destination=destination,
        vlans=tags,
    )


def network(picks: bytes, values: Values) -> craft.Network:
    """Choose an IP header. Picks 0, 6 to 31 and 52 to 67."""
    if version_of(picks, values) == 6:
        return _network_v6(picks, values)
    options = values.get("ip_options")
    if options is None:
        if "ihl" in values:
            options = _NOP * (4 * max(values["ihl"] - 5, 0))
        else:
            options = (
                _IP_OPTIONS[(picks[10] - 0xD0) % len(_IP_OPTIONS)] if picks[10] >= 0xD0 else b""
            )
    source, destination = _addresses(picks, craft.V4, 4)
    return craft.Network(
        source=values.get("source", source),
        destination=values.get("destination", destination),
        ttl=values.get("ttl", TTLS[picks[6] & 7]),
        tos=values.get("tos", picks[7] if picks[15] >= 0xC0 else 0),
        identification=values.get("identification", u16(picks, 8)),
        dont_fragment=values.get("dont_fragment", bool(picks[11] & 1)),
        options=options,
        ihl=values.get("ihl"),
        length=values.get("ip_length"),
        checksum=values.get("ip_checksum"),
        fragment_offset=values.get("fragment_offset", 0),
        more_fragments=values.get("more_fragments", False),
    )


def _network_v6(picks: bytes, values: Values) -> craft.Network:
    extensions = values.get("extensions")
    if extensions is None:
        extensions = _EXTENSIONS[(picks[10] - 0xD0) % len(_EXTENSIONS)] if picks[10] >= 0xD0 else ()
    source, destination = _addresses(picks, craft.V6, 16)
    return craft.Network(
        source=values.get("source", source),
        destination=values.get("destination", destination),
        ttl=values.get("ttl", TTLS[picks[6] & 7]),
        tos=values.get("tos", picks[7] if picks[15] >= 0xC0 else 0),
        identification=values.get("identification", u16(picks, 8)),
        length=values.get("ip_length"),
        flow_label=values.get("flow_label", u16(picks, 8) if picks[11] & 1 else 0),
        extensions=extensions,
        fragment_offset=values.get("fragment_offset", 0),
        more_fragments=values.get("more_fragments", False),
    )


def _addresses(picks: bytes, base: craft.Network, size: int) -> tuple[bytes, bytes]:
    if picks[12] >= 0xC0:  # anything
        return picks[16 : 16 + size], picks[52 : 52 + size]
    source = base.source[:-1] + bytes((base.source[-1] ^ picks[13],))
    return source, base.destination[:-1] + bytes((base.destination[-1] ^ picks[14],))


def packet(
    picks: bytes, values: Values, header: craft.Network, payload: bytes, protocol: int
) -> bytes:
    """Put IP and Ethernet around what they carry."""
    kind = 0x86DD if header.is_v6 else 0x0800
    whole = header.packet(payload, protocol)
    if len(whole) - 40 * header.is_v6 > 0xFFFF and header.length is None:
        raise InvalidArgument(
            f"a packet of {len(whole)} bytes: payload= and what surrounds it (extensions=, "
            "inner=) are longer than an IP length can say; shorten them, or give ip_length="
        )
    return lower(picks, values, whole, kind)


def ports(picks: bytes, values: Values) -> tuple[int, int]:
    """Choose ports. Picks 32 to 35."""
    destination = u16(picks, 34) if picks[33] >= 0xC0 else _PORTS[picks[33] % len(_PORTS)]
    return (
        values.get("source_port", 40000 ^ picks[32]),
        values.get("destination_port", destination),
    )


def tcp(picks: bytes, values: Values) -> bytes:
    """Choose a TCP packet. Picks 36 to 51; 78 to 97 for an HTTP request, if it carries one."""
    header = network(picks, values)
    source, destination = ports(picks, values)
    flags = values.get("flags")
    if flags is None:
        flags = picks[37] if picks[36] >= 0xF0 else _TCP_FLAGS[picks[36] % len(_TCP_FLAGS)]
    payload = values.get("payload")
    if payload is None:  # left to us: `data` was drawn for that
        payload = _payloads.http(picks[78:], {}) if picks[51] >= 0x80 else values["data"]
    segment = craft.tcp(
        payload,
        header,
        source_port=source,
        destination_port=destination,
        sequence=values.get("sequence", u32(picks, 38)),
        acknowledgment=values.get("acknowledgment", u32(picks, 42)),
        flags=flags,
        window=values.get("window", 0xFFFF ^ u16(picks, 46)),
        urgent=values.get("urgent", u16(picks, 48) if flags & 0x20 else 0),
        options=_tcp_options(picks, values),
        data_offset=values.get("data_offset"),
        checksum=values.get("checksum"),
    )
    return packet(picks, values, header, segment, craft.TCP)


def _tcp_options(picks: bytes, values: Values) -> bytes:
    options: bytes | None = values.get("options")
    if options is not None:
        return options
    if "data_offset" in values:
        words = max(values["data_offset"] - 5, 0)
    elif picks[50] < 0x60:
        words = 0
    else:
        words = _TCP_WORDS[(picks[50] - 0x60) % len(_TCP_WORDS)]
    known = _TCP_OPTIONS.get(words)
    if known is not None:
        return known
    # The usual ones, then one of an unknown kind (253 is for experiments) or padding.
    rest = 4 * words - 20
    filler = bytes((253, rest)) + bytes(rest - 2) if picks[51] & 1 else _NOP * rest
    return _TCP_OPTIONS[5] + filler


def udp(picks: bytes, values: Values) -> bytes:
    """Choose a UDP packet. Picks 32 to 36."""
    header = network(picks, values)
    source, destination = ports(picks, values)
    checksum = values.get("checksum")
    if checksum is None and picks[36] >= 0xE0 and not header.is_v6:
        checksum = 0  # none
    datagram = craft.udp(
        values["payload"],
        header,
        source_port=source,
        destination_port=destination,
        length=values.get("length"),
        checksum=checksum,
    )
    return packet(picks, values, header, datagram, craft.UDP)


def icmp(picks: bytes, values: Values) -> bytes:
    """Choose an ICMP or ICMPv6 packet. Picks 32 to 38."""
    header = network(picks, values)
    kinds = (128, 129, 1, 2, 3, 4, 135, 136, 133, 134) if header.is_v6 else (8, 0, 3, 11, 5, 12)
    kind = values.get("kind", kinds[picks[32] % len(kinds)])
    rest, payload = picks[34:38], values.get("payload", values.get("data", b""))
    code = 0 if kind == kinds[0] else picks[33] & 7
    if header.is_v6 and kind in _DISCOVERY:  # these have a body and a hop limit of their own
        rest, body = _DISCOVERY[kind]
        code, payload = 0, values.get("payload", body)
        header = replace(header, ttl=values.get("ttl", 255))
    message = craft.icmp(
        payload,
        header,
        kind=kind,
        code=values.get("code", code),
        rest=values.get("rest", rest),
        checksum=values.get("checksum"),
    )
    protocol = craft.ICMPV6 if header.is_v6 else craft.ICMP
    return packet(picks, values, header, message, protocol)


def sctp(picks: bytes, values: Values) -> bytes:
    """Choose an SCTP packet with one DATA chunk. Picks 32 to 44."""
    header = network(picks, values)
    source, destination = ports(picks, values)
    chunks = values.get("chunks")
    if chunks is None:
        data = values.get("payload", values.get("data", b""))
        chunk = b"\0\x03" + (16 + len(data)).to_bytes(2, "big") + picks[40:44] + bytes(8) + data
        is_other = picks[44] >= 0xC0 and "payload" not in values
        chunks = _CHUNKS[picks[44] % len(_CHUNKS)] if is_other else craft.padded(chunk)
    body = craft.sctp(
        chunks,
        source_port=source,
        destination_port=destination,
        tag=values.get("tag", u32(picks, 36)),
        checksum=values.get("crc"),
    )
    return packet(picks, values, header, body, craft.SCTP)


def ip(picks: bytes, values: Values) -> bytes:
    """Choose an IP packet of any protocol. Picks 32 and 33."""
    header = network(picks, values)
    unknown = (59, 253) if header.is_v6 else (253, 61)
    protocol = values.get("protocol", unknown[picks[32] & 1])
    return packet(picks, values, header, values["payload"], protocol)


def arp(picks: bytes, values: Values) -> bytes:
    """Choose an ARP packet. Picks 32 to 37."""
    message = craft.arp(
        operation=values.get("operation", 1 + (picks[32] & 1)),
        sender_mac=values.get("sender_mac", craft.MAC_SOURCE),
        sender=values.get("sender", craft.V4.source[:3] + bytes((1 ^ picks[34],))),
        target_mac=values.get("target_mac", bytes(6) if not picks[32] else craft.MAC_DESTINATION),
        target=values.get("target", craft.V4.destination[:3] + bytes((2 ^ picks[35],))),
    )
    return lower(picks, values, message, 0x0806)


def ethernet(picks: bytes, values: Values) -> bytes:
    """Choose a frame of a protocol that is neither IP nor ARP. Picks 32 and 33."""
    kinds = (0x88B5, 0x9000, 0x88CC, 0x88F7, 0x88E5)  # the first is for experiments
    kind = 0x9200 | picks[33] if picks[32] >= 0xC0 else kinds[picks[32] % len(kinds)]
    return lower(picks, values, values["payload"], values.get("ethertype", kind))
