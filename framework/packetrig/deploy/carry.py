"""What stands at a spot, and one generation in the place of another.

Each step here is one system call that either happens or does not, and each can be asked again:
`put` looks at what stands there and does what is left to do. A carrier is what holds the program:

- "link": a bpf_link, pinned (XDP and tcx). It may be borrowed: then it belongs to somebody else,
  gets its own program back at the end, and is not taken off.
- "netlink": XDP without a link: another's program stood there without one, or the kernel has none.
- "filter": a filter in clsact, with the priority and the handle that it keeps.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import Error
from ..live import hooks
from . import journal as journals
from . import kernel, places
from .journal import NOTHING, Generation, Journal

LINK, NETLINK, FILTER = "link", "netlink", "filter"
NO_EGRESS = (
    "the interface has an ingress qdisc in the place of clsact, and a filter for egress would "
    "stand at ingress: use --mode tcx-egress"
)
_FIRST_PRIORITY = 49152  # where the kernel itself begins, downwards


class Foreign(Error):
    """Say that a program stands there which is none of those that may."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Say what the kernel has at a hook: program ids in order, XDP's with their mode."""

    programs: tuple[int, ...] = ()
    mode: str = ""


def look(
    interface: hooks.Interface, hook: str, filters: Sequence[hooks.Filter] | None = None
) -> Seen:
    """Ask the kernel which programs stand at a hook; `filters` are its, if they are known."""
    if hook == "xdp":
        mode = next(iter(interface.xdp), "")
        return Seen(tuple(interface.xdp.values()), mode)
    if hook in hooks.PARENT:
        found = hooks.filters(interface.index, hook) if filters is None else filters
        return Seen(tuple(each.program_id for each in found if each.program_id), hook)
    try:
        return Seen(tuple(kernel.tcx_programs(interface.index, hook)), hook)
    except kernel.NoLinks:
        return Seen()


def carrier_for(interface: hooks.Interface, hook: str) -> dict[str, object]:
    """Choose what will hold a program at a hook where nothing of ours is yet."""
    if hook not in hooks.PARENT:
        return {"by": LINK}
    there = [each.priority for each in hooks.filters(interface.index, hook) if not each.chain]
    if 1 in there:
        raise Error(
            f"{interface.name}: a filter of {hook} has the priority 1: nothing can run before it"
        )
    return {
        "by": FILTER,
        "priority": min([*there, _FIRST_PRIORITY + 1]) - 1,
        "handle": 1,
        "protocol": hooks.ETH_P_ALL,
        "made_clsact": not hooks.qdisc(interface.index) or _made_for_the_other(interface, hook),
    }


def _made_for_the_other(interface: hooks.Interface, hook: str) -> bool:
    # Ingress and egress share one: whichever goes last takes it away.
    (other,) = set(hooks.PARENT) - {hook}
    with contextlib.suppress(Error):
        found = journals.read(places.Spot(interface.name, other, places.netns()))
        if found is not None and found.is_of_this_boot and found.index == interface.index:
            return bool(found.carrier.get("made_clsact"))
    return False


def carrier_of(interface: hooks.Interface, hook: str, program_id: int) -> dict[str, object]:
    """Find what holds a stranger's program that we were told to replace."""
    if hook in hooks.PARENT and (seats := seats_of(interface, hook, program_id)):
        return _seat(interface, hook, seats[0])
    link = kernel.find_link(hook, interface.index, program_id)
    if link >= 0:
        os.close(link)
        return {"by": LINK, "borrowed": True}
    if hook == "xdp":
        return {"by": NETLINK}
    raise Error(
        f"{interface.name}: program {program_id} stands at {hook} without a link: it cannot be "
        "replaced in one step; take it off with the tool that attached it"
    )


def seats_of(interface: hooks.Interface, hook: str, program_id: int) -> list[hooks.Filter]:
    """List the filters that hold a program, those that every frame comes to first."""
    found = [f for f in hooks.filters(interface.index, hook) if f.program_id == program_id]
    return sorted(found, key=lambda each: each.chain)


def name_of(interface: hooks.Interface, hook: str, program_id: int) -> str:
    """Name a stranger's program as its filter does; "" where nothing does."""
    if hook not in hooks.PARENT:
        return ""
    return next((each.name for each in seats_of(interface, hook, program_id)), "")


def _seat(interface: hooks.Interface, hook: str, found: hooks.Filter) -> dict[str, object]:
    if not found.is_direct:
        raise Error(
            f"{interface.name}: program {found.program_id} at {hook} answers with a class and not "
            "with a verdict (no direct-action): a filter like that cannot be put back as it was"
        )
    if found.chain:
        raise Error(
            f"{interface.name}: program {found.program_id} at {hook} stands in chain "
            f"{found.chain}, where only what another filter sends there comes: take it off with "
            "the tool that attached it"
        )
    names = zip(("priority", "handle", "protocol"), found.at, strict=True)
    return {"by": FILTER, **dict(names)}


def borrow(journal: Journal, interface: hooks.Interface, program_id: int) -> Journal:
    """Pin what a stranger's program needs to stay alive: itself, and its link."""
    with kernel.program(program_id) as fd:
        kernel.pin(fd, pin_of(journal, 0))
    if not journal.carrier.get("borrowed"):
        return journal
    if _of_link(journal) == program_id:
        # Pinned here already: an attach of ours whose journal was lost. Nobody else may hold it.
        journal = dataclasses.replace(journal, carrier={**journal.carrier, "kept": True})
        journals.write(journal)
        return journal
    link = kernel.find_link(journal.hook, interface.index, program_id)
    if link < 0:
        raise Foreign(f"{journal.spot.name}: program {program_id} was taken off meanwhile")
    try:
        link_of(journal).unlink(missing_ok=True)  # a dead one
        kernel.pin(link, link_of(journal))
    finally:
        os.close(link)
    return journal


def link_of(journal: Journal) -> Path:
    """Return where the link of a spot is pinned."""
    return journal.pins / "link"


def pin_of(journal: Journal, number: int) -> Path:
    """Return where the program of a generation is pinned."""
    return journal.pins / f"generation-{number}" / "program"


def standing(journal: Journal, *, whatever_its_name: bool = False) -> int:
    """Tell which program stands in our place; 0 when the place is empty or gone.

    Raises:
        Gone: The interface is not there, or is another one of the same name.
        Error: It was renamed, and that matters.
    """
    if journal.cookie not in (0, places.cookie()):
        raise hooks.Gone(
            f"{journal.interface}: its network namespace is gone, this one only has its number"
        )
    now = _renamed(journal)
    if now and journal.carrier["by"] == LINK and not _of_link(journal):
        raise hooks.Gone(f"{journal.interface}: is gone, and {now} has its index by now")
    if now and not whatever_its_name:
        raise _other_name(journal, now)
    try:
        interface = hooks.interface(now or journal.interface)
    except hooks.Gone:
        if _renamed(journal) == now:
            raise
        return standing(journal, whatever_its_name=whatever_its_name)  # it was renamed just now
    if interface.index != journal.index:
        raise hooks.Gone(
            f"{journal.interface}: is another interface of that name by now (index "
            f"{interface.index}, it was {journal.index})"
        )
    if journal.hook == "xdp":
        return interface.xdp.get(journal.mode, 0)
    if journal.carrier["by"] == FILTER:
        at = _at(journal)
        found = hooks.filters(journal.index, journal.hook)
        return next((f.program_id for f in found if f.at == at and not f.chain), 0)
    return _of_link(journal)


def _renamed(journal: Journal) -> str:
    try:
        now = socket.if_indextoname(journal.index)
    except OSError:
        return ""
    if now == journal.interface:
        return ""
    # Another may have its old name by now; then a link that is alive tells them apart.
    return now if not _exists(journal.interface) or holds(journal) else ""


def _other_name(journal: Journal, now: str) -> Error:
    return Error(
        f"{journal.spot.name}: the interface is named {now} by now: name it "
        f"{journal.interface} again, detach, and attach under the new name"
    )


def _exists(name: str) -> bool:
    return any(name == each for _, each in socket.if_nameindex())


def holds(journal: Journal) -> int:
    """Tell which program a link that is pinned for a spot holds, wherever its interface is."""
    return _of_link(journal) if journal.carrier["by"] == LINK else 0


def _of_link(journal: Journal) -> int:
    try:
        with kernel.pinned(link_of(journal)) as link:
            number, index = kernel.link_program(link)
    except Error:
        return 0
    return number if index else 0


def put(journal: Journal, origin: Generation, goal: Generation, *, doing: str) -> Journal:
    """Put one generation in the place of another; return the journal, whose carrier may be new.

    What has happened already is not done again. An empty place is filled: whatever emptied it, the
    interface is not to stay without its program.

    Raises:
        Foreign: Neither of the two stands there.
        Gone: The interface is not there.
    """
    # Neither is a program of ours on an interface that was renamed left without its way back.
    there = standing(journal, whatever_its_name=True)
    if there == goal.id:
        if goal.what == NOTHING:
            _clear(journal)
        return journal
    if there not in (0, origin.id):
        raise Foreign(
            f"{doing}: program {there} stands there, neither {origin.told} nor {goal.told}: "
            "somebody else put it there, and it was left alone; `packetrig detach --forget` gives "
            "up what is known"
        )
    if goal.what == NOTHING:
        with _open(journal, origin) as fd:
            _take_off(journal, fd, doing)
        return journal
    with _open(journal, goal) as fd:
        if not there:
            standing(journal)  # an empty place under another name may be anybody's
            return _create(journal, fd, goal.program, doing)
        with _open(journal, origin) as expected:
            _replace(journal, fd, expected, goal.program, doing)
    return journal


@contextmanager
def _open(journal: Journal, generation: Generation) -> Iterator[int]:
    with kernel.pinned(pin_of(journal, generation.number)) as fd:
        yield fd


def _create(journal: Journal, fd: int, name: str, doing: str) -> Journal:
    by = journal.carrier["by"]
    if by == FILTER:
        hooks.ensure_clsact(journal.index, doing=doing)
        if journal.hook == "tc-egress" and hooks.qdisc(journal.index) != "clsact":
            raise Error(f"{doing}: {NO_EGRESS}")
        hooks.put_filter(
            journal.index, journal.hook, fd, name, at=_at(journal), is_new=True, doing=doing
        )
        return journal
    if by == LINK:
        link_of(journal).unlink(missing_ok=True)  # a dead one
        try:
            link = kernel.create_link(
                fd, journal.index, journal.mode, hook=journal.hook, doing=doing
            )
        except kernel.NoLinks:
            pass
        else:
            try:
                kernel.pin(link, link_of(journal))
            finally:
                os.close(link)
            return journal
        # An old kernel, or a driver that refuses: over netlink it says why in words.
        journal = dataclasses.replace(journal, carrier={"by": NETLINK})
        journals.write(journal)
    hooks.set_xdp(journal.index, fd, journal.mode, expected=None, doing=doing)
    return journal


def _replace(journal: Journal, fd: int, expected: int, name: str, doing: str) -> None:
    by = journal.carrier["by"]
    if by == FILTER:
        hooks.put_filter(
            journal.index, journal.hook, fd, name, at=_at(journal), is_new=False, doing=doing
        )
    elif by == LINK:
        with kernel.pinned(link_of(journal)) as link:
            kernel.update_link(link, fd, expected=expected, doing=doing)
    else:
        hooks.set_xdp(journal.index, fd, journal.mode, expected=expected, doing=doing)


def _take_off(journal: Journal, fd: int, doing: str) -> None:
    by = journal.carrier["by"]
    if by == FILTER:
        hooks.remove_filter(journal.index, journal.hook, at=_at(journal), doing=doing)
    elif by == LINK:
        with kernel.pinned(link_of(journal)) as link:
            kernel.detach_link(link, doing=doing)
    else:
        hooks.set_xdp(journal.index, -1, journal.mode, expected=fd, doing=doing)
    _clear(journal)


def _clear(journal: Journal) -> None:
    # Nothing of ours stands there any more: what held it goes as well.
    if journal.carrier["by"] == LINK:
        link_of(journal).unlink(missing_ok=True)
    if journal.carrier["by"] == FILTER and journal.carrier.get("made_clsact"):
        with contextlib.suppress(Error):
            hooks.remove_clsact(journal.index, doing=f"{journal.spot.name}: taking clsact away")


def _at(journal: Journal) -> tuple[int, int, int]:
    carrier = journal.carrier
    return int(carrier["priority"]), int(carrier["handle"]), int(carrier["protocol"])
