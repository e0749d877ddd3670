"""xdp_ports and tc_ingress_ports: which ports may be reached, one decision at two hooks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Raw

import packetrig
from packetrig import TC, XDP, XDP_TC, Object
from packetrig import strategies as net
from packetrig.packets.malformed import catalogue

from . import guarding
from .guarding import CLOSED, MODEL, OPEN, OTHER, TC_MODEL
from .test_tc_http import is_taken

ports = packetrig.fixture("progs/xdp_ports.bpf.c")
tc_ports = packetrig.fixture("progs/tc_ingress_ports.bpf.c")
strict = packetrig.fixture("progs/xdp_ports.bpf.c", closed=True)
tc_strict = packetrig.fixture("progs/tc_ingress_ports.bpf.c", closed=True)

E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4, V6 = IP(src="192.0.2.1", dst="192.0.2.2"), IPv6(src="2001:db8::1", dst="2001:db8::2")
DENIED = TCP(sport=OTHER, dport=CLOSED)
EXTENSIONS = IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting() / IPv6ExtHdrDestOpt()
NOPS = [("NOP", None)] * 40


def with_bytes(packet: object, offset: int, data: bytes) -> bytes:
    frame = bytes(packet)
    return frame[:offset] + data + frame[offset + len(data) :]


def chain(count: int) -> object:
    packet = E / V6
    for _ in range(count):
        packet /= IPv6ExtHdrDestOpt()
    return packet / DENIED


ROWS = (
    ("TCP", E / V4 / DENIED, "DENIED"),
    ("UDP", E / V4 / UDP(dport=CLOSED), "DENIED"),
    ("SCTP", E / V4 / SCTP(dport=CLOSED), "DENIED"),
    ("TCP, IPv6", E / V6 / DENIED, "DENIED"),
    ("UDP, IPv6", E / V6 / UDP(dport=CLOSED), "DENIED"),
    ("SCTP, IPv6", E / V6 / SCTP(dport=CLOSED), "DENIED"),
    ("allowed", E / V4 / TCP(dport=OPEN), "ALLOWED"),
    ("allowed, IPv6", E / V6 / UDP(dport=OPEN), "ALLOWED"),
    ("allowed, SCTP", E / V6 / SCTP(dport=OPEN), "ALLOWED"),
    ("no rule", E / V4 / TCP(dport=OTHER), "UNLISTED"),
    ("no rule for SCTP", E / V4 / SCTP(dport=guarding.OF_TCP_ONLY), "UNLISTED"),
    ("rule of another protocol", E / V4 / UDP(dport=guarding.OF_TCP_ONLY), "UNLISTED"),
    ("that protocol's", E / V4 / TCP(dport=guarding.OF_TCP_ONLY), "DENIED"),
    ("from the port", E / V4 / TCP(sport=CLOSED, dport=OTHER), "UNLISTED"),
    ("from the port, SCTP", E / V6 / SCTP(sport=CLOSED, dport=OTHER), "UNLISTED"),
    ("the port in the other byte order", E / V4 / UDP(dport=0x1600), "UNLISTED"),
    ("IPv4 options", E / IP(options=b"\x94\x04\0\0") / DENIED, "DENIED"),
    ("TCP options", E / V4 / TCP(dport=CLOSED, options=NOPS), "DENIED"),
    ("IPv6 extensions", E / V6 / EXTENSIONS / DENIED, "DENIED"),
    ("IPv6 extensions before UDP", E / V6 / EXTENSIONS / UDP(dport=CLOSED), "DENIED"),
    ("as many extensions as can be", chain(6), "DENIED"),
    ("one extension too many", chain(7), "MALFORMED"),
    ("tagged", E / Dot1Q(vlan=5) / V4 / DENIED, "DENIED"),
    ("service tag", E / Dot1AD(vlan=5) / V6 / DENIED, "DENIED"),
    ("two tags", E / Dot1AD(vlan=5) / Dot1Q(vlan=6) / V4 / SCTP(dport=CLOSED), "DENIED"),
    ("three tags", E / Dot1Q() / Dot1Q() / Dot1Q() / V4 / DENIED, "NO_PORT"),
    ("first fragment", E / IP(flags="MF") / DENIED, "DENIED"),
    ("first fragment of UDP", E / IP(flags="MF") / UDP(dport=CLOSED, len=3000), "DENIED"),
    ("first fragment, IPv6", E / V6 / IPv6ExtHdrFragment(m=1) / DENIED, "DENIED"),
    (
        "first fragment of UDP, IPv6",
        E / V6 / IPv6ExtHdrFragment(m=1) / UDP(dport=OPEN, len=3000),
        "ALLOWED",
    ),
    ("whole datagram that states more", E / V4 / UDP(dport=OPEN, len=3000), "MALFORMED"),
    ("first fragment with a length of 7", E / IP(flags="MF") / UDP(len=7), "MALFORMED"),
    ("first fragment without its header", E / IP(flags="MF", proto=6) / Raw(bytes(8)), "MALFORMED"),
    ("later fragment", E / IP(frag=1, proto=6) / DENIED, "LATER_FRAGMENT"),
    ("later fragment, IPv6", E / V6 / IPv6ExtHdrFragment(offset=1) / DENIED, "LATER_FRAGMENT"),
    (
        "fragment at 65528, IPv6",
        E / V6 / IPv6ExtHdrFragment(offset=8191) / DENIED,
        "LATER_FRAGMENT",
    ),
    ("atomic fragment, IPv6", E / V6 / IPv6ExtHdrFragment() / DENIED, "DENIED"),
    ("ICMP", E / V4 / ICMP(), "NO_PORT"),
    ("ARP", E / ARP(), "NO_PORT"),
    ("ESP that looks like an extension", E / IPv6(nh=50) / Raw(b"\x06" + bytes(23)), "NO_PORT"),
    ("GRE that looks like one", E / IPv6(nh=47) / Raw(b"\x06\0" + bytes(6)) / DENIED, "NO_PORT"),
    ("data offset 4", E / V4 / TCP(dport=OPEN, dataofs=4), "MALFORMED"),
    ("data offset beyond the packet", E / V4 / TCP(dport=OPEN, dataofs=6), "MALFORMED"),
    ("UDP length 7", E / V4 / UDP(dport=OPEN, len=7), "MALFORMED"),
    ("UDP header cut", bytes(E / V4 / UDP(dport=OPEN))[:41], "MALFORMED"),
    ("SCTP header cut", bytes(E / V4 / SCTP(dport=OPEN))[:45], "MALFORMED"),
    ("ihl 4", with_bytes(E / V4 / DENIED, 14, b"\x44"), "MALFORMED"),
    ("total length inside the header", with_bytes(E / V4 / DENIED, 16, b"\0\x27"), "MALFORMED"),
    (
        "extension beyond the packet",
        with_bytes(E / V6 / IPv6ExtHdrDestOpt() / DENIED, 55, b"\x04"),
        "MALFORMED",
    ),
)

CASES = pytest.mark.parametrize(
    "packet, reason", [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)


@CASES
def test_verdicts(ports: Object, packet: object, reason: str) -> None:
    guarding.set_up(ports)

    run = ports.run(packet)

    assert run.verdict is (XDP.DROP if reason in ("MALFORMED", "DENIED") else XDP.PASS)
    assert not run.is_rewritten
    assert guarding.counted(ports) == {reason: 1}


@CASES
def test_verdicts_when_it_is_closed(strict: Object, packet: object, reason: str) -> None:
    guarding.set_up(strict)
    dropped = ("MALFORMED", "DENIED", "UNLISTED")

    assert strict.run(packet).verdict is (XDP.DROP if reason in dropped else XDP.PASS)


@CASES
def test_at_tc_it_is_the_same(ports: Object, tc_ports: Object, packet: object, reason: str) -> None:
    for each in (ports, tc_ports):
        guarding.set_up(each)

    packetrig.same(ports, tc_ports, packet, verdicts=XDP_TC)


def test_a_rule_counts_what_met_it(ports):
    guarding.set_up(ports)
    before = ports.maps.snapshot()

    for packet in (E / V4 / DENIED, E / V6 / DENIED, E / V4 / UDP(dport=CLOSED)):
        ports.run(packet)

    rules = ports.maps.changes(before)["rules"]
    assert {(key.protocol, key.port): new.packets for key, (_, new) in rules.items()} == {
        (6, CLOSED): 2,
        (17, CLOSED): 1,
    }


def test_without_rules_only_what_is_malformed_is_dropped(ports):
    verdicts = {reason: ports.run(packet).verdict for _, packet, reason in ROWS}

    assert verdicts.pop("MALFORMED") is XDP.DROP
    assert set(verdicts.values()) == {XDP.PASS}


def test_the_second_hook_sees_what_the_first_one_passed(ports, tc_strict):
    guarding.set_up(ports)
    guarding.set_up(tc_strict)
    road = packetrig.belt(ports, tc_strict)

    def verdicts(packet: object) -> list[object]:
        return [step.verdict for step in road.run(packet)]

    assert verdicts(E / V4 / TCP(dport=OPEN)) == [XDP.PASS, TC.OK]
    assert verdicts(E / V4 / TCP(dport=OTHER)) == [XDP.PASS, TC.SHOT]
    assert verdicts(E / V4 / DENIED) == [XDP.DROP]


@given(packet=guarding.packets())
def test_every_packet_to_a_port_gets_what_the_model_says(ports, packet):
    guarding.set_up(ports)

    ports.judge(packet, model=MODEL.xdp_ports)


@given(frame=net.mangled(guarding.packets()) | net.mangled() | net.frames())
def test_every_frame_gets_what_the_model_says(ports, frame):
    guarding.set_up(ports)

    ports.judge(frame, model=MODEL.xdp_ports)


@given(frame=(guarding.packets() | net.mangled(guarding.packets())).filter(is_taken))
def test_every_frame_at_tc_gets_what_the_model_says(tc_ports, frame):
    guarding.set_up(tc_ports)

    tc_ports.judge(frame, model=TC_MODEL.tc_ingress_ports)


@pytest.mark.slow
def test_each_malformed_frame_gets_what_the_model_says(strict):
    guarding.set_up(strict)
    cases = catalogue()

    verdicts = strict.run_many([case.frame for case in cases]).verdicts

    wrong = [
        case.id
        for case, verdict in zip(cases, verdicts, strict=True)
        if verdict is not MODEL.xdp_ports(case.frame, strict.maps, globals=strict.globals)[0]
    ]
    assert wrong == []


@given(packets=st.lists(guarding.packets().filter(is_taken), max_size=5))
def test_the_two_hooks_cannot_be_told_apart(strict, tc_strict, packets):
    for each in (strict, tc_strict):
        guarding.set_up(each)

    for packet in packets:
        packetrig.same(strict, tc_strict, packet, verdicts=XDP_TC)
