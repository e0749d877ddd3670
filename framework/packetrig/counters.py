"""The counters of an instrumented object: one kernel map for as long as the object lives.

They count what was executed, whatever becomes of maps and globals. So they are no section of the
user's, nothing puts them back, and loading the object again goes on with the same map.
"""

from __future__ import annotations

import mmap
import os

from ._bpf import lib, profile, strerror
from ._bpf.libbpf import Opened
from .errors import LoadError

_MMAPABLE = 1 << 10


class CounterMaps:
    """Hold the maps of an object's counters, across renewals; empty for a plain object."""

    __slots__ = ("_fds", "mapped")

    def __init__(self) -> None:
        self._fds: dict[str, int] = {}
        self.mapped: dict[str, mmap.mmap] = {}

    def prepare(self, opened: Opened) -> None:
        """Before a loading: take the maps that there are, or ask for ones that can be mapped."""
        for found in opened.maps():
            if found.name not in profile.SECTIONS:
                continue
            if found.name in self._fds:
                error = lib.bpf_map__reuse_fd(found.handle, self._fds[found.name])
            else:
                error = lib.bpf_map__set_map_flags(found.handle, found.flags | _MMAPABLE)
            if error:
                raise LoadError(f"{opened.name}: its counters: {strerror(-error)}")

    def keep(self, opened: Opened) -> None:
        """After the first loading: hold the maps, and map them into this process."""
        for found in opened.maps():
            if found.name not in profile.SECTIONS or found.name in self._fds:
                continue
            fd = os.dup(lib.bpf_map__fd(found.handle))
            self._fds[found.name] = fd
            self.mapped[found.name] = mmap.mmap(fd, found.value_size, mmap.MAP_SHARED)

    def close(self) -> None:
        """Give the maps back; does nothing the second time.

        Who still looks at counters keeps them mapped.
        """
        for fd in self._fds.values():
            os.close(fd)
        self.mapped.clear()
        self._fds.clear()
