"""What xdp_untag promises of a tag that goes; its faulty twin is held to the same."""

from __future__ import annotations

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether

from packetrig import Object

E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
INSIDE = IP(src="10.0.0.1", dst="10.0.0.2") / UDP()
TAGGED = E / Dot1Q(vlan=10, prio=5) / INSIDE
UNTAGGED = bytes(E / INSIDE)


def set_up(untag: Object) -> None:
    untag.maps.untagged[10] = 0
