"""What is looked at before anything is attached to a real interface, each with its reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..errors import Error
from ..live import hooks
from ..live.attach import NO_ACTION
from ..live.features import features
from ..live.offloads import Offloads
from . import carry, kernel, places
from .journal import Journal

# One page holds the frame, XDP's headroom (256), and the kernel's own struct at its end (320).
_ROOM = os.sysconf("SC_PAGE_SIZE") - 256 - 320 - 18


class Answer(Enum):
    """Say what a finding means."""

    OK = "ok"
    NOTE = "note"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Finding:
    """Tell one thing about the interface: `what` is the word that `--allow` takes."""

    what: str
    answer: Answer
    reason: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """Describe what is to be attached, as far as the interface cares."""

    name: str
    kind: str
    has_frags: bool
    mode: str
    replaces: int = 0
    behind: str = ""  # the section, of one that runs behind a redirect

    @property
    def hook(self) -> str:
        """Name the hook of its mode."""
        return places.hook_of(self.mode)


def preflight(
    candidate: Candidate, interface: hooks.Interface, has: Offloads, journal: Journal | None
) -> list[Finding]:
    """Look at everything; nothing is changed, and nothing is raised."""
    found: list[Finding] = []
    for look in (
        _kind(candidate),
        _state(interface),
        _link(interface),
        _driver(candidate, interface, has),
        _frames(candidate, interface, has),
        _queues(candidate, interface, has),
        _others(candidate, interface, journal),
        _filters(candidate, interface),
        _machine(),
    ):
        found += look
    return found


def allow(findings: list[Finding], allowed: frozenset[str]) -> list[Finding]:
    """Make notes of what would stop the attach and was allowed."""
    return [
        _note(each.what, f"{each.reason} (allowed)")
        if each.answer is Answer.STOP and each.what in allowed and each.what in ALLOWABLE
        else each
        for each in findings
    ]


def check(findings: list[Finding]) -> None:
    """Stop at what must not be.

    Raises:
        Error: The reason, and how to go on all the same where that is possible.
    """
    for each in findings:
        if each.answer is Answer.STOP:
            can = f" (--allow {each.what} attaches all the same)" if each.what in ALLOWABLE else ""
            raise Error(f"{each.reason}{can}")


# What may be attached all the same: the others the kernel would refuse, or nobody could undo.
ALLOWABLE = ("down", "link", "lro", "mtu", "beside")


def _ok(what: str, reason: str) -> Finding:
    return Finding(what, Answer.OK, reason)


def _note(what: str, reason: str) -> Finding:
    return Finding(what, Answer.NOTE, reason)


def _stop(what: str, reason: str) -> Finding:
    return Finding(what, Answer.STOP, reason)


def _kind(candidate: Candidate) -> Iterator[Finding]:
    wanted = places.kind_of(candidate.hook)
    if candidate.behind:
        yield _stop(
            "kind",
            f"{candidate.name} is a program for entries of maps ({candidate.behind}): it runs "
            "behind a redirect and cannot be attached",
        )
        return
    if candidate.kind == wanted:
        yield _ok("kind", f"{candidate.name} is a program for {candidate.kind}")
        return
    modes = [m for h, ms in places.HOOKS.items() for m in ms if places.kind_of(h) == candidate.kind]
    none = NO_ACTION if candidate.kind == "action" else "none of these"
    yield _stop(
        "kind",
        f"{candidate.name} is a program for {candidate.kind}: it cannot be attached as "
        f"{candidate.mode}; what fits: {', '.join(modes) or none}",
    )


def _state(interface: hooks.Interface) -> Iterator[Finding]:
    if interface.is_up:
        yield _ok("down", f"{interface.name} is up")
    else:
        yield _stop("down", f"{interface.name} is down: nothing would show whether it works")


def _link(interface: hooks.Interface) -> Iterator[Finding]:
    if interface.has_ethernet:
        yield _ok("link", "frames begin with an Ethernet header")
    else:
        yield _stop(
            "link",
            f"frames of {interface.name} begin with their IP header and not with Ethernet's: a "
            "program that was tested on Ethernet frames reads the wrong bytes there",
        )


def _driver(candidate: Candidate, interface: hooks.Interface, has: Offloads) -> Iterator[Finding]:
    if candidate.mode != "native":
        return
    found = features(interface.index)
    name = f"the driver of {interface.name} ({has.driver or 'unknown'})"
    if found is None:
        yield _note("driver", f"whether {name} has native XDP, this kernel cannot say")
    elif not found.native:
        yield _stop("driver", f"{name} has no native XDP: use --mode generic")
    elif candidate.has_frags and not found.frags:
        yield _note("driver", f"{name} has native XDP, but not for frames in several pieces")
    else:
        yield _ok("driver", f"{name} has native XDP")


def _frames(candidate: Candidate, interface: hooks.Interface, has: Offloads) -> Iterator[Finding]:
    if candidate.hook != "xdp":
        return
    if candidate.mode == "native" and not candidate.has_frags and interface.mtu > _ROOM:
        yield _stop(
            "mtu",
            f"{interface.name} has an MTU of {interface.mtu}: a frame does not fit one page with "
            f'XDP\'s headroom (about {_ROOM}): lower it, or use SEC("xdp.frags")',
        )
    else:
        yield _ok("mtu", f"an MTU of {interface.mtu}")
    if has.lro:
        yield _stop(
            "lro",
            f"{interface.name} merges frames in hardware (LRO): XDP would see none of them as it "
            f"was sent: ethtool -K {interface.name} lro off",
        )
    if has.gro and candidate.mode == "generic":
        yield _note("gro", "GRO is on: generic XDP runs after the merging of some drivers")
    if has.rx_vlan:
        yield _note(
            "vlan",
            f"{interface.name} takes VLAN tags off before the program (rx-vlan-offload): it does "
            f"not see them: ethtool -K {interface.name} rxvlan off",
        )


def _queues(candidate: Candidate, interface: hooks.Interface, has: Offloads) -> Iterator[Finding]:
    queues = has.channels or interface.receive_queues
    cpus = os.cpu_count() or 1
    is_full = has.most_channels and has.channels == has.most_channels and queues > 1
    if candidate.mode == "native" and is_full:
        yield _note(
            "queues",
            f"all {queues} channels of {interface.name} are in use: some drivers need spare ones "
            "for XDP",
        )
    else:
        yield _ok("queues", f"{queues} receive queue{'s'[: queues != 1]}, {cpus} processors")


def _others(
    candidate: Candidate, interface: hooks.Interface, journal: Journal | None
) -> Iterator[Finding]:
    ours = {each.id for each in journal.generations} if journal else set()
    for hook in places.HOOKS:
        seen = carry.look(interface, hook)
        strange = [number for number in seen.programs if number not in ours]
        if hook == candidate.hook:
            yield from _same_hook(candidate, interface, seen, strange)
        elif seen.programs:
            numbers = ", ".join(str(number) for number in seen.programs)
            yield _note("leftover", f"{hook} of {interface.name} has a program as well: {numbers}")


def _same_hook(
    candidate: Candidate, interface: hooks.Interface, seen: carry.Seen, strange: list[int]
) -> Iterator[Finding]:
    where = f"{candidate.hook} of {interface.name}"
    if candidate.hook == "xdp" and seen.programs and seen.mode != candidate.mode:
        yield _stop(
            "mode",
            f"{where} has program {seen.programs[0]} in mode {seen.mode}: native and generic "
            f"exclude each other, so it cannot be replaced in one step by {candidate.mode}",
        )
        return
    if candidate.replaces and candidate.replaces not in strange:
        there = ", ".join(str(number) for number in strange) or "none"
        yield _stop(
            "foreign",
            f"--replace-foreign {candidate.replaces}: no such program of somebody else's at "
            f"{where}; there are: {there}",
        )
        return
    strange = [number for number in strange if number != candidate.replaces]
    if not strange:
        yield _ok("foreign", f"no program of somebody else's stays at {where}")
        return
    numbers = ", ".join(str(number) for number in strange)
    if candidate.hook == "xdp":
        yield _stop(
            "foreign",
            f"{where} has a program that packetrig did not attach: {numbers}; to put yours in its "
            f"place: --replace-foreign {strange[0]}",
        )
    else:
        yield _stop(
            "beside",
            f"{where} has programs that packetrig did not attach: {numbers}; --replace-foreign "
            f"{strange[0]} takes its place, beside it yours would run first",
        )


def _filters(candidate: Candidate, interface: hooks.Interface) -> Iterator[Finding]:
    if candidate.hook not in hooks.PARENT:
        return
    if candidate.hook == "tc-egress" and hooks.qdisc(interface.index) == "ingress":
        yield _stop("qdisc", f"{interface.name}: {carry.NO_EGRESS}")
    found = hooks.filters(interface.index, candidate.hook)
    others = [f for f in found if not f.program_id]
    if others:
        told = ", ".join(dict.fromkeys(f"{f.name} (priority {f.priority})" for f in others))
        yield _note(
            "filters",
            f"{candidate.hook} of {interface.name} has filters that are no BPF programs: {told}; "
            "yours is put before them",
        )
    replaces = candidate.replaces
    seats = carry.seats_of(interface, candidate.hook, replaces) if replaces else []
    if seats and seats[0].protocol != hooks.ETH_P_ALL:
        yield _note(
            "protocol",
            f"the filter of program {replaces} takes frames of EtherType "
            f"0x{seats[0].protocol:04x} alone: yours will see no others",
        )
    if len(seats) > 1:
        yield _note(
            "protocol",
            f"program {replaces} stands in {len(seats)} filters of {candidate.hook}: "
            "yours takes the place of the first",
        )


def _machine() -> Iterator[Finding]:
    if kernel.is_bpffs(places.BPFFS):
        yield _ok("bpffs", f"bpffs at {places.BPFFS}")
    else:
        yield _stop(
            "bpffs",
            f"no bpffs at {places.BPFFS}, which keeps programs when this process has gone: mount "
            f"-t bpf bpf {places.BPFFS}",
        )
    lockdown = _lockdown()
    if lockdown == "confidentiality":
        yield _note(
            "lockdown", "the kernel is locked down (confidentiality): maps may be unreadable"
        )


def _lockdown() -> str:
    try:
        text = Path("/sys/kernel/security/lockdown").read_text(encoding="ascii")
    except OSError:
        return ""
    return text.partition("[")[2].partition("]")[0]
