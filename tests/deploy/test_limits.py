"""The counters that a watched program is held to, one limit at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import packetrig
from packetrig import Error, Object
from packetrig.deploy.watch import Limit, Unhealthy

MAPS = Path(__file__).parents[1] / "kernel" / "sources" / "maps.bpf.c"


@pytest.fixture(scope="module")
def counted() -> Iterator[Object]:
    """Load maps of several shapes, with something in them."""
    with packetrig.build(MAPS).load() as loaded:
        loaded.maps.numbers[1] = 5
        loaded.maps.blocked["10.0.0.1"] = 5
        loaded.maps.drops[0] = [5] * len(loaded.maps.drops[0])
        yield loaded


@pytest.mark.parametrize(
    ("sign", "held"),
    [
        ("<", {6}),
        ("<=", {5, 6}),
        ("==", {5}),
        ("!=", {4, 6}),
        (">=", {4, 5}),
        (">", {4}),
    ],
)
def test_a_limit_says_what_its_sign_says(counted: Object, sign: str, held: set[int]) -> None:
    def holds(number: int) -> bool:
        try:
            Limit.read(f"numbers[1]{sign}{number}").hold(counted)
        except Unhealthy:
            return False
        return True

    assert {number for number in (4, 5, 6) if holds(number)} == held


def test_a_counter_is_summed_over_all_processors(counted: Object) -> None:
    assert Limit.read("drops[0]>0").value(counted) == 5 * len(counted.maps.drops[0])


def test_a_key_that_is_not_there_counts_nothing(counted: Object) -> None:
    assert Limit.read("blocked[10.0.0.1]==5").value(counted) == 5
    assert Limit.read("blocked[10.0.0.2]==0").value(counted) == 0


def test_a_global_is_a_counter_and_so_is_a_field_of_one(counted: Object) -> None:
    Limit.read("level==9").hold(counted)
    Limit.read("fixed.low==7").hold(counted)
    with pytest.raises(Unhealthy, match="counter fixed.low==8 does not hold: it is 7"):
        Limit.read("fixed.low==8").hold(counted)
    with pytest.raises(Error, match="is no number but Record"):
        Limit.read("fixed==7").hold(counted)
