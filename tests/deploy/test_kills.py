"""Ten of the kills that `make kills` does a hundred of."""

from __future__ import annotations

import pytest

from .kills import run

pytestmark = [pytest.mark.live, pytest.mark.slow]


def test_whenever_it_is_killed_the_interface_filters_and_the_way_back_is_known() -> None:
    report = run(10, seed=2026, modes=("native", "tc-ingress"))

    assert report.wrong == []
    assert (report.kills, report.arrived) == (10, 0)
    assert report.sent > 0
    assert report.misses <= 2  # the number of steps is not always the same
