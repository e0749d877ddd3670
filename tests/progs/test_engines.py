"""The programs on three engines: what a test run says is what an interface does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

import packetrig
from packetrig import TC, XDP, Object
from packetrig import strategies as net
from packetrig.live import Wire

from . import balancing, http, marking

pytestmark = [pytest.mark.live, pytest.mark.slow]

firewall = packetrig.fixture("progs/xdp_firewall.bpf.c")
xdp_http = packetrig.fixture("progs/xdp_http.bpf.c")
tc_http = packetrig.fixture("progs/tc_http.bpf.c")
balancer = packetrig.fixture("progs/xdp_balancer.bpf.c")
marker = packetrig.fixture("progs/tc_egress_marker.bpf.c")
router = packetrig.fixture("progs/xdp_router.bpf.c")
untag = packetrig.fixture("progs/xdp_untag.bpf.c")

EVERY = ("testrun", "live-frames", "wire", "wire:generic")
TC_HOOKS = ("testrun", "wire", "wire:tcx-ingress")
BAD, GOOD = "10.0.0.66", "10.0.0.1"
FEW = settings(max_examples=25, deadline=None)


@packetrig.engines(*EVERY)
def test_a_blocked_source_is_dropped_and_counted(firewall: Object) -> None:
    firewall.maps.blocked[BAD] = 0

    assert firewall.run(Ether() / IP(src=BAD, dst=GOOD) / UDP()).verdict is XDP.DROP
    assert firewall.run(Ether() / IP(src=GOOD, dst=BAD) / UDP()).verdict is XDP.PASS
    assert firewall.maps.blocked[BAD] == 1


@packetrig.engines(*EVERY)
@given(packet=net.tcp_packets(payload=st.sampled_from([http.INDEX, http.SECRET, b""])))
@FEW
def test_requests_are_decided_as_the_model_says(xdp_http: Object, packet: bytes) -> None:
    http.set_up(xdp_http)

    run = xdp_http.run(packet)

    assert run.verdict is (XDP.DROP if http.decide(packet).is_dropped else XDP.PASS)


@packetrig.engines(*TC_HOOKS)
def test_tc_drops_a_request_that_is_not_allowed(tc_http: Object) -> None:
    http.set_up(tc_http)
    request = Ether() / IP(dst=GOOD) / TCP(dport=80, flags="PA")

    assert tc_http.run(request / b"GET /no HTTP/1.1\r\n").verdict is TC.SHOT
    assert tc_http.run(request / b"GET / HTTP/1.1\r\n").verdict is TC.OK


@packetrig.engines("testrun", "wire", "wire:tcx-egress")
def test_what_leaves_is_marked(marker: Object) -> None:
    marking.set_up(marker)

    run = marker.run(Ether() / IP(dst=GOOD) / UDP(dport=marking.PORT))

    assert run.verdict is TC.OK
    assert marking.traffic_class(run.data) >> 2 == marking.DSCP
    assert run.changes["IP.tos"] == (0, marking.DSCP << 2)
    assert run.bad_checksums == []


@packetrig.engines(*EVERY)
def test_a_connection_is_sent_on_to_a_backend(balancer: Object) -> None:
    balancing.set_up(balancer)
    syn = Ether(dst=balancing.MAC) / IP(src=balancing.CLIENT, dst=balancing.SERVICE)

    run = balancer.run(syn / TCP(sport=4000, dport=balancing.REWRITTEN, flags="S"))

    assert run.verdict is XDP.TX
    assert run.packet[IP].dst in balancing.BACKENDS.values()
    assert run.bad_checksums == []


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire(ports=2) as made:
        yield made


@packetrig.engines("live-frames", "wire", "wire:generic")
def test_a_routed_packet_leaves_by_the_port_of_its_neighbour(router: Object, wire: Wire) -> None:
    out = wire.ports[1]
    router.maps.routes["10.0.0.0/8"] = 7
    router.maps.neighbours[7] = {
        "address": out.peer.mac,
        "source": out.mac,
        "ifindex": out.index,
    }
    run = router.run(Ether(dst=wire.right.mac) / IP(dst="10.1.2.3") / UDP())

    assert (run.verdict, run.trip.port) == (XDP.REDIRECT, "left2")
    assert run.changes["IP.ttl"] == (64, 63)
    assert run.bad_checksums == []


@packetrig.engines(*EVERY)
@given(packet=net.frames().filter(lambda frame: 14 <= len(frame) <= 1514))  # what a wire takes
@FEW
def test_any_frame_ends_where_the_test_run_says(firewall: Object, packet: bytes) -> None:
    firewall.maps.blocked[BAD] = 0

    assert getattr(firewall.run(packet), "difference", None) is None
