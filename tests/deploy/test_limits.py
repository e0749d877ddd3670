"""What a watched program is held to: counters, one limit at a time, and its share of traffic."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import packetrig
from packetrig import Error, Object, deploy
from packetrig.deploy import watch
from packetrig.deploy.watch import Limit, Sample, Unhealthy, Watch, Watcher

MAPS = Path(__file__).parents[1] / "kernel" / "sources" / "maps.bpf.c"


class Guardian:
    """Hear nothing."""

    def __getattr__(self, _: str) -> Callable[[], None]:
        return lambda: None


def test_a_command_that_ended_while_its_watcher_was_stopped_has_ended_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter((0.0,))

    def stopped() -> float:
        if (now := next(times, None)) is not None:
            return now
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        return 3600.0

    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=stopped))

    with deploy.noted() as stop:
        watch.run_command(Watch(command="exit 0", command_seconds=1), stop, Guardian())  # type: ignore[arg-type]


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


def watcher(*, seconds: float = 0) -> Watcher:
    """Make one that began to look `seconds` ago, when nothing had passed yet."""
    made = object.__new__(Watcher)
    made._plan = Watch(min_traffic=0.5, baseline=2)
    made._name = "eth0"
    made._start = made._window = sample(10 - seconds, 0, 0)
    made._before = (sample(0, 0, 0), sample(2, 200, 200))
    return made


def sample(at: float, received: int, sent: int) -> Sample:
    return Sample(at, {"rx_packets": received, "tx_packets": sent}, is_up=True)


@pytest.mark.parametrize(("received", "sent"), [(99, 200), (200, 99), (0, 0)])
def test_traffic_is_held_to_its_share_in_both_directions(received: int, sent: int) -> None:
    with pytest.raises(Unhealthy, match="eth0: traffic fell to "):
        watcher(seconds=2)._compare(sample(10, received, sent))


def test_traffic_is_compared_over_as_long_as_it_was_measured_before() -> None:
    watcher(seconds=1.9)._compare(sample(10, 0, 0))
    held = watcher(seconds=2)
    held._compare(sample(10, 100, 100))

    held._compare(sample(11.9, 100, 100))  # the next window has just begun
    with pytest.raises(Unhealthy, match=r"rx_packets: 100 a second before, 0 now"):
        held._compare(sample(12, 100, 300))
