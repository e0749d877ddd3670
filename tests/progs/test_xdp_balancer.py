"""xdp_balancer: which backend a flow goes to, how packets are changed, and what is left alone."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Raw

import packetrig
from packetrig import ANY, XDP, Object
from packetrig import strategies as net
from packetrig.packets.frames import bad_checksums
from packetrig.packets.malformed import catalogue

from . import balancing
from .balancing import (
    BACKENDS,
    BACKENDS6,
    CLIENT,
    CLIENT6,
    MAC,
    MODEL,
    OWN,
    OWN6,
    REWRITTEN,
    ROUTER,
    ROUTER6,
    SERVICE,
    SERVICE6,
    TUNNELLED,
    mac_of,
)

balancer = packetrig.fixture("progs/xdp_balancer.bpf.c")
other_seed = packetrig.fixture("progs/xdp_balancer.bpf.c", seed=0x5EED)

E = Ether(src="02:00:00:00:00:01", dst=MAC)
V4, V6 = IP(src=CLIENT, dst=SERVICE), IPv6(src=CLIENT6, dst=SERVICE6)
WEB = TCP(sport=40000, dport=REWRITTEN) / Raw(b"GET / HTTP/1.1\r\n\r\n")
TLS = TCP(sport=40000, dport=TUNNELLED) / Raw(bytes(20))
FIRST, SECOND = 1, 2
FIRST6 = 11


def only(balancer: Object, *numbers: int) -> None:
    """Leave these backends alone, so that the choice is known."""
    balancing.set_up(balancer)
    for number in (*BACKENDS, *BACKENDS6):
        if number not in numbers:
            del balancer.maps.backends[number]


def fill(balancer: Object, number: int, *, first: int = 0) -> None:
    for slot in range(balancing.SLOTS):
        balancer.maps.ring[first + slot] = number


def alone(balancer: Object) -> None:
    """Name one backend of each family in every slot."""
    balancing.set_up(balancer)
    fill(balancer, FIRST)
    fill(balancer, FIRST6, first=balancing.SLOTS)


# --- what becomes of a packet


def test_ipv4_is_rewritten_here_and_nowhere_else(balancer):
    alone(balancer)

    run = balancer.run(E / V4 / WEB)

    assert run.verdict is XDP.TX
    assert run.changes == {
        "Ether.src": (E.src, MAC),
        "Ether.dst": (MAC, mac_of(FIRST)),
        "IP.ttl": (64, 63),
        "IP.chksum": ANY,
        "IP.dst": (SERVICE, BACKENDS[FIRST]),
        "TCP.chksum": ANY,
    }
    assert run.bad_checksums == []


def test_ipv6_is_rewritten_here_and_nowhere_else(balancer):
    alone(balancer)

    run = balancer.run(E / V6 / UDP(sport=5, dport=REWRITTEN) / Raw(b"payload"))

    assert run.verdict is XDP.TX
    assert run.changes == {
        "Ether.src": (E.src, MAC),
        "Ether.dst": (MAC, mac_of(FIRST6)),
        "IPv6.hlim": (64, 63),
        "IPv6.dst": (SERVICE6, BACKENDS6[FIRST6]),
        "UDP.chksum": ANY,
    }
    assert run.bad_checksums == []


def test_ipv4_is_put_into_ipv4(balancer):
    alone(balancer)

    run = balancer.run(E / IP(src=CLIENT, dst=SERVICE, tos=0xB9, id=7) / TLS)

    assert run.verdict is XDP.TX
    assert run.data == bytes(
        Ether(src=MAC, dst=mac_of(FIRST))
        / IP(src=OWN, dst=BACKENDS[FIRST], tos=0xB9, id=0, flags="DF")
        / IP(src=CLIENT, dst=SERVICE, tos=0xB9, id=7, ttl=63)
        / TLS
    )


def test_ipv6_is_put_into_ipv6(balancer):
    alone(balancer)

    run = balancer.run(E / IPv6(src=CLIENT6, dst=SERVICE6, tc=0xB9, fl=0xABCDE) / TLS)

    assert run.verdict is XDP.TX
    assert run.data == bytes(
        Ether(src=MAC, dst=mac_of(FIRST6))
        / IPv6(src=OWN6, dst=BACKENDS6[FIRST6], tc=0xB9, fl=0xABCDE)
        / IPv6(src=CLIENT6, dst=SERVICE6, tc=0xB9, fl=0xABCDE, hlim=63)
        / TLS
    )


@pytest.mark.parametrize("payload", [WEB, TLS], ids=["rewritten", "in a tunnel"])
@pytest.mark.parametrize("packet", [V4, V6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(
    "tags", [Dot1Q(vlan=5, prio=3), Dot1AD(vlan=6) / Dot1Q(vlan=5)], ids=["tag", "two tags"]
)
def test_tags_stay_where_they_are(balancer, tags, packet, payload):
    alone(balancer)

    plain = balancer.run(E / packet / payload)
    tagged = balancer.run(E / tags / packet / payload)

    assert tagged.verdict is XDP.TX
    assert tagged.data[:12] == plain.data[:12]
    assert tagged.data[12:] == bytes(E / tags / packet)[12 : 14 + len(tags)] + plain.data[14:]


def test_what_a_short_frame_is_padded_with_stays_behind_the_packet(balancer):
    alone(balancer)
    frame = bytes(E / V4 / UDP(sport=5, dport=TUNNELLED)) + b"padding"

    run = balancer.run(frame)

    assert run.packet[IP].len == 20 + 28
    assert run.data.endswith(b"padding")


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("packet, outer", [(V4, 20), (V6, 40)], ids=["IPv4", "IPv6"])
def test_a_packet_of_the_mtu_goes_into_a_tunnel_and_no_longer_one(balancer, packet, outer, more):
    alone(balancer)
    size = 1500 - outer - len(packet) - 8 + more

    run = balancer.run(E / packet / UDP(sport=5, dport=TUNNELLED) / Raw(bytes(size)))

    assert run.verdict is (XDP.PASS if more else XDP.TX)
    assert balancing.counted(balancer) == {"TOO_LONG" if more else "SENT": 1}


def test_udp_without_a_checksum_stays_without(balancer):
    alone(balancer)

    run = balancer.run(E / V4 / UDP(sport=5, dport=REWRITTEN, chksum=0) / Raw(b"payload"))

    assert run.verdict is XDP.TX
    assert run.packet[UDP].chksum == 0


@pytest.mark.parametrize("packet", [V4, V6], ids=["IPv4", "IPv6"])
def test_a_udp_checksum_that_becomes_zero_is_written_as_ones(balancer, packet):
    alone(balancer)
    probe = balancer.run(E / packet / UDP(sport=5, dport=REWRITTEN) / Raw(b"\0\0"))
    filler = probe.packet[UDP].chksum  # what is missing to 0xffff

    run = balancer.run(E / packet / UDP(sport=5, dport=REWRITTEN) / Raw(filler.to_bytes(2, "big")))

    assert run.packet[UDP].chksum == 0xFFFF
    assert run.bad_checksums == []


# --- which backend


def flows(count: int, *, port: int = REWRITTEN, **fields: object) -> list[bytes]:
    """Build packets of so many flows, alternately IPv4 and IPv6; checksums are not their matter."""
    one, two = (bytes(E / packet / TCP(sport=0, dport=port, **fields)) for packet in (V6, V4))
    made = []
    for number in range(1024, 1024 + count):
        frame, at = (two, 34) if number % 2 else (one, 54)
        made.append(frame[:at] + number.to_bytes(2, "big") + frame[at + 2 :])
    return made


def choices(balancer: Object, frames: list[bytes]) -> list[bytes]:
    """Tell where each of the frames goes, by the MAC address."""
    return [run.data[:6] for run in balancer.run_many(frames)]


def test_what_belongs_to_a_flow_goes_one_way(balancer):
    balancing.set_up(balancer)

    assert choices(balancer, flows(200)) == choices(balancer, flows(200, flags="FA", seq=99))


def test_the_flows_of_a_backend_that_is_gone_move_and_no_others(balancer):
    balancing.set_up(balancer)
    frames = flows(400)
    before = choices(balancer, frames)

    del balancer.maps.backends[SECOND]
    after = choices(balancer, frames)

    gone = bytes.fromhex(mac_of(SECOND).replace(":", ""))
    assert gone in before
    assert gone not in after
    assert [now for was, now in zip(before, after, strict=True) if was != gone] == [
        was for was in before if was != gone
    ]
    assert len({now for was, now in zip(before, after, strict=True) if was == gone}) == 2


def test_they_come_back_with_it(balancer):
    balancing.set_up(balancer)
    before = choices(balancer, flows(100))
    was = dict(balancer.maps.backends[SECOND])

    del balancer.maps.backends[SECOND]
    choices(balancer, flows(100))
    balancer.maps.backends[SECOND] = was

    assert choices(balancer, flows(100)) == before


def test_backends_get_about_as_much_as_each_other(balancer):
    balancing.set_up(balancer, slots=251)

    choices(balancer, flows(3000))

    for numbers in (BACKENDS, BACKENDS6):
        shares = [balancing.sent(balancer)[number] for number in numbers]
        assert min(shares) > 0.8 * 500
        assert max(shares) < 1.2 * 500


def test_another_seed_makes_other_choices(balancer, other_seed):
    for each in (balancer, other_seed):
        balancing.set_up(each)

    same = zip(choices(balancer, flows(90)), choices(other_seed, flows(90)), strict=True)

    assert 10 < sum(one == other for one, other in same) < 60


def test_a_ring_that_is_filled_anew_moves_few_flows():
    six, five = MODEL.maglev(range(1, 7), 251), MODEL.maglev(range(1, 6), 251)

    moved = sum(was != now for was, now in zip(six, five, strict=True) if was != 6)

    assert moved < 0.2 * 251
    assert max(Counter(six).values()) - min(Counter(six).values()) <= 1


@pytest.mark.parametrize("first", [0, 5, 1000])
@pytest.mark.parametrize("slots", [1, 2, 7])
def test_every_slot_of_a_ring_is_used_and_no_other(balancer, first, slots):
    balancing.set_up(balancer)
    for key in list(balancer.maps.ring):
        del balancer.maps.ring[key]
    for number in range(1, slots + 3):
        balancer.maps.backends[number] = {"address": f"::ffff:10.9.0.{number}"}
        balancer.maps.ring[first + number - 1] = number
    key = balancing.endpoint(SERVICE, REWRITTEN, 6)
    balancer.maps.services[key] = {"ring": {"first": first, "slots": slots}}

    balancer.run_many(flows(400))

    assert set(balancing.sent(balancer)) == set(range(1, slots + 1))


def test_the_search_for_a_backend_goes_eight_slots_far(balancer):
    balancing.set_up(balancer)
    for slot in range(balancing.SLOTS):
        balancer.maps.ring[slot] = 99
    balancer.maps.ring[0] = FIRST

    runs = balancer.run_many(flows(2000)[1::2])  # IPv4

    sent = sum(verdict is XDP.TX for verdict in runs.verdicts)
    assert 0.7 * 8 / 31 < sent / 1000 < 1.3 * 8 / 31
    assert balancing.counted(balancer) == {"SENT": sent, "NO_BACKEND": 1000 - sent}


def test_what_a_backend_was_sent_is_counted(balancer):
    alone(balancer)
    frame = bytes(E / V4 / TLS)

    for _ in range(3):
        balancer.run(frame)

    backend = balancer.maps.backends[FIRST]
    assert (backend.packets, backend.bytes) == (3, 3 * len(frame))


# --- ICMP errors


def answer(version: int, port: int, *, client_port: int = 40000) -> object:
    if version == 4:
        return IP(src=SERVICE, dst=CLIENT, flags="DF") / TCP(sport=port, dport=client_port, seq=9)
    return IPv6(src=SERVICE6, dst=CLIENT6) / TCP(sport=port, dport=client_port, seq=9)


def error(version: int, port: int, *, size: int = 200, client_port: int = 40000) -> object:
    """Build what a router on the way to the client answers to a packet of the service."""
    quoted = Raw(bytes(answer(version, port, client_port=client_port) / Raw(bytes(300)))[:size])
    if version == 4:
        too_big = ICMP(type=3, code=4, nexthopmtu=1400) / quoted
        return E / IP(src=ROUTER, dst=SERVICE) / too_big
    return E / IPv6(src=ROUTER6, dst=SERVICE6) / ICMPv6PacketTooBig(mtu=1400) / quoted


@pytest.mark.parametrize("port", [REWRITTEN, TUNNELLED])
@pytest.mark.parametrize("version", [4, 6])
def test_too_big_goes_where_the_flow_goes(balancer, version, port):
    balancing.set_up(balancer)
    requests = flows(60, port=port)[version == 4 :: 2]
    at = 34 if version == 4 else 54
    ports = [int.from_bytes(frame[at : at + 2], "big") for frame in requests]
    errors = [bytes(error(version, port, client_port=sport)) for sport in ports]

    assert choices(balancer, errors) == choices(balancer, requests)
    assert balancing.counted(balancer) == {"SENT": 60}


@pytest.mark.parametrize("version, number", [(4, FIRST), (6, FIRST6)])
@pytest.mark.parametrize("size", [48, 70, 200])
def test_a_rewritten_error_quotes_what_the_backend_has_sent(balancer, version, number, size):
    alone(balancer)
    address = (BACKENDS if version == 4 else BACKENDS6)[number]
    own = answer(version, REWRITTEN)
    own.src = address

    run = balancer.run(error(version, REWRITTEN, size=size))

    at = 14 + (20 if version == 4 else 40) + 8
    assert run.verdict is XDP.TX
    assert run.data[at:] == bytes(own / Raw(bytes(300)))[:size] or size < 60
    assert run.data[at : at + 40] == bytes(own / Raw(bytes(300)))[:40]
    assert run.bad_checksums == []


@pytest.mark.parametrize("version", [4, 6])
def test_an_error_in_a_tunnel_stays_what_it_is(balancer, version):
    alone(balancer)
    frame = bytes(error(version, TUNNELLED))

    run = balancer.run(frame)

    outer, hops = (20, 8) if version == 4 else (40, 7)
    inner = run.data[14 + outer :]
    assert inner[:hops] + inner[hops + 1 : 10] == frame[14:][:hops] + frame[14:][hops + 1 : 10]
    assert inner[12:] == frame[14 + 12 :]
    assert run.bad_checksums == []


PORTS = bytes(TCP(sport=REWRITTEN, dport=40000))[:8]


@packetrig.table(
    ("from whom it did not go to", error(4, REWRITTEN), XDP.TX),
    ("quotes another's packet", E / IP(dst=SERVICE) / ICMP(type=3) / V4 / WEB, XDP.PASS),
    ("quotes no service", E / IP(dst=SERVICE) / ICMP(type=3) / answer(4, 25), XDP.PASS),
    ("quotes too little", error(4, REWRITTEN, size=27), XDP.PASS),
    ("quotes enough", error(4, REWRITTEN, size=28), XDP.TX),
    ("IPv6, quotes too little", error(6, REWRITTEN, size=47), XDP.PASS),
    ("IPv6, quotes enough", error(6, REWRITTEN, size=48), XDP.TX),
    (
        "quotes a later fragment",
        E / IP(dst=SERVICE) / ICMP(type=3) / IP(src=SERVICE, frag=1, proto=6) / Raw(PORTS),
        XDP.PASS,
    ),
    (
        "quotes ICMP",
        E / IP(dst=SERVICE) / ICMP(type=11) / IP(src=SERVICE) / ICMP() / Raw(bytes(8)),
        XDP.PASS,
    ),
    (
        "quotes IPv6 in IPv4",
        E / IP(dst=SERVICE) / ICMP(type=3) / IPv6(src=SERVICE6) / Raw(PORTS),
        XDP.PASS,
    ),
    ("time exceeded", E / IP(dst=SERVICE) / ICMP(type=11) / answer(4, REWRITTEN), XDP.TX),
    ("parameter problem", E / IP(dst=SERVICE) / ICMP(type=12) / answer(4, REWRITTEN), XDP.TX),
    ("redirect", E / IP(dst=SERVICE) / ICMP(type=5) / answer(4, REWRITTEN), XDP.PASS),
    ("echo", E / IP(dst=SERVICE) / ICMP(), XDP.PASS),
    ("echo, IPv6", E / IPv6(dst=SERVICE6) / ICMPv6EchoRequest(), XDP.PASS),
    (
        "ICMP over IPv6",
        E / IPv6(dst=SERVICE6, nh=1) / Raw(bytes(ICMP(type=3) / answer(4, REWRITTEN))),
        XDP.PASS,
    ),
)
def test_errors(balancer, packet, verdict):
    alone(balancer)

    run = balancer.run(packet)

    assert run.verdict is verdict
    assert run.is_rewritten == (verdict is XDP.TX)


# --- what is left alone


def with_bytes(packet: object, offset: int, data: bytes) -> bytes:
    frame = bytes(packet)
    return frame[:offset] + data + frame[offset + len(data) :]


SENT = bytes(E / V4 / WEB)
GROUP = Ether(src=E.src, dst="01:00:5e:00:00:01")
LEFT_ALONE = (
    ("ARP", E / ARP(pdst=SERVICE), "OTHER"),
    ("ICMP", E / V4 / ICMP(), "OTHER"),
    ("other protocol", E / IP(dst=SERVICE, proto=253) / Raw(bytes(40)), "OTHER"),
    ("group address", GROUP / V4 / WEB, "OTHER"),
    ("three tags", E / Dot1Q() / Dot1Q() / Dot1Q() / V4 / WEB, "OTHER"),
    ("tag cut", bytes(E / Dot1Q() / Dot1Q())[:21], "MALFORMED"),
    ("nothing behind Ethernet", SENT[:14], "MALFORMED"),
    ("header cut", SENT[:33], "MALFORMED"),
    ("version 5", with_bytes(SENT, 14, b"\x55"), "MALFORMED"),
    *((f"ihl {ihl}", with_bytes(SENT, 14, bytes((0x40 | ihl,))), "MALFORMED") for ihl in range(5)),
    ("total length below ihl", with_bytes(SENT, 16, b"\0\x13"), "MALFORMED"),
    ("total length beyond the frame", SENT[:-1], "MALFORMED"),
    ("data offset 4", E / V4 / TCP(dport=REWRITTEN, dataofs=4), "MALFORMED"),
    ("data offset beyond the packet", E / V4 / TCP(dport=REWRITTEN, dataofs=6), "MALFORMED"),
    ("UDP length 7", E / V4 / UDP(dport=REWRITTEN, len=7), "MALFORMED"),
    ("UDP length beyond the packet", E / V4 / UDP(dport=REWRITTEN, len=9), "MALFORMED"),
    ("ICMP header cut", E / IP(dst=SERVICE, proto=1) / Raw(bytes(7)), "MALFORMED"),
    ("IPv6 length beyond the frame", bytes(E / V6 / WEB)[:-1], "MALFORMED"),
    ("jumbogram", E / IPv6(dst=SERVICE6, nh=0, plen=0) / Raw(bytes(40)), "MALFORMED"),
    ("IPv4 options", E / IP(dst=SERVICE, options=b"\x94\x04\0\0") / WEB, "OPTIONS"),
    ("IPv6 options", E / V6 / IPv6ExtHdrDestOpt() / WEB, "OPTIONS"),
    ("routing header", E / V6 / IPv6ExtHdrRouting(addresses=[CLIENT6]) / WEB, "OPTIONS"),
    ("first fragment", E / IP(dst=SERVICE, flags="MF") / WEB, "FRAGMENT"),
    ("later fragment", E / IP(dst=SERVICE, frag=9, proto=6) / Raw(bytes(40)), "FRAGMENT"),
    (
        "later fragment that looks like an error",
        E / IP(dst=SERVICE, frag=9, proto=1) / Raw(bytes(error(4, REWRITTEN))[34:]),
        "FRAGMENT",
    ),
    ("fragment, IPv6", E / V6 / IPv6ExtHdrFragment(m=1) / WEB, "FRAGMENT"),
    ("other port", E / V4 / TCP(dport=25), "NOT_OURS"),
    ("port in the other byte order", E / V4 / TCP(dport=REWRITTEN << 8), "NOT_OURS"),
    ("other address", E / IP(dst=CLIENT) / WEB, "NOT_OURS"),
    ("answer", E / answer(4, REWRITTEN), "NOT_OURS"),
    ("last hop", E / IP(dst=SERVICE, ttl=1) / WEB, "LAST_HOP"),
    ("no hop left, IPv6", E / IPv6(dst=SERVICE6, hlim=0) / WEB, "LAST_HOP"),
)


@pytest.mark.parametrize(
    "packet, reason",
    [(packet, reason) for _, packet, reason in LEFT_ALONE],
    ids=[name for name, _, _ in LEFT_ALONE],
)
def test_left_alone(balancer, packet, reason):
    alone(balancer)

    run = balancer.run(packet)

    assert run.verdict is XDP.PASS
    assert not run.is_rewritten
    assert balancing.counted(balancer) == {reason: 1}


@pytest.mark.parametrize("number", [FIRST6, 99], ids=["of the other family", "that is not there"])
@pytest.mark.parametrize("payload", [WEB, TLS], ids=["rewritten", "in a tunnel"])
def test_a_backend_is_no_backend(balancer, payload, number):
    balancing.set_up(balancer)
    fill(balancer, number)

    assert balancer.run(E / V4 / payload).verdict is XDP.PASS
    assert balancing.counted(balancer) == {"NO_BACKEND": 1}


def test_a_ring_without_slots_has_no_backend(balancer):
    balancing.set_up(balancer)
    balancer.maps.services[balancing.endpoint(SERVICE, REWRITTEN, 6)] = {"delivery": "REWRITE"}

    assert balancer.run(E / V4 / WEB).verdict is XDP.PASS
    assert balancing.counted(balancer) == {"NO_BACKEND": 1}


# --- properties


@given(packet=balancing.packets())
def test_every_packet_for_a_service_is_sent_on_as_the_model_says(balancer, packet):
    balancing.set_up(balancer)

    run = balancer.judge(packet, model=MODEL.xdp_balancer)

    assert run.verdict is XDP.TX
    assert run.bad_checksums == bad_checksums(packet)


@given(frame=net.mangled(balancing.packets()) | net.mangled() | net.frames())
def test_every_frame_gets_what_the_model_says(balancer, frame):
    balancing.set_up(balancer)

    balancer.judge(frame, model=MODEL.xdp_balancer, builtin=())


@pytest.mark.slow
def test_each_malformed_frame_gets_what_the_model_says(balancer):
    balancing.set_up(balancer)
    cases = catalogue()

    runs = balancer.run_many([case.frame for case in cases])

    wrong = [
        case.id
        for case, run in zip(cases, runs, strict=True)
        if (run.verdict, run.data) != model_says(balancer, case.frame)
    ]
    assert wrong == []


def model_says(balancer: Object, frame: bytes) -> tuple[object, bytes]:
    verdict, data, _ = MODEL.xdp_balancer(frame, balancer.maps, globals=balancer.globals)
    return verdict, data


@given(
    packets=st.lists(balancing.requests(4) | balancing.requests(6), max_size=8),
    gone=st.sampled_from([*BACKENDS, *BACKENDS6]),
)
def test_no_flow_moves_whose_backend_stays(balancer, packets, gone):
    balancing.set_up(balancer)
    before = choices(balancer, packets)

    del balancer.maps.backends[gone]
    after = choices(balancer, packets)

    lost = bytes.fromhex(mac_of(gone).replace(":", ""))
    moved = [(was, now) for was, now in zip(before, after, strict=True) if was != now]
    assert all(was == lost and now != lost for was, now in moved)
