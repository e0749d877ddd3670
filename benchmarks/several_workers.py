"""Measure what a second worker brings to a campaign, and what it costs to hold them together.

Two workers need two cores: where other work takes them, nothing can be said about workers.
"""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator

from figures import HERE, Figure, pair_by_pair
from packetrig import fuzz
from packetrig.replay import Setup

SECONDS = 4.0
PAIRS = 5
# The share of its core that a worker has to get, what starting it takes included: alone it is 1.05.
LEAST = 1.0
ROOT = HERE.parent


def of_children() -> float:
    """Return the processor seconds of the processes that were started and ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def us_per_run(recipe: fuzz.Recipe, workers: int, shares: list[float]) -> Callable[[], float]:
    """Make a measurement of the time that passes for each run; note what workers got of a core."""

    def measure() -> float:
        used = of_children()
        *_, ended = fuzz.campaign(recipe, workers=workers, seconds=SECONDS, seed=1)
        assert isinstance(ended, fuzz.Ended)
        shares.append((of_children() - used) / ended.seconds / workers)
        return 1e6 * ended.seconds / ended.runs

    return measure


def of_parent(recipe: fuzz.Recipe) -> float:
    """Measure the share of one processor that the parent of two workers takes."""
    began = used = 0.0
    for event in fuzz.campaign(recipe, workers=2, seconds=SECONDS, seed=1):
        if isinstance(event, fuzz.Started):
            began, used = time.perf_counter(), time.process_time()
    return 100 * (time.process_time() - used) / (time.perf_counter() - began)


def figures() -> Iterator[Figure]:
    if len(os.sched_getaffinity(0)) < 2:
        raise RuntimeError("there is one core: two workers cannot be measured")
    source = ROOT / "progs" / "xdp_http.bpf.c"
    setup = Setup.read(ROOT / "fixtures" / "policy" / "xdp_http.toml")
    recipe = fuzz.Recipe.of(source, setup=setup)
    costs = tuple(of_parent(recipe) for _ in range(PAIRS))
    yield Figure("campaign, the parent of two workers", " % of a core", 5, costs)
    shares: list[float] = []
    pairs = pair_by_pair(us_per_run(recipe, 1, []), us_per_run(recipe, 2, shares), pairs=PAIRS)
    # Two workers at least 1.8 times one.
    ratios = tuple(two / one for one, two in pairs)
    if statistics.median(shares) < LEAST:
        raise RuntimeError(
            f"two workers got {100 * statistics.median(shares):.0f} % of a core each: other work "
            f"takes the rest (a run took {statistics.median(ratios):.2f} of what it takes with one)"
        )
    yield Figure("campaign, a run with two workers / with one", "x", 1 / 1.8, ratios)
