"""xdp_firewall: who is dropped, IPv4 and IPv6, and what becomes of malformed headers."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether

import packetrig
from packetrig import XDP
from packetrig import strategies as net

firewall = packetrig.fixture("progs/xdp_firewall.bpf.c")
strict_firewall = packetrig.fixture("progs/xdp_firewall.bpf.c", strict=True)

BAD, GOOD = "10.0.0.66", "10.0.0.1"
BAD6, GOOD6 = "2001:db8::66", "2001:db8::1"
BAD_NET, BAD_NET6 = "198.51.100.0/24", "2001:db8:bad::/48"
FROM_BAD = Ether() / IP(src=BAD, dst=GOOD) / UDP()
FROM_BAD6 = Ether() / IPv6(src=BAD6, dst=GOOD6) / UDP()


def block(firewall):
    firewall.maps.blocked[BAD] = 0
    firewall.maps.blocked6[BAD6] = 0
    firewall.maps.prefixes[BAD_NET] = 0
    firewall.maps.prefixes6[BAD_NET6] = 0


def with_byte(packet, offset, value):
    frame = bytes(packet)
    return frame[:offset] + bytes((value,)) + frame[offset + 1 :]


MALFORMED = (
    ("header cut short", bytes(FROM_BAD)[:20]),
    ("header cut by a byte", bytes(FROM_BAD)[:33]),
    ("nothing behind Ethernet", bytes(FROM_BAD)[:14]),
    ("ihl below 5", with_byte(FROM_BAD, 14, 0x44)),
    ("ihl beyond the frame", with_byte(FROM_BAD, 14, 0x4F)),
    ("IPv4 of version 6", with_byte(FROM_BAD, 14, 0x65)),
    ("total length below ihl", with_byte(FROM_BAD, 17, 19)),
    ("IPv6 header cut short", bytes(FROM_BAD6)[:53]),
    ("IPv6 of version 4", with_byte(FROM_BAD6, 14, 0x40)),
    ("VLAN tag cut short", bytes(Ether() / Dot1Q() / IP(src=BAD))[:17]),
)


def test_a_blocked_source_is_dropped_and_counted(firewall):
    firewall.maps.blocked[BAD] = 0
    assert firewall.run(Ether() / IP(src=BAD, dst=GOOD) / UDP()).verdict is XDP.DROP
    assert firewall.maps.blocked[BAD] == 1


def test_every_test_begins_with_empty_maps(firewall):
    assert len(firewall.maps.blocked) == 0


@packetrig.table(
    ("listed host", FROM_BAD, XDP.DROP),
    ("listed host, IPv6", FROM_BAD6, XDP.DROP),
    ("other host", Ether() / IP(src=GOOD, dst=BAD) / UDP(), XDP.PASS),
    ("other host, IPv6", Ether() / IPv6(src=GOOD6, dst=BAD6) / UDP(), XDP.PASS),
    ("first of a network", Ether() / IP(src="198.51.100.0") / TCP(), XDP.DROP),
    ("last of a network", Ether() / IP(src="198.51.100.255") / TCP(), XDP.DROP),
    ("before a network", Ether() / IP(src="198.51.99.255") / TCP(), XDP.PASS),
    ("behind a network", Ether() / IP(src="198.51.101.0") / TCP(), XDP.PASS),
    ("in a network, IPv6", Ether() / IPv6(src="2001:db8:bad:1::1") / TCP(), XDP.DROP),
    ("outside, IPv6", Ether() / IPv6(src="2001:db8:bae::1") / TCP(), XDP.PASS),
    ("behind a VLAN tag", Ether() / Dot1Q(vlan=5) / IP(src=BAD) / UDP(), XDP.DROP),
    ("behind two", Ether() / Dot1AD(vlan=5) / Dot1Q(vlan=6) / IPv6(src=BAD6), XDP.DROP),
    ("later fragment", Ether() / IP(src=BAD, frag=100) / bytes(64), XDP.DROP),
    ("fragment, IPv6", Ether() / IPv6(src=BAD6) / IPv6ExtHdrFragment(offset=9), XDP.DROP),
    ("IPv4 options", Ether() / IP(src=BAD, options=b"\x94\x04\0\0"), XDP.DROP),
    ("ARP from a listed host", Ether() / ARP(psrc=BAD), XDP.PASS),
    *((name, frame, XDP.PASS) for name, frame in MALFORMED),
)
def test_verdicts(firewall, packet, verdict):
    block(firewall)

    run = firewall.run(packet)

    assert run.verdict is verdict
    assert run.data == run.frame
    assert sum(firewall.maps.drops[0]) == (verdict is XDP.DROP)


@packetrig.table(
    ("other host", Ether() / IP(src=GOOD) / UDP(), XDP.PASS),
    ("ARP", Ether() / ARP(psrc=BAD), XDP.PASS),
    *((name, frame, XDP.DROP) for name, frame in MALFORMED),
)
def test_malformed_headers_are_dropped_when_it_is_strict(strict_firewall, packet, verdict):
    assert strict_firewall.run(packet).verdict is verdict
    assert sum(strict_firewall.maps.drops[0]) == (verdict is XDP.DROP)


def test_an_address_is_counted_before_its_network(firewall):
    firewall.maps.blocked[BAD] = 0
    firewall.maps.prefixes["10.0.0.0/8"] = 0
    before = firewall.maps.snapshot()

    firewall.run(FROM_BAD)
    firewall.run(Ether() / IP(src="10.1.2.3") / UDP())

    changes = firewall.maps.changes(before)
    assert changes["blocked"] == {BAD: (0, 1)}
    assert changes["prefixes"] == {"10.0.0.0/8": (0, 1)}


@pytest.mark.parametrize("length", range(33))
def test_a_prefix_of_any_length_drops_its_ends_and_nothing_beside(firewall, length):
    network = ipaddress.ip_network(f"172.16.0.0/{length}", strict=False)
    firewall.maps.prefixes[str(network)] = 0
    ends = network[0], network[-1]
    beside = [int(network[0]) - 1, int(network[-1]) + 1]

    for address in ends:
        assert firewall.run(Ether() / IP(src=str(address)) / UDP()).verdict is XDP.DROP
    for number in beside:
        if 0 <= number < 1 << 32:
            address = ipaddress.ip_address(number)
            assert firewall.run(Ether() / IP(src=str(address)) / UDP()).verdict is XDP.PASS


@pytest.mark.parametrize("length", range(129))
def test_an_ipv6_prefix_of_any_length_drops_its_ends_and_nothing_beside(firewall, length):
    # The sibling differs in the last bit of the prefix alone.
    network = ipaddress.ip_network(f"2001:db8:bad:5555:aaaa:5555:aaaa:5555/{length}", strict=False)
    firewall.maps.prefixes6[str(network)] = 0
    ends = int(network[0]), int(network[-1])
    sibling = ends[0] ^ (1 << (128 - length)) if length else -1
    beside = ends[0] - 1, ends[1] + 1, sibling

    assert {judged6(firewall, number) for number in ends} == {XDP.DROP}
    within = [number for number in beside if 0 <= number < 1 << 128]
    assert {judged6(firewall, number) for number in within} <= {XDP.PASS}
    assert sum(firewall.maps.drops[0]) == len(ends)


def judged6(firewall, number):
    return firewall.run(Ether() / IPv6(src=str(ipaddress.IPv6Address(number))) / UDP()).verdict


def test_the_sibling_of_an_address_in_a_prefix_is_another_address(firewall):
    firewall.maps.prefixes["198.51.100.6/32"] = 0
    firewall.maps.prefixes6["2001:db8::6/128"] = 0

    for last, verdict in (("6", XDP.DROP), ("7", XDP.PASS)):
        assert firewall.run(Ether() / IP(src=f"198.51.100.{last}") / UDP()).verdict is verdict
        assert firewall.run(Ether() / IPv6(src=f"2001:db8::{last}") / UDP()).verdict is verdict


@given(
    packet=net.ipv4_packets(source=st.sampled_from([BAD, GOOD])),
    listed=st.sets(st.sampled_from([BAD, GOOD])),
)
def test_what_is_dropped_is_what_is_listed(firewall, packet, listed):
    for address in listed:
        firewall.maps.blocked[address] = 0
    source = str(ipaddress.ip_address(packet[source_at(packet) :][:4]))

    assert (firewall.run(packet).verdict is XDP.DROP) == (source in listed)


def source_at(packet):
    """Tell where the source address of a sound IPv4 packet is, behind the tags that it has."""
    at = 14
    while packet[at - 2 : at] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    return at + 12


@given(frame=net.frames() | net.mangled())
def test_with_empty_maps_everything_passes_as_it_came(firewall, frame):
    run = firewall.run(frame)

    assert run.verdict is XDP.PASS
    assert run.data == frame
