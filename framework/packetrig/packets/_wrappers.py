"""Headers around a packet of their own: each reader tells the ethertype of what follows, and where.

A whole Ethernet frame goes by the number that GRE and GENEVE give it.
"""

from __future__ import annotations

from collections.abc import Callable

from ._cursor import Cursor

FRAME = 0x6558
_IPV4, _IPV6, _MPLS = 0x0800, 0x86DD, 0x8847

# What a header carries, by ethertype, and where it begins; None at the end of the walk.
Carried = tuple[int, int] | None


def gre(cursor: Cursor, at: int) -> Carried:
    """Read GRE (RFC 2784, 2890)."""
    flags, kind = cursor.u16(at), cursor.u16(at + 2)
    # A checksum and a routing flag share their 4 bytes; then key, then sequence number.
    length = 4 + 4 * bool(flags & 0xC000) + 4 * bool(flags & 0x2000) + 4 * bool(flags & 0x1000)
    name = cursor.enter("GRE", at, length)
    if name is None or flags & 0x4007:  # source routes and PPTP go another way
        return None
    if flags & 0x8000:
        cursor.check(f"{name}.chksum", at, 4)
    return kind, at + length


def vxlan(cursor: Cursor, at: int) -> Carried:
    """Read VXLAN (RFC 7348)."""
    is_valid = cursor.enter("VXLAN", at, 8) and cursor.frame[at] & 0x08
    return (FRAME, at + 8) if is_valid else None


def vxlan_gpe(cursor: Cursor, at: int) -> Carried:
    """Read VXLAN with a next protocol (draft-ietf-nvo3-vxlan-gpe); without one, a frame follows."""
    if not cursor.enter("VXLAN", at, 8) or not cursor.frame[at] & 0x0C:
        return None
    kinds = {1: _IPV4, 2: _IPV6, 3: FRAME, 5: _MPLS}
    kind = kinds.get(cursor.frame[at + 3]) if cursor.frame[at] & 0x04 else FRAME
    return (kind, at + 8) if kind else None


def geneve(cursor: Cursor, at: int) -> Carried:
    """Read GENEVE (RFC 8926)."""
    length = 8 + 4 * (cursor.u8(at) & 0x3F)
    if not cursor.enter("GENEVE", at, length, is_sane=cursor.u8(at) >> 6 == 0):
        return None
    return cursor.u16(at + 2), at + length


def gtp(cursor: Cursor, at: int) -> Carried:
    """Read GTP-U of version 1 (3GPP TS 29.281), with 5G's PDU session containers."""
    first, length = cursor.u8(at), cursor.u16(at + 2)
    fixed = 12 if first & 7 else 8  # any of the three flags brings all three fields
    is_sane = first >> 4 == 3
    if not cursor.enter("GTP_U_Header", at, fixed, is_sane=is_sane):
        return None
    cursor.end = min(cursor.end, at + 8 + length)
    kind, following = cursor.frame[at + 1], cursor.u8(at + 11) if first & 4 else 0
    at += fixed
    while following == 0x85 and at < cursor.end:
        length = 4 * cursor.u8(at)
        name = "GTPPDUSessionContainer"
        if not cursor.enter(name, at, max(length, 4), is_sane=length > 0):
            return None
        following, at = cursor.u8(at + length - 1), at + length
    return None if following or kind != 255 else _by_version(cursor, at)


def pppoe(cursor: Cursor, at: int) -> Carried:
    """Read a session of PPP over Ethernet (RFC 2516)."""
    is_sane = cursor.u16(at) == 0x1100
    if not cursor.enter("PPPoE", at, 6, is_sane=is_sane):
        return None
    cursor.end = min(cursor.end, at + 6 + cursor.u16(at + 4))
    return _ppp(cursor, at + 6)


def discovery(cursor: Cursor, at: int) -> Carried:
    """Read what opens and closes such a session."""
    cursor.enter("PPPoED", at, 6, is_sane=cursor.u8(at) == 0x11)
    return None


def l2tp(cursor: Cursor, at: int) -> Carried:
    """Read L2TP of version 2 (RFC 2661); what controls it carries no packet."""
    flags = cursor.u16(at)
    has_length, has_offset = flags & 0x4000, flags & 0x0200
    length = 6 + 2 * bool(has_length) + 4 * bool(flags & 0x0800)
    if has_offset:
        length += 2 + cursor.u16(at + length)
    if not cursor.enter("L2TP", at, length, is_sane=flags & 0xF == 2):
        return None
    if has_length:
        cursor.end = min(cursor.end, at + cursor.u16(at + 2))
    return None if flags & 0x8000 else _ppp(cursor, at + length)


def _ppp(cursor: Cursor, at: int) -> Carried:
    if cursor.u16(at) == 0xFF03:  # address and control of HDLC (RFC 1662)
        if not cursor.enter("HDLC", at, 2):
            return None
        at += 2
    length = 1 if cursor.u8(at) & 1 else 2  # a compressed protocol field
    if at >= cursor.end or not cursor.enter("PPP", at, length):
        return None
    kind = cursor.u8(at) if length == 1 else cursor.u16(at)
    ethertype = {0x21: _IPV4, 0x57: _IPV6, 0x281: _MPLS}.get(kind)
    return (ethertype, at + length) if ethertype else None


def _by_version(cursor: Cursor, at: int) -> Carried:
    kind = {4: _IPV4, 6: _IPV6}.get(cursor.u8(at) >> 4)
    return (kind, at) if kind else None


BY_PORT: dict[int, Callable[[Cursor, int], Carried]] = {
    1701: l2tp,
    2152: gtp,
    4789: vxlan,
    4790: vxlan_gpe,
    6081: geneve,
    6635: lambda _, at: (_MPLS, at),  # RFC 7510: labels at once
    8472: vxlan,  # what Linux used before the number was assigned
}
BY_ETHERTYPE: dict[int, Callable[[Cursor, int], Carried]] = {0x8863: discovery, 0x8864: pppoe}
