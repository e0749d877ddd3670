"""Worker processes: how they begin, what ends them, and that none is left."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from packetrig.fuzz import processes
from packetrig.fuzz.processes import Process

Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start workers that are ended after the test."""
    started: list[Process] = []

    def begin(work: str, **kwargs: int) -> Process:
        started.append(Process("worker 1", f"tests.fuzz.at_work:{work}", **kwargs))
        return started[-1]

    yield begin
    for each in started:
        each.end()


@contextmanager
def a_parent(work: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a process that starts a worker; give it, and a pidfd of the worker."""
    code = f"from tests.fuzz import at_work; at_work.parent('tests.fuzz.at_work:{work}')"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        worker = os.pidfd_open(int(process.stdout.readline()))
        try:
            yield process, worker
        finally:
            process.kill()
            os.close(worker)


def has_ended(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], 60)[0])


def test_what_is_sent_to_a_worker_is_received(start: Start) -> None:
    worker = start("echo")

    worker.send({"frames": [b"\0" * 1_000_000]})

    assert processes.heard([worker], None) == [worker]
    assert worker.receive() == {"frames": [b"\0" * 1_000_000]}


def test_a_worker_sees_the_modules_of_its_parent_and_stays_on_its_core(start: Start) -> None:
    last = max(os.sched_getaffinity(0))

    affinity, path = start("told", cpu=last).receive()

    assert affinity == {last}
    assert path == sys.path


def test_more_workers_than_cores_are_tied_to_none() -> None:
    allowed = sorted(os.sched_getaffinity(0))

    assert processes.cores(len(allowed)) == allowed
    assert processes.cores(len(allowed) + 1) == [None] * (len(allowed) + 1)


def test_a_worker_that_is_killed_hangs_up_and_says_by_what(start: Start) -> None:
    worker = start("echo")

    os.kill(worker.pid, signal.SIGKILL)

    assert processes.heard([worker], None) == [worker]
    with pytest.raises(EOFError):
        worker.receive()
    assert worker.wait() == "it was ended by SIGKILL, as the kernel does when memory runs out"


def test_sending_to_a_worker_that_is_gone_is_no_error(start: Start) -> None:
    worker = start("told")
    worker.receive()
    with pytest.raises(EOFError):
        worker.receive()

    worker.send("anything")

    assert worker.wait() == "it ended with exit code 0"


def test_a_worker_does_not_see_ctrl_c(start: Start) -> None:
    worker = start("echo")
    os.kill(worker.pid, signal.SIGINT)

    worker.send("still here")

    assert worker.receive() == "still here"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("work", ["busy", "echo"])
def test_a_worker_ends_with_its_parent_however_that_ends(work: str, how: signal.Signals) -> None:
    with a_parent(work) as (process, worker):
        process.send_signal(how)

        assert has_ended(worker)
