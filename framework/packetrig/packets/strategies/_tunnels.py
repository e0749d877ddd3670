"""Packets in packets, and packets about packets, out of one draw of decisions.

As in `_assemble`, zero always means the plainest choice.
"""

from __future__ import annotations

from .. import craft, tunnels
from ._arguments import Values
from ._assemble import TTLS, lower, network, packet, u16, u32


def inside(frame: bytes) -> tuple[int, bytes]:
    """Take Ethernet and its VLAN tags off a frame: the ethertype, and what follows."""
    at = 12
    while frame[at : at + 2] in _TAGS and at + 6 <= len(frame):
        at += 4
    return u16(frame, at), frame[at + 2 :]


def ipip(picks: bytes, values: Values) -> bytes:
    """Choose a packet in IP. What is no IP packet is called IPv4 all the same."""
    kind, inner = inside(values["inner"])
    header = network(picks, values)
    return packet(picks, values, header, inner, tunnels.protocol_of(kind) or tunnels.IPIP)


def gre(picks: bytes, values: Values) -> bytes:
    """Choose a packet or, as picked, a whole frame in GRE. Picks 32 to 40."""
    kind, inner = inside(values["inner"])
    if picks[32] >= 0xE0:
        kind, inner = tunnels.ETHERNET_BRIDGED, values["inner"]
    header = network(picks, values)
    body = tunnels.gre(
        inner,
        kind,
        key=values.get("key", u32(picks, 34) if picks[33] >= 0x80 else None),
        sequence=values.get("sequence", u32(picks, 36) if picks[33] & 0x41 == 0x41 else None),
        has_checksum=values.get("has_checksum", picks[32] >= 0xC0),
    )
    return packet(picks, values, header, body, tunnels.GRE)


def vxlan(picks: bytes, values: Values) -> bytes:
    """Choose a frame in VXLAN, or a packet in VXLAN-GPE. Picks 32 to 37."""
    vni = values.get("vni", u32(picks, 33) & 0xFFFFFF)
    if not values.get("is_generic", False):
        body = tunnels.vxlan(values["inner"], vni=vni)
        return _over_udp(picks, values, body, tunnels.VXLAN_PORT)
    kind, inner = tunnels.ETHERNET_BRIDGED, values["inner"]
    if picks[37] < 0xC0:
        kind, inner = inside(inner)
    body = tunnels.vxlan(inner, vni=vni, kind=kind)
    return _over_udp(picks, values, body, tunnels.VXLAN_GPE_PORT)


def geneve(picks: bytes, values: Values) -> bytes:
    """Choose a frame, or a packet, in GENEVE. Picks 32 to 37."""
    kind, inner = tunnels.ETHERNET_BRIDGED, values["inner"]
    if picks[37] >= 0xC0:
        kind, inner = inside(inner)
    options = values.get("tunnel_options")
    if options is None:
        options = _GENEVE_OPTIONS[picks[37] % len(_GENEVE_OPTIONS)]
    vni = values.get("vni", u32(picks, 33) & 0xFFFFFF)
    body = tunnels.geneve(inner, kind, vni=vni, options=options)
    return _over_udp(picks, values, body, tunnels.GENEVE_PORT)


def gue(picks: bytes, values: Values) -> bytes:
    """Choose a packet in GUE. Pick 37."""
    kind, inner = inside(values["inner"])
    body = tunnels.gue(
        inner,
        tunnels.protocol_of(kind) or tunnels.IPIP,
        fields=values.get("tunnel_fields", bytes(4) if picks[37] >= 0xE0 else b""),
        variant=values.get("variant", picks[37] & 1),
    )
    return _over_udp(picks, values, body, tunnels.GUE_PORT)


def mpls(picks: bytes, values: Values) -> bytes:
    """Choose a packet behind MPLS labels. Picks 32 to 40."""
    _, inner = inside(values["inner"])
    labels = values.get("labels")
    if labels is None:
        count = 1 + (picks[32] % 3 if picks[32] >= 0x80 else 0)
        labels = [u32(picks, 33 + 2 * at) & 0xFFFFF for at in range(count)]
    ttl = values.get("ttl", TTLS[picks[6] & 7])
    return lower(picks, values, tunnels.mpls(inner, labels, ttl=ttl), tunnels.ETHERTYPE_MPLS)


def srv6(picks: bytes, values: Values) -> bytes:
    """Choose a packet or, as picked, a whole frame behind a segment routing header. Picks 32 to 37.

    What is no IP packet is carried as a frame.
    """
    kind, inner = inside(values["inner"])
    protocol = tunnels.protocol_of(kind)
    if protocol is None or picks[37] >= 0xE0:
        protocol, inner = tunnels.ETHERNET_INSIDE, values["inner"]
    segments = values.get("segments")
    if segments is None:
        stem = craft.V6.destination[:-2]
        segments = [stem + bytes((at, picks[33 + at])) for at in range(1 + picks[32] % 3)]
    left = values.get("segments_left", len(segments) - 1 - picks[36] % len(segments))
    header = tunnels.segment_routing(segments, left=left)
    now = segments[max(len(segments) - 1 - left, 0)]
    before = values.get("extensions", ())
    values = {"destination": now, **values, "extensions": (*before, (tunnels.ROUTING, header))}
    return packet(picks, values, network(picks, values), inner, protocol)


def gtp(picks: bytes, values: Values) -> bytes:
    """Choose a packet in GTP-U. Picks 32 to 43."""
    _, inner = inside(values["inner"])
    body = tunnels.gtp(
        inner,
        teid=values.get("teid", u32(picks, 37)),
        sequence=values.get("sequence", u16(picks, 41) if picks[43] & 3 == 3 else None),
        flow=values.get("flow", picks[33] & 0x3F if picks[43] >= 0x80 else None),
    )
    return _over_udp(picks, values, body, tunnels.GTP_PORT)


def l2tp(picks: bytes, values: Values) -> bytes:
    """Choose a packet in L2TP. Picks 32 to 41."""
    kind, inner = inside(values["inner"])
    body = tunnels.l2tp(
        inner,
        kind,
        tunnel=values.get("tunnel", u16(picks, 37)),
        session=values.get("session", u16(picks, 39)),
        has_length=bool(picks[41] & 1),
    )
    return _over_udp(picks, values, body, tunnels.L2TP_PORT)


def pppoe(picks: bytes, values: Values) -> bytes:
    """Choose a packet in a session of PPPoE. Picks 32 and 33."""
    kind, inner = inside(values["inner"])
    body = tunnels.pppoe(inner, kind, session=values.get("session", u16(picks, 32)))
    return lower(picks, values, body, tunnels.ETHERTYPE_PPPOE)


def icmp_error(picks: bytes, values: Values) -> bytes:
    """Choose what a router says to the sender of a packet. Picks 32 to 35."""
    kind, about = inside(values["about"])
    is_v6 = kind == 0x86DD
    sender = about[8:24] if is_v6 else about[12:16]
    if len(sender) != (16 if is_v6 else 4):
        sender = (craft.V6 if is_v6 else craft.V4).source
    plain: Values = {"extensions": ()} if is_v6 else {"ip_options": b""}
    router = (craft.V6 if is_v6 else craft.V4).source[:-1] + b"\xfe"
    asked = {"source": router, "destination": sender, **plain}
    header = network(picks, {**asked, **values})
    kinds = ((2, 0), (1, 4), (3, 0), (1, 0)) if is_v6 else ((3, 4), (3, 3), (11, 0), (3, 1))
    number, code = kinds[picks[32] & 3]
    mtu = values.get("mtu", 1500 - (picks[33] << 2))
    # IPv4 routers quote the header and 8 bytes at least, IPv6's as much as fits into 1280.
    most = 1232 if is_v6 or picks[34] & 1 else 4 * (about[0] & 15 if about else 0) + 8
    message = craft.icmp(
        about[:most],
        header,
        kind=values.get("kind", number),
        code=values.get("code", code),
        rest=mtu.to_bytes(4, "big"),
    )
    return packet(picks, values, header, message, craft.ICMPV6 if is_v6 else craft.ICMP)


def _over_udp(picks: bytes, values: Values, body: bytes, port: int) -> bytes:
    header = network(picks, values)
    to = values.get("destination_port", port)
    # The entrance hashes the inner flow into its source port, and mostly leaves out the checksum,
    # which over IPv6 only the ports of tunnels may.
    checksum = 0 if picks[36] < 0x80 and to == port else None
    datagram = craft.udp(
        body,
        header,
        source_port=values.get("source_port", 0xC000 | picks[32]),
        destination_port=to,
        checksum=values.get("checksum", checksum),
    )
    return packet(picks, values, header, datagram, craft.UDP)


_TAGS = (b"\x81\0", b"\x88\xa8", b"\x91\0")
_GENEVE_OPTIONS = (b"", b"\x01\x02\x80\0", bytes.fromhex("01020001 00000007"), b"")
