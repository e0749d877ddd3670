"""xdp_router: what is forwarded, how it is rewritten, and what is left to the stack."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

import packetrig
from packetrig import ANY, XDP
from packetrig import strategies as net
from packetrig.packets.frames import bad_checksums

from . import routing
from .routing import FORWARDED, NEIGHBOUR, OUTSIDE, ROUTER, SENDER

router = packetrig.fixture("progs/xdp_router.bpf.c")

E = Ether(src=SENDER, dst=ROUTER)


def test_a_forwarded_packet_is_rewritten_here_and_nowhere_else(router):
    routing.set_up(router)
    A, B, R = ROUTER, NEIGHBOUR, SENDER
    packet = Ether(src=R, dst=A) / IP(src="192.0.2.1", dst="10.0.0.7") / UDP(sport=5, dport=6)
    router.maps.neighbours[7] = {"address": B, "source": A, "ifindex": 1}
    before = router.maps.snapshot()

    run = router.run(packet)

    assert run.verdict is XDP.REDIRECT
    assert run.changes == {
        "IP.ttl": (64, 63),
        "IP.chksum": ANY,
        "Ether.dst": (A, B),
        "Ether.src": (R, A),
    }
    assert run.bad_checksums == []
    key = next(iter(router.maps.flows))
    assert router.maps.changes(before) == {"flows": {key: (None, {"packets": 1})}}
    assert (key.source, key.destination) == ("192.0.2.1", "10.0.0.7")
    assert (key.source_port, key.destination_port, key.protocol) == (5, 6, 17)


@packetrig.table(
    ("routed", FORWARDED, XDP.REDIRECT),
    ("TCP", E / IP(dst="10.0.0.7") / TCP(), XDP.REDIRECT),
    ("neither", E / IP(dst="10.0.0.7", proto=253), XDP.REDIRECT),
    ("later fragment", E / IP(dst="10.0.0.7", frag=9) / bytes(64), XDP.REDIRECT),
    ("last but one hop", E / IP(dst="10.0.0.7", ttl=2) / UDP(), XDP.REDIRECT),
    ("last hop", E / IP(dst="10.0.0.7", ttl=1) / UDP(), XDP.PASS),
    ("no hop left", E / IP(dst="10.0.0.7", ttl=0) / UDP(), XDP.PASS),
    ("no route", E / IP(dst="11.0.0.7") / UDP(), XDP.PASS),
    ("no neighbour", E / IP(dst="172.16.0.1") / UDP(), XDP.PASS),
    ("broadcast", Ether(dst="ff:ff:ff:ff:ff:ff") / IP(dst="10.0.0.7") / UDP(), XDP.PASS),
    ("multicast", Ether(dst="01:00:5e:00:00:01") / IP(dst="10.0.0.7") / UDP(), XDP.PASS),
    ("IPv4 options", E / IP(dst="10.0.0.7", options=b"\x94\x04\0\0") / UDP(), XDP.PASS),
    ("tagged", E / Dot1Q(vlan=5) / IP(dst="10.0.0.7") / UDP(), XDP.PASS),
    ("IPv6", E / IPv6(dst="2001:db8::7") / UDP(), XDP.PASS),
    ("ARP", E / ARP(pdst="10.0.0.7"), XDP.PASS),
    ("header cut short", bytes(FORWARDED)[:33], XDP.PASS),
    ("ihl below 5", bytes(FORWARDED)[:14] + b"\x44" + bytes(FORWARDED)[15:], XDP.PASS),
    ("total length below ihl", bytes(FORWARDED)[:16] + b"\0\x13" + bytes(FORWARDED)[18:], XDP.PASS),
)
def test_verdicts(router, packet, verdict):
    routing.set_up(router)
    router.maps.routes["172.16.0.0/12"] = 9

    run = router.run(packet)

    assert run.verdict is verdict
    assert run.is_rewritten == (verdict is XDP.REDIRECT)
    assert len(router.maps.flows) == (verdict is XDP.REDIRECT)


def test_the_longest_prefix_decides(router):
    routing.set_up(router)
    router.maps.routes["10.0.0.0/24"] = 8
    router.maps.neighbours[8] = {"address": SENDER, "source": OUTSIDE, "ifindex": 1}

    assert router.run(FORWARDED).packet.dst == SENDER
    assert router.run(E / IP(dst="10.0.1.7") / UDP()).packet.dst == NEIGHBOUR


def test_a_packet_leaves_by_the_interface_of_its_neighbour(router):
    routing.set_up(router)
    router.maps.routes["10.0.0.0/24"] = 8
    router.maps.neighbours[8] = {"address": SENDER, "source": OUTSIDE, "ifindex": 5}

    assert router.run(FORWARDED, redirect=True).redirect.ifindex == 5
    assert router.run(E / IP(dst="10.0.1.7") / UDP(), redirect=True).redirect.ifindex == 1


@pytest.mark.parametrize(
    "packet, ports",
    [
        (E / IP(dst="10.0.0.7") / TCP(sport=1, dport=2), (1, 2)),
        (E / IP(dst="10.0.0.7") / UDP(sport=3, dport=4), (3, 4)),
        (E / IP(dst="10.0.0.7") / ICMP(), (0, 0)),
        (E / IP(dst="10.0.0.7", flags="MF") / UDP(sport=3, dport=4), (0, 0)),
        (E / IP(dst="10.0.0.7", frag=1, proto=17) / UDP(sport=3, dport=4), (0, 0)),
        (E / IP(dst="10.0.0.7") / TCP(sport=1, dport=2, dataofs=4), (0, 0)),
        (E / IP(dst="10.0.0.7") / UDP(sport=3, dport=4, len=7), (0, 0)),
        (bytes(E / IP(dst="10.0.0.7") / UDP(sport=3, dport=4))[:-1], (0, 0)),
    ],
    ids=["TCP", "UDP", "ICMP", "first fragment", "later fragment", "doff 4", "UDP length 7", "cut"],
)
def test_a_flow_has_ports_where_there_are_ports(router, packet, ports):
    routing.set_up(router)

    router.run(packet)

    (flow,) = router.maps.flows
    assert (flow.source_port, flow.destination_port) == ports


def test_packets_of_a_flow_are_counted_together(router):
    routing.set_up(router)

    for _ in range(3):
        router.run(FORWARDED)

    assert [count.packets for count in router.maps.flows.values()] == [3]


@pytest.mark.parametrize(
    "at, values",
    [
        (15, range(256)),
        (18, range(256)),
        (19, range(256)),
        (20, (0x00, 0x40, 0x80, 0xC0)),
        (22, range(2, 256)),
        (24, range(256)),
        (25, range(256)),
    ],
    ids=["tos", "high id", "low id", "flags", "ttl", "high checksum", "low checksum"],
)
def test_a_flow_is_counted_whatever_stands_in_the_rest_of_the_header(router, at, values):
    routing.set_up(router)
    frame = bytes(FORWARDED)

    router.run_many([frame[:at] + bytes((value,)) + frame[at + 1 :] for value in values])

    assert [count.packets for count in router.maps.flows.values()] == [len(values)]


@given(packet=routing.packets())
def test_every_forwarded_packet_is_counted_once(router, packet):
    routing.set_up(router)

    router.run(packet)

    ((flow, count),) = router.maps.flows.items()
    assert count.packets == 1
    assert (flow.source.to_bytes(4, "big"), flow.destination) == (packet[26:30], "10.0.0.7")
    assert flow.protocol == packet[23]


@given(packet=routing.packets())
def test_every_forwarded_packet_is_right(router, packet):
    routing.set_up(router)

    run = router.run(packet)

    for check in routing.CHECKS:
        check(packet, run)


@given(packet=net.udp_packets(version=4, destination="10.0.0.7", ip_checksum=st.just(0x1234)))
def test_a_wrong_checksum_stays_wrong(router, packet):
    routing.set_up(router)
    before = bad_checksums(packet)

    assert ("IP.chksum" in router.run(packet).bad_checksums) == ("IP.chksum" in before)


@given(frame=net.frames() | net.mangled())
def test_what_it_does_not_forward_stays_as_it_was(router, frame):
    routing.set_up(router)

    run = router.run(frame)

    assert run.verdict in (XDP.PASS, XDP.REDIRECT)
    assert run.is_rewritten == (run.verdict is XDP.REDIRECT)
