"""Attach a program to an interface for the length of a with block, and prove that it is there.

Everything goes over rtnetlink. XDP is set with `UPDATE_IF_NOEXIST` and taken off only while it is
still ours (`REPLACE` with the expected program); a TC program gets a filter of its own in clsact,
or a bpf_link of its own at tcx.
What the kernel then says is attached is read back: the flag that asks for a mode and the number
that reports one differ (XDP_FLAGS_DRV_MODE is 4, XDP_ATTACHED_DRV is 1).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from .. import _bpf
from .._bpf.kinds import BEHIND_REDIRECT
from ..errors import Error, Unsupported
from .namespace import Namespace
from .parking import PARKING
from .rtnl import add_clsact, netlink, program_of_filter


class Mode(Enum):
    """Name the hooks of an interface."""

    NATIVE = "native"
    GENERIC = "generic"
    TC_INGRESS = "tc-ingress"
    TC_EGRESS = "tc-egress"
    TCX_INGRESS = "tcx-ingress"
    TCX_EGRESS = "tcx-egress"

    @property
    def is_xdp(self) -> bool:
        """Tell XDP's hooks from those of TC."""
        return self in (Mode.NATIVE, Mode.GENERIC)

    @property
    def is_tc_ingress(self) -> bool:
        """Tell the hooks of TC for what an interface receives."""
        return self in (Mode.TC_INGRESS, Mode.TCX_INGRESS)

    @property
    def is_egress(self) -> bool:
        """Tell the hooks for what an interface sends."""
        return self in (Mode.TC_EGRESS, Mode.TCX_EGRESS)

    @property
    def is_tcx(self) -> bool:
        """Tell the hooks that take a bpf_link (Linux 6.6)."""
        return self in (Mode.TCX_INGRESS, Mode.TCX_EGRESS)

    @property
    def kind(self) -> str:
        """Name the kind of program that fits, as `Program.kind` spells it."""
        return "xdp" if self.is_xdp else "tc"

    @classmethod
    def of(cls, mode: Mode | str) -> Mode:
        """Take a mode or its name; a wrong name is told the right ones."""
        try:
            return cls(mode)
        except ValueError:
            names = ", ".join(m.value for m in cls)
            raise Error(f"no attach mode named '{mode}'; there are: {names}") from None


class ProgramLike(Protocol):
    """Describe what `attach` needs of a program."""

    @property
    def fd(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Attached:
    """Say what is attached where; the kernel was asked."""

    program: str
    program_id: int
    interface: str
    mode: Mode


@dataclass(frozen=True, slots=True)
class Place:
    """Name an interface: its namespace, index and name."""

    namespace: Namespace
    index: int
    name: str


_UPDATE_IF_NOEXIST, _SKB_MODE, _DRV_MODE, _REPLACE = 1, 2, 4, 16
_XDP_FLAG = {Mode.NATIVE: _DRV_MODE, Mode.GENERIC: _SKB_MODE}
_XDP_ID = {Mode.NATIVE: "IFLA_XDP_DRV_PROG_ID", Mode.GENERIC: "IFLA_XDP_SKB_PROG_ID"}
_CLSACT_INGRESS, _CLSACT_EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
_PARENT = {Mode.TC_INGRESS: _CLSACT_INGRESS, Mode.TC_EGRESS: _CLSACT_EGRESS}
TCX_TYPES = {Mode.TCX_INGRESS: 46, Mode.TCX_EGRESS: 47}  # enum bpf_attach_type

NO_ACTION = 'none, an action needs a filter before it; SEC("tc") makes it one'
_HINTS: dict[int, str] = {
    errno.EOPNOTSUPP: "the driver has no native XDP: use mode='generic'",
    errno.EEXIST: "native and generic XDP exclude each other: detach the other one first",
    errno.EBUSY: "another program is attached there: detach it first",
    errno.ERANGE: "the MTU is too large for a program without fragments: lower it, or use "
    'SEC("xdp.frags")',
    errno.EINVAL: "the driver cannot run this program with the present settings (MTU, offloads, "
    "queues, fragments)",
    errno.ENODEV: "the interface is gone",
    errno.ENOMEM: "the driver had no memory for its XDP queues",
}


def program_of(source: Any) -> ProgramLike:
    """Return the program of an object that has one, or the program itself."""
    source = getattr(source, "attachable", source)  # an object on an engine (testing.engines)
    if hasattr(source, "programs"):
        source = source.program  # an object with several programs says which there are
    for name in ("fd", "kind", "name"):
        if not hasattr(source, name):
            raise Error(
                f"{type(source).__name__} cannot be attached: give an object with one program, "
                "or a program (object.programs.name)"
            )
    found: ProgramLike = source
    return found


def natural_mode(program: Any) -> Mode:
    """Choose the hook that a program is made for: native XDP, TC ingress, or egress by its name."""
    if program.kind == "xdp":
        return Mode.NATIVE
    is_egress = "egress" in program.section or "egress" in program.name
    return Mode.TC_EGRESS if is_egress else Mode.TC_INGRESS


def program_id(fd: int) -> int:
    """Ask the kernel for the id of a program that we hold a descriptor of."""
    for line in Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii").splitlines():
        if line.startswith("prog_id:"):
            return int(line.split()[1])
    raise Error(f"descriptor {fd} is not that of a BPF program")


@contextmanager
def attached(place: Place, source: Any, mode: Mode | str) -> Iterator[Attached]:
    """Attach a program to an interface, and take exactly it off again at the end.

    Raises:
        Error: the program is of another kind than the hook; something else is attached there; the
            driver refuses it. The message says which interface, which mode, and what to try.
        PermissionDenied: CAP_NET_ADMIN is missing.
    """
    mode = Mode.of(mode)
    program = program_of(source)
    _check_kind(place, program, mode)
    # Ours to hold: the object may be closed or renewed before the block ends.
    fd = os.dup(program.fd)
    try:
        number = program_id(fd)
        told = Attached(program.name, number, place.name, mode)
        if mode.is_xdp:
            with PARKING.held(fd, number), _xdp(place, fd, program.name, mode):
                yield told
        else:
            with (_tcx if mode.is_tcx else _tc)(place, fd, program.name, mode):
                yield told
    finally:
        os.close(fd)


def _check_kind(place: Place, program: ProgramLike, mode: Mode) -> None:
    if program.kind != mode.kind:
        fits = ", ".join(m.value for m in Mode if m.kind == program.kind) or "none of these"
        if program.kind.startswith(("cgroup", "sock_ops")):
            fits = "live.cgroup(), and group.attach(...)"
        elif program.kind == "action":
            fits = NO_ACTION
        raise Error(
            f"{program.name} is a program for {program.kind}: it cannot be attached to "
            f"{place.name} as {mode.value}; what fits: {fits}"
        )
    owner = getattr(program, "owner", None)
    behind = BEHIND_REDIRECT.get(owner.loaded.attach_types[program.name]) if owner else None
    if mode.is_xdp and behind:
        raise Error(
            f"{program.name} is a program for entries of maps ({behind}): it runs behind a "
            f"redirect and cannot be attached to {place.name}; put it into the map"
        )


def _netlink(place: Place, what: str) -> AbstractContextManager[Any]:
    return netlink(place.namespace, f"{place.name}: {what}", hints=_HINTS)


@contextmanager
def _xdp(place: Place, fd: int, name: str, mode: Mode) -> Iterator[None]:
    what = f"attaching {name} ({mode.value})"
    flags = _XDP_FLAG[mode]
    with _netlink(place, what) as route:
        _set_xdp(route, place, fd, flags | _UPDATE_IF_NOEXIST)
        ours = program_id(fd)
        seen = xdp_ids(next(iter(route.get_links(place.index)))).get(mode, 0)
        if seen != ours:
            _set_xdp(route, place, -1, flags)
            raise Error(f"{place.name}: {what}: the kernel reports program {seen}, not {ours}")
    try:
        yield
    finally:
        with _netlink(place, f"detaching {name} ({mode.value})") as route:
            _set_xdp(route, place, -1, flags | _REPLACE, expected=fd)


def _set_xdp(route: Any, place: Place, fd: int, flags: int, *, expected: int | None = None) -> None:
    attrs = [("IFLA_XDP_FD", fd), ("IFLA_XDP_FLAGS", flags)]
    if expected is not None:
        attrs.append(("IFLA_XDP_EXPECTED_FD", expected))
    route.link("set", index=place.index, IFLA_XDP={"attrs": attrs})


def xdp_ids(link: Any) -> dict[Mode, int]:
    """Read from a link message of rtnetlink which XDP programs are attached."""
    xdp = link.get_attr("IFLA_XDP")
    ids = {mode: xdp.get_attr(attr) if xdp else None for mode, attr in _XDP_ID.items()}
    return {mode: number for mode, number in ids.items() if number}


@contextmanager
def _tcx(place: Place, fd: int, name: str, mode: Mode) -> Iterator[None]:
    what = f"{place.name}: attaching {name} ({mode.value})"
    none: Any = _bpf.ffi.NULL
    with place.namespace.inside():
        if _bpf.lib.pr_tcx_query(place.index, TCX_TYPES[mode], none, none, 0) == -errno.EINVAL:
            raise Unsupported("tcx", "this kernel has none (Linux 6.6); use tc-ingress, tc-egress")
        link: int = _bpf.lib.pr_link_create(fd, place.index, TCX_TYPES[mode], 0)
    if link < 0:
        if -link in (errno.EPERM, errno.EACCES):
            raise _bpf.denied(what)
        hint = f" ({_HINTS[-link]})" if -link in _HINTS else ""
        raise Error(f"{what}: {os.strerror(-link).lower()}{hint}")
    try:
        yield
    finally:
        os.close(link)  # nobody else has it, so this takes the program off


@contextmanager
def _tc(place: Place, fd: int, name: str, mode: Mode) -> Iterator[None]:
    what = f"attaching {name} ({mode.value})"
    parent = _PARENT[mode]
    ours = program_id(fd)
    with _netlink(place, what) as route:
        owns_qdisc = add_clsact(route, place.index)
        route.tc(
            "add-filter",
            "bpf",
            place.index,
            fd=fd,
            name=name,
            parent=parent,
            direct_action=True,
        )
        found = [f for f in filters(route, place.index, mode) if f[2] == ours]
        if not found:
            raise Error(f"{place.name}: {what}: the kernel does not list program {ours}")
    priority, handle, _ = found[-1]
    try:
        yield
    finally:
        with _netlink(place, f"detaching {name} ({mode.value})") as route:
            route.tc(
                "del-filter",
                "bpf",
                place.index,
                handle=handle,
                parent=parent,
                prio=priority,
                protocol=0x0003,
            )
            if owns_qdisc and not any(filters(route, place.index, other) for other in _PARENT):
                route.tc("del", "clsact", place.index)


def filters(route: Any, index: int, mode: Mode) -> list[tuple[int, int, int]]:
    """List (priority, handle, program id) of each BPF filter of an interface's clsact."""
    return [
        (message["info"] >> 16, message["handle"], program_of_filter(message))
        for message in route.get_filters(index=index, parent=_PARENT[mode])
        if message.get_attr("TCA_OPTIONS")
    ]
