"""xdp_marker and tc_ingress: a mark that travels in front of the packet, and where it arrives."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

import packetrig
from packetrig import TC, XDP
from packetrig import strategies as net

marker = packetrig.fixture("progs/xdp_marker.bpf.c")
firewall = packetrig.fixture("progs/xdp_firewall.bpf.c")
tc_ingress = packetrig.fixture("progs/tc_ingress.bpf.c")

PACKET = Ether() / IP(src="10.0.0.1") / UDP()
MAGIC = 0x70747267


def meta(mark: int) -> bytes:
    return struct.pack("=II", MAGIC, mark)


def test_the_mark_of_a_network_stands_in_front_of_the_packet(marker):
    marker.maps.marks["10.0.0.0/8"] = 7

    run = marker.run(PACKET)

    assert run.verdict is XDP.PASS
    assert run.metadata == meta(7)
    assert run.data == run.frame


@packetrig.table(
    ("other network", Ether() / IP(src="11.0.0.1"), XDP.PASS),
    ("IPv6", Ether() / IPv6(), XDP.PASS),
    ("ARP", Ether() / ARP(psrc="10.0.0.1"), XDP.PASS),
    ("header cut short", bytes(PACKET)[:33], XDP.PASS),
    ("ihl below 5", bytes(PACKET)[:14] + b"\x44" + bytes(PACKET)[15:], XDP.PASS),
    ("tag cut short", bytes(Ether() / Dot1Q() / IP())[:17], XDP.PASS),
)
def test_what_gets_no_mark_passes(marker, packet, verdict):
    marker.maps.marks["10.0.0.0/8"] = 7

    run = marker.run(packet)

    assert run.verdict is verdict
    assert run.metadata == b""


def test_the_longest_prefix_marks(marker):
    marker.maps.marks["0.0.0.0/0"] = 1
    marker.maps.marks["10.0.0.1/32"] = 2

    assert marker.run(PACKET).metadata == meta(2)
    assert marker.run(Ether() / Dot1Q(vlan=5) / IP(src="10.0.0.2")).metadata == meta(1)


@given(frame=net.frames() | net.mangled())
def test_it_passes_everything_as_it_came(marker, frame):
    marker.maps.marks["0.0.0.0/0"] = 0xFFFFFFFF

    run = marker.run(frame)

    assert run.verdict is XDP.PASS
    assert run.data == frame
    assert run.metadata in (b"", meta(0xFFFFFFFF))


def test_without_metadata_a_packet_keeps_its_mark(tc_ingress):
    run = tc_ingress.run(PACKET, ctx={"mark": 5})

    assert run.verdict is TC.OK
    assert run.context.mark == 5


def test_packets_and_bytes_are_counted_by_mark(tc_ingress):
    size = len(bytes(PACKET))

    for mark in (0, 5, 5):
        tc_ingress.run(PACKET, ctx={"mark": mark})

    assert tc_ingress.maps.traffic == {
        0: {"packets": 1, "bytes": size},
        5: {"packets": 2, "bytes": 2 * size},
    }


@given(frame=net.tcp_packets() | net.udp_packets(), mark=st.integers(0, 0xFFFFFFFF))
def test_ingress_lets_everything_through_as_it_came(tc_ingress, frame, mark):
    run = tc_ingress.run(frame, ctx={"mark": mark})

    assert run.verdict is TC.OK
    assert run.data == frame
    assert run.context.mark == mark


def test_on_the_belt_ingress_sees_what_the_firewall_passed(firewall, tc_ingress):
    firewall.maps.blocked["10.0.0.66"] = 0
    road = packetrig.belt(firewall, tc_ingress)

    passed = road.run(PACKET)
    dropped = road.run(Ether() / IP(src="10.0.0.66") / UDP())

    assert [step.verdict for step in passed] == [XDP.PASS, TC.OK]
    assert [step.verdict for step in dropped] == [XDP.DROP]
    assert tc_ingress.maps.traffic[0].packets == 1
