"""One worker's part of a campaign: the same loop, with frames from the others, told in tallies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import Self

from ..errors import Failure
from .corpus import Corpus
from .engine import Campaign
from .events import Event, Found, Started
from .target import Recipe


@dataclass(frozen=True, slots=True)
class Order:
    """Say what a worker has to do: on what, with which random choices, from which frames.

    `frames` are those of the corpus; `seeds` those to begin with, None for the usual ones. `texts`
    are the sources by their paths, for a machine that has not got them.
    """

    recipe: Recipe
    seed: int
    frames: tuple[bytes, ...] = ()
    seeds: tuple[bytes, ...] | None = None
    is_full: bool = True
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tally:
    """Tell what a worker has done since it began.

    `totals` are its counters, summed up; `entries` of what it ran did something new to it.
    """

    runs: int = 0
    refused: int = 0
    shares: Mapping[str, int] = field(default_factory=dict)
    totals: bytes = b""
    entries: int = 0


class Hand:
    """Hold a campaign that works for a larger one; a context manager."""

    def __init__(self, order: Order) -> None:
        corpus = Corpus()
        for frame in order.frames:
            corpus.add(frame)
        with ExitStack() as stack:
            self._target = stack.enter_context(order.recipe.open())
            self._campaign = Campaign(
                self._target,
                seed=order.seed,
                seeds=order.seeds,
                corpus=corpus,
                is_full=order.is_full,
            )
            self._stack = stack.pop_all()

    def started(self) -> Started:
        """Tell what is judged, and by what."""
        return self._campaign.started()

    def at_work(self) -> AbstractContextManager[None]:
        """Hold the calling thread on one processor, for the length of a with block."""
        return self._target.object.state.on_one_cpu()

    def feed(self, frames: Iterable[bytes]) -> None:
        """Give frames that others found."""
        self._campaign.feed(frames)

    def slice(self, most: int | None = None) -> Iterator[Event]:
        """Tell one story, of at most so many runs in all since the beginning."""
        return map(_light, self._campaign.slice(most))

    def rest(self) -> Iterator[Event]:
        """Judge what waits to be judged, at the end."""
        return map(_light, self._campaign.rest())

    @property
    def runs(self) -> int:
        """Return how many runs there were."""
        return self._campaign.tally.runs

    def tally(self) -> Tally:
        """Tell what was done so far."""
        campaign = self._campaign
        done = campaign.tally
        loop = campaign.loop
        return Tally(done.runs, done.refused, campaign.shares(), loop.totals(), loop.corpus)

    def close(self) -> None:
        """Unload the programs."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _light(event: Event) -> Event:
    # A run holds its program, and a program stays where it is loaded.
    if not isinstance(event, Found):
        return event
    failure = event.failure
    return replace(
        event,
        failure=Failure(
            str(failure),
            check=failure.check,
            packet=bytes(failure.packet),
            repeat=failure.repeat,
        ),
    )
