"""A second process that puts the previous program back when the first one dies.

It is forked before anything is changed, in a session of its own, holds the lock of the spot
together with the watcher, and listens at a socket whose other end dies with the watcher. A watcher
that gives no sign of life any more is stopped, or hangs: nobody watches, so it is ended.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from ..errors import Error
from . import recovery
from .places import Spot

BEAT = 1.0  # seconds between two signs of life of whoever watches
# So many waits in a row for one, each of them in vain. They are counted, not timed: a machine that
# was suspended, or is too busy to run either of the two, is one wait and not many.
SILENT = 30
_DONE, _BEAT, _QUIET, _GROUP = b"done", b"beat", b"quiet", b"group"
_DIED = "the process that watched it died"
_HUNG = "the process that watched it was stopped, or hung"

# Given seconds, or None: what was said meanwhile, b"" at the end, None when it was nothing.
Hear = Callable[[float | None], bytes | None]


class Guardian:
    """Own the guardian process of a spot; `release()` sends it away."""

    def __init__(self, spot: Spot, lock: int) -> None:
        self._spot = spot
        self._lock = lock
        self._told: socket.socket | None = None
        self._alive, self._process = -1, -1
        self.start()

    def start(self) -> None:
        """Start it; it is there when this returns."""
        # Whole words, and no SIGPIPE for whoever speaks when nobody is left to hear.
        theirs, self._told = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._alive, alive = os.pipe()
        watcher = os.pidfd_open(os.getpid())
        try:
            child = os.fork()
            if not child:
                _detach(self._spot, theirs.fileno(), alive, self._lock, watcher)
        finally:
            theirs.close()
            os.close(alive)
            os.close(watcher)
        with contextlib.suppress(ChildProcessError):  # whoever started us ignores SIGCHLD
            os.waitpid(child, 0)
        self.pid = int(os.read(self._alive, 16) or b"0")
        if not self.pid:
            raise Error(f"{self._spot.name}: its guardian could not be started: nothing is changed")
        with contextlib.suppress(ProcessLookupError):
            self._process = os.pidfd_open(self.pid)

    @property
    def is_alive(self) -> bool:
        """Tell whether it is still there."""
        return not select.select([self._alive], [], [], 0)[0]

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the guardian dies."""
        return self._alive

    def beat(self) -> None:
        """Give a sign of life, and promise the next one within `BEAT` seconds."""
        self._tell(_BEAT)

    def quiet(self) -> None:
        """Take the promise back: nobody watches for the time being."""
        self._tell(_QUIET)

    def join(self) -> None:
        """Say that this process leads a group that must end with the watcher."""
        self._tell(b"%s %d" % (_GROUP, os.getpid()))

    def parted(self) -> None:
        """Say that the group has ended."""
        self._tell(b"%s 0" % _GROUP)

    def _tell(self, word: bytes) -> None:
        if self._told is None:
            return
        # A guardian that is stopped itself hears nothing, and must not be waited for.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, BlockingIOError):
            self._told.send(word, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def ensure(self) -> None:
        """Start another one in its place if it was killed."""
        if not self.is_alive:
            self._close()
            self.start()

    def release(self) -> None:
        """Send it away, and wait until it has gone: the lock is then ours alone."""
        if self._told is None:
            return
        self._tell(_DONE)
        if not select.select([self._alive], [], [], BEAT * SILENT)[0] and self._process >= 0:
            signal.pidfd_send_signal(self._process, signal.SIGKILL)  # somebody stopped it
        os.read(self._alive, 1)
        self._close()

    def _close(self) -> None:
        if self._told is not None:
            self._told.close()
        for fd in (self._alive, self._process):
            if fd >= 0:
                os.close(fd)
        self._told, self._alive, self._process = None, -1, -1


def vigil(hear: Hear) -> tuple[str, int]:
    """Listen to a watcher; return why it watches no longer, and the group that ends with it.

    The reason is "" when it said that it is done.
    """
    group, silent = 0, 0
    patience: float | None = None  # it promises nothing before it begins to watch
    while True:
        word = hear(patience)
        if word is None:
            silent += 1
            if silent == SILENT:
                return _HUNG, group
            continue
        silent = 0
        kind, _, number = word.partition(b" ")
        if not kind:
            return _DIED, group
        if kind == _DONE:
            return "", 0
        if kind == _GROUP:
            group = int(number)
        else:
            patience = BEAT if kind == _BEAT else None


def _detach(spot: Spot, told: int, alive: int, lock: int, watcher: int) -> NoReturn:
    # The child of a child, whose parent is gone: no signal to the watcher's group or terminal, and
    # no wait of its shell, reaches it.
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        _guard(spot, told, alive, lock, watcher)
    except BaseException:  # it must never return into the watcher's code
        os._exit(1)


def _guard(spot: Spot, told: int, alive: int, lock: int, watcher: int) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)
    _close_all_but(told, alive, lock, watcher)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text("packetrig-guard", encoding="ascii")

    def hear(seconds: float | None) -> bytes | None:
        return os.read(told, 64) if select.select([told], [], [], seconds)[0] else None

    with contextlib.suppress(BrokenPipeError):  # the watcher was killed just now
        os.write(alive, str(os.getpid()).encode())
    why, group = vigil(hear)
    if not why:
        os._exit(0)
    _end(watcher, group, hear)
    with contextlib.suppress(OSError):
        (spot.folder / "lock").write_text(str(os.getpid()), encoding="ascii")
    try:
        recovery.recover(spot, why)
    except Error:
        os._exit(1)  # the journal says what is left to do
    os._exit(0)


def _end(watcher: int, group: int, hear: Hear) -> None:
    """End a watcher that may be there still: two must not work at one spot; and what it started."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(watcher, signal.SIGKILL)
    # From here on it does nothing, even if the kernel holds on to it.
    for _ in range(SILENT):
        if hear(BEAT) == b"":
            break
    if group:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def _close_all_but(*kept: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    low = 3
    for number in sorted(kept):
        os.closerange(low, number)
        low = number + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
