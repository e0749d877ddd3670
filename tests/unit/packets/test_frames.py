"""Walking along headers, and judging checksums, against scapy and by properties."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scapy.all import (
    ARP,
    GRE,
    ICMP,
    IP,
    LLC,
    SCTP,
    SNAP,
    TCP,
    UDP,
    VXLAN,
    Dot1AD,
    Dot1Q,
    Dot3,
    Ether,
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    IPOption_LSRR,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    IPv6ExtHdrSegmentRouting,
    SCTPChunkData,
    in4_chksum,
    in6_chksum,
)

from packetrig.packets import explain, frames, malformed, to_bytes
from packetrig.packets import strategies as net

quick = settings(max_examples=25)
E4 = Ether() / IP(src="10.0.0.1", dst="10.0.0.2")
E6 = Ether() / IPv6(src="2001:db8::1", dst="2001:db8::2")


def names(frame: bytes) -> list[str]:
    return [header.name for header in frames.walk(frame)]


SOUND = {
    "tcp": E4 / TCP(options=[("MSS", 1460)]) / b"GET / ",
    "udp": E4 / UDP(dport=9) / b"odd",
    "icmp": E4 / ICMP() / b"ping",
    "sctp": E4 / SCTP() / SCTPChunkData(data=b"data"),
    "vlan": Ether() / Dot1Q(vlan=7) / IP() / TCP(),
    "qinq": Ether() / Dot1AD(vlan=7) / Dot1Q(vlan=8) / IPv6() / UDP(dport=9) / b"x",
    "arp": Ether() / ARP(),
    "tcp6": E6 / TCP() / b"x",
    "udp6": E6 / UDP(dport=9) / b"x",
    "icmp6": E6 / ICMPv6EchoRequest(data=b"ping"),
    "nd": E6 / ICMPv6ND_NS(tgt="2001:db8::2"),
    "extensions": E6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / TCP(),
    "atomic fragment": E6 / IPv6ExtHdrFragment() / UDP(dport=9) / b"x",
    "routing": E6 / IPv6ExtHdrRouting(addresses=["2001:db8::3"]) / TCP(),
    "segment routing": E6
    / IPv6ExtHdrSegmentRouting(addresses=["2001:db8::3", "2001:db8::4"], segleft=1, lastentry=1)
    / TCP(),
    "ipip": E4 / IP() / UDP(dport=9) / b"x",
    "sit": E4 / IPv6() / TCP(),
    "ipv4 in ipv6": E6 / IP() / TCP(),
    "gre": E4 / GRE(chksum_present=1, key_present=1) / IP() / TCP(),
    "transparent bridge": E4 / GRE(proto=0x6558) / Ether() / IP() / TCP(),
    "vxlan": E4 / UDP(dport=4789) / VXLAN(flags=8) / Ether() / IPv6() / TCP(),
    "snap": Dot3() / LLC() / SNAP() / IP() / UDP(dport=9),
}


@pytest.mark.parametrize("packet", SOUND.values(), ids=SOUND)
def test_names_are_those_of_scapy(packet):
    frame = to_bytes(packet)
    named = []
    layer = explain.dissect(frame)
    while layer:
        name = layer.__class__.__name__
        count = sum(each.partition(":")[0] == name for each in named)
        named.append(name if not count else f"{name}:{count + 1}")
        layer = layer.payload
    headers = [name for name in named if not name.startswith(("Raw", "Padding", "SCTPChunk"))]

    assert names(frame) == headers
    assert all(header.is_whole for header in frames.walk(frame))


@pytest.mark.parametrize("packet", SOUND.values(), ids=SOUND)
def test_the_checksums_that_scapy_computes_are_right(packet):
    assert frames.bad_checksums(to_bytes(packet)) == []


@pytest.mark.parametrize(
    ("packet", "bad"),
    [
        (Ether() / IP(chksum=1) / UDP(), ["IP.chksum"]),
        (Ether() / IP() / TCP(chksum=1), ["TCP.chksum"]),
        (Ether() / IP() / UDP(chksum=1), ["UDP.chksum"]),
        (Ether() / IP() / ICMP(chksum=1), ["ICMP.chksum"]),
        (Ether() / IP() / SCTP(chksum=1), ["SCTP.chksum"]),
        (Ether() / IPv6() / TCP(chksum=1), ["TCP.chksum"]),
        (Ether() / IPv6() / ICMPv6EchoRequest(cksum=1), ["ICMPv6EchoRequest.cksum"]),
        (Ether() / IP() / GRE(chksum_present=1, chksum=1) / IP() / TCP(), ["GRE.chksum"]),
        (Ether() / IP() / IP(chksum=1) / TCP(chksum=1), ["IP:2.chksum", "TCP.chksum"]),
        (Ether() / Dot1Q() / IP(chksum=1) / UDP(chksum=1), ["IP.chksum", "UDP.chksum"]),
    ],
)
def test_a_wrong_checksum_is_named(packet, bad):
    assert frames.bad_checksums(to_bytes(packet)) == bad


def test_an_inner_checksum_of_a_tunnel_is_looked_at():
    inner = Ether() / IP(chksum=1) / TCP()
    frame = to_bytes(E4 / UDP(dport=4789) / VXLAN(flags=8) / inner)

    assert frames.bad_checksums(frame) == ["IP:2.chksum"]


def test_no_udp_checksum_is_fine_over_ipv4_and_wrong_over_ipv6():
    tunnel = UDP(dport=4789, chksum=0) / VXLAN(flags=8) / Ether() / IP() / TCP()

    assert frames.bad_checksums(to_bytes(E4 / UDP(dport=9, chksum=0) / b"x")) == []
    assert frames.bad_checksums(to_bytes(E6 / UDP(dport=9, chksum=0) / b"x")) == ["UDP.chksum"]
    assert frames.bad_checksums(to_bytes(E6 / tunnel)) == []


@pytest.mark.parametrize(
    "packet",
    [
        E6 / IPv6ExtHdrFragment(m=1) / UDP(chksum=1) / bytes(8),
        Ether() / IP(flags="MF") / UDP(chksum=1) / bytes(8),
        Ether() / IP(frag=5, proto=17) / bytes(16),
        Ether() / IP(len=200) / UDP(chksum=1),
        Ether() / IP() / UDP(len=200, chksum=1),
        Ether() / IP() / UDP(len=3, chksum=1),
        Ether() / IPv6(plen=200) / TCP(chksum=1),
        Ether() / IPv6(plen=0) / TCP(chksum=1),
        Ether() / IP(options=[IPOption_LSRR(routers=["10.9.9.9"])]) / TCP(chksum=1),
    ],
)
def test_what_nobody_could_tell_is_not_accused(packet):
    assert frames.bad_checksums(to_bytes(packet)) == []


def test_ethernet_padding_is_no_part_of_the_packet():
    frame = to_bytes(E4 / UDP(dport=4789) / b"")
    padded = frame + b"\xff" * 18

    assert frames.bad_checksums(padded) == []
    assert names(padded) == ["Ether", "IP", "UDP"]
    assert frames.payload(padded) == b""


def test_the_payload_is_what_the_innermost_header_carries():
    frame = to_bytes(E4 / TCP(options=[("MSS", 1460)]) / b"GET / ")

    assert frames.payload(frame + b"padding") == b"GET / "
    assert frames.payload(frame[:40]) == b""


def test_a_header_that_is_cut_or_lies_is_not_whole():
    frame = to_bytes(E4 / TCP())
    short = frame[:14] + b"\x44" + frame[15:]

    assert frames.walk(frame[:40])[-1] == frames.Header("TCP", 34, 20, False)
    assert frames.walk(short)[-1] == frames.Header("IP", 14, 20, False)
    assert frames.walk(frame)[-1].end == 54
    assert frames.walk(b"\0")[-1] == frames.Header("Ether", 0, 14, False)


def test_a_later_fragment_ends_with_ip():
    assert names(to_bytes(Ether() / IP(frag=1, proto=6) / bytes(20))) == ["Ether", "IP"]


def test_nesting_has_an_end():
    assert len(frames.walk(bytes(12) + b"\x81\0\0\0" * 5000)) == 64


@quick
@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame(data):
    assert len(frames.walk(data)) >= (1 if data else 0)
    assert frames.bad_checksums(frames.with_right_checksums(data)) == []
    assert isinstance(explain.summary(data), str)


@settings(max_examples=50)
@given(net.frames(), st.integers(0, 200), st.integers(0, 255))
def test_no_damage_to_a_frame_makes_it_raise(frame, at, octet):
    at %= len(frame)
    frame = frame[:at] + bytes((octet,)) + frame[at + 1 :]

    headers = frames.walk(frame)

    assert [header.offset for header in headers] == sorted({h.offset for h in headers})
    assert all(header.length > 0 for header in headers)
    assert frames.bad_checksums(frames.with_right_checksums(frame)) == []


def test_no_malformed_frame_makes_it_raise():
    for case in malformed.catalogue()[::11]:
        repaired = frames.with_right_checksums(case.frame)
        assert frames.bad_checksums(repaired) == [], case.id
        assert len(repaired) == len(case.frame)


@quick
@given(st.one_of(net.tcp_packets(ip_options=b""), net.udp_packets()), st.integers(1, 0xFFFF))
def test_a_changed_byte_of_the_payload_is_noticed_where_there_is_a_checksum(frame, flip):
    last = frames.walk(frame)[-1]
    at = last.offset
    is_unchecked = last.name == "UDP" and frame[at + 6 : at + 8] == b"\0\0"
    changed = (int.from_bytes(frame[at : at + 2], "big") ^ flip).to_bytes(2, "big")

    bad = frames.bad_checksums(frame[:at] + changed + frame[at + 2 :])

    assert bad == ([] if is_unchecked else [f"{last.name}.chksum"])


@quick
@given(st.binary(max_size=64))
def test_checksums_agree_with_scapy(data):
    header4 = IP(src="10.0.0.1", dst="10.0.0.2")
    pseudo4 = bytes((10, 0, 0, 1, 10, 0, 0, 2, 0, 6)) + len(data).to_bytes(2, "big")
    pseudo6 = bytes(E6.payload.copy())[8:40] + len(data).to_bytes(4, "big") + bytes((0, 0, 0, 58))

    assert frames.inet_checksum(pseudo4 + data) == in4_chksum(6, header4, data)
    assert frames.inet_checksum(pseudo6 + data) == in6_chksum(58, E6.payload, data)


@pytest.mark.slow
@settings(max_examples=200)
@given(st.one_of(net.tcp_packets(), net.udp_packets(checksum=None), net.icmp_packets()))
@example(  # an ICMP error that cites a header with a checksum of 1
    bytes.fromhex("020000000002020000000001080045000030000000004001f6c9c0000201c0000202")
    + bytes.fromhex("0300fcfe00000000")
    + bytes(11)
    + b"\1"
    + bytes(8)
)
def test_scapy_computes_the_checksums_that_we_generate(frame):
    packet = explain.dissect(frame)
    without = packet.copy()
    layer = without
    while layer:
        for field in {"chksum", "cksum"} & layer.fields.keys():
            if layer.fields[field]:  # a zero in UDP stays: there is none
                del layer.fields[field]
                layer.raw_packet_cache = None
        if layer.name == "ICMP":  # an error cites a header: its checksum is a citation too
            break
        layer = layer.payload

    assert bytes(without) == frame


@quick
@given(st.binary(max_size=64).filter(lambda data: len(data) % 2 == 0))
def test_data_with_its_checksum_sums_up_to_nothing(data):
    number = frames.inet_checksum(data)

    assert frames.inet_checksum(data + number.to_bytes(2, "big")) == 0


def test_the_checksum_of_rfc_1071_and_the_crc_of_rfc_3720():
    assert frames.inet_checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D
    assert frames.inet_checksum(bytes(4)) == 0xFFFF
    assert frames.inet_checksum(b"\xff\xff") == 0
    assert frames.crc32c(bytes(32)) == 0x8A9136AA
    assert frames.crc32c(b"123456789") == 0xE3069283
