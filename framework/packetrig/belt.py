"""The conveyor belt: what one hook passes, the next one sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from . import packets
from .errors import Error
from .objects import Object
from .program import Program
from .run import Run
from .verdicts import TC, XDP

# Verdicts after which the kernel goes on to the next hook.
_ONWARD = (XDP.PASS, TC.OK, TC.UNSPEC, TC.PIPE, TC.RECLASSIFY)


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
    egress. Metadata that XDP puts before a frame stays with its step: BPF_PROG_TEST_RUN cannot
    hand it to a TC program.
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
    frame = packets.to_bytes(packet)
    steps: list[Run] = []
    for program in programs:
        steps.append(program.run(frame))
        frame = steps[-1].data
        if not any(steps[-1].verdict is verdict for verdict in _ONWARD):
            break
    return Trip(tuple(steps))
