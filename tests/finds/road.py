"""A wire for TC programs: socket buffers whose linear part ends behind the Ethernet header.

A test run gives a TC program a linear skb, real receivers do not. A packet socket that sends more
than a page makes the rest of it fragments of the skb, so each frame is filled up to that: padding
behind the packet, which nobody is to read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from packetrig import TC, Error, Failure, InputRefused, Object
from packetrig.live import Wire
from packetrig.models import ANY, Model
from packetrig.packets import explain

LONG = 8192
TAGS = (b"\x81\x00", b"\x88\xa8")
_PASSES = (TC.OK, TC.UNSPEC, TC.PIPE)


def _received(frame: bytes, number: bytes) -> bytes:
    # Behind TC, who received a tag of VLAN 0 has the tag behind it taken off as well.
    while not int.from_bytes(number, "big") & 0xFFF and frame[12:14] in TAGS:
        frame, number = frame[:12] + frame[16:], frame[14:16]
    return frame


class Road:
    """Hold a wire that is made when it is first used."""

    def __init__(self, name: str) -> None:
        self._is_egress = "egress" in name
        self._wire: Wire | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._wire is not None:
            self._wire.close()

    @contextmanager
    def attached(self, loaded: Object) -> Iterator[None]:
        """Attach a program for one story: a renewed object has another program."""
        if self._wire is None:
            self._wire = Wire(mtu=LONG).__enter__()
        end = self._wire.left if self._is_egress else self._wire.right
        with end.attach(loaded, mode="tc-egress" if self._is_egress else "tc-ingress"):
            yield

    def judge(self, loaded: Object, packet: bytes, model: Model) -> None:
        """Send a frame and compare with the model: whether it arrives, how, and what counts."""
        assert self._wire is not None
        frame = packet + bytes(LONG - len(packet))
        # What arrives has its outer tag beside it, and the program does not see that.
        is_tagged = not self._is_egress and packet[12:14] in TAGS
        seen = frame[:12] + frame[16:] if is_tagged else frame
        answer = model.answer(seen, loaded.program)
        before = loaded.maps.snapshot()
        try:
            trip = self._wire.trace(frame)
        except InputRefused:
            raise
        except Error as e:  # such as: a protocol that no tap listens for
            raise InputRefused(str(e)) from e
        told = []
        if bool(trip.passed) is not (answer.verdict in _PASSES):
            arrived = "arrived" if trip.passed else "did not arrive"
            told.append(f"  the model says {answer.verdict!r}, and the frame {arrived}")
        elif trip.passed and answer.data is not ANY:
            expected = seen if answer.data is None else answer.data
            if is_tagged:
                expected = _received(expected, number=frame[14:16])
            if trip.passed[0] != expected:
                told.append(explain.difference(expected, trip.passed[0]))
        changes = loaded.maps.changes(before)
        if answer.changes is not None and set(changes) != set(answer.changes):
            told.append(f"  maps      model {sorted(answer.changes)}, program {sorted(changes)}")
        if told:
            raise Failure(
                f"{loaded.program.name}: the model {model.name} says otherwise, on a wire\n"
                f"  frame     {explain.summary(packet)}\n" + "\n".join(told),
                check=f"the model {model.name}, on a wire",
                packet=packet,
            )
