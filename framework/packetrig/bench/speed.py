"""Measure a program in many samples; against another in pairs, one of each in turn.

Whatever slows the machine down slows down both halves of a pair. What is told is the median, and
the middle half of the samples as its spread: on a machine that others use too, the spread is wide,
and whoever decides sees that.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from .._bpf.processors import one_processor
from ..errors import Error
from .measure import Method, Subject

ROUNDS = 15
# The kernel counts whole nanoseconds.
_RESOLUTION_NS = 0.5


@dataclass(frozen=True, slots=True)
class Speed:
    """Hold what a packet costs: samples in nanoseconds, by one method.

    `verdicts` are those that were met: more than one for a single packet means that the program
    answered otherwise in the end, because its state had changed.
    """

    samples: tuple[float, ...]
    method: Method
    verdicts: tuple[str, ...]
    packets: int
    refused: int

    @property
    def nanoseconds(self) -> float:
        """Return the median."""
        return statistics.median(self.samples)

    @property
    def low(self) -> float:
        """Return the lower end of the spread: a quarter of the samples are below."""
        return _quartiles(self.samples)[0] - _RESOLUTION_NS

    @property
    def high(self) -> float:
        """Return the upper end of the spread: a quarter of the samples are above."""
        return _quartiles(self.samples)[1] + _RESOLUTION_NS


@dataclass(frozen=True, slots=True)
class Compared:
    """Hold two programs that were measured pair by pair; `ratio` is the new one to the old one."""

    new: Speed
    old: Speed

    @property
    def ratios(self) -> tuple[float, ...]:
        """Return the ratio of each pair."""
        pairs = zip(self.new.samples, self.old.samples, strict=True)
        return tuple(one / other for one, other in pairs)

    @property
    def ratio(self) -> float:
        """Return the median of the pairs' ratios."""
        return statistics.median(self.ratios)

    @property
    def low(self) -> float:
        """Return the lower end of the ratio's spread."""
        return _quartiles(self.ratios)[0] * (1 - self._resolution)

    @property
    def high(self) -> float:
        """Return the upper end of the ratio's spread."""
        return _quartiles(self.ratios)[1] * (1 + self._resolution)

    @property
    def _resolution(self) -> float:
        return _RESOLUTION_NS / self.new.nanoseconds + _RESOLUTION_NS / self.old.nanoseconds


def _quartiles(samples: Sequence[float]) -> tuple[float, float]:
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return low, high


def speed(subject: Subject, *, rounds: int = ROUNDS) -> Speed:
    """Measure one program.

    Raises:
        InputRefused: None of the packets can be given to it.
    """
    return _measured([subject], subject.method, rounds)[0]


def compare(new: Subject, old: Subject, *, rounds: int = ROUNDS) -> Compared:
    """Measure two programs in turn, the one first in every other round.

    Both are measured by the same method: packet by packet when either needs it.

    Raises:
        Error: One is refused packets that the other takes.
    """
    if new.frames != old.frames:
        raise Error(f"{new.name}: the two programs do not take the same packets")
    is_plain = new.method is old.method is Method.REPEATED
    method = Method.REPEATED if is_plain else Method.ONE_BY_ONE
    found = _measured([new, old], method, rounds)
    return Compared(found[0], found[1])


def _measured(subjects: Sequence[Subject], method: Method, rounds: int) -> list[Speed]:
    with one_processor(), ExitStack() as stack:
        if method is Method.REPEATED:
            samples = _rounds([subject.repeated for subject in subjects], rounds)
        else:
            nothing = stack.enter_context(subjects[0].twin())
            takers = [subject.one_by_one for subject in subjects]
            samples = _rounds([*takers, nothing.one_by_one], rounds)
            base = statistics.median(samples.pop())
            samples = [[max(s - base, _RESOLUTION_NS) for s in each] for each in samples]
    return [
        Speed(tuple(each), method, subject.verdicts, len(subject.frames), subject.refused)
        for subject, each in zip(subjects, samples, strict=True)
    ]


def _rounds(takers: Sequence[Callable[[], float]], rounds: int) -> list[list[float]]:
    found: list[list[float]] = [[] for _ in takers]
    for taker in takers:
        taker()  # warm: caches, branch predictors, the dispatcher
    order = list(enumerate(takers))
    for _ in range(rounds):
        for at, taker in order:
            found[at].append(taker())
        order.reverse()
    return found
