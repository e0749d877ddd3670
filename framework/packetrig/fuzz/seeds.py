"""Where a campaign begins: one frame of each protocol, the set-up's own flows, captures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations, product

from ..packets import craft, dns, http, malformed, tunnels
from .given import frames_of as read
from .words import Words

__all__ = ["broken", "of_setup", "plain", "read"]

_MOST_OF_SETUP = 512
_SYN = 0x02
_CLIENT = 40000
_LONG = 1400  # bytes of payload: with headers and tunnels around it, what Ethernet carries
_KINDS = {6: "tcp", 17: "udp", 132: "sctp"}
_ECHOES = {1: (8, 0), 58: (128, 129)}  # a question and its answer


def plain() -> tuple[bytes, ...]:
    """Give one sound frame of each protocol, in IPv4 and IPv6, tagged and in tunnels."""
    v4, v6 = craft.V4, craft.V6
    get = http.request()
    query = dns.message(dns.name("a.example"), has_edns=True)
    inner = v4.packet(craft.udp(b"data", v4), craft.UDP)
    padn = b"\x00\x01\x04\0\0\0\0"
    chained = replace(v6, extensions=((0, padn), (60, padn)))
    made = [
        frame
        for net in (v4, v6)
        for frame in (
            net.frame(craft.tcp(b"", net, flags=_SYN), craft.TCP),
            net.frame(craft.tcp(get, net), craft.TCP),
            net.frame(craft.udp(query, net), craft.UDP),
            net.frame(craft.icmp(b"ping", net), craft.ICMPV6 if net.is_v6 else craft.ICMP),
            net.frame(craft.sctp(bytes.fromhex("00030010") + bytes(12)), craft.SCTP),
        )
    ]
    request = craft.tcp(get, v4)
    return (
        *made,
        craft.ethernet(craft.arp(), 0x0806),
        craft.ethernet(v4.packet(request, craft.TCP), 0x0800, vlans=(7,)),
        craft.ethernet(v4.packet(request, craft.TCP), 0x0800, vlans=(100, 7)),
        chained.frame(craft.tcp(get, chained), craft.TCP),
        replace(v4, options=bytes.fromhex("94040000")).frame(request, craft.TCP),
        replace(v4, more_fragments=True).frame(craft.udp(bytes(24), v4), craft.UDP),
        v4.frame(craft.udp(bytes(_LONG), v4), craft.UDP),
        v4.frame(inner, tunnels.IPIP),
        v4.frame(tunnels.gre(inner, 0x0800), tunnels.GRE),
    )


def of_setup(words: Words) -> tuple[bytes, ...]:
    """Give frames of the flows that a set-up speaks of: its addresses, ports, paths, together."""
    found: dict[bytes, None] = {}
    groups = words.groups or (words,)
    for group in (*groups, words):
        for frame in (*_connections(group, words), *_flows(group, words)):
            found[frame] = None
            if len(found) >= _MOST_OF_SETUP:
                return tuple(found)
    return tuple(found)


def _flows(group: Words, words: Words) -> Iterator[bytes]:
    numbers = [number for number in group.numbers if 0 <= number < 1 << 16] or [80]
    ports = list(dict.fromkeys(numbers))[:6]
    kinds = [_KINDS[each] for each in group.numbers if each in _KINDS] or ["tcp", "udp"]
    addresses = [*group.v4[:6], *group.v6[:6]] or [craft.V4.destination, craft.V6.destination]
    payloads = [b"", *(http.request(path=text) for text in words.texts[:4]), bytes(_LONG)]
    macs = words.macs[:2] or (craft.MAC_SOURCE,)
    for address, port, kind, payload in product(addresses, ports, kinds, payloads):
        standard = craft.V6 if len(address) == 16 else craft.V4
        question = replace(standard, destination=address)
        answer = replace(standard, source=address)
        for mac in macs:
            asked = _transport(kind, payload, question, _CLIENT, port)
            answered = _transport(kind, payload, answer, port, port)
            yield question.frame(*asked, source=mac)
            yield answer.frame(*answered, source=mac)
    for address, port, kind in product(addresses, ports, kinds):
        standard = craft.V6 if len(address) == 16 else craft.V4
        yield _error(kind, standard, address, port)
        if kind == "udp" and not standard.is_v6:
            yield from _unsummed(standard, address, port)


def _connections(group: Words, words: Words) -> Iterator[bytes]:
    """Build both ways of a connection that one entry states: two ports, or two addresses.

    The address that such an entry leaves out (the machine's own) mostly stands elsewhere.
    """
    numbers = [number for number in group.numbers if 0 <= number < 1 << 16]
    ports = [each for each in numbers if each not in _KINDS and each not in _ECHOES][:4]
    pairs = list(permutations(ports, 2)) or [(_CLIENT, each) for each in ports]
    kinds = [_KINDS[each] for each in numbers if each in _KINDS]
    echoes = [_ECHOES[each] for each in numbers if each in _ECHOES]
    if not kinds and not echoes:
        kinds = ["tcp", "udp"]
    for net in _ways(group, words, has_two_ports=len(ports) > 1):
        for kind, (source, destination) in product(kinds, pairs):
            for way in ((source, destination), (destination, source)):
                yield net.frame(*_transport(kind, b"", net, *way))
        for kinds_of_echo, port in product(echoes, ports):
            for number in kinds_of_echo:
                told = craft.icmp(b"", net, kind=number, rest=port.to_bytes(2, "big") + b"\0\1")
                yield net.frame(told, craft.ICMPV6 if net.is_v6 else craft.ICMP)


def _ways(group: Words, words: Words, *, has_two_ports: bool) -> Iterator[craft.Network]:
    for standard, own, known in (
        (craft.V4, group.v4[:4], words.v4[:8]),
        (craft.V6, group.v6[:4], words.v6[:8]),
    ):
        if len(own) < 2 and not has_two_ports:
            continue
        ends = dict.fromkeys((*own, *known, standard.destination))
        for source, destination in permutations(ends, 2):
            if source in own or destination in own:
                yield replace(standard, source=source, destination=destination)


def _error(kind: str, standard: craft.Network, address: bytes, port: int) -> bytes:
    """Build the ICMP error about an answer of this address: too big for the way back."""
    answer = replace(standard, source=address, destination=standard.source)
    lost = answer.packet(*_transport(kind, b"", answer, port, port))
    question = replace(standard, destination=address)
    number, code = (2, 0) if standard.is_v6 else (3, 4)
    told = craft.icmp(lost, question, kind=number, code=code, rest=b"\0\0\x05\0")
    return question.frame(told, craft.ICMPV6 if standard.is_v6 else craft.ICMP)


def _unsummed(standard: craft.Network, address: bytes, port: int) -> Iterator[bytes]:
    """Build datagrams without a checksum, which IPv4 allows: zero says so."""
    for net in (replace(standard, destination=address), replace(standard, source=address)):
        told = craft.udp(b"", net, source_port=port, destination_port=port, checksum=0)
        yield net.frame(told, craft.UDP)


def _transport(
    kind: str, payload: bytes, net: craft.Network, source: int, destination: int
) -> tuple[bytes, int]:
    if kind == "udp":
        segment = craft.udp(payload, net, source_port=source, destination_port=destination)
        return segment, craft.UDP
    if kind == "sctp":
        chunk = bytes.fromhex("00030010") + bytes(12)
        return craft.sctp(chunk, source_port=source, destination_port=destination), craft.SCTP
    segment = craft.tcp(payload, net, source_port=source, destination_port=destination)
    return segment, craft.TCP


def broken() -> tuple[bytes, ...]:
    """Give the catalogue of malformed frames."""
    return tuple(bytes(case.frame) for case in malformed.catalogue())
