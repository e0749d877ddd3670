"""Recover all spots of this machine, or those of one interface."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import Error
from . import journal as journals
from . import places, recovery
from .journal import Busy
from .places import Spot


@dataclass(frozen=True, slots=True)
class Recovered:
    """Tell what was done at a spot; `is_well` is false where it could not be."""

    spot: Spot
    said: str
    is_well: bool


def recover_all(interface: str | None = None) -> list[Recovered]:
    """Complete or undo what is unfinished, and sweep what nobody speaks of."""
    found = []
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
        recovery.sweep_orphans()
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
    except Busy as e:
        return Recovered(spot, str(e), False)
    except Error as e:
        return Recovered(spot, str(e), False)
