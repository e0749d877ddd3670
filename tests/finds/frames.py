"""Frames by the thousand, from a seed: sound, near what a set-up decides about, and broken.

Hypothesis draws an example in a millisecond; two hundred thousand frames want less. Each frame is
made of a list of small choices, zero being the plainest, so that a frame that shows a fault can be
made smaller by lowering its choices.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, TypeVar

from packetrig.packets import craft, malformed
from packetrig.packets.craft import Network

T = TypeVar("T")

ADDRESS4, ADDRESS6 = craft.V4.source, craft.V6.source
GET = b"GET "
OPTIONS4 = (b"", bytes.fromhex("94040000"), b"\x01" * 4, b"\x01" * 40)
PADN = b"\x00\x01\x04\0\0\0\0"
EXTENSIONS: tuple[tuple[tuple[int, bytes], ...], ...] = (
    ((60, PADN),),
    ((0, PADN),),
    ((44, bytes(7)),),
    ((0, PADN), (43, bytes((2, 4, 0, 0, 0, 0, 0)) + craft.V6.destination), (60, PADN)),
    ((60, PADN),) * 7,
)
TCP_OPTIONS = (b"", bytes.fromhex("0101080a0000000100000002"), b"\x01" * 40)
ENDS = (b" HTTP/1.1\r\n\r\n", b"?q=1 HTTP/1.1\r\n\r\n", b"\0 HTTP/1.1\r\n\r\n", b"", b" ")
TTLS = (64, 64, 64, 255, 128, 2, 1, 0)
PORTS = (80, 443, 53, 8080, 7, 0, 65535)
_KINDS = {6: 6, 17: 0, 1: 15, 58: 15, 132: 17}  # of protocols, as _transport() numbers them


class Choices:
    """Decide by numbers: given ones first, then random ones; what was decided is in `made`."""

    def __init__(self, random: Random | None = None, given: Sequence[int] = ()) -> None:
        self._random, self._given = random, given
        self.made: list[int] = []

    def below(self, count: int) -> int:
        at = len(self.made)
        if at < len(self._given):
            value = min(self._given[at], count - 1)
        else:
            value = int(self._random.random() * count) if self._random else 0
        self.made.append(value)
        return value

    def of(self, values: Sequence[T]) -> T:
        return values[self.below(len(values))]

    def chance(self, percent: int) -> bool:
        return self.below(100) >= 100 - percent

    def number(self, size: int) -> bytes:
        return self.below(1 << 8 * size).to_bytes(size, "big")


@dataclass(frozen=True, slots=True)
class Words:
    """Hold what a set-up speaks of: the addresses, numbers and texts in it."""

    v4: tuple[bytes, ...] = ()
    v6: tuple[bytes, ...] = ()
    macs: tuple[bytes, ...] = ()
    numbers: tuple[int, ...] = ()
    texts: tuple[bytes, ...] = ()
    # Words that stand together: an address, a port and a protocol make sense as they are.
    groups: tuple[Words, ...] = ()

    @classmethod
    def of(cls, maps: Mapping[str, Any]) -> Words:
        """Collect them from the maps of a set-up file, keys and values, however deep."""
        groups = (cls._of(_leaves(group, depth=1)) for group in _groups(maps))
        told = tuple(
            each for each in dict.fromkeys(groups) if each.numbers and (each.v4 or each.v6)
        )
        return replace(cls._of(_leaves(maps)), groups=told)

    @classmethod
    def _of(cls, leaves: Iterator[Any]) -> Words:
        found = cls()
        for word in dict.fromkeys(leaves):
            found = found.with_word(word)
        return found

    def with_word(self, word: Any) -> Words:
        if isinstance(word, int) and not isinstance(word, bool):
            return replace(self, numbers=(*self.numbers, word))
        if not isinstance(word, str):
            return self
        if word.isdigit():
            return replace(self, numbers=(*self.numbers, int(word)))
        if re.fullmatch(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", word):
            return replace(self, macs=(*self.macs, bytes.fromhex(word.replace(":", ""))))
        try:
            address = ipaddress.ip_network(word, strict=False).network_address
        except ValueError:
            return replace(self, texts=(*self.texts, word.encode()))
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped is not None or address.version == 4:
            return replace(self, v4=(*self.v4, (mapped or address).packed))
        return replace(self, v6=(*self.v6, address.packed))


def _leaves(part: Any, *, depth: int = 0) -> Iterator[Any]:
    if isinstance(part, Mapping):
        for key, value in part.items():
            if depth:  # the outermost keys are the names of maps
                yield key
            yield from _leaves(value, depth=depth + 1)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _leaves(value, depth=depth + 1)
    else:
        yield part


def _groups(part: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(part, Mapping):
        if part and not any(isinstance(value, Mapping | list) for value in part.values()):
            yield part
        for value in part.values():
            yield from _groups(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _groups(value)


def frame(choices: Choices, words: Words) -> bytes:
    """Make a frame; every third one is broken."""
    is_broken = choices.chance(33)
    made = _sound(choices, words)
    if is_broken:
        picks = bytes(choices.below(256) for _ in range(malformed.PICKS))
        made = bytes(malformed.mangle(made, picks))
    return made


def _sound(choices: Choices, words: Words) -> bytes:
    lower = _lower(choices, words)
    if words.groups and choices.chance(60):
        words = choices.of(words.groups)
    if choices.chance(6):
        other = choices.of((0x0806, 0x88B5, 0x8864, 46))
        body = craft.arp() if other == 0x0806 else bytes(46)
        return craft.ethernet(body, other, **lower)
    header = _network(choices, words)
    packet, protocol = _transport(choices, words, header)
    if choices.chance(4):  # in a tunnel
        packet, protocol = header.packet(packet, protocol), 41 if header.is_v6 else 4
        header = _network(choices, words)
    trailer = choices.of((b"", b"", b"", bytes(6), _request(Choices(), words)))
    return header.frame(packet, protocol, **lower) + trailer


def _lower(choices: Choices, words: Words) -> dict[str, Any]:
    tags = choices.below(100)
    count = 0 if tags < 75 else 1 if tags < 90 else 2 if tags < 97 else 3
    numbers = (7, *words.numbers)
    macs = (craft.MAC_SOURCE, *words.macs)
    targets = (craft.MAC_DESTINATION, craft.MAC_DESTINATION, b"\xff" * 6, *words.macs)
    return {
        "vlans": tuple(choices.of(numbers) & 0xFFF for _ in range(count)),
        "source": choices.of(macs),
        "destination": choices.of(targets),
    }


def _network(choices: Choices, words: Words) -> Network:
    is_v6 = choices.chance(40) if bool(words.v4) == bool(words.v6) else bool(words.v6)
    known = words.v6 if is_v6 else words.v4
    mine = (ADDRESS6 if is_v6 else ADDRESS4, *(known * 3 if len(known) == 1 else known))
    source, destination = (_near(choices, choices.of(mine)) for _ in range(2))
    fragment = choices.below(100)
    return Network(
        source=source,
        destination=destination,
        ttl=choices.of(TTLS),
        tos=choices.below(256) if choices.chance(30) else 0,
        identification=choices.below(65536),
        options=b"" if is_v6 or not choices.chance(12) else choices.of(OPTIONS4),
        extensions=choices.of(EXTENSIONS) if is_v6 and choices.chance(30) else (),
        fragment_offset=0 if fragment < 94 else choices.of((1, 185)),
        more_fragments=90 <= fragment < 97,
    )


def _near(choices: Choices, address: bytes) -> bytes:
    # The address itself, one beside it, or one of its network.
    how = choices.below(8)
    if how < 6:
        return address
    return address[:-1] + bytes((address[-1] ^ (1 if how == 6 else choices.below(256)),))


def _transport(choices: Choices, words: Words, header: Network) -> tuple[bytes, int]:
    ports = _ports(words)
    kind = choices.below(20)
    told = [_KINDS[each] for each in words.numbers if each in _KINDS]
    if told and choices.chance(50):
        kind = choices.of((*told, _KINDS[craft.ICMP]))  # what it speaks of, and errors about that
    source, destination = (choices.of((40000, *ports)), choices.of(ports))
    payload = _payload(choices, words)
    if kind < 6:
        checksum = 0 if not header.is_v6 and choices.chance(20) else None
        given = {"source_port": source, "destination_port": destination, "checksum": checksum}
        return craft.udp(payload, header, **given), craft.UDP
    if kind < 15:
        segment = craft.tcp(
            payload,
            header,
            source_port=source,
            destination_port=destination,
            sequence=choices.below(1 << 32),
            acknowledgment=choices.below(1 << 32),
            flags=choices.of((0x18, 0x02, 0x10, 0x12, 0x04)),
            options=choices.of(TCP_OPTIONS) if choices.chance(30) else b"",
        )
        return segment, craft.TCP
    if kind < 17:
        return _icmp(choices, words, header)
    if kind < 19:
        chunk = b"\0\x03" + (16 + len(payload)).to_bytes(2, "big") + bytes(12) + payload
        ports_ = {"source_port": source, "destination_port": destination}
        return craft.sctp(craft.padded(chunk), **ports_), craft.SCTP
    return payload, choices.of((253, 50, 0, 255))


def _ports(words: Words) -> tuple[int, ...]:
    numbers = tuple(each & 0xFFFF for each in words.numbers)
    # In a group of three or four, one is the port: it comes up as often as all the usual ones.
    return (*numbers, *numbers, *numbers, *PORTS) if 0 < len(numbers) < 5 else (*numbers, *PORTS)


def _icmp(choices: Choices, words: Words, header: Network) -> tuple[bytes, int]:
    protocol = craft.ICMPV6 if header.is_v6 else craft.ICMP
    if choices.chance(30):
        return craft.icmp(b"ping", header), protocol
    # An error about a packet that went the other way.
    # The one who reports may be a router on the way.
    router = (ADDRESS6 if header.is_v6 else ADDRESS4)[:-1] + b"\xfe"
    client = router if choices.chance(50) else header.source
    lost = replace(header, source=header.destination, destination=client)
    lost = replace(lost, extensions=(), options=b"", fragment_offset=0, more_fragments=False)
    ports = _ports(words)
    protocols = [each for each in words.numbers if each in (craft.UDP, craft.TCP)]
    inner = choices.of(protocols or (craft.UDP, craft.TCP))
    quoted = craft.udp if inner == craft.UDP else craft.tcp
    segment = quoted(b"", lost, source_port=choices.of(ports), destination_port=choices.of(ports))
    kinds = ((2, 0), (1, 4), (3, 0)) if header.is_v6 else ((3, 4), (3, 3), (11, 0))
    kind, code = choices.of(kinds)
    rest = b"\0\0\x05\0"
    return craft.icmp(
        lost.packet(segment, inner), header, kind=kind, code=code, rest=rest
    ), protocol


def _payload(choices: Choices, words: Words) -> bytes:
    how = choices.below(10)
    if how < 3:
        return b""
    if how < 5:
        return choices.number(4) * (1 + choices.below(5))
    return _request(choices, words)


def _request(choices: Choices, words: Words) -> bytes:
    method = choices.of((GET, GET, GET, b"POST ", b"get "))
    path = choices.of((b"/secret", *words.texts, b"/" + 63 * b"x", b"/" + 64 * b"x"))
    return method + path + choices.of(ENDS)


def shrink(choices: Sequence[int], shows: Any) -> list[int]:
    """Lower the choices as far as `shows(choices)` stays true: to zero, by halves, by one."""
    best = list(choices)
    is_better = True
    while is_better:
        is_better = False
        for at in range(len(best)):
            for lower in _lower_than(best[at]):
                tried = [*best[:at], lower, *best[at + 1 :]]
                if shows(tried):
                    best, is_better = tried, True
                    break
    return best


def _lower_than(value: int) -> Iterator[int]:
    step = value
    while step:
        yield value - step
        step //= 2
