"""The walk along the headers of a frame: one cursor, one small function for each kind of header."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from . import _wrappers
from ._cursor import Cursor, Span

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ETHERTYPE_IPV6 = 0x86DD

# Deeper nesting than this is left alone: no network sends it, and each layer may cost a checksum.
_MAX_HEADERS = 64


# What follows: the function that reads it, and where; None at the end of the walk.
_Next = tuple[Callable[[Cursor, int], "_Next"], int] | None


def walked(frame: bytes) -> Cursor:
    return _walked(bytes(frame))


# Each check walks along the frame before and the frame after: nobody changes what it is given.
@lru_cache(maxsize=4)
def _walked(frame: bytes) -> Cursor:
    cursor = Cursor(frame)
    following: _Next = (_ether, 0)
    while following is not None and following[1] < cursor.end:
        if len(cursor.headers) >= _MAX_HEADERS:
            break
        read, at = following
        following = read(cursor, at)
    return cursor


def _ether(cursor: Cursor, at: int) -> _Next:
    kind = cursor.u16(at + 12)
    if kind > 1500 or at + 14 > cursor.end:
        return _ethertype(kind, at + 14) if cursor.enter("Ether", at, 14) else None
    cursor.enter("Dot3", at, 14)
    cursor.end = min(cursor.end, at + 14 + kind)
    return _llc, at + 14


def _ethertype(kind: int, at: int) -> _Next:
    read = _BY_ETHERTYPE.get(kind)
    return (read, at) if read else None


def _tag(name: str) -> Callable[[Cursor, int], _Next]:
    def read(cursor: Cursor, at: int) -> _Next:
        kind = cursor.u16(at + 2)
        if not cursor.enter(name, at, 4):
            return None
        return (_llc, at + 4) if kind <= 1500 else _ethertype(kind, at + 4)

    return read


def _llc(cursor: Cursor, at: int) -> _Next:
    if not cursor.enter("LLC", at, 3) or cursor.frame[at : at + 3] != b"\xaa\xaa\x03":
        return None
    at += 3
    if at >= cursor.end or not cursor.enter("SNAP", at, 5):
        return None
    has_ethertype = cursor.frame[at : at + 3] == b"\0\0\0"
    return _ethertype(cursor.u16(at + 3), at + 5) if has_ethertype else None


def _mpls(cursor: Cursor, at: int) -> _Next:
    if not cursor.enter("MPLS", at, 4):
        return None
    if not cursor.frame[at + 2] & 1:  # not the bottom of the stack
        return _mpls, at + 4
    # Nothing says what a label carries; routers look at the first nibble, and so does scapy.
    return {4: (_ipv4, at + 4), 6: (_ipv6, at + 4)}.get(cursor.u8(at + 4) >> 4)


def _arp(cursor: Cursor, at: int) -> _Next:
    sizes = cursor.u8(at + 4) + cursor.u8(at + 5)
    cursor.enter("ARP", at, 8 + 2 * sizes, is_sane=at + 8 <= cursor.end)
    return None


def _ipv4(cursor: Cursor, at: int) -> _Next:
    version, words = cursor.u8(at) >> 4, cursor.u8(at) & 15
    length = max(words * 4, 20)
    name = cursor.enter("IP", at, length, is_sane=version == 4 and words >= 5)
    if name is None:
        return None
    cursor.spans.append(Span(f"{name}.chksum", at + 10, at, at + length, b"", False))
    frame = cursor.frame
    total = cursor.u16(at + 2)
    fragment = cursor.u16(at + 6) & 0x3FFF  # the more-fragments bit and the offset
    cursor.is_complete = length <= total <= cursor.end - at and not fragment
    if total >= length:
        cursor.end = min(cursor.end, at + total)
    # A source route keeps the final destination elsewhere: the pseudo header is not to be had.
    is_routed = length > 20 and _has_source_route(frame[at + 20 : at + length])
    cursor.is_v6 = False
    cursor.pseudo = b"" if is_routed else frame[at + 12 : at + 20]
    return None if fragment & 0x1FFF else _transport(cursor, frame[at + 9], at + length)


def _has_source_route(options: bytes) -> bool:
    at = 0
    while at < len(options) and options[at]:
        if options[at] in (131, 137):  # loose, strict
            return True
        if options[at] == 1:  # a no-operation has no length
            at += 1
        else:
            at += max(options[at + 1] if at + 1 < len(options) else 0, 2)
    return False


def _ipv6(cursor: Cursor, at: int) -> _Next:
    if not cursor.enter("IPv6", at, 40, is_sane=cursor.u8(at) >> 4 == 6):
        return None
    length = cursor.u16(at + 4)
    # Zero: a jumbogram, or a capture from before segmentation; nobody can tell where it ends.
    cursor.is_complete = 0 < length <= cursor.end - at - 40
    if length:
        cursor.end = min(cursor.end, at + 40 + length)
    cursor.is_v6 = True
    cursor.pseudo = cursor.frame[at + 8 : at + 40]
    return _after_ipv6(cursor, cursor.frame[at + 6], at + 40)


def _after_ipv6(cursor: Cursor, protocol: int, at: int) -> _Next:
    extension = _EXTENSIONS.get(protocol)
    return (extension, at) if extension else _transport(cursor, protocol, at)


def _options(name: str) -> Callable[[Cursor, int], _Next]:
    def read(cursor: Cursor, at: int) -> _Next:
        length = 8 * (cursor.u8(at + 1) + 1)
        if not cursor.enter(name, at, length):
            return None
        # A home address option (Mobile IPv6) replaces the source in the pseudo header.
        if name == "IPv6ExtHdrDestOpt" and b"\xc9\x10" in cursor.frame[at + 2 : at + length]:
            cursor.pseudo = b""
        return _after_ipv6(cursor, cursor.frame[at], at + length)

    return read


def _routing(cursor: Cursor, at: int) -> _Next:
    length = 8 * (cursor.u8(at + 1) + 1)
    kind, left = cursor.u8(at + 2), cursor.u8(at + 3)
    name = "IPv6ExtHdrSegmentRouting" if kind == 4 else "IPv6ExtHdrRouting"
    if not cursor.enter(name, at, length):
        return None
    if left:  # the final destination stands here, not in the IPv6 header
        first = at + 8 if kind in (2, 4) else at + length - 16 if kind == 0 else 0
        final = cursor.frame[first : first + 16] if at + 8 <= first <= at + length - 16 else b""
        cursor.pseudo = cursor.pseudo[:16] + final if final and cursor.pseudo else b""
    return _after_ipv6(cursor, cursor.frame[at], at + length)


def _fragment(cursor: Cursor, at: int) -> _Next:
    if not cursor.enter("IPv6ExtHdrFragment", at, 8):
        return None
    position = cursor.u16(at + 2)
    if position & 0xFFF9:  # an offset, or more fragments; zero is an "atomic" fragment (RFC 6946)
        cursor.is_complete = False
    return None if position & 0xFFF8 else _after_ipv6(cursor, cursor.frame[at], at + 8)


def _transport(cursor: Cursor, protocol: int, at: int) -> _Next:
    if protocol == (2 if cursor.is_v6 else 58):  # IGMP and ICMPv6 belong to one version each
        return None
    read = _BY_PROTOCOL.get(protocol)
    return (read, at) if read else None


def _authentication(cursor: Cursor, at: int) -> _Next:
    length = 4 * (cursor.u8(at + 1) + 2)
    if not cursor.enter("AH", at, max(length, 12), is_sane=length >= 12):
        return None
    follow = _after_ipv6 if cursor.is_v6 else _transport
    return follow(cursor, cursor.frame[at], at + length)


def _esp(cursor: Cursor, at: int) -> _Next:
    cursor.enter("ESP", at, 8)
    return None


def _tcp(cursor: Cursor, at: int) -> _Next:
    words = cursor.u8(at + 12) >> 4
    name = _numbered(cursor, "TCP", at, max(words * 4, 20), is_sane=words >= 5)
    if at + 20 <= cursor.end:
        cursor.check(f"{name}.chksum", at, 16, 6)
    return None


def _numbered(cursor: Cursor, name: str, at: int, length: int, *, is_sane: bool = True) -> str:
    # The name also of a header that is not whole: a checksum can be right above a wrong length.
    cursor.enter(name, at, length, is_sane=is_sane)
    return cursor.headers[-1].name


def _udp(cursor: Cursor, at: int) -> _Next:
    room = cursor.end - at
    name = cursor.enter("UDP", at, 8)
    if name is None:
        return None
    length, port = cursor.u16(at + 4), cursor.u16(at + 2)
    if not 8 <= length <= room:
        return None
    cursor.end = at + length
    # Zero is "none" over IPv4, and around tunnels; over IPv6 it is checked, and never right.
    if cursor.u16(at + 6) or (cursor.is_v6 and port not in _TUNNEL_PORTS):
        cursor.check(f"{name}.chksum", at, 6, 17)
    tunnel = _TUNNEL_PORTS.get(port)
    return (tunnel, at + 8) if tunnel else None


def _sctp(cursor: Cursor, at: int) -> _Next:
    name = cursor.enter("SCTP", at, 12)
    if name:
        # The pseudo header has no part in it, so even a source-routed packet can be checked.
        cursor.check(f"{name}.chksum", at, 8)
    return None


def _icmp(cursor: Cursor, at: int) -> _Next:
    length = {13: 20, 14: 20, 17: 12, 18: 12}.get(cursor.u8(at), 8)
    name = _numbered(cursor, "ICMP", at, length)
    if at + 8 <= cursor.end:
        cursor.check(f"{name}.chksum", at, 2)
    return None


def _igmp(cursor: Cursor, at: int) -> _Next:
    is_third = cursor.u8(at) == 0x22 or (cursor.u8(at) == 0x11 and cursor.end - at >= 12)
    name = cursor.enter("IGMPv3" if is_third else "IGMP", at, 8)
    if name:
        cursor.check(f"{name}.chksum", at, 2)
    return None


def _icmpv6(cursor: Cursor, at: int) -> _Next:
    kind = _ICMPV6.get(cursor.u8(at), ("ICMPv6Unknown", 4))
    name = _numbered(cursor, kind[0], at, kind[1])
    if at + 4 <= cursor.end:
        cursor.check(f"{name}.cksum", at, 2, 58)
    return None


def _wrapper(reader: Callable[[Cursor, int], _wrappers.Carried]) -> Callable[[Cursor, int], _Next]:
    def read(cursor: Cursor, at: int) -> _Next:
        carried = reader(cursor, at)
        if carried is None:
            return None
        kind, following = carried
        return (_ether, following) if kind == _wrappers.FRAME else _ethertype(kind, following)

    return read


def _gue(cursor: Cursor, at: int) -> _Next:
    first, room = cursor.u8(at), cursor.end - at
    if first >> 6 == 1:  # variant 1: an IP packet with no header of GUE before it
        return {4: (_ipv4, at), 6: (_ipv6, at)}.get(first >> 4)
    length = 4 + 4 * (first & 0x1F)
    if not cursor.enter("GUE", at, length, is_sane=first >> 6 == 0 and room >= 4):
        return None
    inner = None if first & 0x20 else _TUNNELLED.get(cursor.u8(at + 1))  # 0x20: a control message
    return (inner, at + length) if inner else None


_BY_ETHERTYPE: dict[int, Callable[[Cursor, int], _Next]] = {
    ETHERTYPE_IPV4: _ipv4,
    ETHERTYPE_ARP: _arp,
    ETHERTYPE_IPV6: _ipv6,
    0x8100: _tag("Dot1Q"),
    0x88A8: _tag("Dot1AD"),
    0x8847: _mpls,
    0x8848: _mpls,
    **{kind: _wrapper(reader) for kind, reader in _wrappers.BY_ETHERTYPE.items()},
}
_BY_PROTOCOL: dict[int, Callable[[Cursor, int], _Next]] = {
    1: _icmp,
    2: _igmp,
    4: _ipv4,
    6: _tcp,
    17: _udp,
    41: _ipv6,
    47: _wrapper(_wrappers.gre),
    50: _esp,
    51: _authentication,
    58: _icmpv6,
    132: _sctp,
    137: _mpls,  # RFC 4023
    143: _ether,  # behind segment routing (RFC 8986)
}
_EXTENSIONS: dict[int, Callable[[Cursor, int], _Next]] = {
    0: _options("IPv6ExtHdrHopByHop"),
    43: _routing,
    44: _fragment,
    60: _options("IPv6ExtHdrDestOpt"),
}
_TUNNEL_PORTS: dict[int, Callable[[Cursor, int], _Next]] = {
    6080: _gue,
    **{port: _wrapper(reader) for port, reader in _wrappers.BY_PORT.items()},
}
_TUNNELLED: dict[int, Callable[[Cursor, int], _Next]] = {
    number: _BY_PROTOCOL[number] for number in (4, 41, 47)
}
# Type to scapy's class and the length of its fixed part.
_ICMPV6 = {
    1: ("ICMPv6DestUnreach", 8),
    2: ("ICMPv6PacketTooBig", 8),
    3: ("ICMPv6TimeExceeded", 8),
    4: ("ICMPv6ParamProblem", 8),
    128: ("ICMPv6EchoRequest", 8),
    129: ("ICMPv6EchoReply", 8),
    130: ("ICMPv6MLQuery", 24),
    131: ("ICMPv6MLReport", 24),
    132: ("ICMPv6MLDone", 24),
    133: ("ICMPv6ND_RS", 8),
    134: ("ICMPv6ND_RA", 16),
    135: ("ICMPv6ND_NS", 24),
    136: ("ICMPv6ND_NA", 24),
    137: ("ICMPv6ND_Redirect", 40),
    143: ("ICMPv6MLReport2", 8),
}
