"""Several frames that belong together: flows of packets, and the fragments of one packet."""

from __future__ import annotations

import random
from itertools import groupby

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from packetrig.packets import craft, flows, fragments, frames
from packetrig.packets import strategies as net
from packetrig.packets.flows import Ending, Flow

quick = settings(max_examples=20)
REQUEST = b"GET / HTTP/1.1\r\n\r\n"


def tcp(segment: bytes) -> tuple[int, int, int, int]:
    """Read a segment: sequence and acknowledgment number, flags, bytes of data."""
    header = frames.walk(segment)[-1]
    at = header.offset
    sequence, acknowledgment = segment[at + 4 : at + 8], segment[at + 8 : at + 12]
    size = len(frames.payload(segment))
    numbers = int.from_bytes(sequence, "big"), int.from_bytes(acknowledgment, "big")
    return (*numbers, segment[at + 13], size)


def whats(packets) -> list[str]:
    return [packet.what for packet in packets]


def plainest(strategy, condition=lambda _: True):
    quietly = settings(max_examples=2000, database=None)
    return find(strategy, condition, random=random.Random(1), settings=quietly)


def some(strategy, condition):
    quickly = settings(max_examples=2000, database=None, phases=[Phase.generate])
    return find(strategy, condition, random=random.Random(1), settings=quickly)


def test_a_flow_is_a_handshake_data_and_an_end():
    flow = Flow(requests=(REQUEST,), answer=b"ok", segment_size=10, ending=Ending.FIN)

    assert whats(flow.segments()) == [
        "flow 1: SYN",
        "flow 1: SYN and ACK from the server",
        "flow 1: ACK",
        "flow 1: 10 bytes of data",
        "flow 1: 8 bytes of data",
        "flow 1: ACK from the server",
        "flow 1: 2 bytes of data from the server",
        "flow 1: ACK",
        "flow 1: FIN",
        "flow 1: FIN from the server",
        "flow 1: ACK",
    ]
    assert b"".join(frames.payload(s) for s in flow.segments() if not s.is_answer) == REQUEST


@quick
@given(net.sequences(transport="tcp", faults=()))
def test_each_side_acknowledges_what_the_other_sent(sequence):
    for _, flow in groupby(sorted(sequence, key=lambda each: each.flow), lambda each: each.flow):
        following: dict[bool, int] = {}
        for segment in flow:
            number, acknowledged, flags, size = tcp(segment)
            assert following.setdefault(segment.is_answer, number) == number
            following[segment.is_answer] = (number + size + bool(flags & 3)) % (1 << 32)
            if flags & flows.ACK:
                assert acknowledged == following[not segment.is_answer]


@quick
@given(net.sequences())
def test_every_frame_of_a_sequence_is_sound(sequence):
    assert sequence
    for segment in sequence:
        assert segment.what.startswith(f"flow {segment.flow}: ")
        assert frames.bad_checksums(segment) == []
        assert all(header.is_whole for header in frames.walk(segment))


@quick
@given(net.sequences(flows=3, version=6, transport="udp", payload=b"query", answer=b"yes"))
def test_arguments_fix_what_a_sequence_is_made_of(sequence):
    assert {segment.flow for segment in sequence} == {1, 2, 3}
    for segment in sequence:
        assert [header.name for header in frames.walk(segment)] == ["Ether", "IPv6", "UDP"]
        assert frames.payload(segment) == (b"yes" if segment.is_answer else b"query")


def test_flows_alternate_as_the_order_says_and_keep_their_own():
    two = [Flow(number=1), Flow(number=2)]

    turns = [segment.flow for segment in flows.interleaved(two, bytes((0, 1)))]
    one_by_one = [segment.flow for segment in flows.interleaved(two)]

    assert turns == [1, 2, 1, 2, 1, 2]
    assert one_by_one == [1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("retransmission", ["SYN", "SYN and ACK from the server", "SYN, again", "ACK"]),
        ("duplicate", ["SYN", "SYN, a duplicate", "SYN and ACK from the server", "ACK"]),
        ("reorder", ["SYN and ACK from the server", "SYN, late", "ACK"]),
        ("loss", ["SYN and ACK from the server", "ACK"]),
    ],
)
def test_a_fault_says_what_became_of_a_frame(fault, seen):
    flow = Flow(faults={flows.Fault(fault)}, picks=bytes((1, 0) * 4))

    assert whats(flow.segments()) == [f"flow 1: {what}" for what in seen]


@pytest.mark.parametrize(
    ("ending", "last"),
    [
        ("open", "ACK"),
        ("reset", "RST"),
        ("reset by server", "RST from the server"),
        ("refused", "RST, the port is closed from the server"),
        ("unanswered", "SYN"),
    ],
)
def test_a_flow_ends_as_it_is_told(ending, last):
    assert Flow(ending=Ending(ending)).segments()[-1].what == f"flow 1: {last}"


@pytest.mark.slow
def test_a_sequence_shrinks_to_one_handshake():
    handshake = ["SYN", "SYN and ACK from the server", "ACK"]

    assert whats(plainest(net.sequences())) == [f"flow 1: {what}" for what in handshake]


@pytest.mark.slow
@pytest.mark.parametrize("fault", flows.Fault)
def test_every_fault_happens(fault):
    word = {"retransmission": "again", "duplicate": "a duplicate", "reorder": "late"}.get(fault)

    def shows(sequence) -> bool:
        if word is None:
            return not sequence[0].what.endswith("SYN")
        return any(word in what for what in whats(sequence))

    assert shows(some(net.sequences(flows=1, faults=fault, transport="tcp"), shows))


# --- fragments ---


def put_together(pieces) -> bytes:
    """Put the fragments of an IPv4 packet together as a receiver does."""
    data: dict[int, int] = {}
    for piece in pieces:
        at = (int.from_bytes(piece[20:22], "big") & 0x1FFF) * 8
        size = int.from_bytes(piece[16:18], "big")
        data.update(enumerate(piece[34 : 14 + size], at))
    return bytes(data[at] for at in sorted(data))


LONG = craft.V4.frame(craft.udp(bytes(range(100)), craft.V4), craft.UDP)


def test_fragments_put_together_are_the_packet():
    pieces = fragments.split(LONG, size=40)

    assert whats(pieces) == ["bytes 0 to 39", "bytes 40 to 79", "bytes 80 to 107, the last one"]
    assert put_together(pieces) == LONG[34:]
    assert [frames.bad_checksums(piece) for piece in pieces] == [[], [], []]


def test_fragments_of_ipv6_follow_the_headers_for_routers():
    network = craft.Network(
        source=craft.V6.source,
        destination=craft.V6.destination,
        extensions=((0, b"\x00\x01\x04\0\0\0\0"), (60, b"\x00\x01\x04\0\0\0\0")),
    )
    frame = network.frame(craft.udp(bytes(64), network), craft.UDP, vlans=(7,))
    first, *later = fragments.split(frame, size=32)
    every = ["Ether", "Dot1Q", "IPv6", "IPv6ExtHdrHopByHop", "IPv6ExtHdrFragment"]

    assert [h.name for h in frames.walk(first)] == [*every, "IPv6ExtHdrDestOpt", "UDP"]
    assert [[h.name for h in frames.walk(piece)] for piece in later] == [every, every]
    assert all(header.is_whole for piece in (first, *later) for header in frames.walk(piece))


def test_only_options_that_are_to_be_copied_are_in_every_fragment():
    network = craft.Network(options=bytes.fromhex("94040000 44080500 00000000"))
    first, later = fragments.split(network.frame(bytes(48), 253), size=24)

    assert (first[14] & 15, later[14] & 15) == (8, 6)
    assert later[34:38].hex() == "94040000"


@pytest.mark.slow
@settings(max_examples=50)
@given(net.fragment_sets(net.udp_packets(version=4, vlans=(), payload=st.binary(min_size=64))))
def test_scapy_puts_fragments_together(pieces):
    from scapy.layers.inet import IP, defragment
    from scapy.layers.l2 import Ether

    whole = defragment([Ether(bytes(piece)) for piece in pieces])
    carried = [piece[14 + 4 * (piece[14] & 15) :] for piece in pieces]

    assert [bytes(each[IP].payload) for each in whole] == [b"".join(carried)]


@pytest.mark.parametrize(
    "frame",
    [
        craft.ethernet(craft.arp(), 0x0806),
        craft.Network(more_fragments=True).frame(bytes(64), 17),
        LONG[:60],
        craft.V4.frame(b"short", 17),
        bytes(14),
    ],
    ids=["ARP", "a fragment", "cut", "short", "nothing"],
)
def test_what_cannot_be_cut_stays_alone_and_as_it_is(frame):
    assert fragments.split(frame, size=16) == (frame,)


@settings(max_examples=60)
@given(net.fragment_sets())
def test_a_set_of_fragments_is_whole_and_in_order(pieces):
    assert len(pieces) > 1
    assert [frames.bad_checksums(piece) for piece in pieces] == [[]] * len(pieces)
    assert pieces[-1].what.endswith("the last one")


@quick
@given(net.fragment_sets(net.udp_packets(payload=bytes(100), version=4, vlans=()), size=24))
def test_fragments_have_the_size_that_was_asked_for(pieces):
    assert [len(frames.payload(piece)) for piece in pieces[1:4]] == [24, 24, 24]
    assert len(pieces) == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "word"),
    [("overlap", "over the one before"), ("inside", "over the first"), ("duplicate", "again")],
)
def test_a_set_with_a_fault_says_where(fault, word):
    def shows(pieces) -> bool:
        return any(word in what for what in whats(pieces))

    assert shows(some(net.fragment_sets(faults=fault), shows))


@quick
@given(st.binary(max_size=80), st.integers(0, 8000).map(lambda number: number * 8))
def test_one_fragment_can_be_had_of_any_frame(data, offset):
    alone = fragments.alone(LONG + data, offset=offset)

    assert alone is not None
    assert (int.from_bytes(alone[20:22], "big") & 0x1FFF) * 8 == offset
