"""The campaign: story after story, each judged, and what comes of it told as events."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from .._bpf import lib
from ..coverage import Share, measure
from ..errors import Failure
from ..state import Moment
from . import seeds as sources
from .corpus import Corpus
from .dictionary import lengths_of, words_of
from .events import (
    Ended,
    Event,
    Found,
    NewEntry,
    Progress,
    Started,
    StopReason,
    Unrepeated,
)
from .judging import Judge, Suspect
from .loop import MOST_RUNS, Loop, Row, Story
from .report import Reporter
from .target import Target
from .words import Words

_FIRST_RUNS = 64
_PROGRESS = 1.0
# The stories where packets leave something behind, one after the other: how long, and of what.
_ROWS = (
    *((16, Row.ANY), (16, Row.FLOW), (64, Row.ANY), (16, Row.ANY), (64, Row.FLOW), (256, Row.ANY)),
    *((16, Row.ANY), (16, Row.FLOW), (64, Row.ANY), (16, Row.ANY), (64, Row.ANY), (256, Row.FLOOD)),
)
# Each so many rows the flood is as long as a story can be: maps become full.
_LONG_FLOOD = 4
# Of what is judged step by step, one common run in so many, and stories of so many.
_EVERY = 16
_STEPS = 32
# It takes a hundred times as long as a run, so that it is one in so many at most.
_MOST_CHOSEN = 8
# Suspects that are looked at again on the plain object, for each check; then every 2nd, 4th ...
_TRIES = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """Say when a campaign ends; without any it goes on until it is closed."""

    seconds: float | None = None
    runs: int | None = None
    until_covered: bool = False
    findings: int | None = None


@dataclass(slots=True)
class Tally:
    """Count what a campaign has done."""

    runs: int = 0
    refused: int = 0
    findings: int = 0
    started: float = field(default_factory=time.monotonic)
    newest: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


class Campaign:
    """Run one campaign on one target, in this process.

        with Campaign(target, seed=1) as campaign:
            for event in campaign.events(Limits(runs=100_000)): ...

    The same target, seed and seeds give the same runs, corpus and findings, wherever and whenever:
    nothing in it looks at the clock, but for when to end and to report.
    """

    def __init__(
        self,
        target: Target,
        *,
        seed: int = 0,
        seeds: Iterable[bytes] | None = None,
        corpus: Corpus | None = None,
        is_full: bool = True,
    ) -> None:
        self.target, self.seed = target, seed
        self.corpus = Corpus() if corpus is None else corpus
        words = Words.of(target.setup.maps, target.setup.globals)
        given = default_seeds(words) if seeds is None else tuple(dict.fromkeys(seeds))
        kept = self.corpus.load()
        frames = tuple(dict.fromkeys((*kept, *given)))
        target.begin(target.object)
        steps = target.recipe.model is not None or any(
            {"again", "maps"} & set(rule.asks) for rule in target.recipe.checks
        )
        found = words_of(target.recipe.plain, target.plain, words)
        if target.recipe.against is not None and target.other is not None:
            others = words_of(target.recipe.against, target.other, words)
            found = tuple(dict.fromkeys((*found, *others)))
        self.loop = Loop(
            target,
            seed,
            has_output=is_full,
            every=_EVERY if steps and is_full else 0,
            longest=max([*map(len, frames), *lengths_of(found)], default=0),
        )
        self._words = len(found)
        self.loop.use(found)
        fitting = [frame for frame in frames if self.loop.fits(frame)]
        self._seeds, self._unfit = len(fitting), len(frames) - len(fitting)
        self.loop.feed(fitting)
        self.judge = Judge(target, self.loop, is_full=is_full)
        self.tally = Tally()
        self._length, self._row = _FIRST_RUNS, Row.ANY
        self._is_stateful = False
        self._stories = 0
        self._waiting: list[bytes] = []  # what is to be judged step by step
        self._stepped = 0
        self._tried: dict[str, int] = {}
        self._doubted: set[str] = set()
        self._reporter = Reporter(target, seed=seed)
        self._measured: tuple[int, Share] | None = None

    def feed(self, frames: Iterable[bytes]) -> None:
        """Give frames from elsewhere: other workers' entries."""
        self.loop.feed(frames)

    def started(self) -> Started:
        """Return the first event."""
        target, judge = self.target, self.judge
        names = list(judge.shares)
        if self.judge.is_full and target.recipe.model is not None:
            names.append(f"the model {target.recipe.model.name}")
        return Started(
            target.program.name,
            target.program.kind,
            self.seed,
            self._seeds,
            self._words,
            tuple(names),
            judge.left_out,
            target.why_plain,
            self.branches().total,
            self._unfit,
        )

    def events(self, limits: Limits) -> Iterator[Event]:
        """Run until a limit is reached, and tell what happens."""
        reason = StopReason.INTERRUPTED
        told = time.monotonic()
        yield self.started()
        with ExitStack() as stack:
            stack.enter_context(self.target.object.state.on_one_cpu())
            try:
                while (stop := self._stop(limits)) is None:
                    yield from self.slice(limits.runs)
                    if time.monotonic() - told >= _PROGRESS:
                        told = time.monotonic()
                        yield self.progress()
                yield from self.rest()
                reason = stop
            except KeyboardInterrupt:
                pass
        yield self.ended(reason)

    def _stop(self, limits: Limits) -> StopReason | None:
        if limits.runs is not None and self.tally.runs >= limits.runs:
            return StopReason.RUNS
        if limits.seconds is not None and self.tally.seconds >= limits.seconds:
            return StopReason.TIME
        if limits.findings is not None and self.tally.findings >= limits.findings:
            return StopReason.ENOUGH
        if limits.until_covered and self.target.has_feedback:
            branches = self.branches()
            if branches.covered == branches.total:
                return StopReason.COVERED
        return None

    def branches(self) -> Share:
        """Count the sides of branches that were taken, of those that can be (none: no feedback)."""
        profile = self.target.object.spec.profile
        if not self.target.has_feedback or profile is None:
            return Share(0, 0)
        # Whatever is new has made an entry: until then, what was measured still holds.
        if self._measured is None or self._measured[0] != self.loop.corpus:
            found = measure(profile, [self.loop.totals()]).branches
            self._measured = self.loop.corpus, found
        return self._measured[1]

    def slice(self, most: int | None = None) -> Iterator[Event]:
        """Tell one story and judge it."""
        with self.target.object.state.on_one_cpu():
            yield from self._slice(most)

    def _slice(self, most: int | None) -> Iterator[Event]:
        count = self._length
        if most is not None:
            count = min(count, most - self.tally.runs)
        target = self.target
        target.begin(target.object)
        home = target.home(target.object)
        self.judge.begin()
        story = self.loop.tell(count, self._row)
        refused = story.marks.count(lib.PR_REFUSED)
        self.tally.runs += story.count
        self.tally.refused += refused
        yield from self._entries(story)
        yield from self._suspects(story, self.judge.judge(story, home))
        if self.judge.steps and self.judge.is_full:
            self._waiting += self._chosen(story)
            yield from self._step(at_least=_STEPS)
        self._length, self._row = self._next(home)

    def rest(self) -> Iterator[Event]:
        """Judge what waits to be judged, at the end."""
        yield from self._step(at_least=1)

    def _chosen(self, story: Story) -> list[bytes]:
        """Choose what is judged step by step: what is new, then what went a way that is rare."""
        most = max(_STEPS // 2, story.count // _MOST_CHOSEN)
        new, rare = (
            [number for number, mark in enumerate(story.marks) if mark & bit]
            for bit in (lib.PR_NEW, lib.PR_CHOSEN)
        )
        return [story.frame(number) for number in dict.fromkeys((*new, *rare))][:most]

    def _next(self, home: Moment | None) -> tuple[int, Row]:
        """Choose how long the next story is, and of what.

        Where packets leave entries behind, what comes late meets full maps: short stories take
        turns with longer ones, with those of one flow, and with floods. Elsewhere a story is as
        long as is good for speed.
        """
        if not self._is_stateful:
            state = self.target.object.state
            grown = home is None or any(
                keys - home.maps[name].keys() for name, keys in state.keys().items()
            )
            self._is_stateful = grown
        if not self._is_stateful:
            return min(MOST_RUNS, self._length * 2), Row.ANY
        self._stories += 1
        times, number = divmod(self._stories, len(_ROWS))
        length, row = _ROWS[number]
        is_long = row is Row.FLOOD and not (times + 1) % _LONG_FLOOD
        return MOST_RUNS if is_long else length, row

    def _entries(self, story: Story) -> Iterator[Event]:
        for number, mark in enumerate(story.marks):
            if mark & lib.PR_NEW:
                frame = story.frame(number)
                self.tally.newest = time.monotonic()
                self.corpus.add(frame)
                yield NewEntry(frame, story.entry(number), story.parent(number), self.loop.covered)

    def _suspects(self, story: Story, suspects: Iterable[Suspect]) -> Iterator[Event]:
        # All of them first: what is found out on the way tells the story anew.
        for suspect in list(suspects):
            if not self._is_worth_a_try(suspect.check):
                continue
            yield from self._confirmed(suspect, story.frames(suspect.number + 1))

    def _is_worth_a_try(self, check: str) -> bool:
        tries = self._tried[check] = self._tried.get(check, 0) + 1
        return tries <= _TRIES or tries & (tries - 1) == 0

    def _confirmed(self, suspect: Suspect, frames: list[bytes]) -> Iterator[Event]:
        """Look at a suspect on the plain object: the frame alone, then the story before it."""
        for story in (frames[-1:], frames):
            told = self.target.story(story)
            if told is not None:
                yield from self._found(story[: told[0] + 1], told[1])
                return
        if suspect.check in self._doubted:
            return
        self._doubted.add(suspect.check)
        yield Unrepeated(
            suspect.check,
            tuple(frames),
            f"{self.target.program.name}: {suspect.check.replace('_', ' ')} did not hold in the "
            "loop, and does on the object that ships: nothing is known about it",
        )

    def _found(self, frames: list[bytes], failure: Failure) -> Iterator[Event]:
        finding = self._reporter.finding(frames, failure)
        if finding is None:
            return
        self.tally.findings += 1
        tally = self.tally
        yield Found(finding.check, finding.frames, failure, tally.runs, tally.seconds, finding)

    def _step(self, *, at_least: int) -> Iterator[Event]:
        """Judge what was chosen, step by step, on the plain object: stories of their own."""
        while len(self._waiting) >= at_least:
            frames, self._waiting = self._waiting[:_STEPS], self._waiting[_STEPS:]
            told = self.target.story(frames)
            if told is None:
                self._stepped += len(frames)
                continue
            number, failure = told
            self._stepped += number + 1
            self._waiting[:0] = frames[number + 1 :]
            alone = self.target.story(frames[number : number + 1])
            is_alone = alone is not None and alone[1].check == failure.check
            yield from self._found(frames[number if is_alone else 0 : number + 1], failure)

    def progress(self) -> Progress:
        """Return how far it is."""
        tally, branches = self.tally, self.branches()
        seconds = tally.seconds
        return Progress(
            tally.runs,
            seconds,
            tally.runs / seconds if seconds else 0.0,
            *branches,
            self.loop.corpus,
            tally.findings,
            time.monotonic() - tally.newest,
            tally.refused,
        )

    def ended(self, reason: StopReason) -> Ended:
        """Return the last event."""
        tally = self.tally
        return Ended(
            reason,
            tally.runs,
            tally.seconds,
            self.shares(),
            *self.branches(),
            self.loop.corpus,
            tally.findings,
            tally.refused,
            self.loop.totals(),
        )

    def shares(self) -> Mapping[str, int]:
        """Tell how many runs each check saw."""
        shares = dict(self.judge.shares)
        for rule in self.judge.slow:
            shares[rule.name] = self._stepped
        model = self.target.recipe.model
        if model is not None and self.judge.is_full:
            shares[f"the model {model.name}"] = self._stepped
        return shares


def default_seeds(words: Words, given: Iterable[bytes] = ()) -> tuple[bytes, ...]:
    """Give what a campaign begins with where nothing is named; frames that are, before it."""
    own = (*sources.plain(), *sources.of_setup(words), *sources.broken())
    return tuple(dict.fromkeys((*given, *own)))
