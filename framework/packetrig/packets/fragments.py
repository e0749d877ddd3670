"""Cut IP packets into fragments: sets that fit together, and sets that do not."""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass, replace

from .frames import Header, inet_checksum, walk
from .told import Fragment

PICKS = 6
LARGEST = 65_528  # an offset has 13 bits and counts in units of 8 bytes

_UNFRAGMENTED = ("IPv6ExtHdrHopByHop", "IPv6ExtHdrRouting", "IPv6ExtHdrSegmentRouting")


class Fault(enum.StrEnum):
    """Name what may be wrong with a set of fragments."""

    OVERLAP = "overlap"  # one begins inside the one before, and has other bytes there
    INSIDE = "inside"  # one lies within the one before ("teardrop")
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    LOSS = "loss"


@dataclass(frozen=True, slots=True)
class _Piece:
    offset: int
    data: bytes
    has_more: bool
    what: str


def split(frame: bytes, *, size: int = 1480) -> tuple[Fragment, ...]:
    """Cut the IP packet of a frame into fragments that carry `size` bytes each.

    Each has the frame's own Ethernet and VLAN headers, its lengths and checksums right. A frame
    that is not IP, or is a fragment already, or fits into one, stays alone and as it is.

    Raises:
        ValueError: `size` is no multiple of 8.
    """
    return broken(frame, size=size, faults=(), picks=bytes(PICKS))


def broken(
    frame: bytes, *, size: int, faults: Collection[Fault], picks: bytes
) -> tuple[Fragment, ...]:
    """Cut as `split` does, and let the faults happen that the random bytes `picks` choose."""
    if size % 8 or not 8 <= size <= LARGEST:
        raise ValueError(f"a size of {size}: fragments carry a multiple of 8 bytes, 8 or more")
    packet = _packet(frame)
    if packet is None:
        return (Fragment(frame, "not fragmented"),)
    pieces = _pieces(packet.data, size)
    if len(pieces) < 2:
        return (Fragment(frame, "not fragmented"),)
    return tuple(
        Fragment(packet.fragment(piece), piece.what) for piece in _faulty(pieces, faults, picks)
    )


def size_of(frame: bytes, count: int) -> int:
    """Give a size that cuts the packet of a frame into about `count` fragments."""
    packet = _packet(frame)
    length = len(packet.data) if packet else 0
    return max(8, -(-length // (8 * count)) * 8)


def alone(
    frame: bytes, *, offset: int, size: int = LARGEST, has_more: bool = False
) -> Fragment | None:
    """Give one fragment of an IP packet: what it carries from `offset` on, at most `size` bytes.

    What lies behind the packet's end is filled with zeros, so that there is something. None where
    the frame is no whole IP packet.
    """
    packet = _packet(frame)
    if packet is None:
        return None
    data = packet.data[offset : offset + size] or bytes(8)
    piece = _piece(offset, data, has_more=has_more)
    return Fragment(packet.fragment(piece), piece.what)


@dataclass(frozen=True, slots=True)
class _Packet:
    head: bytes  # what every fragment begins with: Ethernet, tags, the headers for routers
    at: int  # where IP begins in it
    follows: int  # IPv6: where the byte is that says what follows
    data: bytes
    is_v6: bool

    def fragment(self, piece: _Piece) -> bytes:
        return (self._v6 if self.is_v6 else self._v4)(piece)

    def _v4(self, piece: _Piece) -> bytes:
        at = self.at
        ip, options = self.head[at : at + 20], self.head[at + 20 :]
        if piece.offset:
            options = _copied(options)
        words = 5 + len(options) // 4
        total = 4 * words + len(piece.data)
        flags = piece.has_more << 13 | piece.offset // 8
        ip = bytes((0x40 | words, ip[1])) + total.to_bytes(2, "big") + ip[4:6]
        ip += flags.to_bytes(2, "big") + self.head[at + 8 : at + 10] + bytes(2)
        ip += self.head[at + 12 : at + 20] + options
        ip = ip[:10] + inet_checksum(ip).to_bytes(2, "big") + ip[12:]
        return self.head[:at] + ip + piece.data

    def _v6(self, piece: _Piece) -> bytes:
        at, follows = self.at, self.follows
        extension = bytes((self.head[follows], 0))
        extension += (piece.offset | piece.has_more).to_bytes(2, "big") + b"\0\0\0\1"
        length = len(self.head) - at - 40 + 8 + len(piece.data)
        head = self.head[:follows] + b"\x2c" + self.head[follows + 1 :]
        head = head[: at + 4] + length.to_bytes(2, "big") + head[at + 6 :]
        return head + extension + piece.data


def _packet(frame: bytes) -> _Packet | None:
    headers = walk(frame)
    ip = next((each for each in headers if each.name in ("IP", "IPv6") and each.is_whole), None)
    if ip is None:
        return None
    at = ip.offset
    if ip.name == "IP":
        total = int.from_bytes(frame[at + 2 : at + 4], "big")
        is_fragment = int.from_bytes(frame[at + 6 : at + 8], "big") & 0x3FFF
        if is_fragment or not ip.length <= total <= len(frame) - at:
            return None
        return _Packet(frame[: ip.end], at, 0, frame[ip.end : at + total], False)
    length = int.from_bytes(frame[at + 4 : at + 6], "big")
    if length > len(frame) - ip.end:
        return None
    return _packet_v6(frame[: ip.end + length], headers[headers.index(ip) :])


def _packet_v6(frame: bytes, headers: tuple[Header, ...]) -> _Packet | None:
    # Routers on the way read up to the last of these headers, so each fragment has them.
    end, follows = headers[0].end, headers[0].offset + 6
    for header in headers[1:]:
        if header.layer == "IPv6ExtHdrFragment":
            return None
        if not header.name.startswith("IPv6ExtHdr") or not header.is_whole:
            break
        if header.layer in _UNFRAGMENTED:
            end, follows = header.end, header.offset
    return _Packet(frame[:end], headers[0].offset, follows, frame[end:], True)


def _copied(options: bytes) -> bytes:
    # Of IPv4's options, those whose first bit says so stand in every fragment (RFC 791).
    kept, at = b"", 0
    while at < len(options) and options[at]:
        size = 1 if options[at] == 1 else max(options[at + 1] if at + 1 < len(options) else 0, 2)
        if options[at] & 0x80:
            kept += options[at : at + size]
        at += size
    return kept + bytes(-len(kept) % 4)


def _pieces(data: bytes, size: int) -> list[_Piece]:
    return [
        _piece(at, data[at : at + size], has_more=at + size < len(data))
        for at in range(0, len(data), size)
    ]


def _piece(offset: int, data: bytes, *, has_more: bool) -> _Piece:
    last = "" if has_more else ", the last one"
    return _Piece(offset, data, has_more, f"bytes {offset} to {offset + len(data) - 1}{last}")


def _faulty(pieces: list[_Piece], faults: Collection[Fault], picks: bytes) -> list[_Piece]:
    second = 1 + picks[0] % (len(pieces) - 1)
    if Fault.OVERLAP in faults and picks[1] & 1:
        piece = pieces[second]
        before = pieces[second - 1].data[-8:]
        pieces[second] = replace(
            piece,
            offset=piece.offset - 8,
            data=_others(before) + piece.data,
            what=f"{piece.what}, and 8 more over the one before",
        )
    if Fault.INSIDE in faults and picks[2] & 1:
        whole = pieces[second - 1]
        inner = _piece(whole.offset, _others(whole.data[:8]), has_more=True)
        inner = replace(inner, what=f"{inner.what}, over the first ones of another")
        pieces.insert(second, inner)
    if Fault.DUPLICATE in faults and picks[3] & 1:
        piece = pieces[picks[3] // 2 % len(pieces)]
        pieces.append(replace(piece, what=f"{piece.what}, again"))
    if Fault.REORDER in faults and picks[4] & 1:
        turn = 1 + picks[4] // 2 % (len(pieces) - 1)
        pieces = pieces[turn:] + pieces[:turn]
    if Fault.LOSS in faults and picks[5] & 1:
        del pieces[picks[5] // 2 % len(pieces)]
    return pieces


def _others(data: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in data)
