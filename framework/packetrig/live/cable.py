"""Make the veth pairs of a wire, and bring them up with all noise off."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from ..errors import Error
from .end import End
from .ethtool import carries, switch
from .rtnl import netlink

_NO_VETH = {errno.EOPNOTSUPP: "this kernel has no veth: load the module, or enable CONFIG_VETH"}
_DEADLINE = 2.0  # seconds until an interface that does not come up is an Error
_ONE_QUEUE = {"num_tx_queues": 1, "num_rx_queues": 1}


@dataclass(frozen=True, slots=True)
class Manner:
    """Say what a cable is like; see Wire."""

    mtu: int
    arp: bool
    gro: bool


def lay(pairs: Sequence[tuple[End, End]], manner: Manner) -> None:
    """Make a veth pair for each pair of ends, and bring all of them up."""
    near, far = pairs[0][0].namespace, pairs[0][1].namespace
    with ExitStack() as stack:
        here = stack.enter_context(netlink(near, "making a veth pair", hints=_NO_VETH))
        apart = far is not near
        there = stack.enter_context(netlink(far, "bringing it up")) if apart else here
        for left, right in pairs:
            _make(here, left, right, manner, apart=apart)
        ends = [(end, here if end.namespace is near else there) for pair in pairs for end in pair]
        for end, route in ends:
            _prepare(end, gro=manner.gro)
            route.link("set", index=end.index, state="up", arp=manner.arp)
    for end, _ in ends:
        _until_it_carries(end)


def _make(route: Any, left: End, right: End, manner: Manner, *, apart: bool) -> None:
    common: dict[str, Any] = {"mtu": manner.mtu, **_ONE_QUEUE}
    peer = {"ifname": right.name, "address": right.mac, **common}
    if apart:
        peer["net_ns_fd"] = right.namespace.fd
    route.link("add", kind="veth", ifname=left.name, address=left.mac, peer=peer, **common)


def _prepare(end: End, *, gro: bool) -> None:
    with end.namespace.inside():
        end.index = socket.if_nametoindex(end.name)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            off = {"rx_checksum": False, "tx_checksum": False, "tso": False, "gso": False}
            switch(sock, end.name, **off, gro=gro)


def _until_it_carries(end: End) -> None:
    # A frame that is sent before the kernel's link watch has run is lost in a no-op queue. Asking
    # for the link makes it run ("net: core: synchronize link-watch when
    # carrier is queried", v6.8); an older kernel is asked until it has.
    until = time.monotonic() + _DEADLINE
    with end.namespace.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        is_late = False  # looked at first: who is stopped in between asks once more
        while not carries(sock, end.name):
            if is_late:
                raise Error(f"{end.name}: the interface did not come up within {_DEADLINE:g} s")
            is_late = time.monotonic() > until
