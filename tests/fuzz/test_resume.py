"""Campaigns that are killed at any moment, and go on from what they kept."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from packetrig.fuzz import Corpus, Ended, NewEntry, Recipe, Started, campaign
from packetrig.fuzz.seeds import plain

ROOT = Path(__file__).parents[2]
HTTP = ROOT / "progs" / "xdp_http.bpf.c"
SCRIPT = """
import sys
from tests.fuzz import test_resume
test_resume.tell(*sys.argv[1:])
"""


def tell(folder: str, seed: str, workers: str, runs: str = "0") -> None:
    """Run a campaign, and say what it has kept as soon as it says so itself."""
    many = {"workers": int(workers), "runs": int(runs) or None}
    for event in campaign(HTTP, corpus=folder, seeds=plain(), seed=int(seed), **many):
        if isinstance(event, NewEntry):
            print(event.frame.hex(), flush=True)


def killed(folder: Path, seed: int, workers: int, after: int) -> list[bytes]:
    """Run a campaign, and kill it when so many entries were told; return all that were."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(seed), str(workers)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(after)]
        process.kill()
        told += process.stdout.readlines()
    # The last line may have been cut short by the kill.
    return [bytes.fromhex(line) for line in told if line.endswith("\n")]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_campaign_that_is_killed_at_any_moment_has_kept_all_that_it_told(
    tmp_path: Path, workers: int
) -> None:
    moments = random.Random(workers)
    told: set[bytes] = set()
    for seed in range(3):
        told.update(killed(tmp_path, seed, workers, moments.randrange(1, 8)))

        kept = set(Corpus(tmp_path).load())  # says what is cut short, or no part of a corpus
        assert told <= kept

    recipe = Recipe.of(HTTP)
    with recipe.open() as target:
        before = frozenset().union(*(target.covers([frame]) for frame in told))
        events = list(campaign(target, corpus=tmp_path, runs=len(kept), seeds=()))
        after = frozenset().union(*(target.covers([frame]) for frame in Corpus(tmp_path).load()))
    started, ended = events[0], events[-1]
    assert isinstance(started, Started) and isinstance(ended, Ended)
    assert started.seeds == len(kept)
    assert before <= after


@pytest.mark.slow
def test_a_seed_repeats_a_campaign_in_another_process(tmp_path: Path) -> None:
    told = []
    for number in ("1", "2"):  # sets and hashes come in another order in each
        folder = tmp_path / number
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(folder), "5", "1", "6000"],
            env=os.environ | {"PYTHONHASHSEED": number},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        told.append(done.stdout.splitlines())

    assert told[0] == told[1]
    assert len(told[0]) > 40
