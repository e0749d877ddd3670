"""Campaigns on a dask cluster: a real scheduler and real workers, one of which is killed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from packetrig.coverage import texts
from packetrig.errors import Error
from packetrig.fuzz import campaign, slices
from packetrig.fuzz.corpus import Corpus
from packetrig.fuzz.engine import Limits
from packetrig.fuzz.events import (
    Ended,
    Event,
    Found,
    NewEntry,
    StopReason,
    WorkerJoined,
    WorkerLeftOut,
    WorkerLost,
)
from packetrig.fuzz.finding import Finding
from packetrig.fuzz.fleet import Fleet, _Member
from packetrig.fuzz.hands import Order
from packetrig.fuzz.seeds import plain
from packetrig.fuzz.slices import Slice
from packetrig.fuzz.target import Recipe

from . import at_work
from .schedulers import Scheduler, needs_dask, scheduler

ROOT = Path(__file__).parents[2]
HTTP = ROOT / "progs" / "xdp_http.bpf.c"
DIES = f"import os\nos.environ['{at_work.DIES}'] = '1'\n"
WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-bpf,-sys_admin,-net_admin", "--inh-caps=-all")


@pytest.fixture(scope="module")
def started() -> Iterator[Scheduler]:
    with scheduler() as made:
        yield made


@pytest.fixture
def running(started: Scheduler) -> Iterator[Scheduler]:
    """Give a scheduler that has no workers yet."""
    yield started
    for worker in list(started.workers):
        started.kill(worker)


@needs_dask
@pytest.mark.slow
def test_a_worker_that_is_killed_in_its_slice_costs_no_run_no_entry_and_no_finding(
    running: Scheduler, tmp_path: Path
) -> None:
    dying = running.add(preload=DIES)
    recipe = Recipe.of(HTTP, checks=(at_work.one_worker_dies, at_work.no_frame_has_an_even_length))
    fleet = Fleet(recipe, running.address, seeds=plain(), corpus=Corpus(tmp_path), patience=60.0)
    events: list[Event] = []

    for event in fleet.events(Limits(runs=20_001)):
        events.append(event)
        if isinstance(event, WorkerLost):
            without_rights = running.add(before=WITHOUT_RIGHTS)
        elif isinstance(event, WorkerLeftOut):
            joining = running.add()

    of_workers = [each for each in events if isinstance(each, WorkerJoined | WorkerLost)]
    assert [(type(each), each.worker) for each in of_workers] == [
        (WorkerJoined, dying),
        (WorkerLost, dying),
        (WorkerJoined, joining),
    ]
    left_out = [each for each in events if isinstance(each, WorkerLeftOut)]
    assert [each.worker for each in left_out] == [without_rights]
    assert "this process lacks CAP_" in left_out[0].why
    ended = events[-1]
    assert isinstance(ended, Ended)
    assert (ended.reason, ended.runs) == (StopReason.RUNS, 20_001)
    assert set(ended.shares.values()) == {20_001 - ended.refused}
    entries = [each.frame for each in events if isinstance(each, NewEntry)]
    assert sorted(entries) == sorted(Corpus(tmp_path).load())
    assert len(entries) == ended.corpus > 20
    found = [each for each in events if isinstance(each, Found)]
    assert [each.check for each in found] == ["no_frame_has_an_even_length"]
    assert found[0].finding is not None
    assert found[0].finding.made.source == "progs/xdp_http.bpf.c"


@needs_dask
@pytest.mark.slow
def test_a_cluster_of_which_nobody_can_take_part_is_an_error_that_says_why(
    running: Scheduler,
) -> None:
    worker = running.add(before=WITHOUT_RIGHTS)

    fleet = Fleet(Recipe.of(HTTP), running.address, patience=60.0)

    def waiting_for_no_other() -> None:
        for event in fleet.events(Limits(runs=1)):
            if isinstance(event, WorkerLeftOut):
                fleet._patience = 0.0

    with pytest.raises(Error) as told:
        waiting_for_no_other()

    assert str(told.value).startswith(
        f"no worker of the dask scheduler at {running.address} can take part ({worker}: loading "
    )


def test_who_was_just_asked_is_waited_for_however_long_nobody_was_there() -> None:
    fleet = Fleet(Recipe.of(HTTP), "tcp://127.0.0.1:1")
    fleet._alone -= 1000
    with pytest.raises(Error, match="can take part .it has none."):
        fleet._check_somebody()

    fleet._members["tcp://127.0.0.1:2"] = _Member("tcp://127.0.0.1:2", 0)

    fleet._check_somebody()


def test_a_campaign_has_workers_of_one_kind() -> None:
    with pytest.raises(Error, match="workers= are processes of this machine"):
        list(campaign(HTTP, workers=2, scheduler="tcp://127.0.0.1:1"))


def test_a_slice_goes_on_where_the_one_before_ended() -> None:
    order = Order(Recipe.of(HTTP), 1, seeds=plain())

    first = slices.work(Slice("one", order, runs=100, seconds=60))
    second = slices.work(Slice("one", runs=50, frames=(bytes(64),), seconds=60))
    last = slices.work(Slice("one", seconds=0.0, is_last=True))
    after = slices.work(Slice("one", runs=50))

    assert first.started is not None and second.started is None
    assert [each.tally.runs for each in (first, second, last) if each.tally] == [100, 150, 150]
    assert after.is_new and not slices._sessions


def test_a_worker_that_hears_nothing_more_gives_its_programs_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slices, "_IDLE", 0.0)
    waiting = threading.enumerate()

    slices.work(Slice("five", Order(Recipe.of(HTTP), 1, seeds=plain()), runs=10))
    for each in threading.enumerate():
        if each not in waiting:
            each.join()

    assert not slices._sessions
    assert slices.work(Slice("five", runs=10)).is_new


def test_a_worker_that_cannot_load_the_program_says_why() -> None:
    plain = Recipe.of(HTTP)
    order = Order(Recipe(plain.plain, program="nobody"), 1)

    assert "no program named 'nobody'" in slices.work(Slice("two", order)).cannot
    assert not slices._sessions


def test_a_check_that_breaks_is_told_and_gives_the_programs_back() -> None:
    order = Order(Recipe.of(HTTP, checks=(at_work.it_breaks,)), 1, seeds=plain())

    assert "check it_breaks itself failed" in slices.work(Slice("three", order, runs=10)).broken
    assert not slices._sessions


ABORTS = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int aborts(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + 14 > end)
		return XDP_DROP;
	if (data[12] == 8) {
		data[0] = 1;
		return XDP_ABORTED;
	}
	return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
"""


def test_a_worker_without_the_sources_finds_the_same_at_the_same_place(tmp_path: Path) -> None:
    source = tmp_path / "aborts.bpf.c"
    source.write_text(ABORTS)
    recipe = Recipe.of(source)
    here = found_in(Order(recipe, 1, seeds=plain()))
    carried = {str(source): ABORTS}

    source.unlink()
    there = found_in(Order(recipe, 1, seeds=plain(), texts=carried))
    texts.give({})

    assert here.place.line == 12 and here.place.code == "return XDP_ABORTED;"
    assert (there.id, there.place) == (here.id, here.place)
    assert found_in(Order(recipe, 1, seeds=plain())).place.code == ""


def found_in(order: Order) -> Finding:
    report = slices.work(Slice("four", order, runs=200, seconds=60, is_last=True))
    found = next(each for each in report.events if isinstance(each, Found))
    assert found.finding is not None
    return found.finding
