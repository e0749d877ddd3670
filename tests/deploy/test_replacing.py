"""Replacing a program under load loses no more frames than the kernel's own update does."""

from __future__ import annotations

from pathlib import Path

import pytest

from packetrig import Spec

from .replacing import bare, ours
from .rig import Rig

pytestmark = [pytest.mark.live, pytest.mark.slow]


def test_attach_loses_no_more_frames_than_a_link_update(
    machine: Rig, path: Path, filters: Spec
) -> None:
    least = bare(machine, filters, 4)
    own = ours(machine, path, 4)

    assert own.sent > 0
    assert own.lost <= least.lost
