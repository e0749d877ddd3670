"""The fuzz rule: a campaign on the object that ships, and what it found."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import fuzz
from ..errors import Failure
from ..fuzz import Ended, Found, NewEntry, Progress, Started, Unrepeated, crashfile, repeat
from ..fuzz.again import make_room
from ..fuzz.engine import default_seeds
from ..fuzz.words import Words
from . import begun, policy
from .captures import filled, read_setup, run_words
from .outcome import Answer, Candidate, Outcome, Reason

_ENOUGH = 10
_KINDS = ("xdp", "tc", "action")


@dataclass(slots=True)
class _Seen:
    """Collect what a campaign on one program told."""

    name: str
    seed: int
    points: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.0)])
    entries: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.0)])
    findings: dict[str, Found] = field(default_factory=dict)
    unrepeated: list[Unrepeated] = field(default_factory=list)
    begun: Mapping[str, str] = field(default_factory=dict)
    seeds: int = 0
    unfit: int = 0
    why_plain: str = ""
    ended: Ended | None = None

    def take(self, event: object) -> None:
        match event:
            case Started():
                self.why_plain = event.why_plain
                self.seeds, self.unfit = event.seeds, event.unfit
            case Progress():
                self.points.append((event.runs, event.branches))
            case NewEntry():
                self.entries.append((len(self.entries), event.covers))
            case Found():
                self.findings.setdefault(_id(event), event)
            case Unrepeated():
                self.unrepeated.append(event)
            case Ended():
                self.ended = event
                self.points.append((event.runs, event.branches))

    @property
    def tested(self) -> int:
        # What the kernel refused, it did not run.
        return self.ended.runs - self.ended.refused if self.ended else 0

    @property
    def measured(self) -> dict[str, Any]:
        ended = self.ended
        return {
            "seed": self.seed,
            "begun-with": dict(self.begun),
            "frames": {"fit": self.seeds, "unfit": self.unfit},
            "runs": ended.runs if ended else 0,
            "ended": ended.reason.value if ended else "",
            "branches": ended.branches if ended else 0,
            "of-branches": ended.of_branches if ended else 0,
            "corpus": ended.corpus if ended else 0,
            "checks": sorted(ended.shares) if ended else [],
            "without-feedback": self.why_plain,
            "findings": {
                name: {
                    "check": each.check,
                    "said": _first(each.failure),
                    "frames": [frame.hex() for frame in each.frames],
                }
                for name, each in sorted(self.findings.items())
            },
            "unrepeated": [f"{each.check}: {each.told}" for each in self.unrepeated],
        }


def _id(found: Found) -> str:
    return found.finding.id if found.finding else f"{found.check}: {_first(found.failure)}"


def _first(failure: Failure) -> str:
    return str(failure).partition("\n")[0]


def searched(candidate: Candidate, rule: policy.Fuzz, setup: str | None, *, seed: int) -> Outcome:
    """Search each program that takes frames for what it handles wrongly."""
    assert candidate.spec is not None
    names = candidate.entries(lambda program: program.kind in _KINDS)
    if not names:
        reason = Reason(f"campaigns know no programs of kind {candidate.kinds}")
        return Outcome("fuzz", Answer.DOES_NOT_APPLY, "-", (reason,))
    number = seed if rule.seed is None else rule.seed
    seen = []
    for name in names:
        state = read_setup(rule.setup or setup, candidate, name)
        more = begun.read(rule, candidate, name)
        found = _Seen(name, number, begun=more.digests)
        spec = candidate.built or candidate.spec
        without = tuple((rule.without or {}).get(name, ()))
        recipe = fuzz.Recipe.of(
            spec, setup=state, program=name, kind=candidate.kind, without=without
        )
        for event in fuzz.campaign(
            recipe,
            seconds=rule.seconds,
            runs=rule.runs,
            seed=number,
            seeds=default_seeds(Words.of(state.maps, state.globals), more.seeds),
            corpus=_copied(more.corpus),
            workers=rule.workers,
        ):
            found.take(event)
        seen.append(found)
    return _outcome(candidate, rule, setup, seen)


def _copied(frames: Iterable[bytes]) -> fuzz.Corpus:
    # In memory: with a folder that grew, the next campaign would be another one.
    corpus = fuzz.Corpus()
    for frame in frames:
        corpus.add(frame)
    return corpus


def _outcome(
    candidate: Candidate, rule: policy.Fuzz, setup: str | None, seen: list[_Seen]
) -> Outcome:
    count = sum(len(each.findings) for each in seen)
    runs = sum(each.tested for each in seen)
    refused = [] if count <= rule.max_findings else list(_reasons(candidate, rule, setup, seen))
    unknown = [
        Reason(f"{each.name}: {odd.check}: it did not repeat: {odd.told}")
        for each in seen
        for odd in each.unrepeated
    ]
    unknown += [
        Reason(f"{each.name}: not one frame was run: nothing was tested")
        for each in seen
        if not each.tested
    ]
    answer = Answer.REFUSED if refused else Answer.UNDECIDED if unknown else Answer.HELD
    found = f"{count} finding{'' if count == 1 else 's'}"
    shown = found if count else f"{runs} runs"
    measured = {"programs": {each.name: each.measured for each in seen}, "workers": rule.workers}
    shows = {"curves": [_curve(each) for each in seen]}
    return Outcome("fuzz", answer, shown, (*refused, *unknown), measured, shows=shows)


def _reasons(
    candidate: Candidate, rule: policy.Fuzz, setup: str | None, seen: list[_Seen]
) -> Iterator[Reason]:
    pattern = rule.setup or setup
    for each in seen:
        for found in each.findings.values():
            text = f"{each.name}: {found.check}: {_first(found.failure)}"
            if found.finding:
                text = f"{found.finding.place}: {text}"
            if found.finding and rule.crashes:
                make_room(found.finding, rule.crashes)
                crashfile.write(found.finding, rule.crashes)
                command = repeat.replay(found.finding, rule.crashes)
                yield Reason(text, command, str(found.failure))
                continue
            words = run_words(candidate, each.name)
            for frame in found.frames:
                words += ["--frame", frame.hex()]
            path = filled(pattern, candidate, each.name) if pattern else None
            if path and path.exists():
                words += ["--setup", str(path)]
            yield Reason(text, shlex.join(words), str(found.failure))


def _curve(seen: _Seen) -> dict[str, Any]:
    ended = seen.ended
    told = seen.name
    if ended:
        branches = f"{ended.branches} of {ended.of_branches} sides of branches"
        told = f"{seen.name}: {branches} after {ended.runs} runs"
    # Progress is told once a second: a short campaign has a curve by its entries alone.
    if len(seen.points) >= _ENOUGH:
        return {"points": seen.points, "x": "runs", "y": "sides of branches", "told": told}
    entries = {"points": seen.entries, "x": "entries of the corpus", "y": "counters"}
    return {**entries, "told": told}
