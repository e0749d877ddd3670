"""A street: a client, a balancer and two backends, each in a namespace, on one switch."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from packetrig.live import Namespace, Place
from packetrig.live.ethtool import switch
from packetrig.live.rtnl import netlink

from . import balancing
from .balancing import BACKENDS, BACKENDS6, CLIENT, CLIENT6, MAC, SERVICE, SERVICE6

_IFA_F_NODAD = 0x02
CLIENT_MAC = "02:00:00:00:00:01"
HOUSES = {
    "client": (CLIENT_MAC, CLIENT, CLIENT6),
    "balancer": (MAC, None, None),
    "first": (balancing.mac_of(1), BACKENDS[1], BACKENDS6[11]),
    "second": (balancing.mac_of(2), BACKENDS[2], BACKENDS6[12]),
}


class House:
    """Be one host: a namespace with one interface, `eth0`, and a port of the switch."""

    def __init__(self, namespace: Namespace, hub: Namespace, port: str) -> None:
        self.namespace = namespace
        self.place = _place(namespace, "eth0")
        self.port = _place(hub, port)

    def socket(self, family: int, address: str, port: int) -> socket.socket:
        """Open a TCP socket of this host; nothing on it waits for longer than two minutes."""
        with self.namespace.inside():
            opened = socket.socket(family, socket.SOCK_STREAM)
        opened.settimeout(120)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Closing resets: nothing is said after the test.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0)) + bytes(4))
        opened.bind((address, port))
        return opened


@contextmanager
def street() -> Iterator[dict[str, House]]:
    """Build the street. Nobody asks for addresses: each knows what it has to know."""
    with ExitStack() as stack:
        hub = _namespace(stack)
        with netlink(hub, "the switch") as route:
            bridge = {"br_stp_state": 0, "br_mcast_snooping": 0}
            route.link("add", ifname="br0", kind="bridge", **bridge)
            houses = {}
            for name, (mac, *addresses) in HOUSES.items():
                there = _namespace(stack)
                eth0 = {"ifname": "eth0", "address": mac, "net_ns_fd": there.fd}
                route.link("add", ifname=name, kind="veth", peer=eth0)
                for namespace, interface in ((hub, name), (there, "eth0")):
                    _turn_offloads_off(namespace, interface)
                houses[name] = House(there, hub, name)
                master = _place(hub, "br0").index
                route.link("set", index=houses[name].port.index, master=master, state="up")
                _settle_in(houses[name], name, [each for each in addresses if each])
            route.link("set", index=_place(hub, "br0").index, state="up")
        yield houses


def _settle_in(house: House, name: str, addresses: list[str]) -> None:
    index = house.place.index
    with netlink(house.namespace, f"{name}: settling in") as route:
        route.link("set", index=index, state="up")
        for own in addresses:
            address, _, prefix = own.partition("/")
            is6 = ":" in own
            length = int(prefix or (128 if is6 else 32))
            flags = _IFA_F_NODAD if is6 else 0
            route.addr("add", index=index, address=address, prefixlen=length, flags=flags)
            everywhere = "::/0" if is6 else "0.0.0.0/0"
            route.route("add", dst=everywhere, oif=index)
        for far, far_mac in _neighbours(name):
            route.neigh("add", index=index, dst=far, lladdr=far_mac, state="permanent")


def _neighbours(name: str) -> list[tuple[str, str]]:
    if name == "balancer":
        return []
    if name == "client":
        return [(SERVICE, MAC), (SERVICE6, MAC)]
    return [(CLIENT, CLIENT_MAC), (CLIENT6, CLIENT_MAC)]


def _namespace(stack: ExitStack) -> Namespace:
    made = Namespace()
    stack.callback(made.close)
    made.quieten(ipv6=True)
    return made


def _place(namespace: Namespace, interface: str) -> Place:
    with namespace.inside():
        return Place(namespace, socket.if_nametoindex(interface), interface)


def _turn_offloads_off(namespace: Namespace, interface: str) -> None:
    # The wire then carries whole checksums: XDP cannot know those that the device is to compute.
    with namespace.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        switch(sock, interface, rx_checksum=False, tx_checksum=False, tso=False, gso=False)
