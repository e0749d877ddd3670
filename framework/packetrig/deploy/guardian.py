"""A second process that puts the previous program back when the first one dies.

It is forked before anything is changed, in a session of its own, holds the lock of the spot
together with the watcher, and waits at a pipe whose other end dies with the watcher.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from pathlib import Path
from typing import NoReturn

from ..errors import Error
from . import recovery
from .places import Spot

_DONE = b"."


class Guardian:
    """Own the guardian process of a spot; `release()` sends it away."""

    def __init__(self, spot: Spot, lock: int) -> None:
        self._spot = spot
        self._lock = lock
        self._told, self._alive = -1, -1
        self.start()

    def start(self) -> None:
        """Start it; it is there when this returns."""
        theirs, self._told = os.pipe()
        self._alive, alive = os.pipe()
        try:
            child = os.fork()
            if not child:
                _detach(self._spot, theirs, alive, self._lock)
        finally:
            os.close(theirs)
            os.close(alive)
        with contextlib.suppress(ChildProcessError):  # whoever started us ignores SIGCHLD
            os.waitpid(child, 0)
        self.pid = int(os.read(self._alive, 16) or b"0")
        if not self.pid:
            raise Error(f"{self._spot.name}: its guardian could not be started: nothing is changed")

    @property
    def is_alive(self) -> bool:
        """Tell whether it is still there."""
        return not select.select([self._alive], [], [], 0)[0]

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the guardian dies."""
        return self._alive

    def restart(self) -> None:
        """Start another one in its place."""
        self._close()
        self.start()

    def release(self) -> None:
        """Send it away, and wait until it has gone: the lock is then ours alone."""
        if self._told < 0:
            return
        with contextlib.suppress(BrokenPipeError):
            os.write(self._told, _DONE)
        os.read(self._alive, 1)
        self._close()

    def _close(self) -> None:
        os.close(self._told)
        os.close(self._alive)
        self._told, self._alive = -1, -1


def _detach(spot: Spot, told: int, alive: int, lock: int) -> NoReturn:
    # The child of a child, whose parent is gone: no signal to the watcher's group or terminal, and
    # no wait of its shell, reaches it.
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        _guard(spot, told, alive, lock)
    except BaseException:  # it must never return into the watcher's code
        os._exit(1)


def _guard(spot: Spot, told: int, alive: int, lock: int) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)
    _close_all_but(told, alive, lock)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text("packetrig-guard", encoding="ascii")
    watcher = spot.folder / "lock"
    os.write(alive, str(os.getpid()).encode())
    if os.read(told, 1) == _DONE:
        os._exit(0)
    with contextlib.suppress(OSError):
        watcher.write_text(str(os.getpid()), encoding="ascii")
    try:
        recovery.recover(spot, "the process that watched it died")
    except Error:
        os._exit(1)  # the journal says what is left to do
    os._exit(0)


def _close_all_but(*kept: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    low = 3
    for number in sorted(kept):
        os.closerange(low, number)
        low = number + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
