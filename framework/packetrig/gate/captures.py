"""The replay rule: recorded traffic through the object, against what is expected of it."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import packets
from ..checks.builtin import made_wrong
from ..errors import Error, NotFound
from ..objects import Object
from ..packets.pcap import Record
from ..program import Program
from ..refusals import SKB_KINDS
from ..replay import Replayed, Setup, name_of, replay
from ..spec import Spec
from ..verdicts import XDP, is_legal
from . import policy
from .outcome import Answer, Candidate, Outcome, Reason

_SHOWN = 3
_FRAME_KINDS = {"xdp", *SKB_KINDS}


@dataclass(frozen=True, slots=True)
class Capture:
    """Hold a capture with what each program is expected to say to its packets."""

    path: Path
    sha256: str
    records: tuple[Record, ...]
    expected: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Deployed:
    """Hold the object of what is attached to an interface now; `program` is which of it."""

    spec: Spec
    program: str | None = None
    globals: Mapping[str, Any] = field(default_factory=dict)


# Given a program's kind and "ingress" or "egress": what is attached there. It is a face that knows
# how to ask, since whoever attaches reads the gate's evidence.
Asked = Callable[[str, str], Deployed]


def replayed(
    candidate: Candidate,
    rule: policy.Replay,
    captures: Sequence[Capture],
    deployed: Asked | None = None,
) -> Outcome:
    """Replay every capture through every program that takes frames."""
    assert candidate.spec is not None
    seen = _Seen()
    names = candidate.entries(lambda program: program.kind in _FRAME_KINDS)
    for name in names:
        setup = setup_for(rule, candidate, name)
        with setup.load(candidate.spec, kind=candidate.kind) as loaded:
            other = _other(rule, candidate, loaded.programs[name], setup, deployed)
            try:
                for capture in captures:
                    for event, why in _judged(loaded, name, other, capture, setup, rule):
                        seen.count(event, other, is_expected=name in capture.expected)
                        if why:
                            seen.wrong += 1
                        if why and len(seen.reasons) < _SHOWN:
                            seen.reasons.append(_reason(candidate, rule, name, capture, event, why))
            finally:
                if other:
                    other.close()
    if not names:
        kinds = candidate.kinds
        reason = Reason(f"no frame can be given to a program of kind {kinds}")
        return Outcome("replay", Answer.DOES_NOT_APPLY, "-", (reason,))
    return seen.outcome({str(capture.path): capture.sha256 for capture in captures})


class _Seen:
    """Count packets, and keep the first reasons."""

    def __init__(self) -> None:
        self.counts = {"tested": 0, "refused": 0, "expected": 0, "compared": 0}
        self.reasons: list[Reason] = []
        self.wrong = 0
        self.refusal = ""

    def count(self, event: Replayed, other: Object | None, *, is_expected: bool) -> None:
        self.counts["tested"] += event.is_tested
        self.counts["refused"] += not event.is_tested
        if not event.is_tested and not self.refusal:
            self.refusal = str(event.refusal)
        self.counts["compared"] += other is not None
        self.counts["expected"] += is_expected

    def outcome(self, captures: Mapping[str, str]) -> Outcome:
        tested, refused, wrong = self.counts["tested"], self.counts["refused"], self.wrong
        measured = {**self.counts, "captures": dict(captures), "wrong": wrong}
        if wrong:
            rest = wrong - len(self.reasons)
            more = [Reason(f"and {rest} more packets")] if rest else []
            reasons = (*self.reasons, *more)
            return Outcome(
                "replay", Answer.REFUSED, f"{wrong} of {tested} wrong", reasons, measured
            )
        if not tested:
            why = f"none of the {refused} frames could be given to it: nothing was tested"
            why += f"; the first: {self.refusal}"
            return Outcome("replay", Answer.UNDECIDED, "0 frames", (Reason(why),), measured)
        return Outcome("replay", Answer.HELD, f"{tested} frames", (), measured)


def _judged(
    loaded: Object,
    name: str,
    other: Object | None,
    capture: Capture,
    setup: Setup,
    rule: policy.Replay,
) -> Iterator[tuple[Replayed, str]]:
    """Replay one capture from a fresh state, and say of each packet what is wrong with it."""
    for each in (loaded, other):
        if each:
            each.renew()
            setup.put(each)
    expected = capture.expected.get(name)
    if expected is not None and len(expected) != len(capture.records):
        raise Error(
            f"{capture.path}: {len(capture.records)} packets, but {len(expected)} verdicts of "
            f"{name} beside it"
        )
    program = loaded.programs[name]
    against = other.programs.get(name) or other.program if other else None
    for at, event in enumerate(replay(program, capture.records, against=against)):
        yield (
            event,
            _wrong(program, event, expected[at] if expected else None)
            or (_miscalculated(event) if rule.checksums else ""),
        )


def _wrong(program: Program, event: Replayed, wanted: str | None) -> str:
    if event.differs:
        differing = ", ".join(event.differences)
        return f"it does not do the same as what is deployed: {differing}"
    if event.run is None:
        return ""
    verdict = event.run.verdict
    if wanted is not None and name_of(verdict) != wanted:
        return f"{name_of(verdict)}, expected {wanted}"
    if not is_legal(program.kind, verdict):
        return f"{int(verdict)} is no verdict of a program of kind {program.kind}"
    # An error inside the program; the kernel drops the packet and raises a tracepoint.
    return "ABORTED, which no packet may lead to" if verdict is XDP.ABORTED else ""


def _miscalculated(event: Replayed) -> str:
    """Name checksums that were right, and are wrong in what the program made of the packet."""
    run = event.run
    if run is None or not run.is_rewritten or name_of(run.verdict) in ("DROP", "SHOT"):
        return ""
    wrong = made_wrong(run.frame, run.data)
    return f"{name_of(run.verdict)} with a wrong checksum: {', '.join(wrong)}" if wrong else ""


def _reason(
    candidate: Candidate,
    rule: policy.Replay,
    name: str,
    capture: Capture,
    event: Replayed,
    why: str,
) -> Reason:
    words = [*run_words(candidate, name), "--pcap", str(capture.path)]
    words += setup_words(rule, candidate, name)
    if event.differs and event.other is not None:
        other = event.other.program.owner.spec
        words += ["--against", str(other.path)]
    summary = packets.explain.summary(event.record.data)
    details = event.run.explain() if event.run else ""
    if event.run and event.other and event.run.data != event.other.data:
        details += "\n" + packets.explain.difference(
            event.other.data, event.run.data, names=("what is deployed", "this object")
        )
    text = f"{capture.path}, packet {event.number}: {why} ({summary})"
    return Reason(text, shlex.join(words), details)


def run_words(candidate: Candidate, name: str) -> list[str]:
    """Begin the command that runs one program of an object on packets."""
    words = ["packetrig", "run", str(candidate.path)]
    if candidate.spec is not None and len(candidate.spec.programs) > 1:
        words += ["--program", name]
    return [*words, "--kind", candidate.kind] if candidate.kind else words


def setup_words(rule: policy.Replay | None, candidate: Candidate, name: str) -> list[str]:
    """Name the state that `setup_for` reads, for a command."""
    path = _setup_path(rule, candidate, name)
    return ["--setup", str(path)] if path and path.exists() else []


def read_setup(pattern: str | None, candidate: Candidate, name: str) -> Setup:
    """Read the state that a program gets first; a pattern without a file for it means none.

    Raises:
        NotFound: The policy names one file for all programs, and it is not there.
    """
    path = filled(pattern, candidate, name) if pattern else None
    if path is None or (not path.exists() and "{" in (pattern or "")):
        return Setup()
    return Setup.read(path)


def setup_for(rule: policy.Replay | None, candidate: Candidate, name: str) -> Setup:
    """Read the state of the replay rule, which goes for a wire too; see `read_setup`."""
    return read_setup(rule.setup if rule else None, candidate, name)


def sized(candidate: Candidate, pattern: str | None) -> Candidate:
    """Give maps that are left to who loads them the sizes that set-up files say, in every rule.

    A file that cannot be read is told of by the rule that needs it.
    """
    if candidate.spec is None or pattern is None:
        return candidate
    sizes: dict[str, int] = {}
    for name in candidate.spec.programs:
        with contextlib.suppress(Error):
            sizes |= read_setup(pattern, candidate, name).max_entries
    built = replace(candidate.built, max_entries=sizes) if candidate.built else None
    return replace(candidate, spec=replace(candidate.spec, max_entries=sizes), built=built)


def _setup_path(rule: policy.Replay | None, candidate: Candidate, name: str) -> Path | None:
    return filled(rule.setup, candidate, name) if rule and rule.setup else None


def filled(pattern: str, candidate: Candidate, program: str) -> Path:
    """Name the file that a pattern means for one program of one object."""
    return Path(pattern.replace("{program}", program).replace("{object}", candidate.name))


def _other(
    rule: policy.Replay,
    candidate: Candidate,
    program: Program,
    setup: Setup,
    deployed: Asked | None,
) -> Object | None:
    """Load what the object is held to, in the same state."""
    if rule.against is None:
        return None
    if rule.against == policy.DEPLOYED:
        return _attached(candidate, program, setup, deployed)
    name = program.name
    path = filled(rule.against, candidate, name)
    if not path.exists():
        raise NotFound(f"[replay] against: there is no {path} to compare {name} with")
    loaded = setup.load(Spec.read(path), kind=candidate.kind)
    if name not in loaded.programs:
        names = ", ".join(loaded.programs)
        loaded.close()
        raise Error(f"[replay] against: {path} has no program {name}; it has: {names}")
    return loaded


def _attached(
    candidate: Candidate, program: Program, setup: Setup, deployed: Asked | None
) -> Object:
    if deployed is None:
        raise Error("[replay] against = 'deployed': no interface is named: iface, or --iface")
    egress = "egress" in f"{program.section} {program.name}"
    found = deployed(program.kind, "egress" if egress else "ingress")
    state = replace(setup, globals={**setup.globals, **found.globals})
    return state.load(found.spec, program=found.program, kind=candidate.kind)
