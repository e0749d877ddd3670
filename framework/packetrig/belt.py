"""The conveyor belt: what one hook passes, the next one sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import carried, packets
from .errors import Error
from .objects import Object
from .program import Program
from .run import Run
from .verdicts import TC, XDP

# After these the next program of the same TC hook is not asked; OK lets the packet through at once.
# cls_bpf takes every other answer for TC_ACT_UNSPEC, which goes on (cls_bpf_exec_opcode).
_LAST = frozenset({TC.OK, TC.SHOT, TC.STOLEN, TC.TRAP, TC.REDIRECT})
# What an skb keeps from one program to the next.
_KEPT = ("mark", "priority", "cb")


@dataclass(frozen=True, slots=True)
class Trip(Sequence[Run]):
    """Hold the runs of one packet along a belt, in order."""

    steps: tuple[Run, ...]

    @property
    def verdict(self) -> Any:
        """Return the verdict of the hook where the packet stopped, or of the last one."""
        return self.steps[-1].verdict

    @property
    def data(self) -> bytes:
        """Return the frame as it left the last hook."""
        return self.steps[-1].data

    @property
    def packet(self) -> Any:
        """Return that frame as a scapy packet."""
        return self.steps[-1].packet

    def __getitem__(self, index: Any) -> Any:
        return self.steps[index]

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.steps)


class Belt:
    """Hold the hooks that a packet passes, from the interface inwards and outwards.

    `run()` takes a packet that arrives: XDP, then TC ingress. `send()` takes one that leaves: TC
    egress. Several XDP programs are asked as libxdp's dispatcher asks them: the next one when this
    one answers PASS, with the metadata that it left. Several TC programs are asked as the kernel
    asks them: the next one only when this one answers UNSPEC (or PIPE); mark, priority and cb stay
    with the packet.

    Metadata that XDP leaves before the frame reaches a TC program that looks at it. The test run
    cannot hand it over, so such a step takes the kernel's own road from XDP to TC, in a namespace
    of the object's own: it needs Linux 6.6, raises Unsupported elsewhere, and tells no nanoseconds.
    """

    def __init__(self, inward: Sequence[Program], outward: Sequence[Program]) -> None:
        self.inward = tuple(inward)
        self.outward = tuple(outward)

    def run(self, packet: Any) -> Trip:
        """Let a packet arrive: each program sees what the one before it passed."""
        return _along(self.inward, packet, "arrives")

    def send(self, packet: Any) -> Trip:
        """Let a packet leave."""
        return _along(self.outward, packet, "leaves")


def belt(*stages: Object | Program) -> Belt:
    """Lay XDP and TC programs one behind the other, as a packet meets them.

    A TC program whose section or name says "egress" is on the way out, any other on the way in.

        road = packetrig.belt(xdp_filter, tc_ingress, tc_egress)
        trip = road.run(packet)
        assert [step.verdict for step in trip] == [XDP.PASS, TC.OK]
    """
    for stage in stages:
        if not hasattr(stage, "run"):
            raise Error(f"a belt takes objects and programs, not {stage!r}")
    programs = [stage if isinstance(stage, Program) else stage.program for stage in stages]
    for program in programs:
        if program.kind not in ("xdp", "tc"):
            raise Error(
                f"{program.name}: a belt takes xdp and tc programs, this one is {program.kind}"
            )
    outward = [p for p in programs if p.kind == "tc" and _is_egress(p)]
    inward = [p for p in programs if p not in outward]
    inward.sort(key=lambda program: program.kind != "xdp")
    return Belt(inward, outward)


def _is_egress(program: Program) -> bool:
    return "egress" in program.section or "egress" in program.name


def _along(programs: Sequence[Program], packet: Any, verb: str) -> Trip:
    if not programs:
        raise Error(f"no program on this belt sees a packet that {verb}")
    steps = [programs[0].run(packets.to_bytes(packet))]
    for number, program in enumerate(programs[1:], start=1):
        if not _goes_on(steps[-1]):
            break
        steps.append(_next(program, programs[number:], steps[-1]))
    return Trip(tuple(steps))


def _goes_on(step: Run) -> bool:
    if step.program.kind == "xdp":
        return step.verdict is XDP.PASS
    return step.verdict not in _LAST


def _next(program: Program, rest: Sequence[Program], before: Run) -> Run:
    """Run a program on what the one before it left: frame, metadata, and marks."""
    if program.kind == "xdp":  # one behind the other, as a dispatcher calls them
        return program.run(before.data, meta=before.metadata)
    kept: dict[str, Any] = {}
    if before.program.kind == "tc" and isinstance(before.context, Mapping):
        kept = {name: value for name in _KEPT if _is_set(value := before.context[name])}
    # As long as one of those still to come looks: what this one does to metadata counts as well.
    if before.metadata and any(map(carried.reads_metadata, rest)):
        return carried.run(program, before.data, before.metadata, kept)
    return program.run(before.data, ctx=kept or None)


def _is_set(value: Any) -> bool:
    return any(value) if isinstance(value, tuple) else bool(value)
