"""Campaigns on a dask cluster: a real scheduler, real workers, some of which are killed."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator

import pytest

from packetrig.errors import Error, ToolMissing
from packetrig.fuzz import slices
from packetrig.fuzz.cluster import Back, Cluster

from .schedulers import Scheduler, needs_dask, scheduler

pytestmark = [pytest.mark.slow, needs_dask]
HERE = "tcp://127.0.0.1"


@pytest.fixture(scope="module")
def running() -> Iterator[Scheduler]:
    with scheduler() as started:
        yield started


@pytest.fixture
def connected(running: Scheduler) -> Iterator[Cluster]:
    with Cluster(running.address, patience=60) as made:
        yield made


def test_work_comes_back_with_what_it_returned_or_why_it_failed(
    running: Scheduler, connected: Cluster
) -> None:
    worker = running.add()
    assert worker in connected.workers()

    first = connected.give(worker, os.getpid)
    assert connected.next(60) == Back(worker, first, running.workers[worker].pid)
    second = connected.give(worker, int, "x")

    assert connected.next(60) == Back(
        worker, second, why="ValueError: invalid literal for int() with base 10: 'x'"
    )


def test_a_scheduler_that_ends_is_named() -> None:
    with scheduler() as own, Cluster(own.address, patience=60) as connected:
        connected._patience = 0.5
        own.process.kill()
        own.process.wait()

        with pytest.raises(Error, match=f"the dask scheduler at {own.address} does not answer any"):
            connected.workers()


def test_a_scheduler_that_stops_answering_is_named() -> None:
    with scheduler() as own, Cluster(own.address, patience=60) as connected:
        connected._patience = 0.5
        own.process.send_signal(signal.SIGSTOP)

        with pytest.raises(Error, match=r"does not answer any more \(TimeoutError"):
            connected.workers()


@pytest.mark.parametrize("address", ["nonsense", "tcp://", "moon://127.0.0.1:1"])
def test_an_address_that_is_none_is_named(address: str) -> None:
    with pytest.raises(Error, match=f"no dask scheduler answers at {address}"):
        Cluster(address)


@pytest.mark.parametrize("is_listening", [True, False])
def test_where_no_scheduler_answers_it_is_named(is_listening: bool) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if is_listening:
            taken.listen()
        address = f"{HERE}:{taken.getsockname()[1]}"

        with pytest.raises(Error) as told:
            Cluster(address, patience=0.2)

    assert str(told.value).startswith(f"no dask scheduler answers at {address} (")
    assert str(told.value).endswith(
        "); start one (dask scheduler), or name the address that it shows, as tcp://host:port"
    )


def test_a_cluster_without_dask_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)

    with pytest.raises(ToolMissing) as told:
        Cluster(f"{HERE}:1")

    assert str(told.value) == (
        "a campaign on a cluster needs dask.distributed: pip install 'packetrig[cluster]'"
    )


OLDER = "import importlib.metadata as m\nm.version = lambda name: '0.0.9'\n"
WITHOUT = """
import sys
class Nowhere:
    def find_spec(self, name, path, target=None):
        if name == "packetrig":
            raise ModuleNotFoundError("No module named 'packetrig'", name=name)
sys.meta_path.insert(0, Nowhere())
"""


@pytest.mark.parametrize(
    "preload, told",
    [
        (OLDER, "it has packetrig 0.0.9, and"),
        (WITHOUT, "ModuleNotFoundError: No module named 'packetrig'"),
    ],
    ids=["older", "without packetrig"],
)
def test_a_worker_says_why_it_cannot_take_part(
    running: Scheduler, connected: Cluster, preload: str, told: str
) -> None:
    worker = running.add(preload=preload)

    connected.give(worker, slices.able, slices.version())
    back = connected.next(60)

    assert back is not None
    assert told in (back.why or back.value.why)
