"""The workers of a dask scheduler, as a campaign sees them: who is there, and what came back.

A worker is given one piece of work at a time, by name: dask's own choice of workers would give work
to those that cannot load programs, and would run it again, unasked, when it kills its worker.
"""

from __future__ import annotations

import asyncio
import queue
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from ..errors import Error, ToolMissing
from . import travel

# A worker that cannot import what it is given hangs up on its scheduler. So it is given a word of
# Python's own and bytes; what fails then is this one task.
_CALL = "__import__('packetrig.fuzz.slices', fromlist=['enter']).enter(sent)"
# Seconds that a scheduler may take to answer before it counts as gone.
PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Back:
    """Hold what came back from a worker: what the work returned, or why it failed."""

    worker: str
    number: int
    value: Any = None
    why: str = ""


class Cluster:
    """Hold the connection to a scheduler; a context manager."""

    def __init__(self, address: str, *, patience: float = PATIENCE) -> None:
        """Connect.

        Raises:
            ToolMissing: dask.distributed is not installed.
            Error: Nothing answers at the address, or what answers is no scheduler.
        """
        distributed = _distributed()
        self.address = address
        self._patience = patience
        _ask(distributed, address, patience)
        try:
            # The last worker's end is no reason to wait for ever, nor to write a log on a screen.
            distributed.client.logger.setLevel("CRITICAL")
            self._client = distributed.Client(address, timeout=patience, set_as_default=False)
        except Exception as e:
            raise _no_answer(address, e) from e
        self._back: queue.SimpleQueue[Back] = queue.SimpleQueue()
        self._at_work: dict[tuple[str, int], Any] = {}
        self._number = 0

    def workers(self) -> frozenset[str]:
        """Return the addresses of the workers that are there now.

        Raises:
            Error: The scheduler does not answer any more.
        """
        client = self._client
        try:
            return frozenset(client.sync(client.scheduler.ncores, callback_timeout=self._patience))
        except Exception as e:
            raise Error(
                f"the dask scheduler at {self.address} does not answer any more ({_why(e)})"
            ) from e

    def give(self, worker: str, work: Callable[..., Any], *args: object) -> int:
        """Give a worker something to do; return the number under which it comes back."""
        self._number += 1
        number = self._number
        future = self._client.submit(
            eval,
            _CALL,
            {"sent": travel.pack((work, args))},
            workers=[worker],
            allow_other_workers=False,
            pure=False,
            key=f"packetrig-{uuid.uuid4().hex}",
        )
        self._at_work[worker, number] = future
        future.add_done_callback(lambda done: self._came_back(worker, number, done))
        return number

    def _came_back(self, worker: str, number: int, future: Any) -> None:
        # Called in a thread of dask's.
        if future.status == "finished":
            try:
                result = travel.unpack(future.result(timeout=self._patience))
                self._back.put(Back(worker, number, result))
            except Exception as e:  # gone between being done and being fetched
                self._back.put(Back(worker, number, why=_why(e)))
        elif future.status == "error":
            self._back.put(Back(worker, number, why=_why(future.exception())))
        else:
            self._back.put(Back(worker, number, why=future.status))

    def next(self, timeout: float) -> Back | None:
        """Wait for something to come back; None when nothing did."""
        try:
            back = self._back.get(timeout=timeout)
        except queue.Empty:
            return None
        is_wanted = self._at_work.pop((back.worker, back.number), None) is not None
        return back if is_wanted else None

    def forget(self, worker: str) -> None:
        """Give up what a worker was given: it is gone."""
        for key in [key for key in self._at_work if key[0] == worker]:
            future = self._at_work.pop(key)
            with suppress(Exception):
                future.cancel()

    def close(self) -> None:
        """Hang up; what is still at work is cancelled."""
        for worker in {worker for worker, _ in self._at_work}:
            self.forget(worker)
        with suppress(Exception):
            self._client.close(timeout=self._patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as e:
        raise ToolMissing(
            "a campaign on a cluster needs dask.distributed: pip install 'packetrig[cluster]'"
        ) from e
    return distributed


def _ask(distributed: Any, address: str, patience: float) -> None:
    """Hold that a scheduler answers: a client waits for ever for one that only listens."""

    async def ask() -> None:
        secrets = distributed.Security().get_connection_args("client")
        async with distributed.rpc(address, timeout=patience, connection_args=secrets) as scheduler:
            await scheduler.ncores()

    async def bounded() -> None:
        await asyncio.wait_for(ask(), patience)

    runner = distributed.utils.LoopRunner(asynchronous=False)
    runner.start()
    try:
        runner.run_sync(bounded)
    except Exception as e:  # what is no scheduler makes it raise anything
        raise _no_answer(address, e) from e
    finally:
        runner.stop()


def _no_answer(address: str, e: Exception) -> Error:
    return Error(
        f"no dask scheduler answers at {address} ({_why(e)}); start one (dask scheduler), or name "
        "the address that it shows, as tcp://host:port"
    )


def _why(e: BaseException) -> str:
    text = str(e).partition("\n")[0]
    if isinstance(e, Error):
        return text
    return f"{type(e).__name__}: {text}" if text else type(e).__name__
