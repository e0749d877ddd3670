"""A campaign on a cluster: slices for the workers of a dask scheduler, and one campaign of them.

What is kept is kept here, after each slice. A worker that is lost loses the slice that it was at,
and the others do those runs; one that joins gets the corpus and work.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..coverage import measure, texts
from ..errors import Error
from . import slices
from .cluster import PATIENCE, Back, Cluster
from .corpus import Corpus
from .engine import Limits
from .events import (
    Event,
    Found,
    NewEntry,
    StopReason,
    WorkerJoined,
    WorkerLeftOut,
    WorkerLost,
)
from .hands import Order
from .merging import Merged
from .report import made_of
from .slices import Able, Report, Slice
from .target import Recipe
from .workers import seed_of

_PROGRESS = 1.0
# Seconds that a slice takes: what is lost with a worker, and what a new entry takes to get around.
_SLICE = 1.0
_LEAST_RUNS = 1024
# Seconds between looks at who is there.
_LOOK = 0.25
# Slices that may fail at one worker, for reasons that are not the campaign's.
_FAILURES = 3
# Seconds that a worker may take to say that it is able: it imports what it needs for that.
_ANSWERS = 30.0
# Seconds that it may take longer than its slice (to make small what it found), before it counts
# as lost.
_SILENT = 120.0


@dataclass(slots=True)
class _Member:
    """Hold one worker: what it was asked, and what it knows."""

    address: str
    number: int
    asked: int = 0  # the number of what it is at; 0: nothing
    since: float = field(default_factory=time.monotonic)
    is_able: bool = False
    is_begun: bool = False
    life: int = 0
    heard: int = 0  # how much of the corpus it has
    given: int = 0  # runs of the slice that it is at
    failures: int = 0


class Fleet:
    """Run one campaign with the workers of a scheduler; one slice at a time for each."""

    def __init__(
        self,
        recipe: Recipe,
        address: str,
        *,
        seed: int = 0,
        seeds: Iterable[bytes] | None = None,
        corpus: Corpus | None = None,
        is_full: bool = True,
        patience: float = PATIENCE,
    ) -> None:
        self._recipe, self._address, self._seed = recipe, address, seed
        self._seeds = None if seeds is None else tuple(seeds)
        self._is_full, self._patience = is_full, patience
        self._corpus = Corpus() if corpus is None else corpus
        self._frames = list(self._corpus.load())
        self._merged = Merged(
            self._corpus, seed, recipe.counting.profile if recipe.counting else None
        )
        self._made = made_of(recipe)
        self._texts = _texts_of(recipe)
        self._name = uuid.uuid4().hex
        self._members: dict[str, _Member] = {}
        self._left_out: dict[str, str] = {}
        self._joined = 0
        self._looked = 0.0
        self._told = time.monotonic()
        self._alone = time.monotonic()  # since when nobody was able
        self._is_ending = False

    def events(self, limits: Limits) -> Iterator[Event]:
        """Run until a limit is reached, and tell what happens.

        Raises:
            ToolMissing: dask.distributed is not installed.
            Error: The scheduler does not answer, or none of its workers can take part; or what a
                single process raises, a worker did.
        """
        merged = self._merged
        reason = StopReason.INTERRUPTED
        with Cluster(self._address, patience=self._patience) as cluster:
            try:
                try:
                    while (stop := merged.stop(limits)) is None:
                        yield from self._turn(cluster, limits)
                    reason = stop
                except KeyboardInterrupt:
                    pass
                with suppress(KeyboardInterrupt):
                    yield from self._finish(cluster, limits)
            finally:
                self._dismiss(cluster)
        yield merged.ended(reason)

    def _turn(self, cluster: Cluster, limits: Limits) -> Iterator[Event]:
        if time.monotonic() - self._looked >= _LOOK:
            yield from self._look(cluster)
            self._looked = time.monotonic()
        self._check_somebody()
        for member in self._members.values():
            if member.is_able and not member.asked and not self._is_ending:
                self._give(cluster, member, limits)
        back = cluster.next(_LOOK)
        if back is not None and back.worker in self._members:
            yield from self._hear(self._members[back.worker], back)
        if self._merged.started and time.monotonic() - self._told >= _PROGRESS:
            self._told = time.monotonic()
            yield self._merged.progress()

    # Who is there

    def _look(self, cluster: Cluster) -> Iterator[Event]:
        there = cluster.workers()
        new = there - self._members.keys() - self._left_out.keys()
        for address in sorted(new if not self._is_ending else ()):
            member = self._members[address] = _Member(address, self._joined)
            self._joined += 1
            member.asked = cluster.give(address, slices.able, slices.version())
        for member in list(self._members.values()):
            if member.asked and time.monotonic() - member.since > _SLICE + _SILENT:
                cluster.forget(member.address)
                yield from self._leave_out(member, f"it has said nothing for {_SILENT:.0f} seconds")
        for address in sorted(self._left_out.keys() - there):
            del self._left_out[address]  # another one may come at the same address
        for address in sorted(self._members.keys() - there):
            cluster.forget(address)
            member = self._members.pop(address)
            others = any(each.is_able for each in self._members.values())
            yield WorkerLost(address, "it left the scheduler", others)

    def _check_somebody(self) -> None:
        if self._is_ending or any(each.is_able for each in self._members.values()):
            self._alone = time.monotonic()
            return
        # Who was asked gets longer: its first answer takes importing what it has to do.
        asked = [each.since for each in self._members.values()]
        patience = max(_ANSWERS, self._patience) if asked else self._patience
        if time.monotonic() - max([self._alone, *asked]) < patience:
            return
        found = [f"{address}: {why}" for address, why in self._left_out.items()]
        found += [f"{address}: it does not answer" for address in self._members]
        raise Error(
            f"no worker of the dask scheduler at {self._address} can take part "
            f"({'; '.join(found) or 'it has none'}); start some as root: dask worker "
            f"{self._address} --nthreads 1"
        )

    def _leave_out(self, member: _Member, why: str) -> Iterator[Event]:
        del self._members[member.address]
        self._left_out[member.address] = why
        yield WorkerLeftOut(member.address, why)

    # What they do

    def _give(self, cluster: Cluster, member: _Member, limits: Limits) -> None:
        seconds, runs = _SLICE, None
        if limits.seconds is not None and self._merged.started:
            seconds = max(0.0, min(seconds, limits.seconds - self._merged.seconds))
        if limits.runs is not None:
            at_work = sum(each.given for each in self._members.values())
            left = limits.runs - self._merged.runs - at_work
            able = sum(each.is_able for each in self._members.values())
            runs = min(left, max(_LEAST_RUNS, left // (2 * able)))
            if runs <= 0:
                return
        order = None
        if not member.is_begun:
            member.life += 1
            seed = seed_of(self._seed, member.number, member.life)
            order = Order(
                self._recipe, seed, tuple(self._frames), self._seeds, self._is_full, self._texts
            )
            member.heard = len(self._frames)
        frames = tuple(self._frames[member.heard :])
        member.heard = len(self._frames)
        member.given = runs or 0
        member.since = time.monotonic()
        part = Slice(self._name, order, frames, runs, seconds)
        member.asked = cluster.give(member.address, slices.work, part)

    def _hear(self, member: _Member, back: Back) -> Iterator[Event]:
        if back.number != member.asked:
            return  # of somebody who was at this address before
        member.asked = member.given = 0
        if isinstance(back.value, Able):
            if back.value.why:
                yield from self._leave_out(member, back.value.why)
                return
            member.is_able = True
            where = f"process {back.value.pid} of {back.value.host}"
            yield WorkerJoined(member.address, where)
        elif isinstance(back.value, Report):
            yield from self._read(member, back.value)
        elif not member.is_able:
            yield from self._leave_out(member, back.why)
        else:
            member.is_begun = False
            member.failures += 1
            if member.failures == _FAILURES:
                yield from self._leave_out(member, back.why)

    def _read(self, member: _Member, report: Report) -> Iterator[Event]:
        if report.broken:
            raise Error(report.broken)
        if report.cannot:
            yield from self._leave_out(member, report.cannot)
            return
        if report.is_new:
            member.is_begun = False
            return
        if report.started is not None:
            member.is_begun = True
            yield from self._merged.begin(report.started, at=member.since)
        if report.tally is not None:
            self._merged.tally(f"{member.number}/{member.life}", report.tally)
        for event in report.events:
            for told in self._merged.take(event):
                if isinstance(told, NewEntry):
                    self._frames.append(told.frame)
                yield self._homed(told) if isinstance(told, Found) else told

    def _homed(self, found: Found) -> Found:
        # A worker stands in another folder, and cannot say where this one keeps its files.
        if found.finding is None:
            return found
        place = replace(found.finding.place, path=_from_here(found.finding.place.path))
        return replace(found, finding=replace(found.finding, place=place, made=self._made))

    def _finish(self, cluster: Cluster, limits: Limits) -> Iterator[Event]:
        """Hear what is still at work, then let everybody judge what waits, and end."""
        self._is_ending = True
        deadline = time.monotonic() + _SLICE + _SILENT
        while time.monotonic() < deadline:
            self._let_go(cluster)
            if not any(each.asked and each.is_able for each in self._members.values()):
                return
            yield from self._turn(cluster, limits)
        for member in self._members.values():
            if member.asked and member.is_able:
                yield WorkerLost(member.address, "it did not come to an end", False)

    def _let_go(self, cluster: Cluster) -> None:
        last = Slice(self._name, seconds=0.0, is_last=True)
        for member in self._members.values():
            if member.is_begun and not member.asked:
                member.is_begun = False
                member.since = time.monotonic()
                member.asked = cluster.give(member.address, slices.work, last)

    def _dismiss(self, cluster: Cluster) -> None:
        """Let those go that still hold programs, when the campaign ends otherwise."""
        deadline = time.monotonic() + 2 * _SLICE
        while time.monotonic() < deadline:
            self._let_go(cluster)
            if not any(each.asked and each.is_able for each in self._members.values()):
                return
            back = cluster.next(_LOOK)
            if back is not None and back.worker in self._members:
                member = self._members[back.worker]
                member.asked = 0
                if isinstance(back.value, Report) and back.value.started is not None:
                    member.is_begun = True


def _texts_of(recipe: Recipe) -> dict[str, str]:
    profile = recipe.counting.profile if recipe.counting else None
    if profile is None:
        return {}
    return texts.read_all(measure(profile, [bytes(profile.counters_size)]).files)


def _from_here(path: str) -> str:
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
