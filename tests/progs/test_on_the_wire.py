"""What a test run cannot show: metadata, payload that is not linear, sums left to the device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

import packetrig
from packetrig import Object
from packetrig.live import Wire, traffic
from packetrig.packets import craft
from packetrig.packets.frames import bad_checksums

from . import balancing, http
from .http import Reason

pytestmark = pytest.mark.live

PROGS = Path(__file__).parents[2] / "progs"
LONG = 8192  # a packet socket leaves what is beyond a page outside the linear part

marker = packetrig.fixture("progs/xdp_marker.bpf.c")
tc_ingress = packetrig.fixture("progs/tc_ingress.bpf.c")
tc_http = packetrig.fixture("progs/tc_http.bpf.c")
xdp_http = packetrig.fixture("progs/xdp_http.bpf.c")
egress = packetrig.fixture("progs/tc_egress_balancer.bpf.c")


@pytest.fixture
def road() -> Iterator[Wire]:
    with Wire(apart=True, ipv6=True) as made:
        traffic.introduce(made)
        yield made


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_the_mark_arrives_at_ingress(road: Wire, marker: Object, tc_ingress: Object, mode) -> None:
    marker.maps.marks["10.0.0.0/8"] = 7
    frame = bytes(Ether(dst=road.right.mac) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP())

    with road.right.attach(marker, mode=mode), road.right.attach(tc_ingress, mode="tc-ingress"):
        assert road.send(frame) == [frame]

    assert tc_ingress.maps.traffic[7].packets == 1


def test_what_a_program_counted_on_a_wire_is_gone_when_it_is_renewed(
    road: Wire, tc_ingress: Object
) -> None:
    with road.right.attach(tc_ingress, mode="tc-ingress"):
        road.send(bytes(Ether(dst=road.right.mac) / IP() / UDP()))
    assert len(tc_ingress.maps.traffic) == 1

    tc_ingress.renew()

    assert len(tc_ingress.maps.traffic) == 0


@pytest.mark.parametrize("hook", ["native", "generic", "tc-ingress"])
def test_real_requests_are_seen_whole(
    road: Wire, xdp_http: Object, tc_http: Object, hook: str
) -> None:
    program = tc_http if hook == "tc-ingress" else xdp_http
    program.maps.allowed["/index.html"] = 1

    with road.right.attach(program, mode=hook):
        traffic.talk(road)

    reasons = http.counted(program)
    assert reasons[Reason.REFUSED] >= 2  # GET / over IPv4 and IPv6, and what TCP sends again
    assert reasons[Reason.ALLOWED] >= 2  # GET /index.html


def test_a_filter_that_forgets_to_pull_sees_no_request(road: Wire) -> None:
    with packetrig.build(PROGS / "faulty" / "tc_http_pull_forgotten.bpf.c").load() as twin:
        with road.right.attach(twin, mode="tc-ingress"):
            traffic.talk(road)
        reasons = http.counted(twin)

    assert Reason.REFUSED not in reasons
    assert Reason.NO_REQUEST in reasons


def long_headers(size: int, behind: bytes) -> bytes:
    """Build a frame whose first IPv6 extension alone takes `size` bytes, longer than a page."""
    option = bytes((6, size // 8 - 1)) + bytes(size - 2)
    packet = craft.V6.packet(option + behind, 0)
    # Zero before hop-by-hop options: a jumbogram, whose length is that of the frame.
    frame = craft.ethernet(packet[:4] + bytes(2) + packet[6:], 0x86DD)
    return frame.ljust(LONG, b"\0")


@pytest.mark.parametrize("size", [440, 512, 560, 2048])
@pytest.mark.parametrize("path", ["/index.html", "/secret"])
def test_headers_are_followed_where_they_go_on_outside_the_linear_part(
    tc_http: Object, size: int, path: str
) -> None:
    tc_http.maps.allowed["/index.html"] = 1
    request = craft.tcp(f"GET {path} HTTP/1.1\r\n".encode(), craft.V6, destination_port=80)
    frame = long_headers(size, request)
    with Wire(mtu=LONG) as wire, wire.right.attach(tc_http, mode="tc-ingress"):
        arrived = wire.send(frame)

    assert http.counted(tc_http) == {http.decide(frame): 1}
    assert http.decide(frame) is (Reason.ALLOWED if path == "/index.html" else Reason.REFUSED)
    assert arrived == ([frame] if path == "/index.html" else [])


def test_what_looks_like_a_long_extension_is_stepped_over_as_in_a_test_run(
    tc_http: Object,
) -> None:
    # The first bytes of "GET /secret" state an extension of 560 bytes: it ends in the padding.
    frame = bytes.fromhex(
        "02000000000202000000000181000007" + "86dd" + "6000000000000002"
        "20010db800000000000000000000000120010db8000000000000000000000001"
    ) + b"GET /secret HTTP/1.1\r\n\r\n".ljust(LONG - 58, b"\0")
    with Wire(mtu=LONG) as wire, wire.right.attach(tc_http, mode="tc-ingress"):
        arrived = wire.send(frame)

    assert arrived == [frame[:12] + frame[16:]]  # the tag is off before handlers are asked
    assert http.counted(tc_http) == {Reason.NOT_TCP: 1}


def renamed(road: Wire, program: Object) -> list[bytes]:
    """Let the right's stack answer from port 80 in the name of a service; return what arrives."""
    names = {traffic.RIGHT4: balancing.SERVICE, traffic.RIGHT6: balancing.SERVICE6}
    for own, service in names.items():
        key = balancing.endpoint(own, 80, 6)
        program.maps.sources[key] = {"source": balancing.mapped(service)}
    with road.right.attach(program, mode="tc-egress"):
        road.discard()
        traffic.talk(road)
    packets = [Ether(frame) for frame in road.left.heard((3,))]
    return [bytes(p) for p in packets if {p[1].src} & {balancing.SERVICE, balancing.SERVICE6}]


def test_answers_of_a_real_stack_are_renamed_whole(road: Wire, egress: Object) -> None:
    frames = renamed(road, egress)

    assert len(frames) >= 2  # at least one SYN and ACK each, IPv4 and IPv6
    assert [bad_checksums(frame) for frame in frames] == [[]] * len(frames)


def test_a_program_that_leaves_out_the_pseudo_header_spoils_them(road: Wire) -> None:
    source = PROGS / "faulty" / "tc_egress_balancer_pseudo_header.bpf.c"
    with packetrig.build(source).load() as twin:
        spoilt = [bad_checksums(frame) for frame in renamed(road, twin)]

    assert ["TCP.chksum"] in spoilt
