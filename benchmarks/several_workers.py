"""Measure what a second worker brings to a campaign, and what it costs to hold them together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

from figures import HERE, Figure, pair_by_pair
from packetrig import fuzz
from packetrig.replay import Setup

SECONDS = 4.0
PAIRS = 5
ROOT = HERE.parent


def us_per_run(recipe: fuzz.Recipe, workers: int) -> Callable[[], float]:
    """Make a measurement of the time that passes for each run of a campaign."""

    def measure() -> float:
        *_, ended = fuzz.campaign(recipe, workers=workers, seconds=SECONDS, seed=1)
        assert isinstance(ended, fuzz.Ended)
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
    pairs = pair_by_pair(us_per_run(recipe, 1), us_per_run(recipe, 2), pairs=PAIRS)
    # Two workers at least 1.8 times one.
    ratios = tuple(two / one for one, two in pairs)
    yield Figure("campaign, a run with two workers / with one", "x", 1 / 1.8, ratios)
    shares = tuple(of_parent(recipe) for _ in range(PAIRS))
    yield Figure("campaign, the parent of two workers", " % of a core", 5, shares)
