"""The counters of an instrumented object: one kernel map for as long as the object lives.

They count what was executed, whatever becomes of maps and globals. So they are no section of the
user's, nothing puts them back, and loading the object again goes on with the same map.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable

from ._bpf import lib, profile, strerror
from ._bpf.libbpf import Opened
from .errors import LoadError

_MMAPABLE = 1 << 10


class CounterMaps:
    """Hold the maps of an object's counters, across renewals; empty for a plain object."""

    __slots__ = ("_fds", "mapped", "watchers")

    def __init__(self) -> None:
        # Told True when maps were made, and False before they are given back.
        self.watchers: list[Callable[[bool], None]] = []
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
        made = [m for m in opened.maps() if m.name in profile.SECTIONS and m.name not in self._fds]
        for found in made:
            fd = os.dup(lib.bpf_map__fd(found.handle))
            self._fds[found.name] = fd
            self.mapped[found.name] = mmap.mmap(fd, found.value_size, mmap.MAP_SHARED)
        for tell in self.watchers if made else ():
            tell(True)

    def close(self) -> None:
        """Give the maps back; does nothing the second time.

        Who still looks at counters keeps them mapped.
        """
        for tell in self.watchers if self._fds else ():
            tell(False)
        for fd in self._fds.values():
            os.close(fd)
        self.mapped.clear()
        self._fds.clear()
