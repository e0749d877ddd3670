"""Print what campaigns reach and find: `make campaigns`.

Each program gets a minute on one core, from its own seeds, in each of its set-ups in turn; what is
left of its branches is listed with the reason. Then each program in progs/faulty is searched from
five seeds. Exit code 1 when less is reached or found than promised.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from packetrig import Failure, InputRefused, fuzz
from packetrig.coverage.measuring import Branch, Measured, measure
from packetrig.fuzz import seeds as sources
from packetrig.fuzz.engine import default_seeds
from packetrig.fuzz.words import Words
from packetrig.packets import explain
from packetrig.replay import Setup

from .harness import PROGS, ROOT, SEEDS, Oracle, Subject, faulty, right, table
from .road import Road

SECONDS = 60.0
MOST_SECONDS = 30.0  # until a fault is found, of the processor's time
LEAST_PERCENT = 95.0
SETUPS = ROOT / "fixtures" / "campaign"
REASONS = SETUPS / "reasons.toml"
CORPUS = ROOT / "fixtures" / "corpus"
COLUMNS = ("fault", "found by", "runs", "seconds", "smallest packet")
_SENT_TOGETHER = 32
_MARK = re.compile(r"/\*\s*not in a test run:\s*(\S.*?)\s*\*/")


@dataclass(frozen=True, slots=True)
class Left:
    """Name a side of a branch that was not taken, and why not; "" where nobody knows."""

    place: str
    text: str
    reason: str
    is_reachable: bool = True


@dataclass(frozen=True, slots=True)
class Reached:
    """Hold what a campaign on one program came to."""

    subject: Subject
    runs: int
    seconds: float
    covered: int
    total: int
    left: tuple[Left, ...]
    excluded: tuple[str, ...]
    found: tuple[str, ...]

    @property
    def percent(self) -> float:
        return 100.0 * self.covered / self.total if self.total else 100.0


def setups(subject: Subject) -> list[Setup]:
    """List the states in which a program is run: that of the captures, and what this leaves out."""
    more = sorted(SETUPS.glob(f"{subject.base}*.toml"))
    own = [path for path in more if re.fullmatch(rf"{subject.base}(-\w+)?", path.stem)]
    return [Oracle.of(subject.base).setup, *(Setup.read(path) for path in own)]


def seeds(subject: Subject, setup: Setup) -> tuple[bytes, ...]:
    """Give a program's own seeds: the usual ones, and what is kept for it."""
    words = Words.of(setup.maps, setup.globals)
    kept = CORPUS / subject.base
    own = sources.read(kept) if kept.is_dir() else ()
    return (*own, *default_seeds(words))


def recipe_of(subject: Subject, setup: Setup) -> fuzz.Recipe:
    oracle = Oracle.of(subject.base)
    return fuzz.Recipe.of(subject.path, setup=setup, checks=oracle.checks, model=oracle.model)


def reach(
    subject: Subject, *, seconds: float | None = None, runs: int | None = None, seed: int = 1
) -> Reached:
    """Run campaigns in each set-up, and tell what they executed together."""
    done, spent = 0, 0.0
    found: list[str] = []
    taken: list[bytes] = []
    states = setups(subject)
    recipe = recipe_of(subject, states[0])
    limits = fuzz.Limits(
        seconds=seconds and seconds / len(states), runs=runs and runs // len(states)
    )
    for setup in states:
        with replace(recipe, setup=setup).open() as target:
            campaign = fuzz.Campaign(target, seed=seed, seeds=seeds(subject, setup))
            if target.why_plain:
                found.append(f"no feedback: {target.why_plain}")
            for event in campaign.events(limits):
                if isinstance(event, fuzz.Found):
                    found.append(str(event.failure))
                elif isinstance(event, fuzz.Ended):
                    done, spent = done + event.runs, spent + event.seconds
                    taken.append(event.totals)
    assert recipe.counting is not None
    assert recipe.counting.profile is not None
    measured = measure(recipe.counting.profile, taken)
    return _summed(subject, measured, done, spent, found)


def _summed(
    subject: Subject, measured: Measured, runs: int, seconds: float, found: Iterable[str]
) -> Reached:
    reachable = [each for each in measured.branch_list if not _not_in_a_test_run(each)]
    left = [
        _left(subject.name, each, side) for each in measured.branch_list for side in each.missing
    ]
    return Reached(
        subject,
        runs,
        seconds,
        sum(each.share.covered for each in reachable),
        sum(each.share.total for each in reachable),
        tuple(left),
        tuple(f"{Path(e.file).name}:{e.line}: {e.reason}" for e in measured.excluded),
        (
            *found,
            *(
                f"{Path(e.file).name}:{e.line} is marked unreachable ({e.reason}), and was reached"
                for e in measured.excluded
                if e.is_reached
            ),
        ),
    )


def _left(program: str, branch: Branch, side: str) -> Left:
    place, text = _place(branch, side), _source(branch)
    if reason := _not_in_a_test_run(branch):
        return Left(place, text, f"not in a test run: {reason}", is_reachable=False)
    known = (e["reason"] for e in _reasons() if (e["program"], e["branch"]) == (program, text))
    return Left(place, text, next((f"not reached: {reason}" for reason in known), ""))


@cache
def _reasons() -> list[dict[str, str]]:
    """Read why campaigns leave out a branch of one program that others take."""
    with REASONS.open("rb") as file:
        found: list[dict[str, str]] = tomllib.load(file)["left"]
    return found


def _place(branch: Branch, side: str) -> str:
    path = Path(branch.file)
    name = path.relative_to(PROGS) if path.is_relative_to(PROGS) else path.name
    return f"{name}:{side}"


def _source(branch: Branch) -> str:
    line = _lines(branch.file)[branch.line - 1]
    if branch.line != branch.end_line:
        return line.strip()
    return line[branch.column - 1 : branch.end_column - 1]


def _not_in_a_test_run(branch: Branch) -> str:
    """Read why no test run takes a side of a branch: from its line, or from the one above."""
    lines = _lines(branch.file)
    above = lines[branch.line - 2].strip()
    found = _MARK.search(lines[branch.line - 1]) or _MARK.fullmatch(above)
    return found[1] if found else ""


@cache
def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").split("\n")


@dataclass(frozen=True, slots=True)
class Caught:
    """Hold what a campaign on a faulty program came to; `check` is "" where nothing was found."""

    subject: Subject
    seed: int
    check: str
    runs: int
    seconds: float
    frames: tuple[bytes, ...] = ()


def search(subject: Subject, seed: int, *, seconds: float = MOST_SECONDS) -> Caught:
    """Run one campaign on a faulty program until something is found."""
    setup = Oracle.of(subject.base).setup
    with ExitStack() as stack:
        target = stack.enter_context(recipe_of(subject, setup).open())
        is_tc = target.program.kind == "tc"
        road = stack.enter_context(Road(subject.name)) if is_tc else None
        began = time.process_time()
        campaign = fuzz.Campaign(target, seed=seed, seeds=seeds(subject, setup))
        entries: list[bytes] = []
        # Three times as long by the clock: other processes want the processor as well.
        for event in campaign.events(fuzz.Limits(seconds=3 * seconds, findings=1)):
            spent = time.process_time() - began
            if isinstance(event, fuzz.Found):
                return Caught(subject, seed, event.check, event.runs, spent, event.frames)
            if road is not None and isinstance(event, fuzz.NewEntry):
                entries.append(event.frame)
                if len(entries) == _SENT_TOGETHER:
                    failure = sent(road, target, entries)
                    entries.clear()
                    if failure is not None:
                        spent = time.process_time() - began
                        packet = (failure.packet,)
                        runs = campaign.tally.runs
                        return Caught(subject, seed, failure.check, runs, spent, packet)
            if spent > seconds:
                break
        return Caught(subject, seed, "", campaign.tally.runs, time.process_time() - began)


def sent(road: Road, target: fuzz.Target, frames: Iterable[bytes]) -> Failure | None:
    """Send what a campaign keeps over a wire too: there the payload is not linear."""
    assert target.recipe.model is not None
    target.begin(target.plain)
    with road.attached(target.plain):
        for frame in frames:
            try:
                road.judge(target.plain, frame, target.recipe.model)
            except InputRefused:
                continue
            except Failure as failure:
                return failure
    return None


def reach_rows(results: Iterable[Reached]) -> Iterator[tuple[str, ...]]:
    yield "program", "runs", "seconds", "branches", "of reachable", "not in a test run"
    for each in results:
        elsewhere = sum(not left.is_reachable for left in each.left)
        yield (
            each.subject.name,
            str(each.runs),
            f"{each.seconds:.0f}",
            f"{each.covered}/{each.total}",
            f"{each.percent:.1f} %",
            str(elsewhere),
        )


def caught_row(results: list[Caught]) -> tuple[str, ...]:
    """Sum up what five seeds came to: the most of each figure."""
    checks = ", ".join(dict.fromkeys(each.check or "NOT FOUND" for each in results))
    frames = min((each.frames for each in results), key=lambda story: (len(story), story))
    told = f"{explain.summary(frames[-1])} ({len(frames[-1])} bytes)" if frames else ""
    return (
        results[0].subject.name,
        checks,
        str(max(each.runs for each in results)),
        f"{max(each.seconds for each in results):.1f}",
        told if len(frames) < 2 else f"{len(frames)} frames, the last: {told}",
    )


def is_caught(results: list[Caught]) -> bool:
    return all(each.check and each.seconds <= MOST_SECONDS for each in results)


def search_each(subject: Subject) -> list[Caught]:
    return [search(subject, seed) for seed in SEEDS]


def show_reached(results: list[Reached]) -> bool:
    """Print what was reached, and what was not and why; tell whether it is enough."""
    print(*table(list(reach_rows(results))), sep="\n")
    reasons: dict[str, dict[str, list[str]]] = {}
    for each in results:
        for left in each.left:
            told = f"{left.place}  {left.text}"
            what = left.reason or "NOT REACHED, and no reason is known"
            reasons.setdefault(what, {}).setdefault(told, []).append(each.subject.name)
        for line in each.excluded:
            place, _, reason = line.partition(": ")
            found = reasons.setdefault(f"unreachable: {reason}", {})
            found.setdefault(place, []).append(each.subject.name)
    print("\nwhat is left, and why")
    for reason, places in sorted(reasons.items()):
        print(f"  {reason}")
        for place, names in sorted(places.items()):
            print(f"    {place}  ({', '.join(names) if len(names) < 4 else len(names)})")
    for each in results:
        for failure in each.found:
            print(f"\n{each.subject.name}: {failure}")
    held = sum(each.percent >= LEAST_PERCENT for each in results)
    accused = sum(bool(each.found) for each in results)
    print(
        f"\n{held} of {len(results)} reach {LEAST_PERCENT:.0f} % of what can be reached, "
        f"{accused or 'none'} accused\n",
        flush=True,
    )
    return held == len(results) and not accused


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="these programs alone, right or faulty")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each right program")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="programs at a time")
    given = parser.parse_args()

    def chosen(subjects: list[Subject]) -> list[Subject]:
        return [each for each in subjects if not given.names or each.name in given.names]

    is_enough = True
    with ProcessPoolExecutor(given.workers) as pool:
        if innocent := chosen(right()):
            results = list(pool.map(partial(reach, seconds=given.seconds), innocent))
            is_enough = show_reached(results)
        if guilty := chosen(faulty()):
            caught = list(pool.map(search_each, guilty))
            print(*table([COLUMNS, *map(caught_row, caught)]), sep="\n")
            held = sum(map(is_caught, caught))
            print(
                f"\n{held} of {len(caught)} found from each of {len(SEEDS)} seeds within "
                f"{MOST_SECONDS:.0f} s of campaign"
            )
            is_enough = is_enough and held == len(caught)
    return 0 if is_enough else 1


if __name__ == "__main__":
    sys.exit(main())
