"""Print which fault is found by what, how fast, and in which packet: `make finds`.

Each program in progs/faulty is searched from five seeds; then the right programs get 200,000
frames each from the same seeds, and none may be accused. Exit code 1 when either does not hold.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from .harness import (
    LONG_RUN,
    MOST_EXAMPLES,
    MOST_SECONDS,
    SEEDS,
    Found,
    Subject,
    faulty,
    right,
    searching,
    table,
)

FRAMES = 200_000
COLUMNS = ("fault", "found by", "examples", "seconds", "smallest packet")


def search(subject: Subject) -> list[Found]:
    """Search one faulty program from each seed."""
    with searching(subject) as found:
        return [found.run(seed, is_shrunk=seed == SEEDS[0]) for seed in SEEDS]


def acquit(subject: Subject, frames: int) -> list[Found]:
    """Give a right program its frames, in equal parts from each seed, until it is accused."""
    results = []
    with searching(subject, LONG_RUN) as found:
        for seed in SEEDS:
            share = frames // len(SEEDS)
            results.append(found.run(seed, examples=share, seconds=float("inf"), is_shrunk=True))
    return results


def row(results: list[Found]) -> tuple[str, ...]:
    """Sum up what five seeds came to: the most of each figure."""
    checks = ", ".join(dict.fromkeys(each.check or "NOT FOUND" for each in results))
    return (
        results[0].subject.name,
        checks,
        str(max(each.examples for each in results)),
        f"{max(each.seconds for each in results):.1f}",
        results[0].smallest,
    )


def is_found(results: list[Found]) -> bool:
    """Tell whether every seed found the fault, in time."""
    return all(
        each.check and each.examples <= MOST_EXAMPLES and each.seconds <= MOST_SECONDS
        for each in results
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="these programs alone, right or faulty")
    parser.add_argument("--frames", type=int, default=FRAMES, help="for each right program")
    given = parser.parse_args()

    def chosen(subjects: list[Subject]) -> list[Subject]:
        return [each for each in subjects if not given.names or each.name in given.names]

    guilty, innocent = chosen(faulty()), chosen(right()) if given.frames else []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(search, guilty))
        if found:
            print(*table([COLUMNS, *map(row, found)]), sep="\n")
            held = sum(map(is_found, found))
            print(
                f"\n{held} of {len(found)} found from each of {len(SEEDS)} seeds within "
                f"{MOST_EXAMPLES} examples and {MOST_SECONDS:.0f} s\n",
                flush=True,
            )
        cleared = list(pool.map(partial(acquit, frames=given.frames), innocent))
    accused = [each for results in cleared for each in results if each.check]
    for results in cleared:
        tested = sum(each.examples for each in results)
        refused = sum(each.refused for each in results)
        seconds = sum(each.seconds for each in results)
        print(
            f"{results[0].subject.name}: {tested} frames, {refused} refused and not counted, "
            f"{seconds:.0f} s, {sum(bool(each.check) for each in results) or 'none'} accused"
        )
    for each in accused:
        print(f"\n{each.subject.name}, seed {each.seed}: {each.failure}")
    return 1 if accused or not all(map(is_found, found)) else 0


if __name__ == "__main__":
    sys.exit(main())
