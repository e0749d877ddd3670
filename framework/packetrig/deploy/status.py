"""What is attached where, by whom, on what evidence, with which way back: the kernel is asked."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..errors import Error
from ..live import hooks
from . import carry, places
from . import journal as journals
from .journal import Journal
from .orphans import Orphan, orphans

_TRIES = 20


class State(Enum):
    """Say how the journal and the kernel stand to each other."""

    ATTACHED = "attached"
    WATCHED = "being watched"
    AT_WORK = "at work"
    UNFINISHED = "unfinished"
    TAKEN_OFF = "taken off"
    REPLACED = "replaced"
    GONE = "interface gone"
    OTHER_BOOT = "another boot"
    ELSEWHERE = "another namespace"
    BROKEN = "cannot tell"
    FOREIGN = "not ours"
    LEFTOVER = "left over"


@dataclass(frozen=True, slots=True)
class Status:
    """Tell all about one spot; `there` is the program that the kernel reports, 0 for none."""

    interface: str
    hook: str
    state: State
    there: int = 0
    journal: Journal | None = None
    reason: str = ""

    @property
    def is_settled(self) -> bool:
        """Tell whether there is nothing left to do."""
        return self.state in (State.ATTACHED, State.WATCHED, State.AT_WORK, State.FOREIGN)


def status(interface: str | None = None) -> list[Status]:
    """Ask about every spot that has a journal, every program of somebody else's, and pins alone.

    Raises:
        Gone: There is no such interface, and nothing is known of one.
    """
    for _ in range(_TRIES):
        # What was begun or ended while we asked would be told as half of it.
        before = _texts()
        found = _all()
        if _texts() == before:
            break
    if interface is None:
        return found
    interface = places.own_name(interface)
    wanted = [each for each in found if each.interface == interface]
    if not wanted:
        hooks.interface(interface)
    return wanted


def _texts() -> dict[Path, bytes]:
    found = {}
    for path in journals.all_files():
        with contextlib.suppress(OSError):
            found[path] = path.read_bytes()
    return found


def _all() -> list[Status]:
    found = [_of_journal(path) for path in journals.all_files()]
    left = orphans()
    found += _strangers(found, left)
    return found + _leftovers(found, left)


def _of_journal(path: Path) -> Status:
    interface, hook = _names(path)
    try:
        for _ in range(_TRIES):
            # A journal that is the same before and after the kernel was asked fits the answer.
            journal = journals.read_file(path)
            if journal is None:
                break
            found = _compared(journal)
            if journals.read_file(path) == journal:
                return found
    except Error as e:
        return Status(interface, hook, State.BROKEN, reason=str(e))
    return Status(interface, hook, State.AT_WORK, reason="it changes all the time: ask again")


def _names(path: Path) -> tuple[str, str]:
    # <namespace>-<interface>-<hook>; interfaces and hooks have dashes of their own.
    rest = path.parent.name.partition("-")[2]
    for hook in places.HOOKS:
        if rest.endswith(f"-{hook}"):
            return rest.removesuffix(f"-{hook}"), hook
    return rest, "?"


def _compared(journal: Journal) -> Status:
    def told(state: State, there: int = 0, reason: str = "") -> Status:
        return Status(journal.interface, journal.hook, state, there, journal, reason)

    if not journal.is_of_this_boot:
        return told(State.OTHER_BOOT, reason="its programs went with that boot")
    if journal.netns != places.netns():
        return told(State.ELSEWHERE, reason=f"in the network namespace {journal.netns}")
    try:
        there = carry.standing(journal)
    except hooks.Gone as e:
        if held := carry.holds(journal):
            moved = "it was moved to another network namespace, and filters there: move it back"
            return told(State.ELSEWHERE, held, f"{e}: {moved}")
        return told(State.GONE, reason=str(e))
    except Error as e:
        return told(State.BROKEN, reason=str(e))
    work = journal.work
    if work is not None:
        words = f"{work.kind}, {work.phase}, process {work.pid}"
        if not journals.is_locked(journal.spot.folder):
            return told(State.UNFINISHED, there, f"{words}, which is gone")
        if not work.is_alive:
            return told(State.AT_WORK, there, f"{words}, which is gone: its guardian is at it")
        state = State.WATCHED if work.phase == journals.WATCHING else State.AT_WORK
        return told(state, there, words)
    if there == journal.top.id:
        return told(State.ATTACHED, there)
    if not there:
        return told(State.TAKEN_OFF, reason=f"{journal.top.told} should be there")
    return told(State.REPLACED, there, f"{journal.top.told} should be there")


def _strangers(known: list[Status], left: list[Orphan]) -> list[Status]:
    ours = {
        generation.id
        for each in known
        if each.journal is not None and each.journal.is_of_this_boot
        for generation in each.journal.generations
        if generation.what == journals.OURS
    }
    told = {(each.interface, each.hook, each.there) for each in known}
    ways = {(each.spot.hook, each.program): each.way for each in left}
    found = []
    for interface, filters in sorted(hooks.everything(), key=lambda pair: pair[0].name):
        name = interface.name
        for hook in places.HOOKS:
            seen = carry.look(interface, hook, filters.get(hook))
            found += [
                Status(name, hook, State.FOREIGN, number, reason=ways.get((hook, number), ""))
                for number in seen.programs
                if number not in ours and (name, hook, number) not in told
            ]
    return found


def _leftovers(known: list[Status], left: list[Orphan]) -> list[Status]:
    told = {(each.interface, each.hook, each.there) for each in known if each.there}
    return [
        Status(each.spot.interface, each.spot.hook, State.LEFTOVER, each.program, reason=each.way)
        for each in left
        if (each.spot.interface, each.spot.hook, each.program) not in told
    ]
