"""What a property shrinks to: the shortest, plainest packet that still shows the fault.

Each case is a faulty program, the packets that a property would be given, and the one packet that
is left of whatever failed first. It is held with several seeds: where the search begins must not
matter for where it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

import packetrig
from packetrig import Object
from packetrig import strategies as net
from packetrig.packets import craft, explain
from packetrig.replay import Setup

ROOT = Path(__file__).parents[2]
SEEDS = (1, 2, 3)
V4, V6 = craft.V4, craft.V6
MSS = bytes.fromhex("020405b4")  # the shortest option that a TCP header has room for
HOP_BY_HOP = (0, b"\x00\x01\x04\0\0\0\0")
ROUTED = replace(V4, destination=bytes((10, 0, 0, 2)))


@dataclass(frozen=True, slots=True)
class Case:
    """Name a faulty program, what a property about it draws, and what it shrinks to."""

    twin: str
    base: str
    packets: SearchStrategy[bytes]
    plainest: bytes


def get(network: craft.Network = V4, payload: bytes = b"GET ", **fields: Any) -> bytes:
    """Build what is left of a request: its first four bytes."""
    return network.frame(craft.tcp(payload, network, **fields), craft.TCP)


def sctp(port: int) -> bytes:
    """Build an empty DATA chunk."""
    chunk = bytes.fromhex("00030010") + bytes(12)
    return V4.frame(craft.sctp(chunk, destination_port=port), craft.SCTP)


CASES = (
    # TCP options are the fault's condition: the shortest ones stay.
    Case("xdp_http_data_offset_ignored", "xdp_http", net.tcp_packets(), get(options=MSS)),
    Case(
        "xdp_http_extensions_not_walked",
        "xdp_http",
        net.tcp_packets(),
        get(replace(V6, extensions=(HOP_BY_HOP,))),
    ),
    Case(
        "xdp_http_fragment_as_first",
        "xdp_http",
        net.tcp_packets(fragment_offset=st.integers(0, 100)),
        get(replace(V4, fragment_offset=1)),
    ),
    # A header that ends where the frame ends: there is nothing behind it.
    Case("xdp_http_off_by_one", "xdp_http", net.tcp_packets(), get(payload=b"")),
    # What is believed to be payload are the options, which the IP length has cut off.
    Case(
        "xdp_http_padding_as_payload",
        "xdp_http",
        net.tcp_packets(ip_length=st.integers(40, 60)),
        get(replace(V4, length=40), payload=b"", options=MSS),
    ),
    Case("xdp_http_protocol_as_ethertype", "xdp_http", net.tcp_packets(), get()),
    Case(
        "xdp_http_vlan_not_parsed",
        "xdp_http",
        net.tcp_packets(),
        craft.ethernet(V4.packet(craft.tcp(b"GET ", V4), craft.TCP), 0x0800, vlans=(0,)),
    ),
    Case(
        "xdp_http_zero_ends_path",
        "xdp_http",
        net.tcp_packets(payload=net.http_requests(path=st.text("/a\0", max_size=3))),
        get(payload=b"GET /\0"),
    ),
    *(
        Case(twin, "xdp_router", net.ipv4_packets(destination="10.0.0.2"), ROUTED.frame(b"", 253))
        for twin in ("xdp_router_checksum_not_updated", "xdp_router_ttl_not_decremented")
    ),
    # Of VLAN numbers only 10 is taken off: nothing else of the tag matters.
    Case(
        "xdp_untag_stale_offset",
        "xdp_untag",
        net.ethernet_frames(vlans=st.integers(0, 20)),
        craft.ethernet(b"", 0x88B5, vlans=(10,)),
    ),
    Case(
        "tc_egress_marker_checksum_not_updated",
        "tc_egress_marker",
        net.tcp_packets(),
        get(payload=b""),
    ),
    # The lowest bit of the traffic class is one of those that must stay.
    Case(
        "tc_egress_marker_ecn_overwritten",
        "tc_egress_marker",
        net.udp_packets(),
        (ecn := replace(V4, tos=1)).frame(craft.udp(b"", ecn, destination_port=80), craft.UDP),
    ),
    # The port is judged, so the one that is denied is all that is left.
    Case(
        "xdp_ports_key_in_host_order",
        "xdp_ports",
        net.tcp_packets(destination_port=81),
        get(payload=b"", destination_port=81),
    ),
    Case(
        "xdp_ports_service_tag_unknown",
        "xdp_ports",
        net.tcp_packets(destination_port=81),
        craft.ethernet(
            V4.packet(craft.tcp(b"", V4, destination_port=81), craft.TCP), 0x0800, vlans=(0, 0)
        ),
    ),
    Case("xdp_ports_source_port", "xdp_ports", net.sctp_packets(), sctp(80)),
    Case("xdp_ports_sctp_as_udp", "xdp_ports", net.sctp_packets(destination_port=443), sctp(443)),
    Case(
        "xdp_balancer_udp_zero_checksum",
        "xdp_balancer",
        net.udp_packets(destination="10.0.0.2", destination_port=7),
        ROUTED.frame(craft.udp(b"", ROUTED, destination_port=7, checksum=0), craft.UDP),
    ),
)
for _name in {name for case in CASES for name in (case.twin, case.base)}:
    _folder = "progs/faulty" if _name in {case.twin for case in CASES} else "progs"
    globals()[_name] = packetrig.fixture(f"{_folder}/{_name}.bpf.c")


def shrunk(packets: SearchStrategy[bytes], holds: Callable[[bytes], None], number: int) -> bytes:
    """Run a property until it fails, and give what Hypothesis makes of the failure."""
    failing = []

    @seed(number)
    @settings(
        max_examples=5000,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(packet=packets)
    def a_property(packet: bytes) -> None:
        try:
            holds(packet)
        except AssertionError:
            failing.append(packet)
            raise

    with pytest.raises(AssertionError):
        a_property()
    return failing[-1]


def both(case: Case, request: pytest.FixtureRequest) -> tuple[Object, Object]:
    """Give the right program and its twin, set up alike."""
    setup = Setup.read(ROOT / "fixtures" / "policy" / f"{case.base}.toml")
    right, twin = request.getfixturevalue(case.base), request.getfixturevalue(case.twin)
    setup.put(right)
    setup.put(twin)
    return right, twin


@pytest.mark.slow
@pytest.mark.parametrize("number", SEEDS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.twin)
def test_a_difference_to_the_right_program_shrinks_to_the_plainest_packet(case, number, request):
    right, twin = both(case, request)

    def cannot_be_told_apart(packet: bytes) -> None:
        assert twin.run(packet) == right.run(packet)

    found = shrunk(case.packets, cannot_be_told_apart, number)

    assert explain.summary(found) == explain.summary(case.plainest)
    assert found == case.plainest


@pytest.mark.slow
@pytest.mark.parametrize("number", SEEDS)
def test_a_wrong_checksum_shrinks_to_a_bare_header(xdp_router_checksum_not_updated, number):
    router = xdp_router_checksum_not_updated
    Setup.read(ROOT / "fixtures" / "policy" / "xdp_router.toml").put(router)

    def checksums_stay_right(packet: bytes) -> None:
        assert router.run(packet).bad_checksums == []

    found = shrunk(net.udp_packets(destination="10.0.0.2"), checksums_stay_right, number)

    assert found == ROUTED.frame(craft.udp(b"", ROUTED, destination_port=80), craft.UDP)


@pytest.mark.slow
@pytest.mark.parametrize("number", SEEDS)
def test_among_frames_of_every_kind_the_right_kind_is_left(
    xdp_untag, xdp_untag_stale_offset, number
):
    for program in (xdp_untag, xdp_untag_stale_offset):
        program.maps.untagged[10] = 0

    def cannot_be_told_apart(packet: bytes) -> None:
        assert xdp_untag_stale_offset.run(packet) == xdp_untag.run(packet)

    found = shrunk(net.frames(vlans=st.integers(0, 20)), cannot_be_told_apart, number)

    assert found == craft.ethernet(b"", 0x88B5, vlans=(10,))
