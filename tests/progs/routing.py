"""What xdp_router promises of a packet that it forwards; faulty twins are held to the same."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

import packetrig
from packetrig import XDP, Object, Run
from packetrig import strategies as net

ROUTER, SENDER, NEIGHBOUR = "02:00:00:00:00:0a", "02:00:00:00:00:01", "02:00:00:00:00:0b"
OUTSIDE = "02:00:00:00:00:0c"
FORWARDED = Ether(src=SENDER, dst=ROUTER) / IP(src="192.0.2.1", dst="10.0.0.7") / UDP()


def set_up(router: Object) -> None:
    router.maps.routes["10.0.0.0/8"] = 7
    router.maps.neighbours[7] = {"address": NEIGHBOUR, "source": OUTSIDE, "ifindex": 1}


def packets() -> SearchStrategy[bytes]:
    """Generate sound packets that the router is to forward."""
    sound = {
        "version": 4,
        "vlans": (),
        "ip_options": b"",
        "destination": "10.0.0.7",
        "destination_mac": ROUTER,
        "ttl": st.integers(2, 255),
        "identification": st.integers(0, 0xFFFF),
    }
    return net.tcp_packets(**sound) | net.udp_packets(**sound) | net.ipv4_packets(**sound)


@packetrig.check
def a_forwarded_packet_has_lost_one_hop(before: bytes, run: Run) -> None:
    assert run.verdict is XDP.REDIRECT
    assert run.data[22] == before[22] - 1


@packetrig.check
def a_forwarded_packet_has_a_right_header_checksum(before: bytes, run: Run) -> bool:
    return "IP.chksum" not in run.bad_checksums


@packetrig.check
def nothing_else_changed(before: bytes, run: Run) -> bool:
    """The MAC addresses, the TTL and the checksum apart."""
    kept = slice(12, 22), slice(23, 24), slice(26, None)
    return all(run.data[part] == before[part] for part in kept)


CHECKS = (
    a_forwarded_packet_has_lost_one_hop,
    a_forwarded_packet_has_a_right_header_checksum,
    nothing_else_changed,
)
