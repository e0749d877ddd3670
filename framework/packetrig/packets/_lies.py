"""Where each header can lie: its fields, and the values of them that are worth trying."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .frames import Header


class Kind(enum.StrEnum):
    """Name in what way a frame is malformed."""

    CUT = "cut"  # it ends too early, and its lengths do not know
    SHORT = "short"  # it ends too early, and the IP length says so
    LENGTH = "length"  # a length or an offset lies
    VERSION = "version"
    PROTOCOL = "protocol"  # what follows is something else than it says
    FIELD = "field"  # another field has a value that is illegal, or rare
    CHECKSUM = "checksum"
    TWICE = "twice"  # a header stands there twice
    MISSING = "missing"  # a header is missing
    SWAPPED = "swapped"  # two headers have changed places
    FRAGMENT = "fragment"  # too small, over its own header, or beyond the end
    BIT = "bit"  # one bit is another


@dataclass(frozen=True, slots=True)
class Field:
    """Name a field by its place in the header, and the values that may upset a reader."""

    name: str
    offset: int
    size: int  # bytes
    mask: int
    values: Callable[[bytes, Header, int], Iterable[int]]
    is_checksum: bool = False

    @property
    def kind(self) -> Kind:
        """Tell what a lie in this field is about."""
        if self.is_checksum:
            return Kind.CHECKSUM
        if self.name in _LENGTHS:
            return Kind.LENGTH
        if self.name in _PROTOCOL_FIELDS or (self.name == "type" and self.mask == 0xFFFF):
            return Kind.PROTOCOL
        return Kind.VERSION if self.name == "version" else Kind.FIELD

    def read(self, frame: bytes, header: Header) -> int | None:
        """Give the field's value; None where the frame ends before it."""
        at = header.offset + self.offset
        if at + self.size > len(frame):
            return None
        shift = (self.mask & -self.mask).bit_length() - 1
        return (int.from_bytes(frame[at : at + self.size], "big") & self.mask) >> shift

    def write(self, frame: bytes, header: Header, value: int) -> bytes:
        """Give the frame with another value in the field."""
        at = header.offset + self.offset
        shift = (self.mask & -self.mask).bit_length() - 1
        number = int.from_bytes(frame[at : at + self.size], "big")
        number = number & ~self.mask | (value << shift) & self.mask
        return frame[:at] + number.to_bytes(self.size, "big") + frame[at + self.size :]


def _every(count: int) -> Callable[[bytes, Header, int], Iterable[int]]:
    return lambda _frame, _header, _value: range(count)


def _these(*values: int) -> Callable[[bytes, Header, int], Iterable[int]]:
    return lambda _frame, _header, _value: values


def _length(most: int, *, of_header: bool) -> Callable[[bytes, Header, int], Iterable[int]]:
    # Around nothing, around the header alone, around the truth, around what the frame holds, and
    # where signed and unsigned readings part.
    def values(frame: bytes, header: Header, value: int) -> Iterable[int]:
        least = header.length if of_header else 0
        room = len(frame) - header.offset - (0 if of_header else header.length)
        around = (0, 1, 4, 8, least - 1, least, least + 1, value - 1, value + 1, room - 1, room + 1)
        far = (value // 2, value * 2, room + 1500, most // 2, most // 2 + 1, most - 1, most)
        return (each for each in (*around, *far) if 0 <= each <= most)

    return values


def _chunk_length(frame: bytes, header: Header, value: int) -> Iterable[int]:
    room = len(frame) - header.offset - 12
    around = (0, 1, 2, 3, 4, 5, 8, value - 4, value - 1, value + 1, value + 4, room, room + 1)
    return (each for each in (*around, 0x7FFF, 0x8000, 0xFFFC, 0xFFFF) if each >= 0)


def _near(_frame: bytes, _header: Header, value: int) -> Iterable[int]:
    # Broken checksums: one off, the other zero, bytes swapped, complemented.
    swapped = (value & 0xFF) << 8 | value >> 8
    return (value ^ 1, value ^ 0x8000, 0, 0xFFFF, swapped & 0xFFFF, value ^ 0xFFFF)


_PROTOCOLS = _these(0, 1, 2, 4, 6, 17, 41, 43, 44, 47, 50, 51, 58, 59, 60, 132, 253, 255)
_ETHERTYPES = _these(
    0, 46, 1500, 1501, 1536, 0x0800, 0x0806, 0x8100, 0x86DD, 0x88A8, 0x9100, 0xFFFF
)
_PORTS = _these(0)


def _checksum(name: str, offset: int) -> Field:
    return Field(name, offset, 2, 0xFFFF, _near, is_checksum=True)


_ICMPV6 = (_checksum("cksum", 2), Field("type", 0, 1, 0xFF, _these(0, 1, 128, 133, 135, 255)))
_EXTENSION = (
    Field("nh", 0, 1, 0xFF, _PROTOCOLS),
    Field("len", 1, 1, 0xFF, _every(256)),
)
_WITH_OPTIONS = (*_EXTENSION, Field("optlen", 3, 1, 0xFF, _every(256)))  # of the first option
_TAG = (
    Field("vlan", 0, 2, 0x0FFF, _these(0, 1, 4095)),
    Field("type", 2, 2, 0xFFFF, _ETHERTYPES),
)

# Fields by what they are about, where the name tells it.
_LENGTHS = frozenset(
    {
        "ExtHdrLen",
        "chunklen",
        "dataofs",
        "frag",
        "hlen",
        "hwlen",
        "ihl",
        "len",
        "length",
        "offset",
        "optionlen",
        "optlen",
        "plen",
        "segleft",
    }
)
_PROTOCOL_FIELDS = frozenset({"NextExtHdr", "nh", "proto", "ptype"})

_OPTION = Field("optlen", 21, 1, 0xFF, _every(256))  # of the first option, if it has a length

FIELDS: dict[str, tuple[Field, ...]] = {
    "Ether": (Field("type", 12, 2, 0xFFFF, _ETHERTYPES),),
    "Dot1Q": _TAG,
    "Dot1AD": _TAG,
    "ARP": (
        Field("hwtype", 0, 2, 0xFFFF, _these(0, 6, 0xFFFF)),
        Field("ptype", 2, 2, 0xFFFF, _these(0, 0x0806, 0x86DD, 0xFFFF)),
        Field("hwlen", 4, 1, 0xFF, _every(256)),
        Field("plen", 5, 1, 0xFF, _every(256)),
        Field("op", 6, 2, 0xFFFF, _these(0, 1, 2, 3, 10, 0x0100, 0xFFFF)),
    ),
    "IP": (
        Field("version", 0, 1, 0xF0, _every(16)),
        Field("ihl", 0, 1, 0x0F, _every(16)),
        Field("len", 2, 2, 0xFFFF, _length(0xFFFF, of_header=True)),
        Field("frag", 6, 2, 0x1FFF, _these(0, 1, 2, 184, 8188, 8189, 8190, 8191)),
        Field("flags", 6, 2, 0xE000, _every(8)),
        Field("ttl", 8, 1, 0xFF, _these(0, 1)),
        Field("proto", 9, 1, 0xFF, _PROTOCOLS),
        _checksum("chksum", 10),
    ),
    "IPv6": (
        Field("version", 0, 1, 0xF0, _every(16)),
        Field("plen", 4, 2, 0xFFFF, _length(0xFFFF, of_header=False)),
        Field("nh", 6, 1, 0xFF, _PROTOCOLS),
        Field("hlim", 7, 1, 0xFF, _these(0, 1)),
    ),
    "IPv6ExtHdrHopByHop": _WITH_OPTIONS,
    "IPv6ExtHdrDestOpt": _WITH_OPTIONS,
    "AH": _EXTENSION,
    "IPv6ExtHdrRouting": _EXTENSION,
    "IPv6ExtHdrSegmentRouting": (
        *_EXTENSION,
        Field("type", 2, 1, 0xFF, _these(0, 2, 3, 5, 255)),
        Field("segleft", 3, 1, 0xFF, _these(1, 2, 127, 255)),
    ),
    "IPv6ExtHdrFragment": (
        Field("nh", 0, 1, 0xFF, _PROTOCOLS),
        Field("offset", 2, 2, 0xFFF8, _these(0, 1, 184, 8190, 8191)),
        Field("m", 2, 2, 0x0001, _every(2)),
        Field("res2", 2, 2, 0x0006, _every(4)),
    ),
    "TCP": (
        Field("dport", 2, 2, 0xFFFF, _PORTS),
        Field("dataofs", 12, 1, 0xF0, _every(16)),
        Field("flags", 13, 1, 0xFF, _these(0, 1, 3, 6, 0x29, 0x3F, 0xFF)),
        Field("urgptr", 18, 2, 0xFFFF, _these(1, 0x7FFF, 0xFFFF)),
        _checksum("chksum", 16),
    ),
    "UDP": (
        Field("dport", 2, 2, 0xFFFF, _PORTS),
        Field("len", 4, 2, 0xFFFF, _length(0xFFFF, of_header=True)),
        _checksum("chksum", 6),
    ),
    "SCTP": (
        Field("chksum", 8, 2, 0xFFFF, _near, is_checksum=True),
        Field("chunklen", 14, 2, 0xFFFF, _chunk_length),  # of the first chunk
    ),
    "ICMP": (
        Field("type", 0, 1, 0xFF, _these(0, 3, 5, 11, 12, 13, 40, 255)),
        Field("code", 1, 1, 0xFF, _these(1, 4, 16, 255)),
        _checksum("chksum", 2),
    ),
    "GRE": (
        Field("flags", 0, 2, 0xF000, _every(16)),
        Field("version", 0, 2, 0x0007, _every(8)),
        Field("proto", 2, 2, 0xFFFF, _ETHERTYPES),
    ),
    "VXLAN": (Field("flags", 0, 1, 0xFF, _these(0, 4, 255)),),
    "GENEVE": (
        Field("version", 0, 1, 0xC0, _every(4)),
        Field("optionlen", 0, 1, 0x3F, _every(64)),
        Field("proto", 2, 2, 0xFFFF, _ETHERTYPES),
    ),
    "GUE": (
        Field("version", 0, 1, 0xC0, _every(4)),
        Field("hlen", 0, 1, 0x1F, _every(32)),
        Field("proto", 1, 1, 0xFF, _PROTOCOLS),
    ),
    "GTP_U_Header": (
        Field("version", 0, 1, 0xE0, _every(8)),
        Field("flags", 0, 1, 0x1F, _every(32)),
        Field("gtp_type", 1, 1, 0xFF, _these(0, 1, 26, 254)),
        Field("length", 2, 2, 0xFFFF, _length(0xFFFF, of_header=False)),
    ),
    "GTPPDUSessionContainer": (
        Field("ExtHdrLen", 0, 1, 0xFF, _every(256)),
        Field("NextExtHdr", 3, 1, 0xFF, _these(0x20, 0x40, 0x85, 0xC0, 0xFF)),
    ),
    "L2TP": (
        Field("flags", 0, 2, 0xFFF0, _these(0x8000, 0x4000, 0x0800, 0x0200, 0x0100, 0xCB00)),
        Field("version", 0, 2, 0x000F, _every(16)),
    ),
    "PPPoE": (
        Field("version", 0, 1, 0xF0, _every(16)),
        Field("type", 0, 1, 0x0F, _every(16)),
        Field("code", 1, 1, 0xFF, _these(7, 9, 0x19, 0x65, 0xA7, 255)),
        Field("len", 4, 2, 0xFFFF, _length(0xFFFF, of_header=False)),
    ),
    "PPP": (
        Field("proto", 0, 2, 0xFFFF, _these(0, 0x21, 0x57, 0x2100, 0x0281, 0xC021, 0xFF03, 0xFFFF)),
    ),
    "MPLS": (Field("s", 2, 1, 0x01, _every(2)),),
}


def fields_of(frame: bytes, header: Header) -> tuple[Field, ...]:
    """List the fields of a header that can lie; none for a kind that is not known."""
    if header.layer.startswith("ICMPv6"):
        return _ICMPV6
    fields = FIELDS.get(header.layer, ())
    has_options = header.layer in ("IP", "TCP") and header.length > 20
    if has_options and frame[header.offset + 20 : header.offset + 21] not in (b"", b"\0", b"\1"):
        return (*fields, _OPTION)
    return fields
