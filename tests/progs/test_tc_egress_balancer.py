"""tc_egress_balancer: the answers of a backend leave in the name of the service."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

import packetrig
from packetrig import ANY, TC, XDP
from packetrig import strategies as net

from . import answering, balancing
from .answering import OWN, OWN6
from .balancing import (
    CLIENT,
    CLIENT6,
    FLOWS,
    REWRITTEN,
    SERVICE,
    SERVICE6,
)
from .test_tc_http import is_taken

balancer = packetrig.fixture("progs/xdp_balancer.bpf.c")
egress = packetrig.fixture("progs/tc_egress_balancer.bpf.c")

E = Ether(src="02:00:00:00:09:01", dst="02:00:00:00:00:01")
V4, V6 = IP(src=OWN, dst=CLIENT), IPv6(src=OWN6, dst=CLIENT6)
ANSWER = TCP(sport=REWRITTEN, dport=40000, flags="PA") / Raw(b"HTTP/1.1 200 OK\r\n\r\n")


def test_ipv4_gets_its_source_and_nothing_else(egress):
    answering.set_up(egress)

    run = egress.run(E / V4 / ANSWER)

    assert run.verdict is TC.OK
    assert run.changes == {"IP.src": (OWN, SERVICE), "IP.chksum": ANY, "TCP.chksum": ANY}
    assert run.bad_checksums == []


def test_ipv6_gets_its_source_and_nothing_else(egress):
    answering.set_up(egress)

    run = egress.run(E / V6 / UDP(sport=REWRITTEN, dport=5) / Raw(b"odd"))

    assert run.verdict is TC.OK
    assert run.changes == {"IPv6.src": (OWN6, SERVICE6), "UDP.chksum": ANY}
    assert run.bad_checksums == []


@pytest.mark.parametrize("packet", [V4, V6], ids=["IPv4", "IPv6"])
def test_what_the_device_summed_up_stays_true(egress, packet):
    answering.set_up(egress)

    run = egress.run(E / packet / ANSWER, checksum_complete=True)

    assert run.is_rewritten


def test_answers_are_counted(egress):
    answering.set_up(egress)

    for _ in range(3):
        egress.run(E / V4 / ANSWER)

    assert egress.maps.sources[balancing.endpoint(OWN, REWRITTEN, 6)].packets == 3


def test_udp_without_a_checksum_stays_without(egress):
    answering.set_up(egress)

    run = egress.run(E / V4 / UDP(sport=REWRITTEN, chksum=0) / Raw(b"payload"))

    assert run.packet[IP].src == SERVICE
    assert run.packet[UDP].chksum == 0


@pytest.mark.parametrize("packet", [V4, V6], ids=["IPv4", "IPv6"])
def test_a_udp_checksum_that_becomes_zero_is_written_as_ones(egress, packet):
    answering.set_up(egress)
    probe = egress.run(E / packet / UDP(sport=REWRITTEN, dport=5) / Raw(b"\0\0"))
    filler = probe.packet[UDP].chksum.to_bytes(2, "big")

    run = egress.run(E / packet / UDP(sport=REWRITTEN, dport=5) / Raw(filler))

    assert run.packet[UDP].chksum == 0xFFFF


def test_tags_stay_where_they_are(egress):
    answering.set_up(egress)

    run = egress.run(E / Dot1Q(vlan=5) / V4 / ANSWER)

    assert run.packet[Dot1Q].vlan == 5
    assert run.packet[IP].src == SERVICE
    assert run.bad_checksums == []


@packetrig.table(
    ("other source", E / IP(src=CLIENT, dst=OWN) / ANSWER, TC.OK),
    ("other port", E / V4 / TCP(sport=25), TC.OK),
    ("to the port", E / V4 / TCP(sport=5, dport=REWRITTEN), TC.OK),
    ("ICMP", E / V4 / ICMP(), TC.OK),
    ("ARP", E / ARP(psrc=OWN), TC.OK),
    ("IPv4 options", E / IP(src=OWN, options=b"\x94\x04\0\0") / ANSWER, TC.OK),
    ("IPv6 extension", E / V6 / IPv6ExtHdrDestOpt() / ANSWER, TC.OK),
    ("first fragment", E / IP(src=OWN, flags="MF") / ANSWER, TC.OK),
    ("later fragment", E / IP(src=OWN, frag=9, proto=6) / ANSWER, TC.OK),
    ("fragment, IPv6", E / V6 / IPv6ExtHdrFragment(m=1) / ANSWER, TC.OK),
    ("data offset 4", E / V4 / TCP(sport=REWRITTEN, dataofs=4), TC.OK),
    ("UDP length 7", E / V4 / UDP(sport=REWRITTEN, len=7), TC.OK),
    ("TCP header cut", bytes(E / V4 / TCP(sport=REWRITTEN))[:53], TC.OK),
)
def test_left_alone(egress, packet, verdict):
    answering.set_up(egress)

    run = egress.run(packet)

    assert run.verdict is verdict
    assert not run.is_rewritten


def test_a_service_of_the_other_family_is_none(egress):
    egress.maps.sources[balancing.endpoint(OWN, REWRITTEN, 6)] = {"source": SERVICE6}

    assert not egress.run(E / V4 / ANSWER).is_rewritten


# --- with the balancer


@given(packet=balancing.requests(4, destination_port=REWRITTEN, vlans=()))
def test_the_answer_to_a_rewritten_request_comes_from_whom_it_was_sent_to(balancer, egress, packet):
    balancing.set_up(balancer)
    answering.set_up(egress)
    request = balancer.run(packet).packet

    kind = TCP if TCP in request else UDP
    there = request[IP]
    answer = Ether(dst=request.src) / IP(src=there.dst, dst=there.src)
    run = egress.run(answer / kind(sport=there.dport, dport=there.sport) / Raw(b"yes"))

    sent = Ether(packet)
    assert (run.packet[IP].src, run.packet[IP].dst) == (sent[IP].dst, sent[IP].src)
    assert (run.packet[kind].sport, run.packet[kind].dport) == (sent.dport, sent.sport)
    assert run.bad_checksums == []


@given(data=st.data(), version=st.sampled_from([4, 6]))
def test_a_backend_is_quoted_what_it_has_sent(balancer, egress, data, version):
    balancing.set_up(balancer)
    answering.set_up(egress)
    for slot in range(2 * balancing.SLOTS):
        balancer.maps.ring[slot] = 1 if slot < balancing.SLOTS else 11
    own = data.draw(answering.replies(version))

    left = egress.run(own).data
    error = data.draw(balancing.too_big(version, st.just(left)))
    run = balancer.run(error)

    at = FLOWS.read(error).transport + 8
    whole = (len(run.data) - at) & ~1  # half a checksum cannot be put right
    assert run.verdict is XDP.TX
    assert run.data[at : at + whole] == own[14:][:whole]


@given(packet=answering.packets())
def test_every_answer_is_what_the_model_says(egress, packet):
    answering.set_up(egress)

    run = egress.judge(packet, model=answering.MODEL.tc_egress_balancer)

    assert run.is_rewritten
    assert run.bad_checksums == []


@given(frame=(net.mangled(answering.packets()) | net.frames()).filter(is_taken))
def test_every_frame_is_what_the_model_says(egress, frame):
    answering.set_up(egress)

    egress.judge(frame, model=answering.MODEL.tc_egress_balancer)
