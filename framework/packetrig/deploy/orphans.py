"""Pins that no journal speaks of: somebody died just before the end, or the journal was lost."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from ..errors import Error
from . import journal as journals
from . import kernel, owners, places
from .places import Spot


@dataclass(frozen=True, slots=True)
class Orphan:
    """Describe the pins of one spot; `program` is what a link among them holds, 0 for nothing.

    `is_last` says that nobody else is seen to keep that link: the program would go with the pin.
    """

    pins: Path
    spot: Spot
    program: int
    has_link: bool
    is_last: bool

    @property
    def is_here(self) -> bool:
        """Tell whether it is of this very network namespace."""
        return self.spot.netns == places.netns()

    @property
    def way(self) -> str:
        """Say what takes it away."""
        if self.is_last:
            # Whatever it holds, an interface may filter with it.
            return f"no journal speaks of it; rm {self.pins / 'link'} takes it off"
        if self.is_here or self.has_link:
            return "pins without a journal: `packetrig attach --recover` takes them away"
        return (
            f"pins without a journal, of network namespace {self.spot.netns}: `packetrig attach "
            f"--recover` there takes them away; rm -r {self.pins} when it is gone"
        )

    def sweep(self) -> bool:
        """Take it away; tell whether nothing of it is left.

        A link that holds a program stays. Without a link nothing says that its namespace is gone:
        then it is for somebody there to do.
        """
        if self.is_last or not (self.is_here or self.has_link):
            if self.is_here:
                journals.unpin(self.pins)
            return False
        journals.unpin(self.pins)
        with contextlib.suppress(OSError):
            (self.pins / "link").unlink(missing_ok=True)  # a dead one, or somebody else's
            self.pins.rmdir()
            self.pins.parent.rmdir()
        return not self.pins.exists()


def orphans() -> list[Orphan]:
    """List the pins that no journal speaks of, but those that somebody is at work with."""
    # The pins first: whoever begins meanwhile writes his journal before he pins.
    try:
        pins = list((places.BPFFS / "packetrig").iterdir())
    except OSError:
        return []
    known = set()
    for path in journals.all_files():
        try:
            journal = journals.read_file(path)
        except Error:
            return []  # what it would speak of is not known
        if journal is not None:
            known.add(journal.pins.name)
    found = [_orphan(each) for each in sorted(pins) if each.name not in known]
    return [each for each in found if each and not _is_busy(each.spot)]


def _orphan(pins: Path) -> Orphan | None:
    mark = places.mark()
    netns, _, rest = pins.name.removesuffix(mark).partition("-")
    index, _, hook = rest.partition("-")
    is_ours = netns.isdigit() and index.isdigit() and hook in places.HOOKS
    if not (is_ours and pins.name.endswith(mark)):
        return None  # of another state folder, or nobody knows whose
    name = f"index {index}"
    if int(netns) == places.netns():
        with contextlib.suppress(OSError):
            name = socket.if_indextoname(int(index))
    link = pins / "link"
    has_link, program = link.exists(), 0
    if has_link:
        with contextlib.suppress(Error), kernel.pinned(link) as fd:
            number, alive = kernel.link_program(fd)
            program = number if alive else 0
    is_last = bool(program) and not owners.is_anybodys(link)
    return Orphan(pins, Spot(name, hook, int(netns)), program, has_link, is_last)


def _is_busy(spot: Spot) -> bool:
    # Its interface may have another name by now: any lock of that hook counts.
    folder = places.state_folder() / "attached"
    begin, end = f"{spot.netns}-", f"-{spot.hook}"
    return any(
        journals.is_locked(each)
        for each in folder.glob(f"{begin}*{end}")
        if each.name.startswith(begin)
    )


def sweep_folders() -> None:
    """Take away the folders of spots of which nothing is known any more."""
    folder = places.state_folder() / "attached"
    for each in folder.glob("*"):
        if os.path.lexists(each / "journal.json"):
            continue
        with contextlib.suppress(Error), journals.owned(each, each.name):
            if not os.path.lexists(each / "journal.json"):
                (each / "lock").unlink(missing_ok=True)
    for each in folder.glob("*"):
        with contextlib.suppress(OSError):
            each.rmdir()
