"""What a campaign tells while it runs: values, whoever shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..errors import Failure
    from .finding import Finding


class StopReason(StrEnum):
    """Say why a campaign ended."""

    TIME = "time"
    RUNS = "runs"
    COVERED = "covered"
    INTERRUPTED = "interrupted"
    ENOUGH = "enough findings"


@dataclass(frozen=True, slots=True)
class Started:
    """Begin a campaign: what is judged, from what, and by whom.

    `of_branches` is 0 without feedback, and `why_plain` says then why there is none. `left_out`
    names checks that do not apply, and why; `unfit` counts seeds that no test run of the program
    takes (too short, too long), which are not among the `seeds`.
    """

    program: str
    kind: str
    seed: int
    seeds: int
    words: int
    checks: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    why_plain: str = ""
    of_branches: int = 0
    unfit: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """Tell how far it is; `branches` counts both ways of each branch, `since_new` in seconds."""

    runs: int
    seconds: float
    rate: float
    branches: int
    of_branches: int
    corpus: int
    findings: int
    since_new: float
    refused: int = 0


@dataclass(frozen=True, slots=True)
class NewEntry:
    """Tell of a frame that did something new and joined the corpus.

    `parent` is the number of the entry that it was made from, -1 for a seed; `covers` counts the
    counters that all entries reached so far.
    """

    frame: bytes
    number: int
    parent: int
    covers: int


@dataclass(frozen=True, slots=True)
class Found:
    """Tell of a finding: a failure that the plain object shows as well.

    `frames` is the story, from the set-up state, as small as it could be made: the last frame is
    the one that is judged. `finding` is all that is to be kept of it, and is told once.
    """

    check: str
    frames: tuple[bytes, ...]
    failure: Failure
    runs: int
    seconds: float
    finding: Finding | None = None


@dataclass(frozen=True, slots=True)
class Unrepeated:
    """Tell of something that looked wrong in the loop and did not repeat on the plain object.

    It is no finding: nothing is known about the program. It is told once for each check.
    """

    check: str
    frames: tuple[bytes, ...]
    told: str


@dataclass(frozen=True, slots=True)
class Ended:
    """End a campaign. `shares` says of each check how many of the runs it saw.

    `totals` are the counters of all runs, summed up, as `coverage.measure` takes them; empty
    without feedback.
    """

    reason: StopReason
    runs: int
    seconds: float
    shares: Mapping[str, int]
    branches: int = 0
    of_branches: int = 0
    corpus: int = 0
    findings: int = 0
    refused: int = 0
    totals: bytes = b""


@dataclass(frozen=True, slots=True)
class WorkerJoined:
    """Tell that a worker takes part, and where it runs."""

    worker: str
    where: str


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """Tell that a worker is gone, and why; what it did since it last spoke is lost.

    `is_replaced` says that its work is done by another one.
    """

    worker: str
    why: str
    is_replaced: bool


@dataclass(frozen=True, slots=True)
class WorkerLeftOut:
    """Tell that a worker of a cluster cannot take part, and why."""

    worker: str
    why: str


Event = (
    Started
    | Progress
    | NewEntry
    | Found
    | Unrepeated
    | WorkerJoined
    | WorkerLost
    | WorkerLeftOut
    | Ended
)
