"""The way in: one call, whether one process works, several, or a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..errors import Error
from .corpus import Corpus
from .engine import Campaign, Limits
from .events import Event
from .fleet import Fleet
from .target import Recipe, Target
from .workers import Crew


def campaign(
    source: Recipe | Target | str | Path | Any,
    *,
    seconds: float | None = None,
    runs: int | None = None,
    until_covered: bool = False,
    findings: int | None = None,
    seed: int = 0,
    seeds: Iterable[bytes] | None = None,
    corpus: Corpus | str | Path | None = None,
    judging: str = "full",
    workers: int = 1,
    scheduler: str | None = None,
    **options: Any,
) -> Iterator[Event]:
    """Search for inputs that a program handles wrongly, guided by its coverage; yield events.

        for event in campaign("progs/xdp_http.bpf.c", seconds=30, setup=setup, model=xdp_http):
            ...

    Args:
        source: The C source (or an object file, then without feedback), a Recipe, or a Target.
        seconds: End after so long.
        runs: End after so many runs; with it, the same seed gives the same campaign.
        until_covered: End when everything that can be reached was.
        findings: End after so many findings.
        seed: What all random choices come from.
        seeds: Frames to begin with, and no others; by default one of each protocol, those that the
            set-up speaks of, and the catalogue of malformed frames.
        corpus: A folder where entries are kept, and taken from; in memory without one.
        judging: "full": every check sees every run. "cheap": verdict, abort and length alone.
        workers: How many processes work, each on a core of its own where there are enough; with
            several the seed decides what each of them begins with, and no longer every run.
        scheduler: The address of a dask scheduler (`tcp://host:8786`), whose workers do the work:
            one slice at a time each; `pip install packetrig[cluster]`.
        **options: Those of Recipe (setup, program, kind, checks, without, model, against, feedback)
            and of build() (define, include, flags).

    Raises:
        Error: A check or model breaks, no seed can be given to the program, it cannot be loaded;
            all workers died; no scheduler answers, or none of its workers can take part.
        ToolMissing: `scheduler` is named and dask.distributed is not installed.
    """
    if judging not in ("full", "cheap"):
        raise Error(f"judging={judging!r}: it is 'full' or 'cheap'")
    kept = corpus if isinstance(corpus, Corpus) or corpus is None else Corpus(corpus)
    limits = Limits(seconds, runs, until_covered, findings)
    is_full = judging == "full"
    if workers != 1 and scheduler is not None:
        raise Error("workers= are processes of this machine, scheduler= has workers of its own")
    if workers != 1 or scheduler is not None:
        recipe = source.recipe if isinstance(source, Target) else _recipe(source, options)
        several: Crew | Fleet
        if scheduler is None:
            several = Crew(recipe, workers, seed=seed, seeds=seeds, corpus=kept, is_full=is_full)
        else:
            several = Fleet(recipe, scheduler, seed=seed, seeds=seeds, corpus=kept, is_full=is_full)
        yield from several.events(limits)
        return
    with ExitStack() as stack:
        if isinstance(source, Target):
            target = source
        else:
            target = stack.enter_context(_recipe(source, options).open())
        made = Campaign(target, seed=seed, seeds=seeds, corpus=kept, is_full=is_full)
        yield from made.events(limits)


def _recipe(source: Any, options: dict[str, Any]) -> Recipe:
    return source if isinstance(source, Recipe) else Recipe.of(source, **options)
