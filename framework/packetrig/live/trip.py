"""What became of one frame on a wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Ended(Enum):
    """Say where a frame ended."""

    STACK = "stack"
    BACK = "back"
    ELSEWHERE = "elsewhere"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Trip:
    """Tell what became of one frame: what reached the far stack, what came back, what was counted.

    `counters` are those of the far interface's driver that moved: `xdp_drops`, `xdp_tx`,
    `xdp_redirect`... (native XDP only: the kernel counts nothing for the other hooks.)
    `elsewhere` has, by the name of the end that heard them, the frames that arrived at other ends
    of a wire with several ports.
    """

    frame: bytes
    passed: tuple[bytes, ...]
    returned: tuple[bytes, ...]
    counters: Mapping[str, int] = field(default_factory=dict)
    elsewhere: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)

    @property
    def ended(self) -> Ended:
        """Sum it up.

        `ELSEWHERE` is another end of the wire, or a redirect that native XDP counted and no end
        heard; such a redirect by another hook looks like `NOWHERE`.
        """
        if self.passed:
            return Ended.STACK
        if self.returned:
            return Ended.BACK
        if self.elsewhere or self.counters.get("xdp_redirect"):
            return Ended.ELSEWHERE
        return Ended.NOWHERE

    @property
    def port(self) -> str:
        """Name the end that heard the frame elsewhere; empty if none did, or several."""
        return next(iter(self.elsewhere)) if len(self.elsewhere) == 1 else ""


class Sent(list[bytes]):
    """Be the frames that reached the far stack, and say what else became of the one that was sent.

    >>> assert wire.send(blocked) == []
    >>> assert wire.send(answered).ended is Ended.BACK
    >>> assert wire.send(routed).port == "left2"
    """

    __slots__ = ("trip",)

    def __init__(self, trip: Trip) -> None:
        super().__init__(trip.passed)
        self.trip = trip

    @property
    def ended(self) -> Ended:
        """Say where the frame ended: STACK, BACK, ELSEWHERE or NOWHERE."""
        return self.trip.ended

    @property
    def port(self) -> str:
        """Name the end that heard the frame elsewhere (see Trip.port)."""
        return self.trip.port

    @property
    def returned(self) -> tuple[bytes, ...]:
        """Return the frames that came back to the sender."""
        return self.trip.returned
