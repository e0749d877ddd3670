"""The speed rule: what a packet costs, in nanoseconds or against a baseline measured in turn."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .. import bench
from ..bench import frames as measured_on
from ..errors import NotFound
from ..objects import Object
from ..replay import Setup
from ..spec import Spec
from . import policy
from .captures import filled, read_setup
from .outcome import Answer, Candidate, Outcome, Reason


@dataclass(frozen=True, slots=True)
class _Limit:
    """Hold one limit with what was measured of it: the median, and the ends of its spread."""

    key: str
    most: float
    value: float
    low: float
    high: float
    unit: str


def measured(candidate: Candidate, rule: policy.Speed, setup: str | None) -> Outcome:
    """Measure each program that takes frames, and hold it to the limits.

    A limit is held when three quarters of the samples are within it, and broken when three quarters
    are beyond; in between nothing is known: the machine is too noisy for this limit.
    """
    names = candidate.entries(lambda program: bench.is_measurable(program.kind))
    if not names:
        reason = Reason(f"no frame can be given to a program of kind {candidate.kinds}")
        return Outcome("speed", Answer.DOES_NOT_APPLY, "-", (reason,))
    refused: list[Reason] = []
    unknown: list[Reason] = []
    programs: dict[str, Any] = {}
    shown: list[str] = []
    for name in names:
        asked = _Asked(candidate, rule, rule.setup or setup, name)
        found = asked.measure()
        programs[name] = _told(found)
        shown.append(_shown(found))
        for limit in _limits(rule, found):
            said = (
                f"{name}: {limit.value:.2f} {limit.unit} ({limit.low:.2f} to {limit.high:.2f}), "
                f"{limit.key} is {limit.most:g}"
            )
            if limit.low > limit.most:
                refused.append(Reason(said, asked.command))
            elif limit.high > limit.most:
                more = "; the spread is wider than the margin: measure on a machine that idles"
                unknown.append(Reason(said + more, asked.command))
    answer = Answer.REFUSED if refused else Answer.UNDECIDED if unknown else Answer.HELD
    facts = {"programs": programs, "packet": rule.packet, "baseline": rule.baseline}
    return Outcome("speed", answer, " ".join(shown), (*refused, *unknown), facts)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Name one program with what it is measured on, and against."""

    candidate: Candidate
    rule: policy.Speed
    setup: str | None
    name: str

    @property
    def baseline(self) -> Path | None:
        return filled(self.rule.baseline, self.candidate, self.name) if self.rule.baseline else None

    @property
    def packet(self) -> Path:
        return filled(self.rule.packet, self.candidate, self.name)

    def measure(self) -> bench.Speed | bench.Compared:
        spec, kind = self.candidate.spec, self.candidate.kind
        assert spec is not None
        setup = read_setup(self.setup, self.candidate, self.name)
        frames = measured_on.read(self.packet)

        def subject(loaded: Object) -> bench.Subject:
            put = partial(_put, setup)
            return bench.Subject(loaded, frames, program=self.name, put=put)

        with ExitStack() as stack:
            new = subject(stack.enter_context(setup.load(spec, kind=kind)))
            if self.baseline is None:
                return bench.speed(new)
            if not self.baseline.exists():
                raise NotFound(
                    f"[speed] baseline: there is no {self.baseline} to measure {self.name} against"
                )
            old = stack.enter_context(setup.load(Spec.read(self.baseline), kind=kind))
            return bench.compare(new, subject(old))

    @property
    def command(self) -> str:
        candidate = self.candidate
        words = ["packetrig", "bench", str(candidate.path), "--packet", str(self.packet)]
        if candidate.spec is not None and len(candidate.spec.programs) > 1:
            words += ["--program", self.name]
        if candidate.kind:
            words += ["--kind", candidate.kind]
        setup = filled(self.setup, candidate, self.name) if self.setup else None
        if setup and setup.exists():
            words += ["--setup", str(setup)]
        if self.baseline:
            words += ["--against", str(self.baseline)]
        return shlex.join(words)


def _put(setup: Setup, loaded: Object) -> None:
    setup.put(loaded)


def _limits(rule: policy.Speed, found: bench.Speed | bench.Compared) -> Iterator[_Limit]:
    new = found.new if isinstance(found, bench.Compared) else found
    most = rule.max_ns_per_packet
    if most is not None:
        ends = new.nanoseconds, new.low, new.high
        yield _Limit("max-ns-per-packet", most, *ends, "ns a packet")
    if rule.max_ratio is not None and isinstance(found, bench.Compared):
        ends = found.ratio, found.low, found.high
        yield _Limit("max-ratio", rule.max_ratio, *ends, "times the baseline")


def _shown(found: bench.Speed | bench.Compared) -> str:
    if isinstance(found, bench.Compared):
        return f"{found.new.nanoseconds:.0f} ns x{found.ratio:.2f}"
    return f"{found.nanoseconds:.0f} ns"


def _told(found: bench.Speed | bench.Compared) -> dict[str, Any]:
    if isinstance(found, bench.Speed):
        return {"new": _speed(found)}
    ratio = {"median": found.ratio, "low": found.low, "high": found.high}
    return {
        "new": _speed(found.new),
        "old": _speed(found.old),
        "ratio": {name: round(value, 4) for name, value in ratio.items()},
    }


def _speed(found: bench.Speed) -> dict[str, Any]:
    return {
        "nanoseconds": round(found.nanoseconds, 2),
        "low": round(found.low, 2),
        "high": round(found.high, 2),
        "samples": len(found.samples),
        "method": found.method.value,
        "verdicts": list(found.verdicts),
        "packets": found.packets,
        "refused": found.refused,
    }
