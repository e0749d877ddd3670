"""Is it well with the program on the interface: what is looked at, and for how long."""

from __future__ import annotations

import operator
import os
import re
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

from .._bpf import lib
from ..errors import Error, Failure
from ..live import hooks
from ..objects import Object
from . import carry
from .guardian import BEAT, Guardian
from .journal import Journal
from .stopping import Stop

_DROPS = ("rx_dropped", "tx_dropped", "rx_errors", "tx_errors", "rx_missed_errors")
_FEW = 10  # packets: a rate of fewer says nothing about traffic
_OPERATORS: dict[str, Callable[[int, int], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_LIMIT = re.compile(
    r"(?P<name>\w+)(?:\[(?P<key>[^]]+)\])?(?:\.(?P<field>\w+))?\s*"
    r"(?P<sign><=|>=|==|!=|<|>)\s*(?P<number>-?\d+)"
)


class Unhealthy(Failure):
    """Say what showed that the program must not stay."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Hold one counter of the program to a number: `drops[0]<=100`, `errors==0`."""

    text: str
    name: str
    key: str
    field: str
    sign: str
    number: int

    @classmethod
    def read(cls, text: str) -> Limit:
        """Read what a user wrote.

        Raises:
            Error: It is written in another way.
        """
        found = _LIMIT.fullmatch(text.strip())
        if not found:
            raise Error(
                f"--counter {text}: write a map with a key, or a global, and a limit: "
                "'drops[0]<=100', 'hosts[10.0.0.1].packets>0', 'errors==0'"
            )
        return cls(
            text.strip(),
            found["name"],
            found["key"] or "",
            found["field"] or "",
            found["sign"],
            int(found["number"]),
        )

    def value(self, loaded: Object) -> int:
        """Read the counter as it is now: over all processors, 0 for a key that is not there.

        Raises:
            Error: The object has none of that name, or it is no number.
        """
        if not self.key:
            if self.name in loaded.maps:
                raise Error(f"--counter {self.text}: {self.name} is a map: write a key of it")
            return self._number(loaded.globals[self.name])
        found = loaded.maps[self.name]
        try:
            return self._number(found[int(self.key) if self.key.isdigit() else self.key])
        except KeyError as e:
            if isinstance(e, AttributeError):
                raise
            return 0

    def _number(self, value: Any) -> int:
        if isinstance(value, tuple):
            return sum(self._number(each) for each in value)
        if self.field:
            if not isinstance(value, Mapping) or self.field not in value:
                raise Error(f"--counter {self.text}: what is there has no field '{self.field}'")
            value = value[self.field]
        if not isinstance(value, int):
            raise Error(f"--counter {self.text}: is no number but {type(value).__name__}")
        return value

    @property
    def is_floor(self) -> bool:
        """Tell whether it is one that a counter which begins with nothing has yet to reach."""
        return self.sign in (">", ">=")

    def hold(self, loaded: Object) -> None:
        """Compare.

        Raises:
            Unhealthy: The limit is passed.
        """
        value = self.value(loaded)
        if not _OPERATORS[self.sign](value, self.number):
            raise Unhealthy(f"counter {self.text} does not hold: it is {value}", check="counter")


@dataclass(frozen=True, slots=True)
class Watch:
    """Say how long to watch, and what must hold; times are seconds."""

    seconds: float = 0
    command: str = ""
    command_seconds: float = 5
    every: float = 1
    counters: tuple[Limit, ...] = ()
    max_drops: int | None = None
    min_traffic: float | None = None
    baseline: float = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """Hold an interface's counters at a moment."""

    at: float
    counters: Mapping[str, int]
    is_up: bool
    has_carrier: bool = True

    @classmethod
    def take(cls, name: str) -> Sample:
        """Read them now."""
        found = hooks.interface(name)
        return cls(time.monotonic(), found.counters, found.is_up, found.has_carrier)

    def rate(self, since: Sample, key: str) -> float:
        """Return packets a second since an earlier sample."""
        return self.grown(since, key) / max(self.at - since.at, 1e-9)

    def grown(self, since: Sample, key: str) -> int:
        """Return by how much a counter grew since an earlier sample."""
        return self.counters.get(key, 0) - since.counters.get(key, 0)


def pause(seconds: float, stop: Stop, *others: Any) -> None:
    """Wait, but not longer than until somebody asks to stop."""
    select.select([stop, *others], [], [], max(seconds, 0))
    stop.check()


def traffic(plan: Watch, name: str, stop: Stop) -> tuple[Sample, Sample] | None:
    """Measure what passes before anything is changed, if that is wanted.

    Raises:
        Error: Next to nothing passes: there is no share to compare with.
    """
    if plan.min_traffic is None:
        return None
    first = Sample.take(name)
    pause(plan.baseline, stop)
    last = Sample.take(name)
    if all(last.grown(first, key) < _FEW for key in ("rx_packets", "tx_packets")):
        raise Error(
            f"{name}: under {_FEW} packets in {plan.baseline:g} s: nothing to hold --min-traffic "
            "to; a longer --baseline, or leave it out"
        )
    return first, last


class Watcher:
    """Look after one attached program."""

    def __init__(
        self,
        plan: Watch,
        journal: Journal,
        loaded: Object,
        stop: Stop,
        *,
        before: tuple[Sample, Sample] | None,
        had_carrier: bool = False,
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._loaded = loaded
        self._stop = stop
        self._before = before
        self._had_carrier = had_carrier
        self._name = journal.interface
        self._start = Sample.take(self._name)
        self._window = self._start
        self._until = self._start.at + plan.seconds
        self._reached: set[Limit] = set()

    def watch(self, guardian: Guardian) -> None:
        """Watch until the time is over.

        Raises:
            Unhealthy: Something does not hold.
            Stopped: A signal came.
            Gone: The interface is not there any more.
            Error: Another program stands there, or the interface went down.
        """
        while True:
            guardian.beat()
            began = time.monotonic()
            self._look(guardian)
            if self._plan.command:
                run_command(self._plan, self._stop, guardian, beats=True)
            if time.monotonic() >= self._until:
                break
            self._rest(min(began + self._plan.every, self._until), guardian)
        self._look(guardian, is_last=True)

    def _rest(self, until: float, guardian: Guardian) -> None:
        while guardian.is_alive and (left := until - time.monotonic()) > 0:
            guardian.beat()
            pause(min(left, BEAT), self._stop, guardian)

    def _look(self, guardian: Guardian, *, is_last: bool = False) -> None:
        self._stop.check()
        guardian.ensure()
        number = carry.standing(self._journal)
        if number != self._journal.top.id:
            raise Error(
                f"{self._journal.spot.name}: "
                + (f"program {number} stands there" if number else "nothing stands there any more")
                + ": somebody else changed it"
            )
        self._hold_limits(is_last=is_last)
        now = Sample.take(self._name)
        if self._start.is_up and not now.is_up:
            raise Error(f"{self._name} went down: nothing shows whether the program works")
        # Some drivers take the link down and up again to attach: it may be away meanwhile.
        if is_last and self._had_carrier and not now.has_carrier:
            raise Error(
                f"{self._name} had a carrier and has none: nothing shows whether the program works"
            )
        self._compare(now)

    def _hold_limits(self, *, is_last: bool) -> None:
        for limit in self._plan.counters:
            try:
                limit.hold(self._loaded)
            except Unhealthy:
                # A new program has counted nothing yet: it has until the end.
                if is_last or not limit.is_floor or limit in self._reached:
                    raise
            else:
                self._reached.add(limit)

    def _compare(self, now: Sample) -> None:
        drops = {key: now.grown(self._start, key) for key in _DROPS}
        most = self._plan.max_drops
        if most is not None and sum(drops.values()) > most:
            told = ", ".join(f"{key} {count}" for key, count in drops.items() if count)
            raise Unhealthy(
                f"{self._name} dropped more than {most} packets since: {told}", check="drops"
            )
        if self._before is None or now.at - self._window.at < self._plan.baseline:
            return
        self._compare_traffic(now, *self._before)
        self._window = now

    def _compare_traffic(self, now: Sample, first: Sample, last: Sample) -> None:
        share = self._plan.min_traffic or 0
        for key in ("rx_packets", "tx_packets"):
            was, is_ = last.rate(first, key), now.rate(self._window, key)
            if last.grown(first, key) >= _FEW and is_ < share * was:
                raise Unhealthy(
                    f"{self._name}: traffic fell to {is_ / was:.0%} of what it was ({key}: "
                    f"{was:.0f} a second before, {is_:.0f} now; --min-traffic {share:g})",
                    check="traffic",
                )


def run_command(plan: Watch, stop: Stop, guardian: Guardian, *, beats: bool = False) -> None:
    """Run the health command once; what it started ends with it, and with us.

    The guardian is given signs of life meanwhile if `beats` says so.

    Raises:
        Unhealthy: It failed, or did not end in time; it is killed then.
        Stopped: A signal came.
    """

    def begin() -> None:
        # It ends with a watcher that is killed, and its children by the guardian, who knows of
        # them before there are any. There is one thread, so nothing can be locked.
        lib.pr_die_with_parent()
        guardian.join()

    shown = plan.command if len(plan.command) <= 60 else f"{plan.command[:57]}..."
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            ["/bin/sh", "-c", plan.command],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            preexec_fn=begin,  # noqa: PLW1509
        )
        ended = False
        try:
            left = plan.command_seconds
            until = time.monotonic() + left
            # Who was stopped, or suspended, for longer than that still looks once.
            while not ended and left > 0:
                left = until - time.monotonic()
                if beats:
                    guardian.beat()
                ended = _wait(process, max(min(left, BEAT), 0), stop)
        finally:
            # What it left in the background as well: the next round starts its own. The number of
            # the group is still its own, nobody has waited for its leader.
            os.killpg(process.pid, signal.SIGKILL)
            guardian.parted()
            process.wait()
        if not ended:
            raise Unhealthy(
                f"the health command did not end within {plan.command_seconds:g} s and was killed: "
                f"{shown}",
                check="command",
            )
        _judge(process.returncode, shown, said)


def _judge(code: int, shown: str, said: IO[bytes]) -> None:
    if not code:
        return
    said.seek(0)
    lines = said.read()[-500:].decode(errors="replace").strip().splitlines()
    last = f" ({lines[-1]})" if lines else ""
    how = f"failed with exit code {code}" if code > 0 else f"was killed by signal {-code}"
    raise Unhealthy(f"the health command {how}: {shown}{last}", check="command")


def _wait(process: subprocess.Popen[bytes], seconds: float, stop: Stop) -> bool:
    ends = os.pidfd_open(process.pid)
    try:
        until = time.monotonic() + seconds
        while True:
            waits = max(until - time.monotonic(), 0)
            readable, _, _ = select.select([ends, stop.fileno()], [], [], waits)
            stop.check()
            if ends in readable:
                return True
            if not readable:
                return False
    finally:
        os.close(ends)
