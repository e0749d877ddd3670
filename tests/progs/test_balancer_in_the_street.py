"""xdp_balancer before two real servers, tc_egress_balancer behind each of them."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

import packetrig
from packetrig import Object
from packetrig.live import attached
from packetrig.live.taps import Tap

from . import answering, balancing
from .balancing import BACKENDS, BACKENDS6, CLIENT, CLIENT6, MAC, ROUTER, ROUTER6, SERVICE, SERVICE6
from .street import CLIENT_MAC, House, street

pytestmark = [pytest.mark.live, pytest.mark.slow]

balancer = packetrig.fixture("progs/xdp_balancer.bpf.c")
egress = packetrig.fixture("progs/tc_egress_balancer.bpf.c")
# It lets everything through. A veth hands on what its peer sends by XDP_TX only if it has a
# program of its own.
stub = packetrig.fixture("progs/xdp_mac_filter.bpf.c")

FAMILIES = {
    socket.AF_INET: (CLIENT, SERVICE, (BACKENDS[1], BACKENDS[2])),
    socket.AF_INET6: (CLIENT6, SERVICE6, (BACKENDS6[11], BACKENDS6[12])),
}
PORT = balancing.REWRITTEN
_IP_MTU, _IPV6_MTU = 14, 24


class Scene:
    """Hold the servers of both backends, and talk to them as the client."""

    def __init__(self, houses: dict[str, House], stack: ExitStack) -> None:
        self.houses = houses
        self._stack = stack
        self.servers = {}
        for family, (_, _, addresses) in FAMILIES.items():
            for name, address in zip(("first", "second"), addresses, strict=True):
                server = houses[name].socket(family, address, PORT)
                stack.enter_context(server)
                server.listen(16)
                self.servers[family, name] = server

    def connect(self, family: int, port: int) -> tuple[socket.socket, socket.socket, str]:
        """Connect from a port; return both ends, and the name of the server that has accepted."""
        own, service, _ = FAMILIES[family]
        client = self._stack.enter_context(self.houses["client"].socket(family, own, port))
        client.connect((service, PORT))
        listening = {s: name for (kind, name), s in self.servers.items() if kind == family}
        ready, _, _ = select.select(list(listening), [], [], 120)
        accepted, _ = ready[0].accept()
        accepted.settimeout(120)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0)) + bytes(4))
        return client, self._stack.enter_context(accepted), listening[ready[0]]


@contextmanager
def scene(balancer: Object, egress: Object, stub: Object, mode: str) -> Iterator[Scene]:
    balancing.set_up(balancer)
    answering.set_up(egress)
    for number in (3, 13):  # they live elsewhere
        del balancer.maps.backends[number]
    for number, address in ((11, BACKENDS6[11]), (12, BACKENDS6[12])):  # one house, two families
        balancer.maps.backends[number] = {"address": address, "mac": balancing.mac_of(number - 10)}
    with ExitStack() as stack:
        houses = stack.enter_context(street())
        stack.enter_context(attached(houses["balancer"].place, balancer, mode))
        stack.enter_context(attached(houses["balancer"].port, stub, mode))
        for name in ("first", "second"):
            stack.enter_context(attached(houses[name].place, egress, "tc-egress"))
        yield Scene(houses, stack)


@pytest.mark.parametrize("mode", ["native", "generic"])
@pytest.mark.parametrize("family", FAMILIES, ids=["IPv4", "IPv6"])
def test_a_client_talks_to_servers_that_it_does_not_see(
    balancer: Object, egress: Object, stub: Object, family: int, mode: str
) -> None:
    served = set()
    with scene(balancer, egress, stub, mode) as here:
        for port in range(40000, 40008):
            client, server, name = here.connect(family, port)
            client.sendall(b"who?")
            assert server.recv(16) == b"who?"
            server.sendall(name.encode())
            assert client.recv(16) == name.encode()
            assert client.getpeername()[0] == FAMILIES[family][1]
            served.add(name)

    assert served == {"first", "second"}


@pytest.mark.parametrize("family", FAMILIES, ids=["IPv4", "IPv6"])
def test_too_big_lowers_the_mtu_of_the_server_that_it_concerns(
    balancer: Object, egress: Object, stub: Object, family: int
) -> None:
    with scene(balancer, egress, stub, "native") as here:
        with here.houses["client"].namespace.inside():
            tap = Tap("eth0")
        with tap.socket:
            client, server, _ = here.connect(family, 40000)
            tap.frames()
            server.sendall(b"an answer")
            client.recv(64)
            (answer,) = [frame for frame in tap.frames() if frame.endswith(b"an answer")]
            before = mtu_of(server)
            tap.socket.send(too_big(following(answer), mtu=1300))
            here.connect(family, 40001)  # behind the error, so that has arrived by then

            assert (before, mtu_of(server)) == (1500, 1300)


def mtu_of(server: socket.socket) -> int:
    if server.family == socket.AF_INET6:
        return server.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU)
    return server.getsockopt(socket.IPPROTO_IP, _IP_MTU)


def following(answer: bytes) -> bytes:
    """Build the segment that comes after one: that one is acknowledged, so no news of it counts."""
    packet = Ether(answer)
    packet[TCP].seq += len(packet[TCP].payload)
    return bytes(packet)


def too_big(frame: bytes, *, mtu: int) -> bytes:
    """Build what a router says about a frame that it could not pass on."""
    ether = Ether(src=CLIENT_MAC, dst=MAC)
    quoted = Raw(frame[14:])
    if frame[14] >> 4 == 4:
        error = IP(src=ROUTER, dst=SERVICE) / ICMP(type=3, code=4, nexthopmtu=mtu)
    else:
        error = IPv6(src=ROUTER6, dst=SERVICE6) / ICMPv6PacketTooBig(mtu=mtu)
    return bytes(ether / error / quoted)
