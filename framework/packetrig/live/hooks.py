"""The hooks of an interface of this very namespace, over rtnetlink: asked, set, replaced.

`attach.py` holds a program for the length of a with block; what stands here leaves it there, and
replaces one program by another with no moment between them: XDP with the expected program
(`XDP_FLAGS_REPLACE`), a clsact filter under its own priority and handle.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ..errors import Error
from .attach import _HINTS
from .rtnl import _in_words, add_clsact, chain_of_filter, program_of_filter

_UPDATE_IF_NOEXIST, _SKB_MODE, _DRV_MODE, _REPLACE = 1, 2, 4, 16
# By the names of the modes: the flag that asks for one, and the attribute that reports one.
XDP_FLAG = {"native": _DRV_MODE, "generic": _SKB_MODE}
_XDP_ID = {
    "native": "IFLA_XDP_DRV_PROG_ID",
    "generic": "IFLA_XDP_SKB_PROG_ID",
    "offloaded": "IFLA_XDP_HW_PROG_ID",
}
PARENT = {"tc-ingress": 0xFFFFFFF2, "tc-egress": 0xFFFFFFF3}
_ACT_DIRECT = 1  # TCA_BPF_FLAG_ACT_DIRECT
ETH_P_ALL = 0x0003
_IFF_UP = 1
_ETHER, _LOOPBACK = 1, 772  # ARPHRD_*: whose frames begin with an Ethernet header


@dataclass(frozen=True, slots=True)
class Interface:
    """Tell what the kernel says of an interface at one moment.

    `xdp` is program ids by mode, `counters` the 64-bit statistics.
    """

    index: int
    name: str
    is_up: bool
    mtu: int
    kind: str
    receive_queues: int
    xdp: Mapping[str, int]
    counters: Mapping[str, int]
    has_ethernet: bool = True
    has_carrier: bool = True


@dataclass(frozen=True, slots=True)
class Filter:
    """Name a filter in clsact and the program behind it; 0 where it is no BPF program.

    Frames come to chain 0; others are only run when a filter there sends a frame to them.
    """

    priority: int
    handle: int
    protocol: int
    program_id: int
    name: str
    is_direct: bool  # its program's answer is the verdict, not a class
    chain: int = 0

    @property
    def at(self) -> tuple[int, int, int]:
        """Return what names it at its hook."""
        return self.priority, self.handle, self.protocol


# What is said about XDP would lead astray.
_TC_HINTS = {errno.EOPNOTSUPP: "use tcx-ingress or tcx-egress"}


class Gone(Error):
    """Say that an interface is not there (any more)."""


@contextmanager
def _netlink(doing: str, hints: Mapping[int, str] = _HINTS) -> Iterator[Any]:
    try:
        with IPRoute(ext_ack=True) as route:
            yield route
    except NetlinkError as e:
        if e.code == errno.ENODEV:
            raise Gone(f"{doing}: the interface is gone") from e
        raise _in_words(e, doing, hints) from e


def interface(name: str) -> Interface:
    """Ask for an interface by its name.

    Raises:
        Gone: There is none; the message lists those that are there.
    """
    try:
        index = socket.if_nametoindex(name)
    except OSError as e:
        there = ", ".join(sorted(each for _, each in socket.if_nameindex())) or "none"
        raise Gone(f"there is no interface named {name}; there are: {there}") from e
    with _netlink(f"{name}: asking for it") as route:
        return _told(next(iter(route.get_links(index))), name)


def _told(link: Any, name: str) -> Interface:
    xdp = link.get_attr("IFLA_XDP")
    ids = {mode: xdp.get_attr(attr) if xdp else None for mode, attr in _XDP_ID.items()}
    info = link.get_attr("IFLA_LINKINFO")
    counters = link.get_attr("IFLA_STATS64") or {}
    return Interface(
        index=link["index"],
        name=name,
        is_up=bool(link["flags"] & _IFF_UP),
        mtu=int(link.get_attr("IFLA_MTU") or 0),
        kind=(info.get_attr("IFLA_INFO_KIND") if info else None) or "",
        receive_queues=int(link.get_attr("IFLA_NUM_RX_QUEUES") or 1),
        xdp={mode: number for mode, number in ids.items() if number},
        counters={key: value for key, value in counters.items() if isinstance(value, int)},
        has_carrier=bool(link.get_attr("IFLA_CARRIER")),
        has_ethernet=link["ifi_type"] in (_ETHER, _LOOPBACK),
    )


def everything() -> list[tuple[Interface, Mapping[str, list[Filter]]]]:
    """Ask for all interfaces of this namespace, each with its filters by hook.

    One dump of links and one of qdiscs; filters cannot be asked for but interface by interface,
    and are where there is a qdisc for them.
    """
    with _netlink("asking for all interfaces", _TC_HINTS) as route:
        found = [_told(link, link.get_attr("IFLA_IFNAME")) for link in route.get_links()]
        qdiscs = dict(_qdiscs(route.get_qdiscs()))
        return [
            (each, {hook: _filters(route, each.index, hook, qdiscs) for hook in PARENT})
            for each in found
        ]


def set_xdp(index: int, fd: int, mode: str, *, expected: int | None, doing: str) -> None:
    """Put an XDP program there, or take it off with fd -1.

    `expected` is a descriptor of the program that must be there; None: nothing may be there.
    """
    flags = XDP_FLAG[mode] | (_UPDATE_IF_NOEXIST if expected is None else _REPLACE)
    attrs = [("IFLA_XDP_FD", fd), ("IFLA_XDP_FLAGS", flags)]
    if expected is not None:
        attrs.append(("IFLA_XDP_EXPECTED_FD", expected))
    with _netlink(doing) as route:
        route.link("set", index=index, IFLA_XDP={"attrs": attrs})


def filters(index: int, hook: str) -> list[Filter]:
    """List the filters of a clsact hook in the order in which they run, those of BPF and others."""
    with _netlink(f"interface {index}: asking for its filters", _TC_HINTS) as route:
        return _filters(route, index, hook, dict(_qdiscs(route.get_qdiscs(index=index))))


def _filters(route: Any, index: int, hook: str, qdiscs: Mapping[int, str]) -> list[Filter]:
    kind = qdiscs.get(index)
    # An ingress qdisc answers with its own, whichever hook it is asked about.
    if kind is None or (hook == "tc-egress" and kind != "clsact"):
        return []
    try:
        found = [
            Filter(
                message["info"] >> 16,
                message["handle"],
                socket.ntohs(message["info"] & 0xFFFF),
                *_program_of(message),
                chain=chain_of_filter(message),
            )
            for message in route.get_filters(index=index, parent=PARENT[hook])
            if message.get_attr("TCA_OPTIONS") and message["handle"]
        ]
    except NetlinkError as e:
        if e.code in (errno.EINVAL, errno.ENOENT):
            return []  # the qdisc went while we asked
        raise
    return sorted(found, key=lambda each: each.priority)


def _program_of(message: Any) -> tuple[int, str, bool]:
    if message.get_attr("TCA_KIND") != "bpf":
        return 0, str(message.get_attr("TCA_KIND")), False
    name, flags = "", 0
    for key, value in message.get_attr("TCA_OPTIONS")["attrs"]:
        if key == "TCA_BPF_NAME":
            name = str(value)
        if key == "TCA_BPF_FLAGS":
            flags = int(value)
    return program_of_filter(message), name, bool(flags & _ACT_DIRECT)


def qdisc(index: int) -> str:
    """Name the qdisc that filters hang on: "clsact", "ingress" (which has no egress), or ""."""
    with _netlink(f"interface {index}: asking for its qdiscs", _TC_HINTS) as route:
        return dict(_qdiscs(route.get_qdiscs(index=index))).get(index, "")


def _qdiscs(messages: Iterable[Any]) -> Iterator[tuple[int, str]]:
    for message in messages:
        kind = message.get_attr("TCA_KIND")
        if kind in ("clsact", "ingress"):
            yield message["index"], kind


def ensure_clsact(index: int, *, doing: str) -> bool:
    """Make sure that there is a clsact qdisc; return whether it had to be made."""
    with _netlink(doing, _TC_HINTS) as route:
        return add_clsact(route, index)


def remove_clsact(index: int, *, doing: str) -> None:
    """Take the clsact qdisc away, if no filter is left in it."""
    if any(filters(index, hook) for hook in PARENT):
        return
    with _netlink(doing, _TC_HINTS) as route:
        route.tc("del", "clsact", index)


def put_filter(
    index: int,
    hook: str,
    fd: int,
    name: str,
    *,
    at: tuple[int, int, int],
    is_new: bool,
    doing: str,
) -> None:
    """Put a program into the filter of this priority, handle and protocol, new or there already.

    The program of a filter that is there is replaced with no moment between.
    """
    with _netlink(doing, _TC_HINTS) as route:
        route.tc(
            "add-filter" if is_new else "replace-filter",
            "bpf",
            index,
            fd=fd,
            name=name,
            parent=PARENT[hook],
            direct_action=True,
            prio=at[0],
            handle=at[1],
            protocol=at[2],
        )


def remove_filter(index: int, hook: str, *, at: tuple[int, int, int], doing: str) -> None:
    """Take a filter away."""
    with _netlink(doing, _TC_HINTS) as route:
        route.tc(
            "del-filter",
            "bpf",
            index,
            parent=PARENT[hook],
            prio=at[0],
            handle=at[1],
            protocol=at[2],
        )
