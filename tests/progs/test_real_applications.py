"""The programs before real applications: a web server, sockets that talk, two hooks at once."""

from __future__ import annotations

import http.client
import select
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

import packetrig
from packetrig import Object
from packetrig.live import Ended, Wire, traffic
from packetrig.live.taps import Tap
from packetrig.live.traffic import LEFT4, RIGHT4
from packetrig.packets.frames import bad_checksums

from . import http as decisions
from . import marking
from .http import Reason

pytestmark = [pytest.mark.live, pytest.mark.slow]

xdp_http = packetrig.fixture("progs/xdp_http.bpf.c")
tc_http = packetrig.fixture("progs/tc_http.bpf.c")
firewall = packetrig.fixture("progs/xdp_firewall.bpf.c")
tc_ingress = packetrig.fixture("progs/tc_ingress.bpf.c")
tc_egress_marker = packetrig.fixture("progs/tc_egress_marker.bpf.c")
router = packetrig.fixture("progs/xdp_router.bpf.c")

BLOCKED = "10.0.0.66"
IPV4 = 0x0800  # packet sockets of one protocol listen behind XDP and behind TC


@pytest.fixture
def road() -> Iterator[Wire]:
    with Wire(apart=True, ipv6=True) as made:
        traffic.introduce(made)
        yield made


@pytest.fixture
def web(road: Wire, tmp_path: Path) -> Iterator[Wire]:
    """A web server on the right, which serves /index.html and /secret.html."""
    for name in ("index", "secret"):
        (tmp_path / f"{name}.html").write_text(f"this is the {name}")
    command = [sys.executable, "-u", "-m", "http.server", "80", "--bind", RIGHT4]
    with road.right.namespace.started([*command, "--directory", tmp_path]) as server:
        assert "Serving HTTP" in server.stdout.readline()  # it listens
        yield road


@contextmanager
def client(road: Wire, kind: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    with road.left.namespace.inside():
        opened = socket.socket(socket.AF_INET, kind)
    with opened:
        opened.settimeout(120)
        # Closing resets: nothing is said after the test.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0)) + bytes(4))
        yield opened


def page(road: Wire, path: str) -> tuple[int, bytes]:
    """Get a page as a browser does."""
    with client(road) as sock, closing(http.client.HTTPConnection(RIGHT4)) as browser:
        sock.connect((RIGHT4, 80))
        browser.sock = sock
        browser.request("GET", path)
        answer = browser.getresponse()
        return answer.status, answer.read()


def is_answered(road: Wire, path: str) -> bool:
    """Ask for a page, and tell whether the request came through to the server's host at all."""
    road.right.tap(IPV4)
    with client(road) as sock:
        sock.connect((RIGHT4, 80))
        road.discard()
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {RIGHT4}\r\n\r\n".encode())
        road.settle()
        arrived = any(path.encode() in frame for frame in road.right.heard((IPV4,)))
        assert arrived or not select.select([sock], [], [], 0)[0]
        return arrived


HOOKS = ["native", "generic", "tc-ingress", "tcx-ingress"]


@pytest.mark.parametrize("hook", HOOKS)
def test_an_allowed_path_gets_its_page_and_a_forbidden_one_nothing(
    web: Wire, xdp_http: Object, tc_http: Object, hook: str
) -> None:
    program = tc_http if hook.startswith("tc") else xdp_http
    program.maps.allowed["/index.html"] = 1

    with web.left.namespace.inside():
        outgoing = Tap(web.left.name, outgoing=True)
    with outgoing.socket, web.right.attach(program, mode=hook):
        allowed = page(web, "/index.html")
        is_through = is_answered(web, "/secret.html")
        web.settle()
        reasons = decisions.counted(program)
        sent = b"".join(outgoing.frames(outgoing=True))

    assert allowed == (200, b"this is the index")
    assert not is_through
    # What nobody acknowledges is sent again, if the test is stopped for that long.
    assert reasons[Reason.ALLOWED] == sent.count(b"GET /index.html") == 1
    assert reasons[Reason.REFUSED] == sent.count(b"GET /secret.html") >= 1
    assert page(web, "/secret.html") == (200, b"this is the secret")  # nothing is attached now


def test_tc_counts_what_the_firewall_left(road: Wire, firewall: Object, tc_ingress: Object) -> None:
    firewall.maps.blocked[BLOCKED] = 0
    road.left.assign(BLOCKED, 24)
    road.right.meet(BLOCKED, road.left.mac)
    with road.right.namespace.inside():
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    with (
        server,
        road.right.attach(firewall, mode="native"),
        road.right.attach(tc_ingress, mode="tc-ingress"),
    ):
        server.bind((RIGHT4, 5353))
        server.settimeout(120)
        for source in (LEFT4, BLOCKED, BLOCKED, LEFT4):
            with client(road, socket.SOCK_DGRAM) as sock:
                sock.bind((source, 0))
                sock.sendto(source.encode(), (RIGHT4, 5353))
        road.settle()
        heard = [server.recv(64) for _ in range(2)]
        assert not select.select([server], [], [], 0)[0]

    assert heard == [LEFT4.encode()] * 2
    assert firewall.maps.blocked[BLOCKED] == 2
    assert tc_ingress.maps.traffic[0].packets == 2


@pytest.mark.parametrize("hook", ["tc-egress", "tcx-egress"])
def test_what_leaves_is_seen_marked_by_who_receives_it(
    road: Wire, tc_egress_marker: Object, hook: str
) -> None:
    marking.set_up(tc_egress_marker)
    with road.right.namespace.inside():
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    with server, road.right.attach(tc_egress_marker, mode=hook):
        road.discard()
        server.sendto(b"listed", (LEFT4, marking.PORT))
        server.sendto(b"not listed", (LEFT4, marking.PORT + 1))
        road.settle()
        frames = [f for f in road.left.heard((3,)) if f[12:14] == b"\x08\x00" and f[23] == 17]

    assert [frame[42:] for frame in frames] == [b"listed", b"not listed"]
    assert [marking.traffic_class(frame) >> 2 for frame in frames] == [marking.DSCP, 0]
    assert [bad_checksums(frame) for frame in frames] == [[], []]


@pytest.mark.parametrize("hook", ["native", "generic"])
def test_the_router_sends_a_packet_out_of_the_port_of_its_neighbour(
    router: Object, hook: str
) -> None:
    with Wire(ports=3) as box, box.right.attach(router, mode=hook):
        for number, network in ((1, "10.1.0.0/16"), (2, "10.2.0.0/16")):
            out = box.ports[number]
            router.maps.routes[network] = number
            router.maps.neighbours[number] = {
                "address": out.peer.mac,
                "source": out.mac,
                "ifindex": out.index,
            }
        trips = [
            box.trace(Ether(src=box.left.mac, dst=box.right.mac) / IP(dst=to, ttl=9) / UDP())
            for to in ("10.1.2.3", "10.2.3.4", "10.3.4.5")
        ]

    assert [trip.port for trip in trips] == ["left2", "left3", ""]
    assert [trip.ended for trip in trips] == [Ended.ELSEWHERE, Ended.ELSEWHERE, Ended.STACK]
    (routed,) = trips[1].elsewhere["left3"]
    assert (Ether(routed).dst, Ether(routed)[IP].ttl) == (box.ports[2].peer.mac, 8)
    assert bad_checksums(routed) == []
