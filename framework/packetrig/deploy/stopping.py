"""Signals that ask a watcher to stop: noted, and looked at where it is safe to."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..errors import Error

_ASKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(Error):
    """Say that somebody asked the watcher to stop."""


class Stop:
    """Note that a signal came."""

    def __init__(self, wakes: int) -> None:
        self._wakes = wakes
        self.number = 0

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when a signal comes."""
        return self._wakes

    def note(self, number: int, _: FrameType | None) -> None:
        """Take a signal down; nothing else happens here."""
        self.number = self.number or number

    def check(self) -> None:
        """Go on, or not.

        Raises:
            Stopped: A signal came.
        """
        if self.number:
            raise Stopped(f"stopped by {signal.Signals(self.number).name}")


@contextmanager
def noted() -> Iterator[Stop]:
    """Note SIGTERM, SIGINT and SIGHUP for the length of a with block instead of dying of them."""
    wakes, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    stop = Stop(wakes)
    old = {}
    # In another thread than the main one signals cannot be caught: whoever runs us there does.
    is_main = threading.current_thread() is threading.main_thread()
    old_wake = signal.set_wakeup_fd(wake, warn_on_full_buffer=False) if is_main else -1
    try:
        if is_main:
            old = {number: signal.signal(number, stop.note) for number in _ASKED}
        yield stop
    finally:
        for number, was in old.items():
            signal.signal(number, was)
        if is_main:
            with contextlib.suppress(ValueError):
                signal.set_wakeup_fd(old_wake)
        os.close(wakes)
        os.close(wake)
