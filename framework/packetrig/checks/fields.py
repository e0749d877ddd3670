"""Where the fields of headers stand, by scapy's names, so that bytes can be compared by field."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import Error, no_such
from ..packets.frames import Header

# Name: first bit and length in bits. A length of 0 reaches to the end of the header.
Fields = dict[str, tuple[int, int]]


def _words(*fields: tuple[str, int]) -> Fields:
    found, at = {}, 0
    for name, bits in fields:
        found[name] = (at, bits)
        at += bits
    return found


_TAG = {"prio": (0, 3), "dei": (3, 1), "vlan": (4, 12), "type": (16, 16)}
_EXTENSION = _words(("nh", 8), ("len", 8), ("options", 0))
_ROUTING = _words(("nh", 8), ("len", 8), ("type", 8), ("segleft", 8), ("addresses", 0))
_PPPOE = _words(("version", 4), ("type", 4), ("code", 8), ("sessionid", 16), ("len", 16))
_ICMPV6 = _words(("type", 8), ("code", 8), ("cksum", 16), ("data", 0))

FIELDS: dict[str, Fields] = {
    "Ether": _words(("dst", 48), ("src", 48), ("type", 16)),
    "Dot3": _words(("dst", 48), ("src", 48), ("len", 16)),
    "Dot1Q": _TAG,
    "Dot1AD": _TAG,
    "ARP": _words(
        ("hwtype", 16),
        ("ptype", 16),
        ("hwlen", 8),
        ("plen", 8),
        ("op", 16),
        ("hwsrc", 48),
        ("psrc", 32),
        ("hwdst", 48),
        ("pdst", 32),
    ),
    "MPLS": _words(("label", 20), ("cos", 3), ("s", 1), ("ttl", 8)),
    "IP": _words(
        ("version", 4),
        ("ihl", 4),
        ("tos", 8),
        ("len", 16),
        ("id", 16),
        ("flags", 3),
        ("frag", 13),
        ("ttl", 8),
        ("proto", 8),
        ("chksum", 16),
        ("src", 32),
        ("dst", 32),
        ("options", 0),
    ),
    "IPv6": _words(
        ("version", 4),
        ("tc", 8),
        ("fl", 20),
        ("plen", 16),
        ("nh", 8),
        ("hlim", 8),
        ("src", 128),
        ("dst", 128),
    ),
    "IPv6ExtHdrHopByHop": _EXTENSION,
    "IPv6ExtHdrDestOpt": _EXTENSION,
    "IPv6ExtHdrRouting": _ROUTING,
    "IPv6ExtHdrSegmentRouting": _ROUTING,
    "IPv6ExtHdrFragment": _words(
        ("nh", 8), ("res1", 8), ("offset", 13), ("res2", 2), ("m", 1), ("id", 32)
    ),
    "TCP": _words(
        ("sport", 16),
        ("dport", 16),
        ("seq", 32),
        ("ack", 32),
        ("dataofs", 4),
        ("reserved", 3),
        ("flags", 9),
        ("window", 16),
        ("chksum", 16),
        ("urgptr", 16),
        ("options", 0),
    ),
    "UDP": _words(("sport", 16), ("dport", 16), ("len", 16), ("chksum", 16)),
    "SCTP": _words(("sport", 16), ("dport", 16), ("tag", 32), ("chksum", 32)),
    "ICMP": _words(("type", 8), ("code", 8), ("chksum", 16), ("unused", 0)),
    "GRE": _words(("flags", 13), ("version", 3), ("proto", 16), ("options", 0)),
    "VXLAN": _words(("flags", 8), ("gpflags", 8), ("gpid", 16), ("vni", 24), ("reserved2", 8)),
    "GENEVE": _words(
        ("version", 2),
        ("optionlen", 6),
        ("flags", 8),
        ("proto", 16),
        ("vni", 24),
        ("reserved2", 8),
        ("options", 0),
    ),
    "GTP_U_Header": _words(
        ("version", 3),
        ("PT", 1),
        ("reserved", 1),
        ("E", 1),
        ("S", 1),
        ("PN", 1),
        ("gtp_type", 8),
        ("length", 16),
        ("teid", 32),
        ("seq", 16),
        ("npdu", 8),
        ("next_ex", 8),
    ),
    "GTPPDUSessionContainer": _words(("ExtHdrLen", 8), ("type", 4), ("options", 0)),
    "L2TP": _words(("hdr", 12), ("version", 4), ("options", 0)),
    "HDLC": _words(("address", 8), ("control", 8)),
    "PPP": _words(("proto", 0)),
    "PPPoE": _PPPOE,
    "PPPoED": _PPPOE,
}
# Names that stand for a part of the frame that is no field.
PAYLOAD, LENGTH = "Raw.load", "length"


def fields_of(layer: str) -> Fields:
    """List the fields of a layer; a header that is not known has none."""
    if layer.startswith("ICMPv6"):
        return _ICMPV6
    return FIELDS.get(layer, {})


def known(name: str) -> str:
    """Give the name of a field, a layer or a part, if there is such a one.

    Raises:
        NoSuchName: There is not; the nearest names are told.
        Error: It is no name at all.
    """
    if not isinstance(name, str):
        raise Error(f"a field is named by a text such as 'IP.ttl', not {name!r}")
    if name in (PAYLOAD, LENGTH):
        return name
    layer, dot, field = name.partition(".")
    plain = layer.partition(":")[0]
    fields = fields_of(plain)
    if not fields:
        raise no_such("layer", plain, FIELDS, owner="packetrig.checks")
    if dot and field not in fields:
        raise no_such("field", field, fields, owner=plain)
    return name


def bits_of(header: Header, field: str) -> tuple[int, int]:
    """Tell which bits of the frame a field takes: the first, and the one behind the last."""
    at, size = fields_of(header.layer)[field]
    start = header.offset * 8 + at
    end = header.end * 8 if not size else min(start + size, header.end * 8)
    return start, max(end, start)


def name_at(headers: tuple[Header, ...], offset: int, mask: int) -> str:
    """Name the field that holds these bits of the byte at `offset`."""
    for header in reversed(headers):
        if header.offset <= offset < header.end:
            for field, start, end in _spans(header):
                first, last = max(start, offset * 8), min(end, offset * 8 + 8)
                if first < last and mask & _bits(first - offset * 8, last - offset * 8):
                    return f"{header.name}.{field}"
            return f"{header.name}, byte {offset - header.offset}"
    return PAYLOAD


def _spans(header: Header) -> Iterator[tuple[str, int, int]]:
    for field in fields_of(header.layer):
        yield (field, *bits_of(header, field))


def _bits(first: int, last: int) -> int:
    return (0xFF >> first) & (0xFF << (8 - last)) & 0xFF
