"""Put packets into conversations: handshakes, data, answers, and what networks make of them.

A `Flow` is one conversation, chosen by its fields; `segments()` are its frames in order, each with
the right sequence numbers and checksums, each saying what it is. `interleaved()` weaves several.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from . import craft
from .told import Segment

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
_FAULT_PICKS = 8


class Ending(enum.StrEnum):
    """Name how a TCP flow ends."""

    OPEN = "open"  # it does not
    FIN = "fin"  # both sides close
    RESET = "reset"  # the client resets
    RESET_BY_SERVER = "reset by server"
    REFUSED = "refused"  # the server answers the SYN with RST
    UNANSWERED = "unanswered"  # nobody answers the SYN


class Fault(enum.StrEnum):
    """Name what a network, or a host that waited too long, may do to a flow."""

    RETRANSMISSION = "retransmission"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    LOSS = "loss"


@dataclass(frozen=True, slots=True)
class Flow:
    """Describe one conversation; `number` tells it from others, in labels and in addresses."""

    number: int = 1
    client: craft.Network = craft.V4
    source_port: int = 40000
    destination_port: int = 80
    is_udp: bool = False
    requests: Sequence[bytes] = ()
    answer: bytes = b""
    segment_size: int = 1400
    ending: Ending = Ending.OPEN
    sequence: int = 0
    server_sequence: int = 0
    vlans: Sequence[int | tuple[int, int]] = ()
    faults: Collection[Fault] = ()
    picks: bytes = field(default=bytes(_FAULT_PICKS))

    def segments(self) -> list[Segment]:
        """List the frames of the flow."""
        return _Conversation(self).told()


@dataclass(frozen=True, slots=True)
class _Said:
    what: str
    is_answer: bool
    flags: int = 0
    sequence: int = 0
    acknowledgment: int = 0
    payload: bytes = b""
    options: bytes = b""


class _Conversation:
    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.said: list[_Said] = []
        # What each side sends next: the client's number, and the server's.
        self.next = [flow.sequence, flow.server_sequence]

    def told(self) -> list[Segment]:
        if self.flow.is_udp:
            self._datagrams()
        else:
            self._connection()
        counts = [0, 0]
        frames = []
        for said in _happened(self.said, self.flow.faults, self.flow.picks):
            counts[said.is_answer] += 1
            frames.append(self._segment(said, counts[said.is_answer]))
        return frames

    def _datagrams(self) -> None:
        for request in self.flow.requests or (b"",):
            self.said.append(_Said(f"a request of {_size(request)}", False, payload=request))
            if self.flow.ending is not Ending.UNANSWERED:
                answer = self.flow.answer
                self.said.append(_Said(f"an answer of {_size(answer)}", True, payload=answer))

    def _connection(self) -> None:
        flow = self.flow
        self._say("SYN", False, SYN, options=b"\x02\x04\x05\xb4")
        if flow.ending is Ending.UNANSWERED:
            return
        if flow.ending is Ending.REFUSED:
            self._say("RST, the port is closed", True, RST | ACK)
            return
        self._say("SYN and ACK", True, SYN | ACK, options=b"\x02\x04\x05\xb4")
        self._say("ACK", False, ACK)
        for request in flow.requests:
            self._data(request, is_answer=False)
            self._say("ACK", True, ACK)
            if flow.answer:
                self._data(flow.answer, is_answer=True)
                self._say("ACK", False, ACK)
        self._end()

    def _end(self) -> None:
        ending = self.flow.ending
        if ending is Ending.FIN:
            self._say("FIN", False, FIN | ACK)
            self._say("FIN", True, FIN | ACK)
            self._say("ACK", False, ACK)
        elif ending is Ending.RESET:
            self._say("RST", False, RST | ACK)
        elif ending is Ending.RESET_BY_SERVER:
            self._say("RST", True, RST | ACK)

    def _data(self, data: bytes, *, is_answer: bool) -> None:
        size = self.flow.segment_size
        for at in range(0, len(data), size):
            part = data[at : at + size]
            pushes = PSH if at + size >= len(data) else 0
            self._say(f"{_size(part)} of data", is_answer, ACK | pushes, part)

    def _say(
        self, what: str, is_answer: bool, flags: int, payload: bytes = b"", options: bytes = b""
    ) -> None:
        own, other = self.next[is_answer], self.next[not is_answer]
        acknowledgment = other if flags & ACK else 0
        self.said.append(_Said(what, is_answer, flags, own, acknowledgment, payload, options))
        used = len(payload) + bool(flags & SYN) + bool(flags & FIN)
        self.next[is_answer] = (own + used) & 0xFFFFFFFF

    def _segment(self, said: _Said, count: int) -> Segment:
        flow, client = self.flow, self.flow.client
        network = replace(client, identification=(client.identification + count) & 0xFFFF)
        ports = flow.source_port, flow.destination_port
        macs = craft.MAC_SOURCE, craft.MAC_DESTINATION
        if said.is_answer:
            network = replace(network, source=client.destination, destination=client.source)
            ports, macs = ports[::-1], macs[::-1]
        if flow.is_udp:
            body = craft.udp(said.payload, network, source_port=ports[0], destination_port=ports[1])
        else:
            body = craft.tcp(
                said.payload,
                network,
                source_port=ports[0],
                destination_port=ports[1],
                sequence=said.sequence,
                acknowledgment=said.acknowledgment,
                flags=said.flags,
                options=said.options,
            )
        frame = network.frame(
            body,
            craft.UDP if flow.is_udp else craft.TCP,
            source=macs[0],
            destination=macs[1],
            vlans=flow.vlans,
        )
        by = " from the server" if said.is_answer else ""
        what = f"flow {flow.number}: {said.what}{by}"
        return Segment(frame, what, flow.number, is_answer=said.is_answer)


def interleaved(flows: Sequence[Flow], picks: bytes = b"") -> list[Segment]:
    """Weave the frames of several flows, each of which keeps its order.

    Each random byte chooses whose turn it is; all zeros give one flow after the other.
    """
    waiting = [flow.segments() for flow in flows]
    waiting = [frames for frames in waiting if frames]
    woven: list[Segment] = []
    while waiting:
        pick = picks[len(woven) % len(picks)] if picks else 0
        frames = waiting[pick % len(waiting)]
        woven.append(frames.pop(0))
        if not frames:
            waiting.remove(frames)
    return woven


def _happened(said: list[_Said], faults: Collection[Fault], picks: bytes) -> list[_Said]:
    # A host sends a frame again after the one that follows; a network doubles it at once.
    said = list(said)
    for fault, (is_on, where) in zip(Fault, zip(picks[::2], picks[1::2], strict=True), strict=True):
        if fault not in faults or not is_on & 1 or not said:
            continue
        at = where % len(said)
        if fault is Fault.RETRANSMISSION:
            said.insert(at + 2, replace(said[at], what=f"{said[at].what}, again"))
        elif fault is Fault.DUPLICATE:
            said.insert(at + 1, replace(said[at], what=f"{said[at].what}, a duplicate"))
        elif fault is Fault.LOSS and len(said) > 1:
            del said[at]
        elif fault is Fault.REORDER and at + 1 < len(said):
            late = replace(said[at], what=f"{said[at].what}, late")
            said[at : at + 2] = [said[at + 1], late]
    return said


def _size(data: bytes) -> str:
    return f"{len(data)} byte{'' if len(data) == 1 else 's'}"
