"""What a worker of a cluster does for a campaign: says what it can, and works slice by slice.

Between slices a worker keeps its loaded programs, its corpus and what its checks have seen. It
gives them back when the campaign ends, or when nothing was heard of it for a minute: whoever
started it may be dead.
"""

from __future__ import annotations

import importlib.metadata
import os
import socket
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from .._bpf import probes
from ..coverage import texts
from ..errors import Error, InternalError
from . import travel
from .events import Event, Found, Started
from .hands import Hand, Order, Tally

_IDLE = 60.0


@dataclass(frozen=True, slots=True)
class Able:
    """Tell who a worker is, and why it cannot take part; an empty `why` says that it can."""

    host: str
    pid: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Slice:
    """Say what to do next: so many runs, or for so long, whichever is less.

    `order` comes with the first slice; `frames` are what others found since the last one.
    """

    campaign: str
    order: Order | None = None
    frames: tuple[bytes, ...] = ()
    runs: int | None = None
    seconds: float = 1.0
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """Tell what a slice brought. `is_new` asks for the order: this worker knows nothing of it.

    `cannot` says why this worker cannot do the work at all, `broken` what is wrong with a check,
    which is the end of the campaign.
    """

    events: tuple[Event, ...] = ()
    started: Started | None = None
    tally: Tally | None = None
    is_new: bool = False
    cannot: str = ""
    broken: str = ""


def enter(sent: bytes) -> bytes:
    """Do, on a worker, what was packed: a function and its arguments."""
    work, args = travel.unpack(sent)
    return travel.pack(work(*args))


def version() -> str:
    """Return the version of packetrig that runs here."""
    return importlib.metadata.version("packetrig")


def able(wanted: str) -> Able:
    """Find out, on a worker, whether it can run programs for a client of that version."""
    host, pid = socket.gethostname(), os.getpid()
    if version() != wanted:
        return Able(host, pid, f"it has packetrig {version()}, and {wanted} is wanted")
    try:
        probes.xdp_linear()  # loads a program of a few instructions, and runs it
    except Error as e:
        return Able(host, pid, str(e))
    return Able(host, pid)


class _Session:
    """Hold one campaign's hand from slice to slice."""

    def __init__(self, order: Order) -> None:
        self.lock = threading.Lock()
        self.hand: Hand | None = Hand(order)
        self.timer: threading.Timer | None = None


_sessions: dict[str, _Session] = {}
_all = threading.Lock()


def work(part: Slice) -> Report:
    """Do a slice, on a worker."""
    with _all:
        session = _sessions.get(part.campaign)
    started = None
    if session is None:
        if part.order is None:
            return Report(is_new=True)
        texts.give(part.order.texts)
        try:
            session = _Session(part.order)
        except Error as e:
            return Report(cannot=str(e))
        with _all:
            _sessions[part.campaign] = session
        assert session.hand is not None
        started = session.hand.started()
    with session.lock:
        if session.timer is not None:
            session.timer.cancel()
        if session.hand is None:  # it was given up a moment ago
            return Report(is_new=True)
        try:
            report = _slice(session.hand, part, started)
        except InternalError:
            raise
        except Error as e:
            report = Report(broken=str(e))
        _rest(part, session, is_over=part.is_last or bool(report.broken))
    return report


def _slice(hand: Hand, part: Slice, started: Started | None) -> Report:
    end = time.monotonic() + part.seconds
    most = None if part.runs is None else hand.runs + part.runs
    events: list[Event] = []
    with hand.at_work():
        hand.feed(part.frames)
        while time.monotonic() < end and (most is None or hand.runs < most):
            events += map(_with_whole_path, hand.slice(most))
        if part.is_last:
            events += map(_with_whole_path, hand.rest())
    return Report(tuple(events), started, hand.tally())


def _with_whole_path(event: Event) -> Event:
    # The client stands in another folder.
    if not isinstance(event, Found) or event.finding is None:
        return event
    place = event.finding.place
    place = replace(place, path=os.path.normpath(Path.cwd() / place.path))
    return replace(event, finding=replace(event.finding, place=place))


def _rest(part: Slice, session: _Session, *, is_over: bool) -> None:
    """Give the hand up, now or when nobody asks for it in a minute."""
    if is_over:
        _close(part.campaign, session)
        return
    session.timer = threading.Timer(_IDLE, _forgotten, (part.campaign, session))
    session.timer.daemon = True
    session.timer.start()


def _forgotten(campaign: str, session: _Session) -> None:
    with session.lock:
        if session.timer is threading.current_thread():  # no slice came in between
            _close(campaign, session)


def _close(campaign: str, session: _Session) -> None:
    with _all:
        _sessions.pop(campaign, None)
    if session.hand is not None:
        session.hand.close()
        session.hand = None
