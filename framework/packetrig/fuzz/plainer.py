"""What is plainer than a frame: without a header, shorter, with the values that are usual.

Every frame given here may be nonsense: whoever asks tries it. Changes know headers: what tells of
what was taken away is told anew, and each change is given with lengths and checksums put right, and
as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from ..checks import fields
from ..packets import craft, frames
from ..packets.frames import Header

# What fields hold where nobody cares; the others hold 0. Lengths and checksums follow from that.
# What comes next, where it does not matter, is what nobody parses: the numbers for experiments, and
# IPv6's "no next header".
_PLAIN: dict[str, int] = {
    "Ether.dst": int.from_bytes(craft.MAC_DESTINATION, "big"),
    "Ether.src": int.from_bytes(craft.MAC_SOURCE, "big"),
    "Ether.type": 0x88B5,
    "Dot3.dst": int.from_bytes(craft.MAC_DESTINATION, "big"),
    "Dot3.src": int.from_bytes(craft.MAC_SOURCE, "big"),
    "Dot1Q.type": 0x88B5,
    "Dot1AD.type": 0x88B5,
    "IP.proto": 253,
    "IPv6.nh": 59,
    "IP.version": 4,
    "IP.ihl": 5,
    "IP.ttl": 64,
    "IP.src": int.from_bytes(craft.V4.source, "big"),
    "IP.dst": int.from_bytes(craft.V4.destination, "big"),
    "IPv6.version": 6,
    "IPv6.hlim": 64,
    "IPv6.src": int.from_bytes(craft.V6.source, "big"),
    "IPv6.dst": int.from_bytes(craft.V6.destination, "big"),
    "TCP.sport": 40000,
    "TCP.dport": 80,
    "TCP.dataofs": 5,
    "TCP.window": 0xFFFF,
    "UDP.sport": 40000,
    "UDP.dport": 53,
    "SCTP.sport": 40000,
    "SCTP.dport": 80,
    "ARP.hwtype": 1,
    "ARP.ptype": 0x0800,
    "ARP.hwlen": 6,
    "ARP.plen": 4,
    "ARP.op": 1,
    "ICMP.type": 8,
    "GTP_U_Header.version": 1,
    "GTP_U_Header.PT": 1,
    "GTP_U_Header.gtp_type": 255,
    "L2TP.version": 2,
    "PPPoE.version": 1,
    "PPPoE.type": 1,
}
# The frame that says least.
PLAINEST = craft.ethernet(b"", _PLAIN["Ether.type"])
_LENGTHS = {
    "IP": (2, 0),
    "IPv6": (4, 40),
    "UDP": (4, 0),
    "Dot3": (12, 14),
    "GTP_U_Header": (2, 8),
    "PPPoE": (4, 6),
}
_FOLLOWING = {"chksum", "cksum", "len", "length", "plen"}
_STRUCTURE = {"type", "proto", "nh", "ihl", "dataofs", "options", "version", "optionlen"}
# Where a header tells which one comes next: the offset in it, and the size.
_NEXT = {
    "Ether": (12, 2),
    "Dot1Q": (2, 2),
    "Dot1AD": (2, 2),
    "IP": (9, 1),
    "IPv6": (6, 1),
    "GRE": (2, 2),
    "AH": (0, 1),
}
_KINDS = {"IP": 0x0800, "IPv6": 0x86DD}
_NUMBERS = 32  # bits of what is a number; addresses are not made less by halves


def without_a_part(frame: bytes) -> Iterator[bytes]:
    """Take out tunnels, tags, extensions and options, the largest parts first."""
    headers = frames.walk(frame)
    cuts = [
        frame[: outer.offset] + frame[inner.offset :]
        for at, outer in enumerate(headers)
        for inner in headers[at + 1 :]
        if inner.layer == outer.layer
    ]
    cuts += _unwrapped(frame, headers)
    for at, header in enumerate(headers):
        if at and at + 1 < len(headers) and header.layer in _NEXT and header.is_whole:
            cuts += _skipped(frame, headers[at - 1], header)
        if header.layer.startswith("IPv6ExtHdr") and header.is_whole:
            cuts += _skipped(frame, headers[at - 1], header)
        cuts += _without_options(frame, header)
    for cut in sorted(cuts, key=len):
        yield from _both(cut)


def _unwrapped(frame: bytes, headers: tuple[Header, ...]) -> Iterator[bytes]:
    # An inner IP packet in the first Ethernet: where the outer one is of the other version.
    link = next((each for each in headers if each.layer == "Ether"), None)
    for header in headers[2:]:
        if link is not None and header.layer in _KINDS:
            kind = _KINDS[header.layer].to_bytes(2, "big")
            yield frame[:12] + kind + frame[header.offset :]


def _skipped(frame: bytes, before: Header, header: Header) -> Iterator[bytes]:
    has = _next_of(header.layer)
    told = _next_of(before.layer)
    if has is None or told is None or has[1] != told[1]:
        return
    follows = frame[header.offset + has[0] : header.offset + has[0] + has[1]]
    at = before.offset + told[0]
    yield frame[:at] + follows + frame[at + told[1] : header.offset] + frame[header.end :]


def _next_of(layer: str) -> tuple[int, int] | None:
    return (0, 1) if layer.startswith("IPv6ExtHdr") else _NEXT.get(layer)


def _without_options(frame: bytes, header: Header) -> Iterator[bytes]:
    at, end = header.offset, header.end
    if header.layer == "IP" and header.length > 20 and header.is_whole:
        yield frame[:at] + b"\x45" + frame[at + 1 : at + 20] + frame[end:]
    if header.layer == "TCP" and header.length > 20 and header.is_whole:
        offset = bytes((0x50 | frame[at + 12] & 15,))
        yield frame[: at + 12] + offset + frame[at + 13 : at + 20] + frame[end:]


def shorter(frame: bytes) -> Iterator[bytes]:
    """Cut bytes off the end: all behind a header, then by halves; then out of the middle."""
    ends = sorted({h.offset for h in frames.walk(frame)} | {h.end for h in frames.walk(frame)})
    for end in ends:
        if end < len(frame):
            yield from _both(frame[:end])
    step = len(frame) // 2
    while step:
        yield from _both(frame[:-step])
        step //= 2
    begin = max((end for end in ends if end <= len(frame)), default=0)
    step = (len(frame) - begin) // 2
    while step:
        for at in range(begin, len(frame) - step, step):
            yield from _both(frame[:at] + frame[at + step :])
        step //= 2


def plainer_fields(frame: bytes) -> Iterator[bytes]:
    """Give fields the values that packets mostly have; where that is too much, lower numbers."""
    headers = frames.walk(frame)
    for header in headers:
        if header.is_whole:
            yield from _both(_plain_header(frame, header))
    for header in headers:
        for name in fields.fields_of(header.layer):
            if name not in _FOLLOWING:
                yield from _field(frame, header, name)


def _field(frame: bytes, header: Header, name: str) -> Iterator[bytes]:
    first, last = fields.bits_of(header, name)
    if last > len(frame) * 8 or first >= last:
        return
    now, plain = _number(frame, first, last), _plain_of(header.layer, name)
    if now == plain:
        return
    values = [plain, 0] if last - first <= 128 else [0]
    # From the plain value towards the one that is needed, by halves; at last, one by one.
    step = abs(now - plain) // 2 if last - first <= _NUMBERS else 0
    while step:
        values.append(now - step if now > plain else now + step)
        step //= 2
    for value in dict.fromkeys(values):
        if value != now:
            yield from _both(_with_number(frame, first, last, value))


def plainer_bytes(frame: bytes) -> Iterator[bytes]:
    """Make zeros of what follows the last header: all of it, by halves, byte by byte."""
    begin = max((h.end for h in frames.walk(frame) if h.end <= len(frame)), default=0)
    size = len(frame) - begin
    while size:
        for at in range(begin, len(frame), size):
            part = frame[at : at + size]
            if part.strip(b"\0"):
                yield from _both(frame[:at] + bytes(len(part)) + frame[at + size :])
        size //= 2


@lru_cache(maxsize=4096)
def plainness(frame: bytes) -> tuple[int, int, int, int, bytes]:
    """Measure a frame: of two that show the same, the one with less is shown to people.

    First the length; then lies (lengths and checksums that are wrong), fields that are not as they
    mostly are, and how far from it their numbers are.
    """
    lies = sum(a != b for a, b in zip(frame, sound(frame), strict=True))
    odd = far = 0
    for header in frames.walk(frame):
        for name in fields.fields_of(header.layer):
            first, last = fields.bits_of(header, name)
            if name in _FOLLOWING or last > len(frame) * 8 or first >= last:
                continue
            now, plain = _number(frame, first, last), _plain_of(header.layer, name)
            odd += now != plain
            far += abs(now - plain) if last - first <= _NUMBERS else now != plain
    return len(frame), lies, odd, far, frame


def sound(frame: bytes) -> bytes:
    """Put lengths and checksums right: every packet reaches to the end of the frame."""
    for _ in range(4):  # a length that was too short hid what stands behind it
        before = frame
        for header in frames.walk(frame):
            frame = _with_length(frame, header)
        if frame == before:
            break
    return frames.with_right_checksums(frame)


def _with_length(frame: bytes, header: Header) -> bytes:
    if header.layer not in _LENGTHS:
        return frame
    at, without = _LENGTHS[header.layer]
    length = len(frame) - header.offset - without
    at += header.offset
    if not 0 <= length <= 0xFFFF or at + 2 > len(frame):
        return frame
    return frame[:at] + length.to_bytes(2, "big") + frame[at + 2 :]


def _both(frame: bytes) -> Iterator[bytes]:
    right = sound(frame)
    yield right
    if right != frame:
        yield frame


def _plain_header(frame: bytes, header: Header) -> bytes:
    for name in fields.fields_of(header.layer):
        first, last = fields.bits_of(header, name)
        if name not in _FOLLOWING and name not in _STRUCTURE:
            frame = _with_number(frame, first, last, _plain_of(header.layer, name))
    return frame


def _plain_of(layer: str, name: str) -> int:
    return _PLAIN.get(f"{layer}.{name}", 0)


def _number(frame: bytes, first: int, last: int) -> int:
    begin, end = first // 8, -(-last // 8)
    whole = int.from_bytes(frame[begin:end], "big")
    return whole >> (end * 8 - last) & (1 << last - first) - 1


def _with_number(frame: bytes, first: int, last: int, value: int) -> bytes:
    begin, end = first // 8, -(-last // 8)
    shift, mask = end * 8 - last, (1 << last - first) - 1
    whole = int.from_bytes(frame[begin:end], "big") & ~(mask << shift) | (value & mask) << shift
    return frame[:begin] + whole.to_bytes(end - begin, "big") + frame[end:]
