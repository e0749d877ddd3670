"""A street: a client, a balancer and two backends, each in a namespace, on one switch."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from packetrig.errors import Error
from packetrig.live import Namespace, Place
from packetrig.live.ethtool import switch

from . import balancing
from .balancing import BACKENDS, BACKENDS6, CLIENT, CLIENT6, MAC, SERVICE, SERVICE6

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
        """Open a TCP socket of this host; nothing on it waits for longer than 5 seconds."""
        with self.namespace.inside():
            opened = socket.socket(family, socket.SOCK_STREAM)
        opened.settimeout(5)
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
        _ip(hub, "link add br0 type bridge stp_state 0 mcast_snooping 0")
        houses = {}
        for name, (mac, address, address6) in HOUSES.items():
            there = _namespace(stack)
            _ip(hub, f"link add {name} type veth peer name eth0 address {mac} netns {_path(there)}")
            for namespace, interface in ((hub, name), (there, "eth0")):
                _turn_offloads_off(namespace, interface)
            _ip(hub, f"link set {name} master br0 up")
            _ip(there, "link set eth0 up")
            for own in (address, address6):
                if own:
                    _ip(there, f"address add {own} dev eth0 {'nodad' if ':' in own else ''}")
                    _ip(there, f"{'-6 ' if ':' in own else ''}route add default dev eth0")
            for far, far_mac in _neighbours(name):
                _ip(there, f"neigh add {far} lladdr {far_mac} dev eth0 nud permanent")
            houses[name] = House(there, hub, name)
        _ip(hub, "link set br0 up")
        yield houses


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


def _path(namespace: Namespace) -> str:
    return f"/proc/{os.getpid()}/fd/{namespace.fd}"


def _ip(namespace: Namespace, words: str) -> None:
    done = namespace.run(["ip", *words.split()])
    if done.returncode:
        raise Error(f"ip {words}: {done.stderr.strip()}")


def _turn_offloads_off(namespace: Namespace, interface: str) -> None:
    # The wire then carries whole checksums: XDP cannot know those that the device is to compute.
    with namespace.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        switch(sock, interface, rx_checksum=False, tx_checksum=False, tso=False, gso=False)
