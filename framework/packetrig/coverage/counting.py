"""The counters of a loaded object, read and cleared while its programs run."""

from __future__ import annotations

from typing import Any

from .._bpf import ffi, profile
from ..errors import Error
from ..objects import Object


class Counters:
    """Look at the counters of an instrumented object; they outlive `renew()` and `reload()`.

        counters = Counters(firewall)
        firewall.run(frame)
        profile.proftext(counters.take())

    `address` points to `size` bytes of u64 counters, for C; hold this object as long as C does.
    """

    def __init__(self, found: Object) -> None:
        self._mapped = found.counters.mapped.get(profile.COUNTERS)
        if self._mapped is None:
            raise Error(f"{found.spec.name} has no counters: packetrig.coverage.instrument() it")
        self._bits = found.counters.mapped.get(profile.BITMAPS)
        described = found.spec.profile
        self.size = described.counters_size if described else len(self._mapped)
        self._view: Any = ffi.from_buffer(self._mapped, require_writable=True)
        self.address: Any = ffi.cast("uint64_t *", self._view)

    def take(self) -> bytes:
        """Return the counters as they are now."""
        assert self._mapped is not None
        return self._mapped[: self.size]

    def take_bitmap(self) -> bytes:
        """Return the bitmap of conditions (MC/DC); empty where the object has none."""
        return b"" if self._bits is None else self._bits[:]

    def clear(self) -> None:
        """Set all counters to zero."""
        assert self._mapped is not None
        self._mapped[: self.size] = bytes(self.size)
        if self._bits is not None:
            self._bits[:] = bytes(len(self._bits))
