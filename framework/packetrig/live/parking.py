"""Keep an XDP program in the kernel's dispatcher, so that a test waits for that once and not twice.

Whenever an XDP program is attached to its first interface, and when it leaves its last, the kernel
rewrites its dispatcher and waits for an RCU grace period, 5 to 15 ms, under the lock of all
interfaces (Linux 75ccbef3136d, "bpf: Introduce BPF dispatcher", v5.6). So a program that goes onto
a wire is first put onto the loopback of a namespace where no frame ever comes, in the place of the
one that was there before: one wait for both. On the wire, attaching and detaching then take 1 ms
each, and mean what they say: the program is gone from the wire when the block ends.

A parked program stays loaded until the next one takes its place, `finish()`, or the process's end.
What cannot be parked (no bpf_link, an old kernel) is attached all the same, only slower.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .. import _bpf
from ..errors import Error
from .namespace import Namespace

_BPF_XDP, _SKB_MODE = 37, 2
_LOOPBACK = 1  # its index in every namespace
_MOST = 4  # programs that are on wires at the same time


class _Place:
    # A namespace, and the link of the program on its loopback.
    __slots__ = ("link", "namespace", "program", "users")

    def __init__(self) -> None:
        self.namespace = Namespace()
        self.link = -1
        self.program = 0
        self.users = 0

    def put(self, fd: int, number: int) -> bool:
        if self.link >= 0 and _bpf.lib.pr_link_update(self.link, fd, -1) == 0:
            self.program = number
            return True
        self.leave()
        with self.namespace.inside():
            link: int = _bpf.lib.pr_link_create(fd, _LOOPBACK, _BPF_XDP, _SKB_MODE)
        self.link, self.program = (link, number) if link >= 0 else (-1, 0)
        return link >= 0

    def leave(self) -> None:
        if self.link >= 0:
            os.close(self.link)
        self.link, self.program = -1, 0


class Parking:
    """Hold programs while they are on wires; `PARKING` is the process's only one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: list[_Place] = []

    @contextmanager
    def held(self, fd: int, number: int) -> Iterator[None]:
        """Park the program with this kernel id for the length of a with block, if that can be."""
        with self._lock:
            place = self._take(fd, number)
        try:
            yield
        finally:
            if place:
                with self._lock:
                    place.users -= 1

    def _take(self, fd: int, number: int) -> _Place | None:
        same = [place for place in self._places if place.program == number]
        free = [place for place in self._places if not place.users]
        place = next(iter(same or free), None)
        if place is None:
            if len(self._places) == _MOST:
                return None
            try:
                place = _Place()
            except Error:
                return None
            self._places.append(place)
        if place.program != number and not place.put(fd, number):
            return None
        place.users += 1
        return place

    def forget(self) -> None:
        """Close a forked child's copies; the programs stay where the parent has parked them."""
        self._lock = threading.Lock()
        for place in self._places:
            place.leave()
            place.namespace.close()
        self._places = []

    def clear(self) -> None:
        """Let go of every program that is on no wire."""
        with self._lock:
            for place in [place for place in self._places if not place.users]:
                self._places.remove(place)
                place.leave()
                place.namespace.close()


# One for the process: what it spares is a wait between two wires that know nothing of each other.
PARKING = Parking()
os.register_at_fork(after_in_child=PARKING.forget)
