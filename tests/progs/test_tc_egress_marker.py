"""tc_egress_marker: outbound packets get DSCP and mark by their port, checksums stay right."""

from __future__ import annotations

import pytest
from hypothesis import given
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Dot1Q, Ether

import packetrig
from packetrig import ANY, TC
from packetrig import strategies as net

from . import marking
from .marking import DSCP, MARK, PORT
from .test_tc_http import is_taken

marker = packetrig.fixture("progs/tc_egress_marker.bpf.c")

E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4, V6 = IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="2001:db8::1", dst="2001:db8::2")
LISTED = E / V4 / TCP(dport=PORT)


def test_ipv4_is_marked_here_and_nowhere_else(marker):
    marking.set_up(marker)

    run = marker.run(E / IP(src="10.0.0.1", dst="10.0.0.2", tos=1) / UDP(dport=PORT))

    assert run.changes == {"IP.tos": (1, DSCP << 2 | 1), "IP.chksum": ANY}
    assert run.bad_checksums == []
    assert run.context.mark == MARK


def test_ipv6_is_marked_here_and_nowhere_else(marker):
    marking.set_up(marker)

    run = marker.run(E / IPv6(tc=2, fl=0xABCDE) / TCP(dport=PORT))

    assert run.changes == {"IPv6.tc": (2, DSCP << 2 | 2)}
    assert run.bad_checksums == []
    assert run.context.mark == MARK


@packetrig.table(
    ("TCP", LISTED, TC.OK),
    ("UDP", E / V4 / UDP(dport=PORT), TC.OK),
    ("IPv4 options", E / IP(options=b"\x94\x04\0\0") / UDP(dport=PORT), TC.OK),
    ("TCP options", E / V4 / TCP(dport=PORT, options=[("NOP", None)] * 40), TC.OK),
    ("IPv6", E / V6 / UDP(dport=PORT), TC.OK),
    ("IPv6 extension", E / V6 / IPv6ExtHdrDestOpt() / TCP(dport=PORT), TC.OK),
    ("tagged", E / Dot1Q(vlan=5) / V4 / TCP(dport=PORT), TC.OK),
    ("do not fragment", E / IP(flags="DF") / TCP(dport=PORT), TC.OK),
)
def test_marked(marker, packet, verdict):
    marking.set_up(marker)

    run = marker.run(packet)

    assert run.verdict is verdict
    for check in marking.CHECKS:
        check(run.frame, run)


@packetrig.table(
    ("other port", E / V4 / TCP(dport=PORT + 1), TC.OK),
    ("from the port", E / V4 / TCP(sport=PORT, dport=5), TC.OK),
    ("the port in the other byte order", E / V4 / UDP(dport=0xBB01), TC.OK),
    ("ICMP", E / V4 / ICMP(), TC.OK),
    ("ARP", E / ARP(), TC.OK),
    ("first fragment", E / IP(flags="MF") / TCP(dport=PORT), TC.OK),
    ("later fragment", E / IP(frag=9, proto=6) / TCP(dport=PORT), TC.OK),
    ("fragment, IPv6", E / V6 / IPv6ExtHdrFragment(m=1) / TCP(dport=PORT), TC.OK),
    ("data offset 4", E / V4 / TCP(dport=PORT, dataofs=4), TC.OK),
    ("UDP length 7", E / V4 / UDP(dport=PORT, len=7), TC.OK),
    ("UDP length beyond the packet", E / V4 / UDP(dport=PORT, len=9), TC.OK),
    ("ihl 4", bytes(LISTED)[:14] + b"\x44" + bytes(LISTED)[15:], TC.OK),
    ("TCP header cut short", bytes(LISTED)[:53], TC.OK),
)
def test_left_alone(marker, packet, verdict):
    marking.set_up(marker)

    run = marker.run(packet, ctx={"mark": 99})

    assert run.verdict is verdict
    assert not run.is_rewritten
    assert run.context.mark == 99


@pytest.mark.parametrize("dscp", [0, 1, 63])
@pytest.mark.parametrize("packet", [E / V4 / UDP(dport=PORT), E / V6 / UDP(dport=PORT)])
def test_each_dscp_fits(marker, packet, dscp):
    marker.maps.ports[PORT] = {"dscp": dscp, "mark": 1}

    run = marker.run(packet)

    assert marking.traffic_class(run.data) == dscp << 2
    assert run.bad_checksums == []


@given(packet=marking.packets())
def test_every_marked_packet_is_right(marker, packet):
    marking.set_up(marker)

    run = marker.run(packet)

    for check in marking.CHECKS:
        check(packet, run)


@given(packet=marking.packets())
def test_the_sum_that_a_device_made_of_the_packet_stays_right(marker, packet):
    marking.set_up(marker)

    run = marker.run(packet, checksum_complete=True)

    assert marking.traffic_class(run.data) >> 2 == DSCP


@pytest.mark.parametrize("dscp", range(64))
def test_each_dscp_reaches_the_sum_of_the_device(marker, dscp):
    marker.maps.ports[PORT] = {"dscp": dscp, "mark": 1}

    for traffic_class in (0, 0xFF):
        run = marker.run(E / IPv6(tc=traffic_class) / UDP(dport=PORT), checksum_complete=True)
        assert marking.traffic_class(run.data) >> 2 == dscp


@given(packet=marking.packets())
def test_marking_twice_is_marking_once(marker, packet):
    marking.set_up(marker)
    once = marker.run(packet)

    assert marker.run(once.data).data == once.data


@given(frame=(net.frames() | net.mangled()).filter(is_taken))
def test_everything_is_let_through_and_keeps_its_length(marker, frame):
    marking.set_up(marker)

    run = marker.run(frame)

    assert run.verdict is TC.OK
    assert len(run.data) == len(frame)
