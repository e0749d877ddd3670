"""Take a program off again: what stood there before it is back."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ..errors import Error
from . import journal as journals
from . import places, recovery, stopping
from .attaching import ready
from .journal import CHANGING, Generation
from .places import Spot


@dataclass(frozen=True, slots=True)
class Detached:
    """Tell what was taken off, and what stands there now."""

    spot: Spot
    program: Generation
    now: Generation


def detach(interface: str, hook: str, *, all_of_them: bool = False) -> Detached:
    """Put back what stood there before the last attach, or before all of them.

    Raises:
        Error: Nothing of ours stands there, or somebody else changed it.
    """
    spot = places.here(interface, hook)
    nothing = Error(f"{spot.name}: packetrig has attached nothing there")
    if not journals.is_known(spot):
        raise nothing
    with stopping.noted(), journals.locked(spot):
        journal = ready(spot)
        if journal is None:
            raise nothing
        goal = journal.generations[0 if all_of_them else -2]
        origin = journal.top
        work = journals.begin("detach", origin.number, goal.number, phase=CHANGING)
        journal = dataclasses.replace(journal, work=work)
        journals.write(journal)
        try:
            recovery.take_back(journal, origin, goal)
        except Error as e:
            # The last step may be taken, and not be surely on the disk.
            found = journals.read(spot)
            if found is not None and found.work is not None:
                raise
            raise Error(f"{e}: {origin.told} is off; now: {goal.told}") from e
        return Detached(spot, origin, goal)
