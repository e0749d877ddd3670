"""What worker processes do in the tests of how they are held."""

from __future__ import annotations

import os
import sys

from packetrig.fuzz.processes import Line, Process


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
