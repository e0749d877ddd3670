"""xdp_ratelimit: how many packets a source may send, and how it earns more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

import packetrig
from packetrig import XDP
from packetrig import strategies as net

# No token is ever earned: what these decide does not depend on the time.
limiter = packetrig.fixture("progs/xdp_ratelimit.bpf.c", depth=3, period_ns=0)
# Every nanosecond earns one: a packet always finds its bucket full.
generous = packetrig.fixture("progs/xdp_ratelimit.bpf.c", depth=3, period_ns=1)
# A token takes longer than any test.
slow = packetrig.fixture("progs/xdp_ratelimit.bpf.c", depth=3, period_ns=1 << 62)
# The test says what time it is.
clock = packetrig.mocks.Value(0)
clocked = packetrig.fixture(
    "progs/xdp_ratelimit.bpf.c", depth=3, period_ns=1000, mocks={"bpf_ktime_get_ns": clock}
)

BAD, GOOD = "10.0.0.66", "192.0.2.1"
FROM_BAD = Ether() / IP(src=BAD) / UDP()
FROM_GOOD = Ether() / IP(src=GOOD) / UDP()


def test_a_source_may_send_as_much_as_its_bucket_holds(limiter):
    verdicts = [limiter.run(FROM_BAD).verdict for _ in range(5)]

    assert verdicts == [XDP.PASS] * 3 + [XDP.DROP] * 2
    assert sum(limiter.maps.drops[0]) == 2
    assert limiter.globals.seen == 5


def test_a_token_is_earned_each_period_and_no_time_is_lost(clocked):
    def passed(packets: int) -> int:
        return sum(clocked.run(FROM_BAD).verdict is XDP.PASS for _ in range(packets))

    assert passed(4) == 3
    earned = []
    for after in (999, 1, 1500, 499, 1, 2000, 9000):
        clock.advance(after)
        earned.append(passed(4))
    assert earned == [0, 1, 1, 0, 1, 2, 3]


def test_sources_do_not_share_a_bucket(limiter):
    for _ in range(4):
        limiter.run(FROM_BAD)

    assert limiter.run(FROM_GOOD).verdict is XDP.PASS
    assert limiter.maps.buckets[BAD].tokens == 0
    assert limiter.maps.buckets[GOOD].tokens == 2


def test_a_bucket_can_be_set_from_outside(limiter):
    limiter.maps.buckets[BAD] = {"tokens": 1, "refilled_ns": 0}

    assert [limiter.run(FROM_BAD).verdict for _ in range(2)] == [XDP.PASS, XDP.DROP]


def test_the_longest_route_of_a_source_sets_the_depth(limiter):
    limiter.maps.routes["10.0.0.0/8"] = 7
    limiter.maps.routes["10.0.0.66/32"] = 1

    assert [limiter.run(FROM_BAD).verdict for _ in range(2)] == [XDP.PASS, XDP.DROP]
    limiter.run(Ether() / IP(src="10.0.0.67") / UDP())
    assert limiter.maps.buckets["10.0.0.67"].tokens == 6


def test_a_depth_of_zero_lets_nothing_pass(limiter):
    limiter.maps.routes["10.0.0.0/8"] = 0

    assert limiter.run(FROM_BAD).verdict is XDP.DROP
    assert limiter.maps.buckets[BAD].tokens == 0


def test_the_last_token_is_reported(limiter):
    for _ in range(3):
        limiter.run(FROM_BAD)

    (event,) = limiter.maps.events.read()
    assert event.source == BAD
    assert event.depth == 3


def test_a_bucket_is_reported_once_however_much_is_dropped(limiter):
    for _ in range(3 + 5):
        limiter.run(FROM_BAD)
        limiter.run(FROM_GOOD)

    assert sum(limiter.maps.drops[0]) == 10
    assert [event.source for event in limiter.maps.events.read()] == [BAD, GOOD]


def test_a_bucket_that_was_never_full_is_not_reported(limiter):
    limiter.maps.routes["10.0.0.0/8"] = 0

    assert limiter.run(FROM_BAD).verdict is XDP.DROP
    assert list(limiter.maps.events.read()) == []


def test_a_bucket_that_runs_empty_again_is_reported_again(limiter):
    for _ in range(2):
        limiter.maps.buckets[BAD] = {"tokens": 1, "refilled_ns": 0}
        for _ in range(3):
            limiter.run(FROM_BAD)

    assert len(list(limiter.maps.events.read())) == 2


def test_tokens_are_earned_up_to_the_depth(generous):
    generous.maps.buckets[BAD] = {"tokens": 0, "refilled_ns": 0}

    assert generous.run(FROM_BAD).verdict is XDP.PASS
    assert generous.maps.buckets[BAD].tokens == 2
    assert generous.maps.buckets[BAD].refilled_ns > 0


def test_a_bucket_that_is_fuller_than_its_depth_stays_so(generous):
    generous.maps.buckets[BAD] = {"tokens": 10, "refilled_ns": 0}

    generous.run(FROM_BAD)

    assert generous.maps.buckets[BAD].tokens == 9


def test_nothing_is_earned_before_its_time(slow):
    assert [slow.run(FROM_BAD).verdict for _ in range(4)] == [XDP.PASS] * 3 + [XDP.DROP]


def test_a_time_in_the_future_earns_nothing(generous):
    future = 1 << 63
    generous.maps.buckets[BAD] = {"tokens": 0, "refilled_ns": future}

    assert generous.run(FROM_BAD).verdict is XDP.DROP
    assert generous.maps.buckets[BAD] == {"tokens": 0, "refilled_ns": future}


@packetrig.table(
    ("IPv4", FROM_BAD, XDP.DROP),
    ("tagged", Ether() / Dot1Q(vlan=5) / IP(src=BAD), XDP.DROP),
    ("later fragment", Ether() / IP(src=BAD, frag=9) / bytes(64), XDP.DROP),
    ("other source", FROM_GOOD, XDP.PASS),
    ("IPv6", Ether() / IPv6() / UDP(), XDP.PASS),
    ("ARP", Ether() / ARP(psrc=BAD), XDP.PASS),
    ("header cut short", bytes(FROM_BAD)[:33], XDP.PASS),
    ("ihl below 5", bytes(FROM_BAD)[:14] + b"\x44" + bytes(FROM_BAD)[15:], XDP.PASS),
)
def test_verdicts_for_a_source_without_tokens(limiter, packet, verdict):
    limiter.maps.buckets[BAD] = {"tokens": 0, "refilled_ns": 0}

    run = limiter.run(packet)

    assert run.verdict is verdict
    assert run.data == run.frame
    assert limiter.globals.seen == 1


@given(
    sources=st.lists(st.sampled_from([BAD, GOOD, "198.51.100.7"]), max_size=20),
    packet=net.ipv4_packets(vlans=()),
)
def test_of_each_source_the_first_three_pass(limiter, sources, packet):
    passed = []
    for source in sources:
        address = bytes(map(int, source.split(".")))
        if limiter.run(packet[:26] + address + packet[30:]).verdict is XDP.PASS:
            passed.append(source)

    assert {source: passed.count(source) for source in sources} == {
        source: min(sources.count(source), 3) for source in sources
    }
    assert sum(limiter.maps.drops[0]) == len(sources) - len(passed)
