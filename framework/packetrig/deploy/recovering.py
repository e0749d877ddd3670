"""Recover all spots of this machine, or those of one interface."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import Error
from ..live import hooks
from . import carry, places, recovery
from . import journal as journals
from .orphans import orphans, sweep_folders
from .places import Spot

_LEFT = "what was left of a program whose journal is gone"


@dataclass(frozen=True, slots=True)
class Recovered:
    """Tell what was done at a spot; `is_well` is false where it could not be."""

    spot: Spot
    said: str
    is_well: bool


def recover_all(interface: str | None = None) -> list[Recovered]:
    """Complete or undo what is unfinished, and sweep what nobody speaks of.

    Raises:
        Gone: There is no such interface, and nothing is known of one.
    """
    found = []
    interface = None if interface is None else places.own_name(interface)
    for path in journals.all_files():
        try:
            journal = journals.read_file(path)
        except Error as e:
            found.append(Recovered(Spot(path.parent.name, "?", 0), str(e), False))
            continue
        if journal is None or (interface is not None and journal.interface != interface):
            continue
        found.append(_one(journal.spot))
    if interface is None:
        found += [
            Recovered(each.spot, f"{_LEFT}: taken away", True) for each in orphans() if each.sweep()
        ]
        sweep_folders()
    elif not found:
        hooks.interface(interface)
    return found


def _one(spot: Spot) -> Recovered:
    if spot.netns != places.netns():
        journal = journals.read(spot)
        if journal is not None and journal.is_of_this_boot:
            said = f"is in another network namespace ({spot.netns}): recover it from there"
            return Recovered(spot, said, False)
    try:
        with journals.locked(spot):
            return Recovered(spot, recovery.recover(spot, "whoever watched it is gone"), True)
    except Error as e:
        return Recovered(spot, str(e).removeprefix(f"{spot.name}: "), False)


def forget(interface: str, hook: str) -> str:
    """Give up what is known of a spot, and leave the interface as it is; say what was left.

    For journals that cannot be read, and for hooks that somebody else has taken. A link of ours
    that still holds a program stays pinned.

    Raises:
        Error: Nothing is known of it, or a command is at work there.
    """
    spot = places.here(interface, hook)
    if not journals.path_of(spot).exists():
        raise Error(f"{spot.name}: packetrig knows nothing of it")
    with journals.locked(spot):
        try:
            journal = journals.read(spot)
        except Error:
            journal = None
        journals.forget(spot)
        if journal is None or not journal.is_of_this_boot:
            return f"{spot.name}: forgotten"
        journals.unpin(journal.pins)
        if carry.holds(journal):
            return f"{spot.name}: forgotten; its program stays: {carry.link_of(journal)} holds it"
        journals.unpin_all(journal)
        return f"{spot.name}: forgotten; what stands there was left alone"
