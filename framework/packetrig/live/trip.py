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
    """

    frame: bytes
    passed: tuple[bytes, ...]
    returned: tuple[bytes, ...]
    counters: Mapping[str, int] = field(default_factory=dict)

    @property
    def ended(self) -> Ended:
        """Sum it up; `ELSEWHERE` is a native redirect, for other hooks it looks like `NOWHERE`."""
        if self.passed:
            return Ended.STACK
        if self.returned:
            return Ended.BACK
        return Ended.ELSEWHERE if self.counters.get("xdp_redirect") else Ended.NOWHERE
