"""A process of this machine that works for a campaign, and the line to it.

It is a new interpreter, not a fork: the campaign's own process may have threads, mapped sections
and descriptors of the kernel that no child should share. It sees the same modules as its parent,
runs on one core where there are enough, and ends with its parent however that ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from socket import socketpair
from typing import Any

from .._bpf import lib

_START = (
    "import sys; sys.path[:] = {path!r}; from packetrig.fuzz.processes import enter; enter({to})"
)


class Process:
    """Hold one worker process: `send` to it, `receive` from it, `end` it."""

    def __init__(self, name: str, work: str, *, cpu: int | None = None) -> None:
        """Start it; `work` is the function that it runs, as "module:name"."""
        self.name = name
        ours, theirs = socketpair()
        with ours, theirs:
            to = f"{theirs.fileno()}, {os.getpid()}, {work!r}, {cpu!r}"
            self._process = _start(_START.format(path=sys.path, to=to), theirs.fileno())
            self.line = Connection(ours.detach())

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def send(self, message: object) -> None:
        """Send a message; one that it does not live to read is lost with it."""
        with suppress(OSError):  # that it is gone is seen when its line is read
            self.line.send(message)

    def receive(self) -> Any:
        """Wait for a message.

        Raises:
            EOFError: It is gone.
        """
        try:
            return self.line.recv()
        except OSError as e:
            raise EOFError from e

    def end(self) -> str:
        """End it, if it has not ended; say how it did."""
        self.line.close()
        if self._process.poll() is None:
            self._process.kill()
        return _how(self._process.wait())

    def wait(self) -> str:
        """Wait for the end of a process that hung up; say how it ended."""
        self.line.close()
        return _how(self._process.wait())


def heard(processes: Sequence[Process], timeout: float | None) -> list[Process]:
    """Wait until some of the processes have something to say, or are gone."""
    ready = set(wait([each.line for each in processes], timeout))
    return [each for each in processes if each.line in ready]


def cores(count: int) -> list[int | None]:
    """Give each of so many workers a core of its own, or none of them when there are too few."""
    allowed = sorted(os.sched_getaffinity(0))
    return [*allowed[:count]] if count <= len(allowed) else [None] * count


def _start(code: str, fd: int) -> subprocess.Popen[bytes]:
    # Ctrl-C at a terminal goes to all processes of a group; this one is ended by its parent. The
    # signal is held back from before it exists until it ignores it.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.DEVNULL, pass_fds=[fd]
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _how(code: int) -> str:
    if code >= 0:
        return f"it ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = ", as the kernel does when memory runs out" if -code == signal.SIGKILL else ""
    return f"it was ended by {name}{hint}"


class Line:
    """Hold the worker's end of the line; what the parent sends is read as it comes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._messages: deque[Any] = deque()
        self._news = threading.Semaphore(0)
        threading.Thread(target=self._read, name="packetrig-line", daemon=True).start()

    def _read(self) -> None:
        # Reading all the time keeps the two from waiting for each other with full sockets.
        try:
            while True:
                self._messages.append(self._connection.recv())
                self._news.release()
        except (EOFError, OSError):
            os._exit(0)  # nobody is left to work for

    def send(self, message: object) -> None:
        """Send to the parent; a parent that is gone ends this process."""
        try:
            self._connection.send(message)
        except OSError:
            os._exit(0)

    def receive(self) -> Any:
        """Wait for the next message."""
        self._news.acquire()
        return self._messages.popleft()

    def waiting(self) -> list[Any]:
        """Take the messages that are there."""
        taken = []
        while self._news.acquire(blocking=False):
            taken.append(self._messages.popleft())
        return taken


def enter(fd: int, parent: int, work: str, cpu: int | None) -> None:
    """Begin to work, in the new process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    lib.pr_die_with_parent()
    if os.getppid() != parent:
        return  # it died before it could be asked for a signal
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    module, _, name = work.partition(":")
    function: Callable[[Line], None] = getattr(__import__(module, fromlist=[name]), name)
    function(Line(Connection(fd)))
