"""What worker processes do in the tests of how they are held."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import packetrig
from packetrig.fuzz.processes import Line, Process

DIES = "PACKETRIG_TESTS_DIES"
ONCE = "PACKETRIG_TESTS_ONCE"


def echo(line: Line) -> None:
    """Send everything back."""
    while True:
        line.send(line.receive())


def told(line: Line) -> None:
    """Say where it runs."""
    line.send((os.sched_getaffinity(0), sys.path))


def busy(line: Line) -> None:
    """Look at nothing, for ever."""
    line.send("begun")
    while True:
        pass


def parent(work: str) -> None:
    """Be a parent: start a worker, say its process id, and wait to be killed."""
    worker = Process("worker 1", work)
    worker.send("begin")
    worker.receive()
    print(worker.pid, flush=True)
    worker.receive()


@packetrig.check
def it_kills_the_process(before: bytes, run: object) -> None:
    """End the worker that asks."""
    os.kill(os.getpid(), signal.SIGKILL)


@packetrig.check
def it_breaks(before: bytes, run: object) -> bool:
    """Be a check with a fault of its own."""
    return 1 // 0 == 1


@packetrig.check
def no_frame_has_an_even_length(before: bytes, run: object) -> bool:
    """Be wrong about most frames."""
    return len(before) % 2 == 1


_seen = 0


@packetrig.check
def one_life_ends(before: bytes, run: object) -> None:
    """End one of all the lives of a campaign's workers, in the middle of what it does."""
    global _seen  # noqa: PLW0603  # the worker's own count
    _seen += 1
    if _seen == 3_000:
        with suppress(FileNotFoundError):  # another one was first
            Path(os.environ[ONCE]).unlink()
            os.kill(os.getpid(), signal.SIGKILL)


@packetrig.check
def one_worker_dies(before: bytes, run: object) -> None:
    """End the worker that was told to die, in the middle of what it does."""
    global _seen  # noqa: PLW0603  # the worker's own count
    _seen += 1
    if _seen == 12_000 and os.environ.get(DIES):
        os.kill(os.getpid(), signal.SIGKILL)
