"""Stay on one processor: a test run happens where its caller is, and per-CPU maps count there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..errors import InputRefused
from . import lib


@contextmanager
def one_processor() -> Iterator[None]:
    """Keep the calling thread on the processor that it is on, for the length of a with block.

    Which one does not matter: sessions side by side stay where the scheduler has put them.
    Processes and threads that are started inside stay there as well.
    """
    with _home_again():
        # Taken off from outside in this moment: better anywhere than nowhere.
        with suppress(OSError):
            os.sched_setaffinity(0, {lib.sched_getcpu()})
        yield


@contextmanager
def processor(number: int | None) -> Iterator[None]:
    """Keep the calling thread on that processor, for the length of a with block; None: anywhere.

    Raises:
        InputRefused: There is none of that number, or this process may not run there.
    """
    if number is None:
        yield
        return
    with _home_again():
        try:
            os.sched_setaffinity(0, {number})
        except (OSError, OverflowError, TypeError, ValueError) as e:
            raise InputRefused(f"cpu={number!r}: this process cannot run there: {e}") from None
        yield


@contextmanager
def _home_again() -> Iterator[None]:
    home = os.sched_getaffinity(0)
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, home)
