"""Measure what a campaign's run costs against the bare call, and how soon it meets conditions."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import packetrig
from figures import FRAME, HERE, Figure, pair_by_pair
from packetrig import XDP, fuzz
from packetrig.packets import craft
from packetrig.replay import Setup
from run_calls import c_loop

CALLS = 20_000
RUNS = 50_000
PAIRS = 9
SEEDS = (1, 2, 3, 4, 5)
ROOT = HERE.parent
MAGIC = HERE / "xdp_magic.bpf.c"
SYN = craft.V4.frame(craft.tcp(b"", craft.V4, flags=2), craft.TCP)
BLIND_RUNS = 500_000


@packetrig.check
def the_packet_is_not_sent_back(_before: bytes, run: packetrig.Run) -> bool:
    """Stand for a check that people write."""
    return run.verdict is not XDP.TX


def per_run_us(campaign: fuzz.Campaign) -> Callable[[], float]:
    """Make a measurement of the thread's own time that one run of a campaign takes."""

    def measure() -> float:
        before, start = campaign.tally.runs, time.thread_time_ns()
        while campaign.tally.runs - before < RUNS:
            for _ in campaign.slice():
                pass
        return (time.thread_time_ns() - start) / 1e3 / (campaign.tally.runs - before)

    return measure


def per_call_us(descriptor: int) -> Callable[[], float]:
    """Make a measurement of the bare call, in a loop in C."""
    loop = c_loop()

    def measure() -> float:
        start = time.thread_time_ns()
        error = loop(descriptor, FRAME, len(FRAME), CALLS)
        if error:
            raise OSError(error, os.strerror(error))
        return (time.thread_time_ns() - start) / 1e3 / CALLS

    return measure


def speed(name: str, most_us: float, most: float, *, is_full: bool) -> Iterator[Figure]:
    """Measure a run with its judging: by itself, and against the bare call."""
    setup = Setup.read(ROOT / "fixtures" / "policy" / "xdp_http.toml")
    checks = (the_packet_is_not_sent_back,) if is_full else ()
    source = ROOT / "progs" / "xdp_http.bpf.c"
    with fuzz.Target.open(source, setup=setup, checks=checks) as target:
        assert target.has_feedback, target.why_plain
        campaign = fuzz.Campaign(target, seed=1, is_full=is_full)
        bare = per_call_us(target.plain_program.fd)
        pairs = pair_by_pair(bare, per_run_us(campaign), pairs=PAIRS)
        shares = set(campaign.shares().values())
        assert shares == {campaign.tally.runs - campaign.tally.refused}, "a check was left out"
    yield Figure(f"{name}, a run", " us", most_us, tuple(ours for _, ours in pairs))
    ratios = tuple(ours / theirs for theirs, ours in pairs)
    yield Figure(f"{name}, a run / the call in a C loop", "x", most, ratios)


def runs_until_met(seed: int, *, feedback: bool, runs: int) -> int:
    """Count the runs until a campaign from a SYN meets all eight conditions; 0: it did not."""
    events = fuzz.campaign(
        MAGIC,
        seed=seed,
        seeds=[SYN],
        runs=runs,
        findings=1,
        judging="cheap",
        feedback=feedback,
    )
    return next((event.runs for event in events if isinstance(event, fuzz.Found)), 0)


def figures() -> Iterator[Figure]:
    # 150,000 runs a second are 6.67 us each, 40,000 are 25.
    yield from speed("campaign, cheap checks", 6.67, 4.0, is_full=False)
    yield from speed("campaign, all checks and a user's", 25.0, 15.0, is_full=True)
    met = [runs_until_met(seed, feedback=True, runs=BLIND_RUNS) for seed in SEEDS]
    guided = tuple(float(runs or BLIND_RUNS) for runs in met)
    # The largest of five seeds: the promise is about each of them.
    yield Figure("runs until eight conditions are met, worst of 5", "", 50_000, (max(guided),))
    blind = [runs_until_met(seed, feedback=False, runs=BLIND_RUNS) for seed in SEEDS]
    yield Figure(
        f"seeds of 5 that meet them without feedback in {BLIND_RUNS:,} runs",
        "",
        0,
        (float(sum(map(bool, blind))),),
    )
