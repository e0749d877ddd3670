"""Strategies for several frames that belong together: flows, and the fragments of a packet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from .. import craft
from .. import flows as talk
from .. import fragments as cutting
from ..told import Fragment, Segment
from . import _assemble, _payloads
from ._arguments import Address, Arg, Values, drawn, version_of

_FLOW_PICKS = 29
_ENDINGS = (
    talk.Ending.OPEN,
    talk.Ending.FIN,
    talk.Ending.RESET,
    talk.Ending.FIN,
    talk.Ending.RESET_BY_SERVER,
    talk.Ending.REFUSED,
    talk.Ending.UNANSWERED,
    talk.Ending.FIN,
)
_SEGMENTS = (1, 1, 1, 1, 2, 2, 3, 4)  # that a request is cut into, unless somebody says how
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"


def sequences(
    *,
    flows: Arg[int] = None,
    version: Arg[int] = None,
    transport: Arg[str] = None,
    source: Arg[Address] = None,
    destination: Arg[Address] = None,
    source_port: Arg[int] = None,
    destination_port: Arg[int] = None,
    payload: Arg[bytes] = None,
    answer: Arg[bytes] = None,
    segment_size: Arg[int] = None,
    ending: Arg[str] = None,
    faults: Arg[str | Iterable[str]] = None,
    vlans: Arg[Any] = None,
) -> SearchStrategy[list[Segment]]:
    """Generate packets that make sense together: one flow, or several whose frames alternate.

    A TCP flow is a handshake, requests and answers in segments that acknowledge each other, and an
    end; a UDP flow is requests and answers. Lengths, checksums and sequence numbers are right. Each
    frame says what it is (`frame.what`, "flow 2: FIN from the server"), to which flow it belongs
    (`frame.flow`, from 1) and whether the server sent it (`frame.is_answer`).

    Args:
        flows: How many there are; by default one to three.
        transport: "tcp" or "udp".
        source, source_port: Of the clients; by default each flow has its own.
        payload: What each request carries, cut into segments of `segment_size`.
        ending: "open", "fin", "reset", "reset by server", "refused" or "unanswered".
        faults: What may happen to a flow: some of "retransmission", "duplicate", "reorder" and
            "loss". By default all of them, now and then; `()` for none.

    Shrinks to one TCP flow over IPv4: a handshake, and nothing more.

    Example:
        >>> @given(frames=sequences(flows=2, ending="fin", faults=()))
        ... def test_a_closed_flow_is_forgotten(conntrack, frames):
        ...     conntrack.run_many(frames)
        ...     assert len(conntrack.maps.flows) == 0
    """
    arguments = {
        "version": version,
        "transport": transport,
        "source": source,
        "destination": destination,
        "source_port": source_port,
        "destination_port": destination_port,
        "requests": _requests(payload),
        "answer": answer,
        "segment_size": segment_size,
        "ending": ending,
        "faults": tuple(talk.Fault) if faults is None else faults,
        "vlans": vlans,
    }
    each = drawn(_flow, arguments, picks=_FLOW_PICKS)
    order = st.binary(max_size=16)
    return st.tuples(_count_of(flows, each), order).map(lambda picked: _woven(*picked))


def fragment_sets(
    packets: SearchStrategy[bytes] | None = None,
    *,
    size: Arg[int] = None,
    faults: Arg[str | Iterable[str]] = (),
) -> SearchStrategy[list[Fragment]]:
    """Generate the fragments of a packet, IPv4 and IPv6: all of them, in order, unless told else.

    Args:
        packets: What is cut: frames with a packet that is longer than `size`; others stay whole.
        size: Bytes that each carries, a multiple of 8.
        faults: What may be wrong with a set: some of "overlap" (a fragment begins in the one
            before, with other bytes), "inside" (one lies within the one before), "duplicate",
            "reorder" and "loss". None by default.

    Each says which bytes of the packet it has (`fragment.what`). Shrinks to two fragments of UDP.
    """
    arguments = {
        "packet": _longer_ones() if packets is None else packets,
        "size": size,
        "fragment_faults": faults,
    }
    return drawn(_cut, arguments, picks=cutting.PICKS + 1)


def _requests(payload: Arg[bytes]) -> SearchStrategy[list[bytes]]:
    if payload is None:
        carried = st.binary(min_size=_payloads.HTTP_PICKS, max_size=_payloads.HTTP_PICKS)
        return st.lists(carried.map(lambda picks: _payloads.http(picks, {})), max_size=2)
    each = drawn(lambda _, values: bytes(values["payload"]), {"payload": payload}, picks=0)
    return st.lists(each, min_size=1, max_size=3)


def _count_of(flows: Arg[int], each: SearchStrategy[talk.Flow]) -> SearchStrategy[list[talk.Flow]]:
    if flows is None:
        return st.lists(each, min_size=1, max_size=3)
    counted = drawn(lambda _, values: int(values["flows"]), {"flows": flows}, picks=0)
    return counted.flatmap(lambda count: st.lists(each, min_size=count, max_size=count))


def _flow(picks: bytes, values: Values) -> talk.Flow:
    base = craft.V6 if version_of(picks, values) == 6 else craft.V4
    ending = _ENDINGS[picks[2] & 7]
    answer = values.get("answer", _ANSWER if picks[5] & 1 else b"")
    longest = max(map(len, (*values["requests"], answer)), default=0) or 1
    return talk.Flow(
        number=0 if "source" in values else 1,  # 0: its clients are not told apart by address
        client=replace(
            base,
            source=values.get("source", base.source),
            destination=values.get("destination", base.destination),
            identification=picks[3] << 8,
        ),
        source_port=values.get("source_port", 0),
        destination_port=values.get("destination_port", (80, 80, 443, 53)[picks[4] & 3]),
        is_udp=values.get("transport", "udp" if picks[1] >= 0xC0 else "tcp") == "udp",
        requests=values["requests"],
        answer=answer,
        segment_size=values.get("segment_size", -(-longest // _SEGMENTS[picks[6] & 7])),
        ending=values.get("ending", ending),
        sequence=_assemble.u32(picks, 7),
        server_sequence=_assemble.u32(picks, 11),
        vlans=values.get("vlans", ()),
        faults=values["faults"],
        picks=_seldom(picks[15:23], picks[23:27]),
    )


def _seldom(picks: bytes, chances: bytes) -> bytes:
    # Of the four faults, each happens in one flow of eight.
    seldom = bytearray(picks)
    for position, chance in enumerate(chances):
        seldom[2 * position] = chance >= 0xE0
    return bytes(seldom)


def _woven(flows: list[talk.Flow], order: bytes) -> list[Segment]:
    told_apart = []
    for number, flow in enumerate(flows, 1):
        client = flow.client
        if flow.number and number > 1:  # the second address is the server's
            last = (client.source[-1] + number) & 0xFF
            client = replace(client, source=client.source[:-1] + bytes((last,)))
        port = flow.source_port or 39_999 + number
        told_apart.append(replace(flow, number=number, client=client, source_port=port))
    return talk.interleaved(told_apart, order)


def _longer_ones() -> SearchStrategy[bytes]:
    def packet(picks: bytes, values: Values) -> bytes:
        # Of the chains of extension headers only the first two: another has a fragment header.
        picks = picks[:10] + bytes((picks[10] % 0xD2,)) + picks[11:]
        choose = _assemble.tcp if picks[96] & 1 else _assemble.udp
        return choose(picks, {**values, "vlans": (), "payload": values["payload"] + bytes(24)})

    return drawn(packet, {"payload": st.binary(max_size=160)})


def _cut(picks: bytes, values: Values) -> list[Fragment]:
    packet = values["packet"]
    size = values.get("size", cutting.size_of(packet, 2 + (picks[-1] & 3)))
    faults = values["fragment_faults"]
    return list(cutting.broken(packet, size=size, faults=faults, picks=picks))
