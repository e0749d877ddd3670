"""What a test run cannot show: metadata between hooks, and payload outside the linear part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

import packetrig
from packetrig import Object
from packetrig.live import Wire, traffic

from . import http
from .http import Reason

pytestmark = pytest.mark.live

PROGS = Path(__file__).parents[2] / "progs"

marker = packetrig.fixture("progs/xdp_marker.bpf.c")
tc_ingress = packetrig.fixture("progs/tc_ingress.bpf.c")
tc_http = packetrig.fixture("progs/tc_http.bpf.c")
xdp_http = packetrig.fixture("progs/xdp_http.bpf.c")


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
