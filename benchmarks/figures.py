"""What is measured, how it is judged, and the table that says so."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SMALL = HERE / "xdp_small.bpf.c"

# The smallest frame that Ethernet carries: UDP over IPv4, padded to 60 bytes.
FRAME = bytes.fromhex(
    "02000000000202000000000108004500001c0001000040116ccf0a0000010a00000230390035000847a0"
).ljust(60, b"\0")


@dataclass(frozen=True, slots=True)
class Figure:
    """One promise: the median of `samples` is at most `target`."""

    name: str
    unit: str
    target: float
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def is_held(self) -> bool:
        return self.median <= self.target

    def row(self) -> tuple[str, str, str, str]:
        def show(value: float) -> str:
            return f"{value:.2f}{self.unit}"

        spread = f"{show(self.median)}  ({show(min(self.samples))} to {show(max(self.samples))})"
        return self.name, f"<= {self.target:g}{self.unit}", spread, "yes" if self.is_held else "NO"


def table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def took_ms(work: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - start) / 1e6


def pair_by_pair(
    first: Callable[[], float], second: Callable[[], float], *, pairs: int
) -> list[tuple[float, float]]:
    """Measure two things in turn, so that whatever slows the machine down slows down both."""
    first(), second()  # warm both up
    seen = []
    for number in range(pairs):
        if number % 2:
            after = second()
            seen.append((first(), after))
        else:
            seen.append((first(), second()))
    return seen


def command_ms(
    command: Sequence[str], *, cwd: Path = HERE, environment: Mapping[str, str] | None = None
) -> float:
    """Run a command, quietly; a failing one is an error with what it printed."""

    def work() -> None:
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")

    return took_ms(work)
