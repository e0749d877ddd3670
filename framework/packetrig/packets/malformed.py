"""Break frames: systematically (the catalogue) and at random (what `strategies.mangled` uses)."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from . import craft
from ._lies import Field, fields_of
from .frames import Header, inet_checksum, walk, with_right_checksums

MIN_FRAME = 14  # what the kernel's test run and every driver ask for
PICKS = 8


@dataclass(frozen=True, slots=True)
class Malformed:
    """Hold a frame that something is wrong with: a stable `id`, and in words `what` it is."""

    id: str
    what: str
    frame: bytes


@functools.cache
def catalogue() -> tuple[Malformed, ...]:
    """List malformed frames systematically; each is different, and keeps its id for good.

    From sound packets of each kind: cut after each byte of the headers (lengths unchanged, and
    once more with the IP length made to fit), every value of the small fields (version, ihl, data
    offset, flags), lengths around the truth and at the ends, next protocols that are something
    else, broken checksums, headers twice or missing. A few are rare rather than wrong. Where one
    field lies, the checksums fit what is there: no program is right for the wrong reason.

    Example:
        >>> @pytest.mark.parametrize("case", catalogue(), ids=lambda case: case.id)
        ... def test_it_never_aborts(program, case):
        ...     assert program.run(case.frame).verdict is not XDP.ABORTED
    """
    seen = {frame for _, frame in _sound()}
    found = []
    for name, frame in _sound():
        for case in _broken(name, frame):
            if case.frame not in seen:
                seen.add(case.frame)
                found.append(case)
    return tuple(found)


def mangle(frame: bytes, picks: bytes) -> bytes:
    """Break a frame in one way, chosen by 8 random bytes; all zeros cuts it short.

    A frame of 14 bytes or more stays one.
    """
    headers = walk(frame)
    if len(frame) < MIN_FRAME or not headers or len(picks) < PICKS:
        return frame
    header = headers[-1 - picks[1] % len(headers)]
    way = picks[0] % 8
    if way < 2:
        edge = header.offset + (picks[2] % (header.length + 1) if way else 0)
        return frame[: max(MIN_FRAME, min(edge, len(frame) - 1))]
    if way == 2:
        return frame[: MIN_FRAME + int.from_bytes(picks[2:4], "big") % (len(frame) - 13)]
    if way == 3 or not fields_of(header):
        bit = int.from_bytes(picks[2:5], "big") % (8 * len(frame))
        flipped = frame[bit // 8] ^ 1 << bit % 8
        return frame[: bit // 8] + bytes((flipped,)) + frame[bit // 8 + 1 :]
    if way == 4 and header.offset:
        begin, end = header.offset, min(header.end, len(frame))
        is_twice = picks[2] & 1
        return frame[:end] + frame[begin:] if is_twice else frame[:begin] + frame[end:]
    return _one_lie(frame, header, picks)


def _one_lie(frame: bytes, header: Header, picks: bytes) -> bytes:
    fields = fields_of(header)
    field = fields[picks[2] % len(fields)]
    value = field.read(frame, header)
    others = []
    if value is not None:
        others = [each for each in field.values(frame, header, value) if each != value]
    if not others:
        return frame[:MIN_FRAME]
    return _lie(frame, header, field, others[picks[3] % len(others)])


def _lie(frame: bytes, header: Header, field: Field, value: int) -> bytes:
    lied = field.write(frame, header, value)
    if field.is_checksum:
        return lied
    at = header.offset
    if header.layer == "IP" and at + 20 <= len(lied):
        # Also where version or ihl are such that nobody would look at it: over what ihl says.
        zeroed = lied[: at + 10] + bytes(2) + lied[at + 12 :]
        number = inet_checksum(zeroed[at : at + max(4 * (lied[at] & 15), 20)])
        lied = zeroed[: at + 10] + number.to_bytes(2, "big") + zeroed[at + 12 :]
    return with_right_checksums(lied)


def _broken(name: str, frame: bytes) -> Iterator[Malformed]:
    headers = walk(frame)
    yield from _cut(name, frame, headers)
    yield from _lying(name, frame, headers)
    for header in headers[1:]:
        begin, end = header.offset, header.end
        yield Malformed(
            f"{name}/{header.name}-twice",
            f"{name}: {header.name} stands there twice",
            frame[:end] + frame[begin:],
        )
        yield Malformed(
            f"{name}/{header.name}-missing",
            f"{name}: {header.name} is missing",
            frame[:begin] + frame[end:],
        )


def _cut(name: str, frame: bytes, headers: tuple[Header, ...]) -> Iterator[Malformed]:
    # Each byte of each header, and a few of the payload.
    last = headers[-1]
    for size in range(MIN_FRAME, min(last.end + 5, len(frame))):
        inside = next((each for each in headers if size < each.end), None)
        where = f"in {inside.name}, byte {size - inside.offset}" if inside else "in its payload"
        yield Malformed(
            f"{name}/cut-at-{size}", f"{name}: cut after {size} bytes, {where}", frame[:size]
        )
        fitted = _fitted(frame[:size], headers)
        if fitted != frame[:size]:
            yield Malformed(
                f"{name}/short-at-{size}",
                f"{name}: ends after {size} bytes, {where}, and the IP length says so",
                fitted,
            )


def _fitted(frame: bytes, headers: tuple[Header, ...]) -> bytes:
    # Make the outer IP length fit a frame that was cut, where the IP header is whole.
    for header in headers:
        if header.name in ("IP", "IPv6") and header.end <= len(frame):
            is_v6 = header.name == "IPv6"
            at = header.offset + (4 if is_v6 else 2)
            length = len(frame) - (header.end if is_v6 else header.offset)
            fitted = frame[:at] + length.to_bytes(2, "big") + frame[at + 2 :]
            return with_right_checksums(fitted)
    return frame


def _lying(name: str, frame: bytes, headers: tuple[Header, ...]) -> Iterator[Malformed]:
    for header in headers:
        for field in fields_of(header):
            value = field.read(frame, header)
            if value is None:
                continue
            for other in dict.fromkeys(field.values(frame, header, value)):
                if other == value:
                    continue
                yield Malformed(
                    f"{name}/{header.name}.{field.name}-{other}",
                    f"{name}: {header.name}.{field.name} is {other} instead of {value}",
                    _lie(frame, header, field, other),
                )


_GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
_PADN = b"\x00\x01\x04\0\0\0\0"
_TIMESTAMPS = bytes.fromhex("0101080a0000000100000002")


def _sound() -> tuple[tuple[str, bytes], ...]:
    # The packets to break. A new one goes to the end: ids stay, and the first frame keeps its id.
    v4, v6 = craft.V4, craft.V6
    optioned = craft.Network(options=bytes.fromhex("94040000"))
    chained = craft.Network(
        source=v6.source, destination=v6.destination, extensions=((0, _PADN), (60, _PADN))
    )
    routed = craft.Network(
        source=v6.source,
        destination=v6.destination,
        extensions=((43, bytes((2, 4, 0, 0, 0, 0, 0)) + v6.destination), (44, bytes(7))),
    )
    first = craft.Network(more_fragments=True)
    later = craft.Network(fragment_offset=185)
    inner = v4.packet(craft.udp(b"data", v4), craft.UDP)
    ethernet = v4.frame(craft.udp(b"data", v4), craft.UDP)
    vxlan = b"\x08\0\0\0\0\0\x07\0" + ethernet
    geneve = b"\x01\0\x65\x58\0\0\x07\0" + b"\x01\x02\x80\0" + ethernet
    get, timed = craft.tcp(_GET, v4), craft.tcp(_GET, v4, options=_TIMESTAMPS)
    tag = craft.ethernet(v4.packet(get, craft.TCP), 0x0800, vlans=(7,))
    stacked = craft.ethernet(v6.packet(craft.udp(b"data", v6), craft.UDP), 0x86DD, vlans=(100, 7))
    return (
        ("tcp4", v4.frame(get, craft.TCP)),
        ("tcp4-options", optioned.frame(timed, craft.TCP)),
        ("tcp6", v6.frame(craft.tcp(_GET, v6), craft.TCP)),
        ("udp4", v4.frame(craft.udp(b"data", v4), craft.UDP)),
        ("udp6", v6.frame(craft.udp(b"data", v6), craft.UDP)),
        ("icmp4", v4.frame(craft.icmp(b"ping", v4), craft.ICMP)),
        ("icmp6", v6.frame(craft.icmp(b"ping", v6), craft.ICMPV6)),
        (
            "sctp4",
            v4.frame(
                craft.sctp(bytes.fromhex("0003001100000000000000000000000061") + bytes(3)),
                craft.SCTP,
            ),
        ),
        ("arp", craft.ethernet(craft.arp(), 0x0806)),
        ("vlan-tcp4", tag),
        ("qinq-udp6", stacked),
        ("first-fragment4", first.frame(craft.udp(bytes(24), v4), craft.UDP)),
        ("later-fragment4", later.frame(bytes(24), craft.UDP)),
        ("extensions6", chained.frame(craft.tcp(_GET, v6), craft.TCP)),
        ("routing6", routed.frame(craft.udp(b"data", v6), craft.UDP)),
        ("ipip", v4.frame(inner, 4)),
        ("gre", v4.frame(bytes.fromhex("20000800 00000007") + inner, 47)),
        ("vxlan", v4.frame(craft.udp(vxlan, v4, destination_port=4789), craft.UDP)),
        ("geneve6", v6.frame(craft.udp(geneve, v6, destination_port=6081), craft.UDP)),
    )
