"""Ten of the kills that `make kills` does a hundred of."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from .kills import Kills, Report, run
from .rig import Rig

pytestmark = [pytest.mark.live, pytest.mark.slow]


def test_whenever_it_is_killed_the_interface_filters_and_the_way_back_is_known() -> None:
    report = run(10, seed=2026, modes=("native", "tc-ingress"))

    assert report.wrong == []
    assert (report.kills, report.arrived) == (10, 0)
    assert report.sent > 0
    assert report.misses <= 2  # the number of steps is not always the same


@pytest.mark.parametrize("mode", ["native", "tc-ingress"])
def test_a_first_attach_that_is_killed_leaves_all_of_it_or_nothing(
    machine: Rig, path: Path, mode: str
) -> None:
    report = Report()
    kills = Kills(machine, path, mode, report)
    chance = random.Random(mode)
    steps = int(machine(*kills.words("attach"), count=True, steady=True).err.split()[-1])
    machine("detach", "--iface", "right")

    for _ in range(3):
        at = chance.randrange(steps // 4, steps)
        then = chance.randrange(1, 15_000)
        machine(*kills.words("attach"), kill="both", at=at, then=then, steady=True)
        machine.settled()
        assert [each["program_id"] for each in machine.status() if each["program_id"]] == (
            kills.programs()
        )
        assert machine("attach", "--recover").code == 0
        if kills.programs():  # it was done
            assert machine("detach", "--iface", "right").code == 0
        assert (kills.programs(), machine.status(), machine.pins()) == ([], [], [])
