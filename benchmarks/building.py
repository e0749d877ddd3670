"""Measure a compile cache hit, and the open, load and close of a small program."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from figures import SMALL, Figure, took_ms

# In a new process each time: what a person's next command pays, with nothing remembered.
FIRST_HIT = """
import sys, time
from packetrig import toolchain
start = time.perf_counter_ns()
built = toolchain.compile(sys.argv[1])
print((time.perf_counter_ns() - start) / 1e6 if built.cached else "not cached")
"""


def first_hit_ms() -> float:
    command = [sys.executable, "-c", FIRST_HIT, str(SMALL)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def figures() -> Iterator[Figure]:
    import packetrig
    from packetrig import toolchain

    built = toolchain.compile(SMALL)
    yield Figure("compile cache hit", " ms", 5, tuple(first_hit_ms() for _ in range(11)))

    def open_load_close() -> None:
        packetrig.Spec.read(built.object).load().close()

    open_load_close()
    samples = tuple(took_ms(open_load_close) for _ in range(201))
    yield Figure("open, load and close of a small program", " ms", 1, samples)
