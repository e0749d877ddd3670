"""xdp_mac_filter: frames of blocked addresses are dropped, whatever else they hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether

import packetrig
from packetrig import XDP
from packetrig import strategies as net

mac_filter = packetrig.fixture("progs/xdp_mac_filter.bpf.c")

BAD, GOOD = "02:00:00:00:00:66", "02:00:00:00:00:01"


@packetrig.table(
    ("blocked", Ether(src=BAD, dst=GOOD) / IP() / UDP(), XDP.DROP),
    ("blocked, tagged", Ether(src=BAD) / Dot1Q(vlan=5) / IP(), XDP.DROP),
    ("blocked, ARP", Ether(src=BAD) / ARP(), XDP.DROP),
    ("blocked, the header alone", bytes(Ether(src=BAD))[:14], XDP.DROP),
    ("to a blocked address", Ether(src=GOOD, dst=BAD) / IP(), XDP.PASS),
    ("a bit off", Ether(src="02:00:00:00:00:67") / IP(), XDP.PASS),
    ("another first byte", Ether(src="03:00:00:00:00:66") / IP(), XDP.PASS),
    ("malformed inside", bytes(Ether(src=GOOD) / IP())[:20], XDP.PASS),
)
def test_verdicts(mac_filter, packet, verdict):
    mac_filter.maps.blocked[BAD] = 0

    assert mac_filter.run(packet).verdict is verdict
    assert mac_filter.maps.blocked[BAD] == (verdict is XDP.DROP)


def test_each_address_has_its_own_count(mac_filter):
    mac_filter.maps.blocked[BAD] = 0
    mac_filter.maps.blocked[GOOD] = 7

    for source in (BAD, GOOD, BAD):
        mac_filter.run(Ether(src=source) / IP())

    assert mac_filter.maps.blocked[BAD] == 2
    assert mac_filter.maps.blocked[GOOD] == 8


@given(frame=net.frames() | net.mangled(), other=st.binary(min_size=6, max_size=6))
def test_only_the_source_address_decides(mac_filter, frame, other):
    mac_filter.maps.blocked[frame[6:12]] = 0
    elsewhere = frame[:6] + other + frame[12:]

    assert mac_filter.run(frame).verdict is XDP.DROP
    assert (mac_filter.run(elsewhere).verdict is XDP.DROP) == (other == frame[6:12])


@given(frame=net.frames())
def test_with_an_empty_map_everything_passes_as_it_came(mac_filter, frame):
    run = mac_filter.run(frame)

    assert run.verdict is XDP.PASS
    assert run.data == frame
