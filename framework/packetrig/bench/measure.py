"""Take one sample of what a packet costs in a program, by the kernel's own clock.

The test run's `repeat` does not give the packet its first form back, so there are two methods:

- a program that leaves its only packet as it is runs many times in one call, which the kernel
  measures as a whole;
- one that rewrites it, or a capture, is run packet by packet. What the kernel measures then holds
  the clock itself and a cold start, several times a small program's own cost: the same is measured
  for a program that does nothing, in turn, and taken off.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Self

from .. import refusals
from ..errors import Error, InputRefused
from ..objects import Object
from ..replay import name_of
from ..run import Run
from ..spec import build

# One call: long enough that its start and the clock do not count, short enough to be many.
_CALL_NS = 2_000_000
_LEAST_REPEAT, _MOST_REPEAT = 1000, 100_000
_TILES = 256
_PASSES = 3

# Where a program that does nothing goes, and what it answers so that the verifier takes it.
_SECTIONS = {
    "xdp": ("xdp", 2),
    "tc": ("tc", 0),
    "action": ("action", 0),
    "socket_filter": ("socket", 0),
    "cgroup_skb": ("cgroup_skb/ingress", 1),
    "lwt_in": ("lwt_in", 0),
    "lwt_out": ("lwt_out", 0),
    "lwt_xmit": ("lwt_xmit", 0),
}


class Method(Enum):
    """Say how a program was measured."""

    REPEATED = "repeated"
    ONE_BY_ONE = "one by one"


def _leave(_: Object) -> None:
    # What a program without any set-up is given.
    return None


class Subject:
    """Be one program of an object with the packets that it is measured on."""

    def __init__(
        self,
        owner: Object,
        frames: Sequence[bytes],
        *,
        program: str | None = None,
        put: Callable[[Object], None] = _leave,
    ) -> None:
        self.owner = owner
        self.program = owner.programs[program] if program else owner.program
        self._put = put
        self.name = self.program.name
        if self.program.kind not in _SECTIONS:
            raise Error(f"{self.name}: no packet can be given to a {self.program.kind} program")
        self.refused = 0
        self.frames: list[bytes] = []
        self.verdicts: tuple[str, ...] = ()
        self._rewrites = False
        self._look(frames)
        self._repeat = 0

    def _look(self, frames: Sequence[bytes]) -> None:
        """Run each packet once: what is refused is left out, what is rewritten is found out."""
        self._renew()
        why: InputRefused | None = None
        verdicts: dict[str, None] = {}
        for frame in frames:
            try:
                run = self.program.run(frame)
            except InputRefused as e:
                self.refused, why = self.refused + 1, e
                continue
            self.frames.append(frame)
            verdicts[name_of(run.verdict)] = None
            self._rewrites = self._rewrites or run.is_rewritten or bool(run.metadata)
        if not self.frames:
            raise why or Error(f"{self.name}: there is no packet to measure with")
        self.verdicts = tuple(verdicts)

    @property
    def method(self) -> Method:
        """Say how it must be measured: once in a call whatever rewrites, or meets a capture."""
        is_one = len(self.frames) == 1 and not self._rewrites
        return Method.REPEATED if is_one else Method.ONE_BY_ONE

    def _renew(self) -> None:
        # Loaded anew, not only emptied: where code lies in memory changes what it costs by a tenth,
        # and two loadings of the same object must not differ for that.
        self.owner.reload()
        self._put(self.owner)

    def repeated(self) -> float:
        """Run the packet many times in one call, from the state it begins with."""
        (frame,) = self.frames
        if not self._repeat:
            took = self._begun_anew(frame, _LEAST_REPEAT).nanoseconds
            self._repeat = max(_LEAST_REPEAT, min(_MOST_REPEAT, _CALL_NS // max(1, took)))
        run = self._begun_anew(frame, self._repeat)
        # A table that fills up, a bucket that runs empty: what is measured is a mix then.
        self.verdicts = tuple(dict.fromkeys((*self.verdicts, name_of(run.verdict))))
        return run.nanoseconds + 0.5  # the kernel leaves off what is below a nanosecond

    def _begun_anew(self, frame: bytes, repeat: int) -> Run:
        while True:
            self._renew()
            with suppress(refusals.Interrupted):  # stopped in the middle, and continued
                return self.program.run(frame, repeat=repeat)

    def one_by_one(self) -> float:
        """Run the packets once each; the least of some passes, so that interrupts do not count."""
        if len(self.frames) == 1:
            self._renew()
            runs = self.program.run_many(self.frames * _TILES)
            return statistics.median(runs.nanoseconds) + 0.5
        passes = []
        for at in range(_PASSES):
            if at:
                self.owner.renew()
                self._put(self.owner)
            else:
                self._renew()
            passes.append(self.program.run_many(self.frames).nanoseconds)
        return statistics.fmean(min(each) for each in zip(*passes, strict=True)) + 0.5

    @contextmanager
    def twin(self) -> Iterator[Self]:
        """Give a program of the same kind that does nothing, with the same packets."""
        section, verdict = _SECTIONS[self.program.kind]
        source = Path(__file__).with_name("empty.bpf.c")
        macros = {"SECTION": f'"{section}"', "VERDICT": verdict}
        with build(source, define=macros).load() as nothing:
            yield type(self)(nothing, self.frames)


def is_measurable(kind: str) -> bool:
    """Tell whether packets can be given to a program of that kind."""
    return kind == "xdp" or kind in refusals.SKB_KINDS & _SECTIONS.keys()
