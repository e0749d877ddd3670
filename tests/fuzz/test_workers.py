"""Campaigns on several cores: real processes, some of which are killed."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import packetrig
from packetrig.errors import Error, Failure
from packetrig.fuzz.corpus import Corpus
from packetrig.fuzz.engine import Limits
from packetrig.fuzz.events import (
    Ended,
    Event,
    Found,
    NewEntry,
    Progress,
    Started,
    StopReason,
    WorkerJoined,
    WorkerLost,
)
from packetrig.fuzz.hands import Tally
from packetrig.fuzz.merging import Merged
from packetrig.fuzz.seeds import plain
from packetrig.fuzz.target import Recipe
from packetrig.fuzz.workers import Crew

from . import at_work

ROOT = Path(__file__).parents[2]
HTTP = ROOT / "progs" / "xdp_http.bpf.c"
SCRIPT = """
import sys
from packetrig.fuzz.engine import Limits
from packetrig.fuzz.events import NewEntry
from packetrig.fuzz.target import Recipe
from packetrig.fuzz.workers import Crew
try:
    for event in Crew(Recipe.of(sys.argv[1]), 2, seeds=[bytes(64)]).events(Limits()):
        if not isinstance(event, NewEntry):
            print(event, flush=True)
except KeyboardInterrupt:
    print("StopReason.INTERRUPTED between two events")
"""


@pytest.fixture(scope="module")
def http() -> Recipe:
    return Recipe.of(HTTP)


def children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def pid_of(joined: WorkerJoined) -> int:
    found = re.match(r"process (\d+), ", joined.where)
    assert found
    return int(found[1])


@pytest.mark.slow
def test_two_workers_share_the_runs_and_what_they_find(http: Recipe, tmp_path: Path) -> None:
    before = children()

    events = list(
        Crew(http, 2, seed=7, seeds=plain(), corpus=Corpus(tmp_path)).events(Limits(runs=20_001))
    )

    started, *_ = [each for each in events if isinstance(each, Started)]
    ended = events[-1]
    entries = [each.frame for each in events if isinstance(each, NewEntry)]
    assert isinstance(ended, Ended)
    assert (ended.reason, ended.runs) == (StopReason.RUNS, 20_001)
    assert started.seed == 7 and set(started.checks) == set(ended.shares)
    assert set(ended.shares.values()) == {20_001 - ended.refused}
    assert ended.branches > 80 and ended.totals
    assert sorted(entries) == sorted(Corpus(tmp_path).load())
    assert len(entries) == len(set(entries)) == ended.corpus
    assert children() == before


@pytest.mark.slow
def test_a_worker_that_is_killed_is_named_and_replaced_and_no_run_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "once").touch()
    monkeypatch.setenv(at_work.ONCE, str(tmp_path / "once"))
    recipe = Recipe.of(HTTP, checks=(at_work.one_life_ends,))

    events = list(Crew(recipe, 2, seeds=plain()).events(Limits(runs=20_000)))

    (lost,) = [each for each in events if isinstance(each, WorkerLost)]
    assert [each.worker for each in events if isinstance(each, WorkerJoined)] == [
        "worker 1",
        "worker 2",
        lost.worker,
    ]
    assert lost.why == "it was ended by SIGKILL, as the kernel does when memory runs out"
    assert lost.is_replaced
    assert isinstance(events[-1], Ended)
    assert (events[-1].reason, events[-1].runs) == (StopReason.RUNS, 20_000)


@pytest.mark.slow
def test_workers_that_all_die_are_an_error_that_says_how() -> None:
    before = children()
    recipe = Recipe.of(HTTP, checks=(at_work.it_kills_the_process,))

    with pytest.raises(Error) as told:
        list(Crew(recipe, 1, seeds=plain()).events(Limits(seconds=600)))

    assert str(told.value) == (
        "no worker of the campaign is left: each was replaced 3 times; of the last, worker 1, "
        "it was ended by SIGKILL, as the kernel does when memory runs out"
    )
    assert children() == before


@pytest.mark.slow
def test_a_check_that_breaks_in_a_worker_is_the_error_of_the_campaign() -> None:
    before = children()
    recipe = Recipe.of(HTTP, checks=(at_work.it_breaks,))

    with pytest.raises(Error, match="check it_breaks itself failed: ZeroDivisionError"):
        list(Crew(recipe, 2, seeds=plain()).events(Limits(seconds=600)))

    assert children() == before


@pytest.mark.slow
def test_a_worker_that_is_stopped_holds_nobody_up(http: Recipe) -> None:
    before = children()
    events = Crew(http, 2, seeds=plain()).events(Limits())
    stopped = next(each for each in events if isinstance(each, WorkerJoined))
    os.kill(pid_of(stopped), signal.SIGSTOP)

    # However long that takes: one that is held up tells the same number for ever.
    first = next(each.runs for each in progresses(events) if each.runs)
    assert next(each.runs for each in progresses(events) if each.runs > first)
    events.close()  # type: ignore[attr-defined]

    assert children() == before


def progresses(events: Iterator[Event]) -> Iterator[Progress]:
    return (each for each in events if isinstance(each, Progress))


def test_a_check_that_no_other_process_could_find_is_named() -> None:
    before = children()

    @packetrig.check
    def hidden(before: bytes, run: object) -> bool:
        return True

    with pytest.raises(Error, match="hidden cannot be given to other processes: it has no name"):
        list(Crew(Recipe.of(HTTP, checks=(hidden,)), 2).events(Limits(runs=1)))

    assert children() == before


@pytest.mark.slow
def test_an_entry_that_cannot_be_kept_ends_the_campaign_and_its_workers(
    http: Recipe, tmp_path: Path
) -> None:
    before = children()
    folder = tmp_path / "corpus"

    events = Crew(http, 2, seeds=plain(), corpus=Corpus(folder)).events(Limits())
    next(events)
    folder.write_bytes(b"")

    with pytest.raises(Error, match="is a file; a corpus is a folder"):
        list(events)

    assert children() == before


@pytest.mark.slow
def test_what_several_workers_find_is_one_finding() -> None:
    recipe = Recipe.of(HTTP, checks=(at_work.no_frame_has_an_even_length,))

    events = list(Crew(recipe, 2, seeds=plain()).events(Limits(runs=400)))

    found = [each for each in events if isinstance(each, Found)]
    assert [each.check for each in found] == ["no_frame_has_an_even_length"]
    assert isinstance(found[0].failure, Failure)
    assert len(found[0].frames[-1]) % 2 == 0
    assert len(found[0].failure.packet) % 2 == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_its_campaign_however_that_ends(how: signal.Signals) -> None:
    with (
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(HTTP)],
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        ) as campaign,
        campaign.stdout as told,  # type: ignore[union-attr]
    ):
        lines = [told.readline() for _ in range(3)]
        workers = [os.pidfd_open(int(re.findall(r"process (\d+)", line)[0])) for line in lines[:2]]
        assert lines[2].startswith("Started(")

        # As a terminal does: Ctrl-C goes to everybody.
        os.killpg(campaign.pid, how) if how == signal.SIGINT else campaign.send_signal(how)

        for worker in workers:
            assert select.select([worker], [], [], 60)[0]
            os.close(worker)
        last = told.read().splitlines()[-1:]
    assert (how == signal.SIGINT) == any("StopReason.INTERRUPTED" in line for line in last)


@pytest.mark.slow
def test_ctrl_c_ends_a_campaign_with_all_that_its_workers_did(http: Recipe) -> None:
    before = children()
    events = Crew(http, 2, seeds=plain()).events(Limits())
    told = [next(events)]
    while not isinstance(told[-1], Progress) or not told[-1].runs:
        told.append(next(events))

    rest = [events.throw(KeyboardInterrupt()), *events]  # type: ignore[attr-defined]

    ended = rest[-1]
    assert isinstance(ended, Ended)
    assert ended.reason is StopReason.INTERRUPTED
    assert ended.runs > told[-1].runs
    assert set(ended.shares.values()) == {ended.runs - ended.refused}
    assert children() == before


def test_a_campaign_without_workers_is_refused(http: Recipe) -> None:
    with pytest.raises(Error, match="workers=0: a campaign needs at least one"):
        Crew(http, 0)


def test_more_workers_than_the_machine_could_hold_are_refused(http: Recipe) -> None:
    with pytest.raises(Error, match="workers=100000: .* at most [0-9]+ are started on this"):
        Crew(http, 100_000)


STARTED = Started("p", "xdp", 1, 10, 0, ("one", "two"), {}, "", 4)
FAILURE = Failure("no", check="one")
WORDS: list[tuple[str, object]] = [
    ("a", Tally(100, 1, {"one": 100, "two": 50}, bytes(8) + b"\1" + bytes(23))),
    ("b", Tally(200, 2, {"one": 200, "two": 20}, b"\1" + bytes(31))),
    ("b, after it died", Tally(50, 0, {"one": 50, "two": 0}, bytes(32))),
    ("a", NewEntry(b"first", 0, -1, 1)),
    ("b", NewEntry(b"first", 0, -1, 1)),
    ("b", NewEntry(b"second", 1, -1, 2)),
    ("a", Found("one", (b"first",), FAILURE, 1, 0.1)),
    ("b", Found("one", (b"second",), FAILURE, 1, 0.1)),
    ("b", Found("two", (b"second",), FAILURE, 1, 0.1)),
]


@given(st.permutations(WORDS))
def test_a_campaign_is_the_same_in_whatever_order_its_workers_are_heard(
    words: list[tuple[str, object]],
) -> None:
    merged = Merged(Corpus(), 1)
    assert [type(each) for each in merged.begin(STARTED)] == [Started]
    assert list(merged.begin(STARTED)) == []

    told: list[Event] = []
    for life, word in words:
        if isinstance(word, Tally):
            merged.tally(life, word)
        else:
            told += merged.take(word)  # type: ignore[arg-type]

    assert {each.frame for each in told if isinstance(each, NewEntry)} == {b"first", b"second"}
    assert {each.check for each in told if isinstance(each, Found)} == {"one", "two"}
    assert len(told) == 4
    ended = merged.ended(StopReason.RUNS)
    assert (ended.runs, ended.refused, ended.branches, ended.of_branches) == (350, 3, 2, 4)
    assert ended.shares == {"one": 350, "two": 70}
    assert (ended.corpus, ended.findings) == (2, 2)
    assert isinstance(merged.progress(), Progress)


def test_a_campaign_ends_when_its_workers_together_cover_everything() -> None:
    merged = Merged(Corpus(), 1)
    list(merged.begin(STARTED))
    limits = Limits(until_covered=True)

    merged.tally("a", Tally(1, 0, {}, b"\1" + bytes(7) + b"\1" + bytes(15) + bytes(8)))
    assert merged.stop(limits) is None
    merged.tally("b", Tally(1, 0, {}, bytes(16) + b"\1" + bytes(7) + b"\1" + bytes(7)))

    assert merged.stop(limits) is StopReason.COVERED
