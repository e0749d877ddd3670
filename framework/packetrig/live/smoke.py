"""Hold a program on a real interface to the verdicts that the kernel's test run gives for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputRefused
from ..packets import explain
from ..verdicts import TC, XDP
from . import traffic as real
from .attach import Mode, program_of
from .end import End
from .taps import ETH_P_ALL, USUAL_PROTOCOLS, VLAN, Tap, is_cut_in_its_tag
from .trip import Ended, Trip
from .wire import Wire

SHOWN = 10  # differences that a report keeps

VLAN_IS_BESIDE = (
    "a VLAN tag travels beside the frame at TC ingress (skb->vlan_tci); the test run leaves it in"
)

VLAN_IS_PUSHED = (
    "a VLAN tag that the program pushed stands beside the frame (skb->vlan_tci); the test run "
    "leaves it out, an interface sends it"
)

TAG_IS_CUT = "the kernel drops a frame that is cut in its VLAN tag, behind XDP and before TC"

_XDP_ENDS = {XDP.PASS: Ended.STACK, XDP.TX: Ended.BACK, XDP.REDIRECT: Ended.ELSEWHERE}
# cls_bpf turns every other answer into TC_ACT_UNSPEC, which goes on to the stack.
_TC_ENDS = {
    TC.SHOT: Ended.NOWHERE,
    TC.STOLEN: Ended.NOWHERE,
    TC.TRAP: Ended.NOWHERE,
    TC.REDIRECT: Ended.ELSEWHERE,
}


@dataclass(frozen=True, slots=True)
class Difference:
    """Show one frame that ended elsewhere, or looked otherwise, than the test run says.

    `expected` and `seen` are words (`STACK`, `NOWHERE`...), the data is what was to come out and
    what did; `reason` names a known difference between the hook and the test run, or is empty.
    """

    frame: bytes
    verdict: int
    expected: Ended
    seen: Ended
    expected_data: bytes
    seen_data: tuple[bytes, ...]
    reason: str = ""

    def __str__(self) -> str:
        verdict = repr(self.verdict)
        if self.expected is not self.seen:
            text = f"{verdict} should end in {self.expected.value}, ended in {self.seen.value}"
        else:
            text = f"{verdict} ended in {self.seen.value} as it should, {self._what_differs()}"
        return f"{text} ({len(self.frame)} bytes: {self.frame[:64].hex()})"

    def _what_differs(self) -> str:
        if len(self.seen_data) != 1:
            return f"{len(self.seen_data)} times"
        fields = explain.changes(self.expected_data, self.seen_data[0])
        return f"with other bytes: {', '.join(fields)}"


@dataclass(frozen=True, slots=True)
class SmokeReport:
    """Say what a program did on a real interface.

    `ended` counts the frames by where they ended, `refused` those that could not be tried, by the
    reason; `traffic` is how many frames of real connections were compared. `differences` are the
    first that nothing explains, `known` the first that a known difference of the hook explains.
    """

    program: str
    mode: Mode
    sent: int
    ended: Mapping[str, int]
    refused: Mapping[str, int]
    traffic: int
    differing: int
    differences: tuple[Difference, ...]
    known: tuple[Difference, ...]

    @property
    def holds(self) -> bool:
        """Tell whether every frame ended where the test run says."""
        return self.differing == 0


@dataclass(frozen=True, slots=True)
class _Expected:
    frame: bytes
    verdict: int
    ended: Ended
    data: bytes


def smoke(
    source: Any,
    mode: Mode | str,
    frames: Iterable[bytes],
    *,
    prepare: Callable[[Any], None] | None = None,
    traffic: bool = True,
) -> SmokeReport:
    """Attach a program to a veth, send frames and real traffic, and compare with its test run.

    The program is attached where it sees what the left end sends: to the right one, or, for
    tc-egress, to the left one. Real traffic (echo, UDP, HTTP over TCP, IPv4 and IPv6) runs between
    two namespaces through the program; at egress its frames are recorded beforehand and then sent,
    since nothing can listen in front of that hook.

    Args:
        prepare: sets the object's maps and globals. The object is renewed and prepared before each
            of the passes, so that a program with a memory meets each time the same past. Without
            it, the object is used as it is, and a program whose verdicts depend on what it saw
            before may differ.
    """
    mode = Mode.of(mode)

    def begin() -> None:
        if prepare is not None:
            source.renew()
            prepare(source)

    sample = list(frames)
    if traffic and mode.is_egress:
        sample += _recorded()
    begin()
    expected, refused = _expectations(source, mode, sample)
    begin()
    pairs, late = _sent(source, mode, expected)
    refused.update(late)
    found = [d for want, trip in pairs if (d := _difference(mode, want, trip))]
    compared = 0
    if traffic and not mode.is_egress:
        begin()
        compared, more = _talked(source, mode, begin)
        found += more
    return _report(source, mode, pairs, refused, compared, found)


def _report(
    source: Any,
    mode: Mode,
    pairs: Sequence[tuple[_Expected, Trip]],
    refused: Mapping[str, int],
    traffic: int,
    found: Sequence[Difference],
) -> SmokeReport:
    unexplained = [d for d in found if not d.reason]
    return SmokeReport(
        program=program_of(source).name,
        mode=mode,
        sent=len(pairs),
        ended=dict(Counter(trip.ended.value for _, trip in pairs)),
        refused=dict(refused),
        traffic=traffic,
        differing=len(unexplained),
        differences=tuple(unexplained[:SHOWN]),
        known=tuple([d for d in found if d.reason][:SHOWN]),
    )


def ends(mode: Mode, verdict: int) -> Ended:
    """Tell where a frame with this verdict should end at this hook."""
    if mode.is_xdp:
        return _XDP_ENDS.get(XDP(verdict), Ended.NOWHERE) if verdict in _XDP else Ended.NOWHERE
    if mode.is_tcx and verdict not in _TCX:
        return Ended.STACK
    return _TC_ENDS.get(TC(verdict), Ended.STACK) if verdict in _TC else Ended.STACK


# What tcx knows besides TCX_NEXT; every other answer counts as that (tcx_action_code).
_TCX = frozenset((TC.OK, TC.SHOT, TC.REDIRECT))
_XDP, _TC = frozenset(int(v) for v in XDP), frozenset(int(v) for v in TC)


def _expectations(
    source: Any, mode: Mode, frames: Sequence[bytes]
) -> tuple[list[_Expected], Counter[str]]:
    program: Any = program_of(source)
    expected, refused = [], Counter[str]()
    for frame in frames:
        try:
            run = program.run(frame)
        except InputRefused as e:
            refused[str(e)] += 1
        else:
            expected.append(_Expected(frame, run.verdict, ends(mode, run.verdict), run.data))
    return expected, refused


def _sent(
    source: Any, mode: Mode, expected: Sequence[_Expected]
) -> tuple[list[tuple[_Expected, Trip]], Counter[str]]:
    pairs, refused = [], Counter[str]()
    with Wire() as wire, _watched_end(wire, mode).attach(source, mode):
        for want in expected:
            try:
                pairs.append((want, wire.trace(want.frame)))
            except InputRefused as e:
                refused[str(e)] += 1
    return pairs, refused


def _watched_end(wire: Wire, mode: Mode) -> End:
    return wire.left if mode.is_egress else wire.right


def _difference(mode: Mode, want: _Expected, trip: Trip) -> Difference | None:
    seen = trip.ended
    data = trip.returned if seen is Ended.BACK else trip.passed
    if want.ended is Ended.ELSEWHERE:
        same = seen is not Ended.STACK  # where a redirect leads is not on this wire
    elif want.ended is Ended.NOWHERE:
        same = seen in (Ended.NOWHERE, Ended.ELSEWHERE)
    else:
        same = seen is want.ended and data == (want.data,)
    if same:
        return None
    return Difference(
        frame=want.frame,
        verdict=want.verdict,
        expected=want.ended,
        seen=seen,
        expected_data=want.data,
        seen_data=data,
        reason=_known(mode, want, data),
    )


def _untagged(frame: bytes) -> bytes:
    tagged = int.from_bytes(frame[12:14], "big") in VLAN
    return frame[:12] + frame[16:] if tagged else frame


def _known(mode: Mode, want: _Expected, seen: Sequence[bytes]) -> str:
    if not mode.is_xdp and want.data not in seen and [*map(_untagged, seen)] == [want.data]:
        return VLAN_IS_PUSHED
    if is_cut_in_its_tag(want.data):
        return TAG_IS_CUT
    tagged = int.from_bytes(want.frame[12:14], "big") in VLAN
    return VLAN_IS_BESIDE if tagged and mode.is_tc_ingress else ""


def _recorded() -> list[bytes]:
    with Wire(apart=True, ipv6=True) as wire:
        real.introduce(wire)
        wire.discard()
        real.talk(wire)
        return [*wire.right.heard((ETH_P_ALL,)), *wire.left.heard((ETH_P_ALL,))]


def _talked(source: Any, mode: Mode, begin: Callable[[], None]) -> tuple[int, list[Difference]]:
    # The two stacks talk through the program. What the left sent is then put through the test run
    # in the same order, and what came out there must be what the right's stack was given.
    protocols = (ETH_P_ALL,) if mode.is_xdp else USUAL_PROTOCOLS
    with Wire(apart=True, ipv6=True) as wire:
        real.introduce(wire)
        for protocol in protocols:
            wire.right.tap(protocol)
        with wire.left.namespace.inside():
            outgoing = Tap(wire.left.name, outgoing=True)
        with outgoing.socket, wire.right.attach(source, mode):
            wire.discard()
            outgoing.frames(outgoing=True)
            real.talk(wire)
            sent = outgoing.frames(outgoing=True)
            arrived = list(wire.right.heard(protocols))
    begin()
    expected, _ = _expectations(source, mode, sent)
    if not mode.is_xdp:  # see VLAN_IS_PUSHED
        plain = {want.data for want in expected}
        arrived = [each if each in plain else _untagged(each) for each in arrived]
    return len(sent), _unmatched(expected, arrived)


def _unmatched(expected: Sequence[_Expected], arrived: Sequence[bytes]) -> list[Difference]:
    left = Counter(arrived)
    found = []
    for want in expected:
        here = left[want.data] > 0
        if want.ended is Ended.STACK:
            left[want.data] -= here
            seen, same = (Ended.STACK if here else Ended.NOWHERE), here
        else:
            seen, same = Ended.NOWHERE, True
        if not same:
            found.append(Difference(want.frame, want.verdict, want.ended, seen, want.data, ()))
    # What is left over arrived although the test run says that it should not.
    for frame in left.elements():
        # Its test run is the one of the same bytes; a frame that none explains has verdict -1.
        alike = [w for w in expected if frame in (w.frame, w.data)]
        alike.append(_Expected(frame, -1, Ended.NOWHERE, b""))
        was = alike[0]
        found.append(Difference(frame, was.verdict, was.ended, Ended.STACK, was.data, (frame,)))
    return found
