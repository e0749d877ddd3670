"""Generated packets: sound by construction, lying where they are told to, plain when shrunk."""

from __future__ import annotations

import random

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from packetrig.errors import NotFound
from packetrig.packets import explain, frames, pcap
from packetrig.packets import strategies as net
from packetrig.packets.told import Mangled

quick = settings(max_examples=25)
SOUND = {
    "ethernet": net.ethernet_frames(),
    "arp": net.arp_packets(),
    "ipv4": net.ipv4_packets(),
    "ipv6": net.ipv6_packets(),
    "icmp": net.icmp_packets(),
    "icmpv6": net.icmpv6_packets(),
    "icmp errors": net.icmp_errors(),
    "udp": net.udp_packets(),
    "tcp": net.tcp_packets(),
    "sctp": net.sctp_packets(),
    "ipip": net.ipip_packets(),
    "gre": net.gre_packets(),
    "vxlan": net.vxlan_packets(),
    "geneve": net.geneve_packets(),
    "gue": net.gue_packets(),
    "mpls": net.mpls_packets(),
    "vxlan-gpe": net.vxlan_packets(is_generic=True),
    "srv6": net.srv6_packets(),
    # scapy takes an IPv4 header of the longest kind for PPP there
    "gtp": net.gtp_packets(inner=net.tcp_packets(ip_options=b"")),
    "l2tp": net.l2tp_packets(),
    "pppoe": net.pppoe_packets(),
    "dns": net.udp_packets(destination_port=53, payload=net.dns_messages()),
    "TCP options": net.tcp_packets(options=net.tcp_options()),
    "IPv4 options": net.udp_packets(ip_options=net.ip_options()),
    "extensions": net.udp_packets(extensions=net.extension_chains()),
    "VLAN stacks": net.udp_packets(vlans=net.vlan_stacks()),
    "6in4": net.ipip_packets(inner=net.tcp_packets(version=6), version=4),
}


def names(frame: bytes) -> set[str]:
    return {header.layer for header in frames.walk(frame)}


def plainest(strategy, condition=bool) -> bytes:
    return find(strategy, condition, random=random.Random(1), settings=settings(max_examples=2000))


def first(strategy) -> bytes:
    generating = settings(max_examples=1, database=None, phases=[Phase.generate])
    return find(strategy, lambda _: True, random=random.Random(1), settings=generating)


@quick
@given(st.one_of(*SOUND.values()))
def test_packets_are_sound_by_construction(frame):
    assert len(frame) >= 14
    assert all(header.is_whole for header in frames.walk(frame))
    assert frames.bad_checksums(frame) == []


@pytest.mark.slow
@pytest.mark.parametrize("strategy", SOUND.values(), ids=SOUND)
def test_each_kind_of_packet_is_sound_by_construction(strategy):
    @settings(max_examples=120)
    @given(strategy)
    def is_sound(frame):
        assert len(frame) >= 14
        assert all(header.is_whole for header in frames.walk(frame))
        assert frames.bad_checksums(frame) == []

    is_sound()


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(SOUND.keys() - {"gue", "extensions", "srv6"}))
def test_scapy_sees_the_same_headers(kind):
    # it knows no GUE, nothing behind an AH, and no Ethernet behind segment routing
    @settings(max_examples=25)
    @given(SOUND[kind])
    def is_alike(frame):
        ours = [header.layer for header in frames.walk(frame)]
        theirs = [layer.__name__ for layer in explain.dissect(frame).layers()]
        assert theirs[: len(ours)] == ours

    is_alike()


def read_dns(message: bytes) -> int:
    """Read a message strictly, and count its records; ValueError where it lies."""
    counts = [int.from_bytes(message[at : at + 2], "big") for at in (4, 6, 8, 10)]
    at, records = 12, 0
    for is_question, count in zip((True, False, False, False), counts, strict=True):
        for _ in range(count):
            at = after_name(message, at)
            at += 4 if is_question else 10 + int.from_bytes(message[at + 8 : at + 10], "big")
            if at > len(message):
                raise ValueError("a record beyond the end")
            records += 1
    if at != len(message):
        raise ValueError("bytes behind the last record")
    return records


def after_name(message: bytes, at: int) -> int:
    end, length = 0, 0
    for _ in range(200):
        if at >= len(message):
            raise ValueError("no end")
        size = message[at]
        if size == 0:
            return end or at + 1
        if size >= 0xC0:
            end = end or at + 2
            at = int.from_bytes(message[at : at + 2], "big") & 0x3FFF
            continue
        at, length = at + 1 + size, length + 1 + size
        if size > 63 or length > 254:
            raise ValueError("a label that is none")
    raise ValueError("it goes round")


@quick
@given(net.dns_messages())
def test_dns_messages_tell_the_truth(message):
    assert read_dns(message) >= 1


@quick
@given(net.dns_messages(is_lying=True) | net.dns_messages(is_lying=True, name="a.example"))
def test_dns_messages_lie_when_they_are_to(message):
    with pytest.raises(ValueError):
        read_dns(message)


@settings(max_examples=40)
@given(net.frames())
def test_a_frame_is_never_too_short_to_be_run(frame):
    assert 14 <= len(frame) <= 1514


@quick
@given(net.mangled(net.tcp_packets(version=4, vlans=())))
def test_a_mangled_frame_can_still_be_run(frame):
    assert len(frame) >= 14


@pytest.mark.slow
@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(lambda frame: "IPv6" in names(frame), id="IPv6"),
        pytest.param(lambda frame: "Dot1Q" in names(frame), id="VLAN"),
        pytest.param(lambda frame: "Dot1AD" in names(frame), id="QinQ"),
        pytest.param(lambda frame: "IPv6ExtHdrHopByHop" in names(frame), id="extensions"),
        pytest.param(lambda frame: frame[14] & 15 > 5 and "IP" in names(frame), id="IP options"),
        pytest.param(lambda frame: b"GET / HTTP/1.1" in frame, id="GET"),
        pytest.param(lambda frame: frames.walk(frame)[-1].length == 60, id="longest header"),
    ],
)
def test_tcp_packets_come_in_every_shape(wanted):
    generating = settings(max_examples=2000, database=None, phases=[Phase.generate])

    assert wanted(find(net.tcp_packets(), wanted, random=random.Random(1), settings=generating))


@pytest.mark.slow
def test_packets_shrink_to_the_plainest():
    tcp = plainest(net.tcp_packets())
    every = plainest(net.frames())

    assert [header.name for header in frames.walk(tcp)] == ["Ether", "IP", "TCP"]
    assert (len(tcp), frames.payload(tcp)) == (54, b"")
    assert tcp[26:34] == bytes((192, 0, 2, 1, 192, 0, 2, 2))
    assert len(every) == 14


@pytest.mark.slow
def test_a_get_shrinks_to_the_shortest_request():
    frame = plainest(net.tcp_packets(), lambda frame: b"GET /" in frame)

    assert frames.payload(frame) in (b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", b"GET /")


@quick
@given(st.integers(5, 15), st.data())
def test_a_data_offset_gets_the_options_that_fill_it(words, data):
    frame = data.draw(net.tcp_packets(data_offset=words, version=4, vlans=(), payload=b"GET /"))
    header = frames.walk(frame)[-1]

    assert (header.name, header.length) == ("TCP", 4 * words)
    assert frames.payload(frame) == b"GET /"


@pytest.mark.parametrize("words", range(16))
def test_every_data_offset_can_be_had_with_options_and_against_them(words):
    made = first(net.tcp_packets(data_offset=words, version=4, vlans=(), ip_options=b""))
    lying = first(net.tcp_packets(data_offset=words, options=b"\1" * 8, version=6, vlans=()))

    assert made[34 + 12] >> 4 == words
    tcp = frames.walk(lying)[-1]
    assert lying[tcp.offset + 12] >> 4 == words
    assert lying[tcp.offset + 20 : tcp.offset + 28] == b"\1" * 8


@quick
@given(net.tcp_packets(payload=net.http_requests(method="GET", path="/", at_most=5)))
def test_a_request_may_end_with_the_frame(frame):
    assert frame.endswith(b"GET /")


@quick
@given(net.tcp_packets(data_offset=st.integers(0, 4), version=4, vlans=(), ip_options=b""))
def test_a_data_offset_below_five_lies_and_the_checksum_is_right(frame):
    assert not frames.walk(frame)[-1].is_whole
    assert frames.bad_checksums(frame) == []


@quick
@given(net.tcp_packets(data_offset=st.integers(0, 15), options=bytes(4), version=6))
def test_given_options_stay_as_they_are(frame):
    tcp = frames.walk(frame)[-1]

    assert frame[tcp.offset + 20 : tcp.offset + 24] == bytes(4)


@quick
@given(
    net.udp_packets(
        source="10.0.0.66",
        destination=st.sampled_from(("10.0.0.1", "10.0.0.2")),
        destination_port=53,
        source_mac="02:00:00:00:00:66",
        vlans=(5, 6),
        ttl=1,
        ip_options=b"",
        payload=b"query",
    )
)
def test_arguments_are_values_or_strategies(frame):
    assert [header.name for header in frames.walk(frame)] == [
        "Ether",
        "Dot1AD",
        "Dot1Q",
        "IP",
        "UDP",
    ]
    assert frame[6:12].hex() == "020000000066"
    assert (frame[30], frame[34:38], frame[38:41]) == (1, bytes((10, 0, 0, 66)), bytes((10, 0, 0)))
    assert frame[44:46] == (53).to_bytes(2, "big")
    assert frames.payload(frame) == b"query"


@quick
@given(net.udp_packets(checksum=1, length=9, ip_length=30, ip_checksum=2, payload=b"abc", vlans=()))
def test_a_field_that_is_given_is_written_as_it_is(frame):
    udp = frames.walk(frame)[-1].offset

    assert frame[16:18] == (30).to_bytes(2, "big")
    assert frame[24:26] == (2).to_bytes(2, "big")
    assert frame[udp + 4 : udp + 8] == bytes((0, 9, 0, 1))


@quick
@given(net.ipv4_packets(ihl=st.integers(0, 15), vlans=()))
def test_an_ihl_gets_the_options_that_fill_it(frame):
    ip = frames.walk(frame)[1]

    assert ip.is_whole == (frame[14] & 15 >= 5)
    assert "IP.chksum" not in frames.bad_checksums(frame)


@quick
@given(
    net.udp_packets(source="2001:db8::66"),
    net.udp_packets(extensions=()),
    net.udp_packets(dont_fragment=True),
)
def test_an_argument_of_one_version_chooses_it(addressed, extended, unfragmented):
    assert "IPv6" in names(addressed)
    assert "IPv6" in names(extended)
    assert "IP" in names(unfragmented)


def draw(strategy):
    @settings(max_examples=1, database=None, phases=[Phase.generate])
    @given(strategy)
    def one(_):
        pass

    one()


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (net.tcp_packets(data_offset=16), "data_offset=16: it takes an int from 0 to 15"),
        (net.tcp_packets(data_offset="5"), "data_offset='5'"),
        (net.tcp_packets(data_offset=st.just(16)), "data_offset=16"),
        (
            net.tcp_packets(data_offset=st.integers(9, 3)),
            "data_offset=integers(min_value=9, max_value=3): Cannot",
        ),
        (net.tcp_packets(data_offset=st.nothing()), "data_offset=nothing(): there is nothing"),
        (
            net.tcp_packets(destination_port=st.sampled_from(())),
            "destination_port=sampled_from(())",
        ),
        (net.tcp_packets(options=bytes(41)), "41 bytes do not fit: at most 40 do"),
        (net.tcp_packets(options=[("SAck", (0,) * 10)]), "42 bytes do not fit: at most 40 do"),
        (net.tcp_packets(options=["MSS"]), "options=['MSS']: MSS has 1 values"),
        (net.tcp_packets(options=["SACK"]), "options=['SACK']: an option is bytes or one of EOL"),
        (net.udp_packets(ip_options=[bytes(24)] * 2), "48 bytes do not fit: at most 40 do"),
        (net.tcp_packets(flags="SX"), "flags='SX': the letters are F S R P A U E C"),
        (net.tcp_packets(source="nobody"), "source='nobody'"),
        (net.tcp_packets(source=st.just("::1"), version=4), "source= means IPv6"),
        (net.tcp_packets(source_mac="02:00"), "source_mac='02:00'"),
        (net.tcp_packets(version=5), "version=5: it takes 4 or 6"),
        (net.tcp_packets(payload="text"), "payload='text': it takes bytes"),
        (net.tcp_packets(ihl=5, extensions=()), "no packet has both"),
        (net.tcp_packets(version=6, ihl=5), "ihl= does not go with version=6"),
        (net.ipv4_packets(version=6), "version=6: here it can only be 4"),
        (net.icmpv6_packets(version=4), "version=4: here it can only be 6"),
        (net.udp_packets(vlans=(70000,)), "a tag is an int from 0 to 65535"),
        (net.udp_packets(extensions=((0, b""),)), "extensions=((0, b''),)"),
        (
            net.udp_packets(extensions="hop-by-hop"),
            "extensions='hop-by-hop': it takes 'hop by hop'",
        ),
        (net.udp_packets(extensions=["destination"] * 100, payload=bytes(65_000)), "payload="),
        (net.ipip_packets(inner=b"short"), "inner=b'short': it takes whole frames"),
        (net.ipip_packets(inner=5), "inner=5: a packet is bytes or a scapy packet, not int 5"),
        (net.gre_packets(key=1 << 32), "key=4294967296: it takes an int from 0 to 4294967295"),
        (net.geneve_packets(tunnel_options=bytes(256)), "tunnel_options=b"),
        (net.mpls_packets(labels=()), "labels=(): it takes a label"),
        (net.mangled(st.just(b"short")), "packets=b'short': it takes whole frames"),
        (net.mangled(st.nothing()), "packets=nothing(): there is nothing to draw"),
        (net.http_requests(version=11), "version=11: it takes bytes"),
        (net.dns_messages(name="a..b"), "name='a..b': each label of a name has 1 to 63 bytes"),
        (net.dns_messages(name=5), "name=5: it takes text, such as 'a.example'"),
        (net.dns_messages(is_answer="no"), "is_answer='no': it takes True or False"),
        (net.udp_packets(more_fragments=st.just("yes")), "more_fragments='yes': it takes True"),
        (net.tcp_options(is_lying=st.booleans()), "is_lying=booleans(): it takes True or False"),
        (net.from_pcap(5), "path=5: it takes the path of a capture"),
        (net.http_requests(pipelined=0), "pipelined=0: it takes an int from 1 to 100"),
        (net.http_requests(headers="Host: a"), "headers='Host: a': it takes several lines"),
        (net.tcp_options(max_size=41), "max_size=41: options have 0 to 40 bytes"),
        (net.vlan_stacks(min_size=2, max_size=1), "min_size=2, max_size=1: an empty range"),
        (net.sequences(flows=0), "flows=0: it takes an int from 1 to 250"),
        (
            net.sequences(flows=st.integers(3, 2)),
            "flows=integers(min_value=3, max_value=2): Cannot",
        ),
        (net.sequences(ending="slam"), "ending='slam': there are open, fin, reset"),
        (net.sequences(transport="sctp"), "transport='sctp': there are tcp, udp"),
        (net.sequences(faults=["lost"]), "faults=['lost']: there are retransmission, duplicate"),
        (net.sequences(payload=st.nothing()), "payload=nothing(): there is nothing to draw"),
        (net.fragment_sets(size=12), "size=12: it takes a multiple of 8"),
        (net.fragment_sets(faults="flood"), "faults='flood': there are overlap, inside"),
        (net.tcp_packets(options=[("MSS", 70000)]), "options=[('MSS', 70000)]: MSS takes an int"),
        (net.tcp_packets(options=[("MSS", "x")]), "options=[('MSS', 'x')]: MSS takes an int from"),
        (net.udp_packets(extensions=[(300, bytes(7))]), "extensions=[(300, b'"),
        (net.arp_packets(sender="::1"), "sender='::1': "),
        (net.vlan_stacks(max_size="3"), "max_size='3': it takes an int"),
        (net.tcp_options(max_size=[]), "max_size=[]: it takes an int"),
    ],
)
def test_an_impossible_argument_is_named_when_it_is_drawn(strategy, message):
    with pytest.raises(InvalidArgument) as refused:
        draw(strategy)

    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: net.tcp_packets(ttll=5), "there is no argument ttll, did you mean ttl?"),
        (lambda: net.arp_packets(ttl=5), "there is no argument ttl"),
        (lambda: net.tcp_packets(data_ofset=5), "argument data_ofset, did you mean data_offset?"),
        (lambda: net.frames(sauce="::1"), "there is no argument sauce, did you mean source?"),
    ],
)
def test_a_misspelt_argument_is_named_at_once(make, message):
    with pytest.raises(InvalidArgument) as refused:
        make()

    assert message in str(refused.value)


@pytest.mark.slow
def test_the_frames_of_a_capture_are_sampled_the_shortest_first(tmp_path):
    path = tmp_path / "some.pcap"
    snapped = pcap.Record(1, 0, bytes(14), 60)
    pcap.write(path, [bytes(60), snapped, b"\x01" * 20, bytes(60)])

    assert plainest(net.from_pcap(path)) == b"\x01" * 20
    assert plainest(net.from_pcap(path), lambda frame: len(frame) > 20) == bytes(60)


def test_a_capture_is_found_from_every_folder_of_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # not even one of them

    assert plainest(net.from_pcap("fixtures/pcap/dns.pcap"))
    with pytest.raises(NotFound, match="fixtures/pcap/dsn.pcap: there is no such capture"):
        draw(net.from_pcap("fixtures/pcap/dsn.pcap"))


def test_mutations_near_the_frames_of_a_capture_say_what_is_wrong(tmp_path):
    path = tmp_path / "some.pcap"
    pcap.write(path, [first(net.tcp_packets()), first(net.udp_packets())])

    @quick
    @given(net.from_pcap(path, mangle=True))
    def is_told(frame):
        assert isinstance(frame, Mangled)
        assert frame.what
        assert frame not in captured

    captured = {record.data for record in pcap.read(path)}
    is_told()


def test_a_capture_without_a_whole_packet_is_an_impossible_argument(tmp_path):
    path = tmp_path / "none.pcap"
    pcap.write(path, [])

    with pytest.raises(InvalidArgument) as refused:
        draw(net.from_pcap(path))
    assert "holds no whole packet" in str(refused.value)
