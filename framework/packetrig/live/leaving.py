"""What a closed wire leaves to do is done beside the test, and joined before the process ends.

The kernel waits for an RCU grace period (4 to 12 ms) when a packet socket is closed. Nobody who
has closed a wire needs to wait for that: the sockets are closed in threads of their own, and the
namespace dies with the last of them. `finish()` waits for all of it; pytest's session does so at
its end, and a fork waits first, so that a child never inherits half of it. An interpreter that
ends may leave it to the kernel, which closes what a process had open.
"""

from __future__ import annotations

import _thread
import os
import threading
from collections.abc import Callable, Iterable

from .parking import PARKING

_MOST = 64  # closings under way; whoever closes wires faster than the kernel does waits here

# The one list of what is under way, each held until it is done: they belong to the process, not to
# the wire that is gone.
_under_way: list[_thread.LockType] = []
_lock = threading.Lock()


def later(closers: Iterable[Callable[[], object]]) -> None:
    """Call each of them in a thread of its own: waits for a grace period are shared that way."""
    for closer in closers:
        # Not threading.Thread, whose start() waits until the new thread had its turn.
        done = _thread.allocate_lock()
        done.acquire()
        _thread.start_new_thread(_close, (closer, done))
        with _lock:
            _under_way.append(done)
    with _lock:
        _under_way[:] = [done for done in _under_way if done.locked()]
    _join(_MOST)


def _close(closer: Callable[[], object], done: _thread.LockType) -> None:
    try:
        closer()
    finally:
        done.release()


def finish() -> None:
    """Wait until nothing of the wires that were closed is held any more.

    For whoever counts descriptors or programs afterwards; nobody else needs it.
    """
    _join()
    PARKING.clear()


def _join(most: int = 0) -> None:
    while True:
        with _lock:
            if len(_under_way) <= most:
                return
            first = _under_way.pop(0)
        first.acquire()


os.register_at_fork(before=_join)
