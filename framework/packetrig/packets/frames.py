"""Read frames as a kernel program does: from the front, by offsets, without scapy.

Everything here is total: any bytes are a frame, and the worst answer is a short one. Names are
scapy's class names, so that a field is called the same here, in a test and in a failure; a second
layer of the same name is `IP:2`.
"""

from __future__ import annotations

from ._cursor import Header, Span
from ._walk import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, walked

__all__ = [
    "ETHERTYPE_ARP",
    "ETHERTYPE_IPV4",
    "ETHERTYPE_IPV6",
    "Header",
    "bad_checksums",
    "checksums",
    "covered",
    "crc32c",
    "inet_checksum",
    "payload",
    "walk",
    "with_right_checksums",
]


def walk(frame: bytes) -> tuple[Header, ...]:
    """List the headers of a frame, outermost first, through VLAN tags and tunnels.

    It goes as deep as TCP, UDP, SCTP, ICMP and the like, and into IPIP, segment routing, GRE,
    VXLAN, GENEVE, GUE, GTP-U, MPLS, L2TP and PPPoE. What follows the last header is payload, or
    Ethernet padding. A later fragment has no header after IP.

    Example:
        >>> [header.name for header in walk(bytes(12) + b"\\x81\\x00" + bytes(4))]
        ['Ether', 'Dot1Q']
    """
    return tuple(walked(frame).headers)


def payload(frame: bytes) -> bytes:
    """Give what the innermost header carries, without the padding after the packet.

    It is empty when that header is cut short or lies about its length.
    """
    cursor = walked(frame)
    last = cursor.headers[-1] if cursor.headers else None
    if last is None or not last.is_whole:
        return b""
    return cursor.frame[last.end : cursor.end]


def inet_checksum(data: bytes) -> int:
    """Compute the Internet checksum (RFC 1071): the number that belongs into the field.

    Over data that holds its right checksum already, the answer is 0.
    """
    if len(data) & 1:
        data += b"\0"
    # 65536 is 1 modulo 65535: the remainder of the whole number is the folded sum of its words.
    # Only the two zeros of ones' complement need telling apart.
    number = int.from_bytes(data, "big")
    if not number:
        return 0xFFFF
    return 0xFFFF - (number % 0xFFFF or 0xFFFF)


def crc32c(data: bytes) -> int:
    """Compute the CRC-32C (Castagnoli) of SCTP; the packet carries it in little-endian order."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC32C[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def bad_checksums(frame: bytes) -> list[str]:
    """Name the checksums of a frame that are wrong: `["IP.chksum", "TCP.chksum"]`.

    Looked at are IPv4, TCP, UDP, SCTP, ICMP, ICMPv6, IGMP and GRE, inside tunnels too. Not looked
    at, because nobody could tell: fragments, packets that were cut short, packets whose lengths
    contradict each other. A zero in UDP means "none" over IPv4 and is wrong over IPv6, except
    where UDP carries a tunnel (RFC 6935).
    """
    return [name for name, is_right in checksums(frame).items() if not is_right]


def checksums(frame: bytes) -> dict[str, bool]:
    """Tell of each checksum that can be looked at whether it is right: `{"IP.chksum": True}`."""
    cursor = walked(frame)
    return {span.field: _is_right(cursor.frame, span) for span in cursor.spans}


def covered(frame: bytes) -> dict[str, tuple[int, int]]:
    """Tell of each checksum that can be looked at which bytes decide it, from where to where.

    Those of the IP header are among them where it stands in the checksum's pseudo header.
    """
    cursor = walked(frame)
    networks = [each.offset for each in cursor.headers if each.layer in ("IP", "IPv6")]
    return {
        span.field: (
            max((at for at in networks if at <= span.start), default=0)
            if span.pseudo
            else span.start,
            span.stop,
        )
        for span in cursor.spans
    }


def with_right_checksums(frame: bytes) -> bytes:
    """Give the frame with each checksum put right that `bad_checksums` calls wrong."""
    frame = bytes(frame)
    for span in reversed(walked(frame).spans):  # the innermost first: the outer ones cover it
        if _is_right(frame, span):
            continue
        size = 4 if span.is_crc else 2
        zeroed = frame[: span.at] + bytes(size) + frame[span.at + size :]
        number = _sum(zeroed, span)
        if not number and span.field.startswith("UDP"):  # zero would say that there is none
            number = 0xFFFF
        field = number.to_bytes(size, "little" if span.is_crc else "big")
        frame = zeroed[: span.at] + field + zeroed[span.at + size :]
    return frame


def _sum(frame: bytes, span: Span) -> int:
    data = frame[span.start : span.stop]
    return crc32c(data) if span.is_crc else inet_checksum(span.pseudo + data)


def _is_right(frame: bytes, span: Span) -> bool:
    if span.is_crc:
        stated = int.from_bytes(frame[span.at : span.at + 4], "little")
        return _sum(frame[: span.at] + bytes(4) + frame[span.at + 4 :], span) == stated
    if frame[span.at : span.at + 2] == b"\0\0" and span.field.startswith("UDP"):
        return False
    return _sum(frame, span) == 0


def _crc32c_table() -> tuple[int, ...]:
    table = []
    for entry in range(256):
        for _ in range(8):
            entry = (entry >> 1) ^ (0x82F63B78 if entry & 1 else 0)
        table.append(entry)
    return tuple(table)


_CRC32C = _crc32c_table()
