"""The way back: undo what was begun, put back what was taken off, forget what is gone."""

from __future__ import annotations

import dataclasses

from ..errors import Error
from ..live import hooks
from . import carry, owners, places
from . import journal as journals
from .journal import NOTHING, OURS, PREPARING, Generation, Journal
from .places import Spot


def undo(journal: Journal, why: str) -> Journal | None:
    """Put back what stood there before the work began; return the journal, None when none is left.

    Raises:
        Error: It cannot be put back; the journal still says what is to be done.
    """
    work = journal.work
    assert work is not None
    origin, goal = journal.generation(work.origin), journal.generation(work.goal)
    if work.phase != PREPARING:
        doing = f"{journal.spot.name}: putting {origin.told} back"
        journal = carry.put(journal, goal, origin, doing=doing)
    rest = tuple(each for each in journal.generations if each.number != goal.number)
    return settle(journal, rest, f"{goal.told} was taken back: {why}")


def settle(journal: Journal, generations: tuple[Generation, ...], last: str) -> Journal | None:
    """End the work: these generations are left, the last of them stands there."""
    journal = dataclasses.replace(journal, generations=generations, work=None, last=last)
    if journal.top.what != OURS:
        release(journal)
        return None
    journals.write(journal)
    journals.sweep(journal)
    _sweep_objects()
    return journal


def release(journal: Journal) -> None:
    """Let go of a spot: nothing of packetrig stands there any more."""
    is_borrowed = journal.carrier.get("borrowed") and carry.holds(journal)
    if is_borrowed and not owners.is_anybodys(carry.link_of(journal)):
        # Nobody is left who holds it: it would go with our pin, and the program with it.
        journal = dataclasses.replace(journal, carrier={**journal.carrier, "kept": True})
    # The journal first: pins without one are swept, a journal without its pins could not be read.
    journals.forget(journal.spot)
    journals.unpin_all(journal)
    _sweep_objects()


def _sweep_objects() -> None:
    # A journal is written before its object is kept, so the objects are listed first here.
    folder = places.state_folder() / "objects"
    objects = list(folder.glob("*.o"))
    try:
        found = [journals.read_file(path) for path in journals.all_files()]
    except Error:
        return  # what it would speak of is not known
    known = {each.sha256 for journal in found if journal for each in journal.generations}
    for path in objects:
        if path.stem not in known:
            path.unlink(missing_ok=True)
    for half in folder.glob(".*-*"):
        if not places.started(int(half.name.rpartition("-")[2])):
            half.unlink(missing_ok=True)


def lose(journal: Journal, why: Error) -> None:
    """Forget a spot whose interface is gone.

    Raises:
        Error: It is not gone: it was moved, and still filters with our link.
    """
    if carry.holds(journal):
        raise Error(
            f"{why}: but its link is alive: it was moved to another network namespace; move it "
            "back, or remove the pins"
        )
    release(journal)


def recover(spot: Spot, why: str) -> str:
    """Complete or undo what is unfinished at a spot that is locked; say what was done.

    Raises:
        Error: It cannot be done; the interface keeps what it has.
    """
    journal = journals.read(spot)
    if journal is None:
        return "nothing is unfinished"
    if not journal.is_of_this_boot:
        journals.forget(spot)  # its pins, if any, are of now, and not its own
        return f"{_told(journal)} was attached before the machine was started again: forgotten"
    try:
        return _recover(journal, why)
    except hooks.Gone as e:
        lose(journal, e)
        return f"{e}: {_told(journal)} went with it, forgotten"


def _told(journal: Journal) -> str:
    return journal.top.program or "a program"


def _recover(journal: Journal, why: str) -> str:
    work = journal.work
    if work is None:
        return _put_back(journal)
    if work.kind == "attach":
        undo(journal, why)
        return f"undone: {journal.generation(work.origin).told} is back ({why})"
    origin, goal = journal.generation(work.origin), journal.generation(work.goal)
    take_back(journal, origin, goal)
    return f"completed: {origin.told} is off, {goal.told} is there"


def take_back(journal: Journal, origin: Generation, goal: Generation) -> Journal | None:
    """Do what a detach has promised: put an older generation there, and forget the newer ones."""
    doing = f"{journal.spot.name}: putting {goal.told} back"
    journal = carry.put(journal, origin, goal, doing=doing)
    rest = tuple(each for each in journal.generations if each.number <= goal.number)
    return settle(journal, rest, f"{origin.told} was detached")


def _put_back(journal: Journal) -> str:
    top = journal.top
    there = carry.standing(journal)
    if there == top.id:
        journals.sweep(journal)
        return f"nothing is unfinished: {top.told} is attached"
    empty = Generation(-1, NOTHING)
    journal = carry.put(journal, empty, top, doing=f"{journal.spot.name}: putting {top.told} back")
    journals.write(
        dataclasses.replace(journal, last=f"{top.told} was put back: it had been taken off")
    )
    return f"{top.told} is back: somebody had taken it off"
