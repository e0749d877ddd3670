"""What several workers tell, told as one campaign.

Sums and unions alone: in whatever order the workers' words arrive, the campaign is the same.
"""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from ..coverage import Profile, Share, measure
from .corpus import Corpus
from .engine import Limits
from .events import Ended, Event, Found, NewEntry, Progress, Started, StopReason, Unrepeated
from .hands import Tally


class Merged:
    """Hold what the workers of one campaign have done together."""

    def __init__(self, corpus: Corpus, seed: int, profile: Profile | None = None) -> None:
        self.corpus = corpus
        self.seed = seed
        self._profile = profile
        self._measured: Share | None = None
        self.started: Started | None = None
        self.findings: dict[str, Found] = {}
        self._tallies: dict[str, Tally] = {}
        self._covered: frozenset[int] = frozenset()
        self._unrepeated: set[str] = set()
        self._began = self._newest = time.monotonic()

    def begin(self, started: Started, *, at: float | None = None) -> Iterator[Event]:
        """Hear that a worker has begun, now or then; the first one begins the campaign."""
        if self.started is None:
            self.started = replace(started, seed=self.seed)
            self._began = self._newest = time.monotonic() if at is None else at
            yield self.started

    def tally(self, life: str, tally: Tally) -> None:
        """Hear what a worker has done in this life of it, in all."""
        before = self._tallies.get(life)
        self._tallies[life] = tally
        # What is new to a worker has made an entry: until then, what was measured still holds.
        if before is None or before.entries != tally.entries:
            self._measured = None
        counts = memoryview(tally.totals).cast("Q")
        self._covered |= {number for number, count in enumerate(counts) if count}

    def take(self, event: Event) -> Iterator[Event]:
        """Hear what happened at a worker; tell what is new to the campaign."""
        if isinstance(event, NewEntry) and self.corpus.add(event.frame):
            self._newest = time.monotonic()
            yield NewEntry(event.frame, len(self.corpus) - 1, -1, max(event.covers, self.covered))
        elif isinstance(event, Found) and _name(event) not in self.findings:
            # The seed is the campaign's: a worker's own says nothing to whoever reads it.
            finding = event.finding and replace(event.finding, seed=self.seed)
            found = replace(event, runs=self.runs, seconds=self.seconds, finding=finding)
            self.findings[_name(event)] = found
            yield found
        elif isinstance(event, Unrepeated) and event.check not in self._unrepeated:
            self._unrepeated.add(event.check)
            yield event

    @property
    def runs(self) -> int:
        """Return the runs of all workers, those that are gone too."""
        return sum(tally.runs for tally in self._tallies.values())

    @property
    def refused(self) -> int:
        """Return how many of the runs the kernel refused."""
        return sum(tally.refused for tally in self._tallies.values())

    @property
    def seconds(self) -> float:
        """Return the seconds since the first worker began."""
        return time.monotonic() - self._began

    @property
    def covered(self) -> int:
        """Return how many counters any worker has reached."""
        return len(self._covered)

    @property
    def branches(self) -> Share:
        """Count the sides of branches that any worker took, of those that can be taken."""
        if self._profile is None:
            return Share(self.covered, self.started.of_branches if self.started else 0)
        if self._measured is None:
            self._measured = measure(self._profile, [self.totals]).branches
        return self._measured

    @property
    def totals(self) -> bytes:
        """Return the counters of all workers, added up."""
        return _sum([tally.totals for tally in self._tallies.values() if tally.totals])

    def stop(self, limits: Limits) -> StopReason | None:
        """Say why the campaign is to end, if it is."""
        if limits.runs is not None and self.runs >= limits.runs:
            return StopReason.RUNS
        if limits.seconds is not None and self.started and self.seconds >= limits.seconds:
            return StopReason.TIME
        if limits.findings is not None and len(self.findings) >= limits.findings:
            return StopReason.ENOUGH
        if limits.until_covered and self.started:
            branches = self.branches
            if branches.covered and branches.covered == branches.total:
                return StopReason.COVERED
        return None

    def progress(self) -> Progress:
        """Return how far the campaign is."""
        seconds = self.seconds
        return Progress(
            self.runs,
            seconds,
            self.runs / seconds if seconds else 0.0,
            *self.branches,
            len(self.corpus),
            len(self.findings),
            time.monotonic() - self._newest,
            self.refused,
        )

    def ended(self, reason: StopReason) -> Ended:
        """Return the last event."""
        shares: Counter[str] = Counter()
        for tally in self._tallies.values():
            shares.update(tally.shares)
        return Ended(
            reason,
            self.runs,
            self.seconds,
            dict(shares),
            *self.branches,
            len(self.corpus),
            len(self.findings),
            self.refused,
            self.totals,
        )


def _sum(totals: list[bytes]) -> bytes:
    counts = [sum(each) for each in zip(*(memoryview(t).cast("Q") for t in totals), strict=True)]
    return struct.pack(f"={len(counts)}Q", *counts)


def _name(event: Found) -> str:
    # What two workers found at one place is one finding.
    return event.finding.id if event.finding is not None else event.check
