"""Search for faults: frames from a seed, through a program, against checks and its model."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import packetrig
from packetrig import Failure, InputRefused, Object
from packetrig.models import Model
from packetrig.packets import explain
from packetrig.replay import Setup

from .frames import Choices, Words, frame, shrink
from .road import Road

Judge = Callable[[bytes, int], None]

ROOT = Path(__file__).parents[2]
PROGS = ROOT / "progs"
SEEDS = (1, 2, 3, 4, 5)
MOST_EXAMPLES = 10_000
MOST_SECONDS = 10.0  # of the processor's time: a busy machine finds no less
# Packets of one story: then the object is renewed, so that what an early one did is not kept.
STORY = 40


@dataclass(frozen=True, slots=True)
class Thinning:
    """Say how often what takes long is done.

    `again`: one packet in so many is run again, for which the whole state is taken down.
    `wire`: one story in so many of a TC program is told on a wire, where the payload is not in
    the linear part.
    """

    again: int = 4
    wire: int = 10


LONG_RUN = Thinning(again=32, wire=50)


@dataclass(frozen=True, slots=True)
class Subject:
    """Name a program of progs/, right or faulty, and the right one that it is."""

    path: Path
    base: str

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(".bpf.c")

    @property
    def fault(self) -> str:
        """Read what is wrong with it, from its first line."""
        first = self.path.read_text().partition("\n")[0]
        return first.removeprefix("/* FAULT: ").removesuffix(" */") if "FAULT" in first else ""


@dataclass(frozen=True, slots=True)
class Found:
    """Hold what a search came to: who found the fault and in what packet, if there was one."""

    subject: Subject
    seed: int
    check: str
    examples: int
    refused: int
    seconds: float
    packet: bytes = b""
    failure: str = ""

    @property
    def smallest(self) -> str:
        return f"{explain.summary(self.packet)} ({len(self.packet)} bytes)" if self.packet else ""


def right() -> list[Subject]:
    """List the programs that are as they should be and have a model."""
    names = (path.name.removesuffix(".bpf.c") for path in sorted(PROGS.glob("*.bpf.c")))
    return [Subject(PROGS / f"{name}.bpf.c", name) for name in names]


def faulty() -> list[Subject]:
    """List the faulty twins, each with the longest name of a right program that it begins with."""
    bases = sorted((each.name for each in right()), key=len, reverse=True)
    return [
        Subject(path, next(base for base in bases if path.name.startswith(f"{base}_")))
        for path in sorted((PROGS / "faulty").glob("*.bpf.c"))
    ]


@dataclass(frozen=True, slots=True)
class Oracle:
    """Hold what judges a program: its set-up, its model, its declared checks, words to use."""

    setup: Setup
    model: Any
    checks: tuple[packetrig.checks.Check, ...]
    words: Words

    @property
    def cheaper(self) -> tuple[packetrig.checks.Check, ...]:
        """Give the declared checks that do not run the packet again."""
        return tuple(check for check in self.checks if "again" not in check.asks)

    @classmethod
    def of(cls, base: str) -> Oracle:
        setup = Setup.read(ROOT / "fixtures" / "policy" / f"{base}.toml")
        stems = sorted(
            (path.stem for path in (PROGS / "models").glob("[a-z]*.py")), key=base.__ne__
        )
        modules = (importlib.import_module(f"progs.models.{stem}") for stem in stems)
        home = next(
            (each for each in modules if isinstance(getattr(each, base, None), Model)), None
        )
        if home is None:
            raise LookupError(f"{base} has no model in progs/models")
        return cls(setup, getattr(home, base), getattr(home, "CHECKS", ()), Words.of(setup.maps))


@dataclass(slots=True)
class Tally:
    """Count what a search has done so far."""

    tested: int = 0
    refused: int = 0
    stories: int = 0


class Search:
    """Run frames of one seed through one program, story by story."""

    def __init__(
        self,
        subject: Subject,
        oracle: Oracle,
        loaded: Object,
        road: Road | None,
        thinning: Thinning,
    ) -> None:
        self.thinning = thinning
        self.subject, self.oracle, self.loaded, self.road = subject, oracle, loaded, road

    def judge(self, packet: bytes, number: int = 0) -> None:
        """Judge one packet; one in a few is run again as well."""
        checks = packetrig.checks
        is_again = number % self.thinning.again == 0
        builtin = checks.builtin if is_again else CHEAPER
        declared = self.oracle.checks if is_again else self.oracle.cheaper
        self.loaded.judge(packet, *declared, model=self.oracle.model, builtin=builtin)

    def begin(self) -> None:
        """Put the program back to its set-up."""
        self.loaded.renew()
        self.oracle.setup.put(self.loaded)

    @contextmanager
    def story(self, number: int) -> Iterator[Judge]:
        """Begin a story: the way in which its packets are judged."""
        self.begin()
        if self.road is None or (number + 1) % self.thinning.wire:
            yield self.judge
            return
        with self.road.attached(self.loaded):
            yield lambda packet, _: self.road.judge(self.loaded, packet, self.oracle.model)

    def run(
        self,
        seed: int,
        *,
        examples: int = MOST_EXAMPLES,
        seconds: float = MOST_SECONDS,
        is_shrunk: bool = False,
    ) -> Found:
        """Search until something is found, or examples or seconds are over."""
        random = Random(seed)
        started, tally = time.thread_time(), Tally()
        while tally.tested < examples and time.thread_time() - started < seconds:
            number = tally.stories
            tally.stories += 1
            with self.story(number) as judge:
                caught = self._tell(judge, random, tally, examples)
            if caught is not None:
                spent = time.thread_time() - started
                _, small, told = caught
                if is_shrunk:
                    small, told = self.smaller(number, *caught)
                tested, refused = tally.tested, tally.refused
                return Found(
                    self.subject, seed, told.check, tested, refused, spent, small, str(told)
                )
        spent = time.thread_time() - started
        return Found(self.subject, seed, "", tally.tested, tally.refused, spent)

    def _tell(
        self, judge: Judge, random: Random, tally: Tally, examples: int
    ) -> tuple[list[int], bytes, Failure] | None:
        for _ in range(min(STORY, examples - tally.tested)):
            choices = Choices(random)
            packet = frame(choices, self.oracle.words)
            try:
                judge(packet, tally.tested)
            except InputRefused:
                tally.refused += 1
                continue
            except Failure as failure:
                tally.tested += 1
                return choices.made, packet, failure
            tally.tested += 1
        return None

    def smaller(
        self, number: int, made: list[int], packet: bytes, failure: Failure
    ) -> tuple[bytes, Failure]:
        """Find the smallest packet that shows a fault by itself, from the state of the set-up."""
        seen: dict[str, Failure] = {}

        def shows(choices: list[int]) -> bool:
            with self.story(number) as judge:
                try:
                    judge(frame(Choices(given=choices), self.oracle.words), 0)
                except InputRefused:
                    return False
                except Failure as e:
                    seen["last"] = e
                    return True
                return False

        if not shows(made):
            return packet, failure  # it takes the packets before as well
        best = shrink(made, shows)
        shows(best)
        return frame(Choices(given=best), self.oracle.words), seen["last"]


CHEAPER = tuple(check for check in packetrig.checks.builtin if "again" not in check.asks)


@contextmanager
def searching(subject: Subject, thinning: Thinning = Thinning()) -> Iterator[Search]:  # frozen
    """Load a program in its set-up, with what judges it."""
    oracle = Oracle.of(subject.base)
    with ExitStack() as stack:
        loaded = stack.enter_context(oracle.setup.load(packetrig.build(subject.path)))
        is_tc = loaded.program.kind == "tc"
        road = stack.enter_context(Road(subject.name)) if is_tc else None
        yield Search(subject, oracle, loaded, road, thinning)


def table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Align columns; the last one is as long as it is."""
    widths = [max(len(each[at]) for each in rows) for at in range(len(rows[0]) - 1)]
    for each in rows:
        cells = [text.ljust(width) for text, width in zip(each, widths, strict=False)]
        yield "  ".join((*cells, each[-1])).rstrip()
