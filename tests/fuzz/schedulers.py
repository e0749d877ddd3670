"""A dask scheduler and workers of a test's own: real processes, on loopback, on any free port."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="the extra `cluster` is not installed"
)
_LOOPBACK = ("--host", "127.0.0.1", "--no-dashboard")


@dataclass
class Scheduler:
    """Hold a scheduler, and start workers for it."""

    address: str
    process: subprocess.Popen[str]
    _stack: ExitStack
    workers: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def add(self, *, preload: str = "", before: Sequence[str] = ()) -> str:
        """Start a worker, and wait until the scheduler knows it; its address.

        `preload` is Python that it runs first; `before` stands in front of its command.
        """
        words = [*before, sys.executable, "-m", "distributed.cli.dask_worker", self.address]
        words += [*_LOOPBACK, "--nthreads", "1", "--no-nanny"]
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        if preload:
            file = Path(folder, "preload.py")
            file.write_text(preload)
            words += ["--preload", str(file)]
        process = self._stack.enter_context(_running([*words, "--local-directory", folder]))
        address = _said(process, "Start worker at:")
        _said(process, "Registered to:")
        self.workers[address] = process
        return address

    def kill(self, worker: str) -> None:
        """End a worker by SIGKILL."""
        process = self.workers.pop(worker)
        process.kill()
        process.wait()


@contextmanager
def scheduler() -> Iterator[Scheduler]:
    """Start a scheduler; it and its workers are gone afterwards."""
    with ExitStack() as stack:
        words = [sys.executable, "-m", "distributed.cli.dask_scheduler", *_LOOPBACK, "--port", "0"]
        process = stack.enter_context(_running(words))
        yield Scheduler(_said(process, "Scheduler at:"), process, stack)


@contextmanager
def _running(words: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a process in a folder of its own; it ends with this one, however that ends."""
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *words],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=folder,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def _said(process: subprocess.Popen[str], what: str) -> str:
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if what in line:
            return line.partition(what)[2].strip()
    raise AssertionError(f"it ended: {''.join(lines)}")
