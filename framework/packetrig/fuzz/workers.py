"""A campaign on several cores: processes of this machine, each with an object of its own.

What one finds the others are given, through this process, which writes what is kept: a worker has
no file, no folder and no map that could be left behind, and loses with its life what it did since
it last spoke, half a second at most.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from ..errors import Error, InternalError
from . import processes, travel
from .corpus import Corpus
from .engine import Limits
from .events import Event, NewEntry, Started, StopReason, WorkerJoined, WorkerLost
from .hands import Hand, Order, Tally
from .merging import Merged
from .processes import Line, Process
from .target import Recipe

_PROGRESS = 1.0
_SPEAKS = 0.5
# A process that dies is replaced so often; then something is wrong with the machine.
_LIVES = 4
# Seconds that workers get to end their stories, and make small what they found, at the end.
_GRACE = 60.0
# More would share processors, and take memory: each is a process of a hundred megabytes.
_MOST_ON_A_PROCESSOR = 16


@dataclass(frozen=True, slots=True)
class _Ready:
    pass


@dataclass(frozen=True, slots=True)
class _Frames:
    frames: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Stop:
    pass


@dataclass(frozen=True, slots=True)
class _Done:
    pass


@dataclass(frozen=True, slots=True)
class _Broken:
    why: str
    is_ours: bool


def work(line: Line) -> None:
    """Work for a campaign, in a process of its own."""
    try:
        line.send(_Ready())
        first = line.receive()
        if not isinstance(first, bytes):
            line.send(_Done())  # the campaign ended before this worker began
            return
        order, runs = travel.unpack(first)
        with Hand(order) as hand, hand.at_work():
            line.send(hand.started())
            _work(hand, line, runs)
    except Error as e:
        line.send(_Broken(str(e), isinstance(e, InternalError)))
    except MemoryError:
        raise
    except Exception as e:
        line.send(_Broken(f"{type(e).__name__}: {e}", True))


def _work(hand: Hand, line: Line, runs: int | None) -> None:
    spoke = time.monotonic()
    is_over = False
    while not is_over:
        for event in hand.slice(runs):
            line.send(event)
        for message in line.waiting():
            if isinstance(message, _Frames):
                hand.feed(message.frames)
            else:
                is_over = True
        is_over |= runs is not None and hand.runs >= runs
        if time.monotonic() - spoke >= _SPEAKS and not is_over:
            spoke = time.monotonic()
            line.send(hand.tally())
    for event in hand.rest():
        line.send(event)
    line.send(hand.tally())
    line.send(_Done())


class _Worker:
    """Hold the place of one worker: the process in it may be another one later."""

    def __init__(self, number: int, cpu: int | None, runs: int | None) -> None:
        self.number, self.cpu, self.runs = number, cpu, runs
        self.name = f"worker {number + 1}"
        self.lives = 0
        self.done = 0  # runs of lives that ended
        self.tally = Tally()
        self.unsent: list[bytes] = []  # frames that others found
        self.process: Process | None = None

    @property
    def life(self) -> str:
        return f"{self.name}, life {self.lives}"


class Crew:
    """Run one campaign with several processes.

    Processes that die are replaced. Without a limit in `limits` it goes on until it is closed.
    """

    def __init__(
        self,
        recipe: Recipe,
        count: int,
        *,
        seed: int = 0,
        seeds: Iterable[bytes] | None = None,
        corpus: Corpus | None = None,
        is_full: bool = True,
    ) -> None:
        if count < 1:
            raise Error(f"workers={count}: a campaign needs at least one")
        if count > (most := _MOST_ON_A_PROCESSOR * (os.cpu_count() or 1)):
            raise Error(
                f"workers={count}: each is a process of a hundred megabytes, and more than one on "
                f"a processor is no faster; at most {most} are started on this machine"
            )
        self._recipe, self._seed, self._is_full = recipe, seed, is_full
        self._seeds = None if seeds is None else tuple(seeds)
        self._corpus = Corpus() if corpus is None else corpus
        self._corpus.load()
        self._merged = Merged(
            self._corpus, seed, recipe.counting.profile if recipe.counting else None
        )
        self._workers = [_Worker(*each, None) for each in enumerate(processes.cores(count))]
        self._told = time.monotonic()
        self._is_ending = False
        self._how_lost = ""

    def events(self, limits: Limits) -> Iterator[Event]:
        """Run until a limit is reached, and tell what happens.

        Raises:
            Error: What a single process raises, a worker did; or all of them died.
        """
        merged = self._merged
        reason = StopReason.INTERRUPTED
        try:
            try:
                for worker, runs in zip(self._workers, self._quotas(limits.runs), strict=True):
                    worker.runs = runs
                    yield from self._hire(worker)
                while (stop := merged.stop(limits)) is None:
                    yield from self._hear(self._patience(limits))
                reason = stop
            except KeyboardInterrupt:
                pass
            yield from self._finish()
        finally:
            self._end()
        yield merged.ended(reason)

    def _quotas(self, runs: int | None) -> list[int | None]:
        if runs is None:
            return [None] * len(self._workers)
        each, more = divmod(runs, len(self._workers))
        return [each + (number < more) for number in range(len(self._workers))]

    def _hire(self, worker: _Worker) -> Iterator[Event]:
        worker.lives += 1
        worker.tally = Tally()
        worker.unsent.clear()
        worker.process = Process(worker.name, f"{__name__}:work", cpu=worker.cpu)
        where = "any core" if worker.cpu is None else f"core {worker.cpu}"
        yield WorkerJoined(worker.name, f"process {worker.process.pid}, {where}")

    def _order(self, worker: _Worker) -> bytes:
        order = Order(
            self._recipe,
            seed_of(self._seed, worker.number, worker.lives),
            tuple(self._corpus),
            self._seeds,
            self._is_full,
        )
        worker.unsent.clear()
        runs = None if worker.runs is None else worker.runs - worker.done
        return travel.pack((order, runs))

    def _patience(self, limits: Limits) -> float:
        left = [self._told + _PROGRESS - time.monotonic()]
        if limits.seconds is not None and self._merged.started is not None:
            left.append(limits.seconds - self._merged.seconds)
        return max(0.0, min(left))

    def _hear(self, patience: float) -> Iterator[Event]:
        """Wait for some of the workers to speak, and tell what is new."""
        at_work = {each.process: each for each in self._workers if each.process is not None}
        if not at_work:
            raise Error(
                f"no worker of the campaign is left: each was replaced {_LIVES - 1} times; "
                f"{self._how_lost}"
            )
        for process in processes.heard(list(at_work), patience):
            worker = at_work[process]
            for event in self._listen(worker, process):
                if isinstance(event, NewEntry):
                    self._share(event.frame, worker)
                yield event
            # It has just spoken, so it listens: nobody waits for one that is stopped.
            if worker.unsent and worker.process is not None:
                worker.process.send(_Frames(tuple(worker.unsent)))
                worker.unsent.clear()
        if self._merged.started and time.monotonic() - self._told >= _PROGRESS:
            self._told = time.monotonic()
            yield self._merged.progress()

    def _listen(self, worker: _Worker, process: Process) -> Iterator[Event]:
        try:
            message = process.receive()
        except EOFError:
            yield from self._lost(worker, process.wait())
            return
        if isinstance(message, _Ready):
            if not self._is_ending:
                process.send(self._order(worker))
        elif isinstance(message, Started):
            if self._merged.started is None:
                self._told = time.monotonic()
            yield from self._merged.begin(message)
        elif isinstance(message, Tally):
            worker.tally = message
            self._merged.tally(worker.life, message)
        elif isinstance(message, _Done):
            process.end()
            worker.process = None
        elif isinstance(message, _Broken):
            kind = InternalError if message.is_ours else Error
            raise kind(message.why)
        else:
            yield from self._merged.take(message)

    def _lost(self, worker: _Worker, how: str) -> Iterator[Event]:
        worker.process = None
        worker.done += worker.tally.runs
        self._how_lost = f"of the last, {worker.name}, {how}"
        is_replaced = worker.lives < _LIVES and not self._is_ending
        yield WorkerLost(worker.name, how, is_replaced)
        if is_replaced:
            yield from self._hire(worker)

    def _share(self, frame: bytes, finder: _Worker) -> None:
        for worker in self._workers:
            if worker is not finder:
                worker.unsent.append(frame)

    def _finish(self) -> Iterator[Event]:
        """Let the workers end their stories, and hear the last of them."""
        self._is_ending = True
        deadline = time.monotonic() + _GRACE
        for worker in self._workers:
            if worker.process is not None:
                worker.process.send(_Stop())
        with suppress(KeyboardInterrupt):
            while any(each.process for each in self._workers) and time.monotonic() < deadline:
                yield from self._hear(deadline - time.monotonic())
        for worker in self._workers:
            if worker.process is not None:
                yield WorkerLost(worker.name, "it did not come to an end", False)

    def _end(self) -> None:
        for worker in self._workers:
            if worker.process is not None:
                worker.process.end()
                worker.process = None


def seed_of(seed: int, number: int, life: int) -> int:
    """Derive the seed of a worker from that of its campaign; every life has another."""
    digest = hashlib.sha256(f"{seed}/{number}/{life}".encode()).digest()
    return int.from_bytes(digest[:8], "little")
