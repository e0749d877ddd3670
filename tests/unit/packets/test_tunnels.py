"""Tunnels: what they carry is walked along and its checksums are looked at, wherever it stands."""

from __future__ import annotations

import pytest
from hypothesis import Phase, find, settings
from hypothesis.errors import InvalidArgument

from packetrig.checks import fields
from packetrig.packets import craft, explain, frames, malformed, tunnels
from packetrig.packets import strategies as net

V4, V6 = craft.V4, craft.V6
INNER = V4.packet(craft.udp(b"data", V4), craft.UDP)
FRAME = V4.frame(craft.udp(b"data", V4), craft.UDP)
NAMES = ("srv6", "gtp", "vxlan-gpe", "mpls-in-udp", "l2tp", "pppoe")
SOUND = {name: frame for name, frame in malformed._sound() if name in NAMES}


def names(frame: bytes) -> list[str]:
    return [header.name for header in frames.walk(frame)]


def over_udp(body: bytes, port: int) -> bytes:
    return V4.frame(craft.udp(body, V4, destination_port=port), craft.UDP)


def first(strategy) -> bytes:
    generating = settings(max_examples=1, database=None, phases=[Phase.generate])
    return find(strategy, lambda _: True, settings=generating)


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_checksum_inside_is_found(name: str) -> None:
    frame = bytearray(SOUND[name])
    assert frames.bad_checksums(bytes(frame)) == []

    frame[-5] ^= 1  # the low byte of the inner UDP checksum
    assert frames.bad_checksums(bytes(frame))[-1] in ("UDP.chksum", "UDP:2.chksum")
    assert frames.with_right_checksums(bytes(frame)) == SOUND[name]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (V4.frame(tunnels.mpls(INNER, (1, 2)), 137), ["MPLS", "MPLS:2", "IP:2", "UDP"]),
        (
            craft.Network(
                source=V6.source,
                destination=V6.destination,
                extensions=((43, tunnels.segment_routing((V6.destination,))),),
            ).frame(FRAME, tunnels.ETHERNET_INSIDE),
            ["IPv6", "IPv6ExtHdrSegmentRouting", "Ether:2", "IP", "UDP"],
        ),
        (
            over_udp(tunnels.vxlan(FRAME, kind=tunnels.ETHERNET_BRIDGED), 4790),
            ["VXLAN", "Ether:2", "IP:2", "UDP:2"],
        ),
        (over_udp(tunnels.vxlan(FRAME), 4790), ["VXLAN", "Ether:2", "IP:2", "UDP:2"]),
        (
            over_udp(tunnels.vxlan(tunnels.mpls(INNER, (3,)), kind=0x8847), 4790),
            ["VXLAN", "MPLS", "IP:2", "UDP:2"],
        ),
        (over_udp(tunnels.vxlan(FRAME, flags=4), 4790), ["UDP", "VXLAN"]),
        (over_udp(tunnels.gtp(INNER), 2152), ["GTP_U_Header", "IP:2", "UDP:2"]),
        (over_udp(tunnels.gtp(bytes(2), kind=1), 2152), ["UDP", "GTP_U_Header"]),
        (
            craft.ethernet(tunnels.pppoe(INNER[1:], 0x21 << 8 | INNER[0]), 0x8864),
            ["Ether", "PPPoE", "PPP", "IP", "UDP"],  # a protocol field of one byte
        ),
        (
            craft.ethernet(tunnels.pppoe(b"\1\1\0\4", 0xC021), 0x8864),
            ["Ether", "PPPoE", "PPP"],
        ),
        (craft.ethernet(b"\x11\x09\0\0\0\0", 0x8863), ["Ether", "PPPoED"]),
        (
            over_udp(b"\x02\x02\0\1\0\1\0\2\0\0\0\x21" + INNER, 1701),  # an offset of two bytes
            ["L2TP", "PPP", "IP:2", "UDP:2"],
        ),
        (over_udp(b"\xc8\x02\0\x0c\0\1\0\0\0\0\0\0", 1701), ["UDP", "L2TP"]),  # it controls
    ],
)
def test_headers_stand_in_their_order(frame: bytes, expected: list[str]) -> None:
    assert names(frame)[-len(expected) :] == expected
    assert all(header.is_whole for header in frames.walk(frame))
    assert frames.bad_checksums(frame) == []


@pytest.mark.parametrize("name", ["gtp", "l2tp", "pppoe"])
def test_a_length_that_ends_before_the_inner_packet_ends_the_walk(name: str) -> None:
    layer, field = {
        "gtp": ("GTP_U_Header", "length"),
        "l2tp": ("L2TP", "len"),
        "pppoe": ("PPPoE", "len"),
    }[name]
    header = next(each for each in frames.walk(SOUND[name]) if each.layer == layer)
    at = header.offset + (4 if name == "pppoe" else 2)
    lied = SOUND[name][:at] + b"\0\x0e" + SOUND[name][at + 2 :]

    assert not frames.walk(lied)[-1].is_whole or frames.walk(lied)[-1].layer == layer, field


@pytest.mark.parametrize("name", NAMES)
def test_fields_that_checks_know_end_with_the_header(name: str) -> None:
    for header in frames.walk(SOUND[name]):
        known = fields.fields_of(header.layer)
        ends = [fields.bits_of(header, field)[1] for field in known]
        assert max(ends) == header.end * 8, header


def test_segments_are_visited_in_their_order() -> None:
    route = ["2001:db8::a", "2001:db8::b", "2001:db8::c"]
    for left, now in ((2, "2001:db8::a"), (1, "2001:db8::b"), (0, "2001:db8::c")):
        packet = first(net.srv6_packets(segments=route, segments_left=left))
        layers = explain.dissect(packet)
        assert layers["IPv6"].dst == now
        routing = layers["IPv6ExtHdrSegmentRouting"]
        assert routing.addresses == route[::-1]
        assert (routing.segleft, routing.lastentry) == (left, 2)


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        (net.srv6_packets(segments=[]), "segments=.*1 to 127 IPv6 addresses"),
        (net.srv6_packets(segments=["10.0.0.1"]), "segments="),
        (net.srv6_packets(version=4), "version=4: here it can only be 6"),
        (net.gtp_packets(flow=64), "flow=64: it takes an int from 0 to 63"),
        (net.gtp_packets(teid=-1), "teid=-1"),
        (net.l2tp_packets(session=65536), "session=65536"),
        (net.vxlan_packets(is_generic="yes"), "is_generic='yes'"),
    ],
)
def test_an_impossible_argument_is_named(strategy, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        first(strategy)
