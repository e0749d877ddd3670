"""What tc_egress_marker promises of a packet that it marks; faulty twins are held to the same."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

import packetrig
from packetrig import TC, Object, Run
from packetrig import strategies as net

PORT, DSCP, MARK = 443, 46, 7


def set_up(marker: Object) -> None:
    marker.maps.ports[PORT] = {"dscp": DSCP, "mark": MARK}


def packets(**fields: object) -> SearchStrategy[bytes]:
    """Generate sound packets that are to be marked: IPv4 and IPv6, TCP and UDP."""
    aimed = {"destination_port": PORT, "tos": st.integers(0, 255), **fields}
    return net.tcp_packets(**aimed) | net.udp_packets(**aimed)


def traffic_class(frame: bytes) -> int:
    """Read type of service or traffic class, behind the tags that there are."""
    at = 14
    while frame[at - 2 : at] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    if frame[at] >> 4 == 4:
        return frame[at + 1]
    return int.from_bytes(frame[at : at + 2], "big") >> 4 & 0xFF


@packetrig.check
def a_marked_packet_has_its_dscp_and_mark(before: bytes, run: Run) -> None:
    assert run.verdict is TC.OK
    assert traffic_class(run.data) >> 2 == DSCP
    assert run.context.mark == MARK


@packetrig.check
def congestion_bits_stay(before: bytes, run: Run) -> bool:
    return traffic_class(run.data) & 3 == traffic_class(before) & 3


@packetrig.check
def every_checksum_is_right(before: bytes, run: Run) -> bool:
    return run.bad_checksums == []


CHECKS = (a_marked_packet_has_its_dscp_and_mark, congestion_bits_stay, every_checksum_is_right)
