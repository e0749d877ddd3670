"""Give a program every malformed frame: by its test run, over a wire, or say why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import Error, InputRefused
from ..packets.malformed import Malformed, catalogue
from ..run import Run
from .attach import Mode, natural_mode, program_of
from .trip import Trip
from .wire import Wire


@dataclass(frozen=True, slots=True)
class Delivery:
    """Say what became of each malformed frame.

    `tested` were run by the kernel's test run. `over_the_wire` were refused by it and sent through
    the program on an interface. `not_delivered` reached no program: the reason stands beside each,
    and nothing is known about them.
    """

    program: str
    tested: tuple[tuple[Malformed, Run], ...]
    over_the_wire: tuple[tuple[Malformed, Trip], ...]
    not_delivered: tuple[tuple[Malformed, str], ...]

    @property
    def is_complete(self) -> bool:
        """Tell whether the program was given every frame."""
        return not self.not_delivered

    def __str__(self) -> str:
        told = (
            f"{self.program}: {len(self.tested)} tested, {len(self.over_the_wire)} over the wire, "
            f"{len(self.not_delivered)} not delivered"
        )
        reasons = Counter(reason for _, reason in self.not_delivered)
        return "\n".join((told, *(f"  {count} x {reason}" for reason, count in reasons.items())))


def deliver(
    source: Any,
    cases: Iterable[Malformed] | None = None,
    *,
    mode: Mode | str | None = None,
    wire: bool = True,
) -> Delivery:
    """Run a program on malformed frames, by default on the whole catalogue.

    What BPF_PROG_TEST_RUN refuses (for TC: IP packets shorter than their header) goes over a veth
    pair, with the program attached to it; where that is not possible either, or `wire` is False, it
    is said. No frame that was refused is counted as tested. The object is used as it is, its maps
    keep what the frames leave in them.

    Args:
        mode: Where to attach it: by default native, tc-ingress, or tc-egress for a TC program with
            the word "egress" in its section or name.

    Example:
        >>> delivery = live.deliver(filter)
        >>> assert delivery.is_complete, delivery
        >>> assert all(run.verdict is not TC.UNSPEC for _, run in delivery.tested)
    """
    program: Any = program_of(source)
    tested: list[tuple[Malformed, Run]] = []
    refused: list[tuple[Malformed, str]] = []
    for case in catalogue() if cases is None else cases:
        try:
            tested.append((case, program.run(case.frame)))
        except InputRefused as e:
            refused.append((case, str(e)))
    sent: list[tuple[Malformed, Trip]] = []
    if refused and wire:
        chosen = _mode_of(program) if mode is None else Mode.of(mode)
        if chosen is not None:
            sent, refused = _sent(source, chosen, [case for case, _ in refused])
    return Delivery(program.name, tuple(tested), tuple(sent), tuple(refused))


def _mode_of(program: Any) -> Mode | None:
    return natural_mode(program) if program.kind in ("xdp", "tc") else None


def _sent(
    source: Any, mode: Mode, cases: Sequence[Malformed]
) -> tuple[list[tuple[Malformed, Trip]], list[tuple[Malformed, str]]]:
    sent, lost = [], []
    with Wire() as pair:
        end = pair.left if mode.is_egress else pair.right
        with end.attach(source, mode):
            for case in cases:
                try:
                    sent.append((case, pair.trace(case.frame)))
                except Error as e:  # whatever the reason, what became of it is not known
                    lost.append((case, str(e)))
    return sent, lost
