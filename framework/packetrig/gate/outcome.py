"""What the gate says: of each rule an outcome, of each object a decision."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from ..program import Program
from ..spec import Spec

RULES = ("build", "verifier", "tests", "coverage", "replay", "fuzz", "speed", "live", "kernels")
# The table has a column for these whatever the policy, and for the others when they are on.
ALWAYS_SHOWN = ("build", "verifier", "tests", "replay", "live")


class Answer(Enum):
    """Say what came of one rule."""

    HELD = "held"
    REFUSED = "refused"
    WAIVED = "waived"  # refused, and let through until a day
    UNDECIDED = "undecided"
    OFF = "off"  # not written in the policy
    NOT_REACHED = "not reached"  # an earlier rule left nothing to look at
    DOES_NOT_APPLY = "does not apply"  # to programs of this kind


class Decision(Enum):
    """Say what may be done with an object."""

    DEPLOY = "DEPLOY"
    REFUSED = "REFUSED"
    UNDECIDED = "UNDECIDED"


@dataclass(frozen=True, slots=True)
class Reason:
    """Say in words why a rule did not hold, and with which command one sees it again."""

    text: str
    repeat: str = ""
    details: str = ""


@dataclass(frozen=True, slots=True)
class Waiver:
    """Say why a refusal is let through, and on which day that ends."""

    reason: str
    expires: datetime.date


@dataclass(frozen=True, slots=True)
class Outcome:
    """Tell what came of one rule: the answer, what the table shows, why, and what was measured.

    `shows` is what a page shows beyond that, and evidence does not hold: `sources`, `curves`.
    """

    rule: str
    answer: Answer
    shown: str
    reasons: tuple[Reason, ...] = ()
    measured: Mapping[str, Any] = field(default_factory=dict)
    waiver: Waiver | None = None
    shows: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Name an object that is to be judged.

    `given` is what the user named, `path` the object file that ships; `spec` holds its bytes, and
    is None when there is no object. `built` is the same as the compiler made it, which knows its
    source and command; None for an object that was given. `callees` are the programs that stand in
    its program arrays: they are run through the others, and rules that run programs leave them out.
    """

    name: str
    given: Path
    path: Path | None = None
    spec: Spec | None = None
    source: Path | None = None
    source_sha256: str = ""
    command: tuple[str, ...] = ()
    kind: str | None = None
    built: Spec | None = None
    callees: tuple[str, ...] = ()

    def entries(self, takes: Callable[[Program], bool]) -> list[str]:
        """Name the programs that a rule takes, without those that only tail calls reach."""
        assert self.spec is not None
        with self.spec.load(kind=self.kind) as probe:
            found = probe.programs.items()
            return [name for name, p in found if takes(p) and name not in self.callees]

    @property
    def kinds(self) -> str:
        """Name the kinds of its programs, for the table."""
        if self.spec is None:
            return "-"
        kinds = {self.kind or program.kind or "?" for program in self.spec.programs.values()}
        return " ".join(sorted(kinds)) or "none"


def decided(answers: Collection[Answer]) -> Decision:
    """Decide by the answers of all rules."""
    if Answer.REFUSED in answers:
        return Decision.REFUSED
    return Decision.UNDECIDED if Answer.UNDECIDED in answers else Decision.DEPLOY


@dataclass(frozen=True, slots=True)
class Judged:
    """Hold an object with what came of each rule."""

    candidate: Candidate
    outcomes: tuple[Outcome, ...]
    programs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def decision(self) -> Decision:
        """Decide: one refusal refuses; else one rule that could not be told leaves it undecided."""
        return decided({outcome.answer for outcome in self.outcomes})

    def outcome(self, rule: str) -> Outcome:
        """Return what came of a rule."""
        return next(found for found in self.outcomes if found.rule == rule)
