"""CHECKSUM_COMPLETE: what TC programs do to a frame has to reach the sum that the device made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether

import packetrig
from packetrig import TC, Failure, InputRefused, Object, Unsupported, refusals
from packetrig import strategies as net
from packetrig._bpf import probes
from packetrig.packets.pcap import Record
from packetrig.replay import replay

Load = Callable[..., Object]

PORT = 443
marker = packetrig.fixture("progs/tc_egress_marker.bpf.c")
# The program as it is, but for a bpf_csum_update() that does nothing.
forgetful = packetrig.fixture("progs/tc_egress_marker.bpf.c", mocks={"bpf_csum_update": 0})

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4 = bytes(ETHER / IP(src="10.0.0.1") / TCP(dport=PORT) / b"hello")
V6 = bytes(ETHER / IPv6(src="2001:db8::1", tc=1) / UDP(dport=PORT) / b"hello")

STORE = """
SEC("tc") int store(struct __sk_buff *skb)
{{
    __u32 word = skb->mark;
    return bpf_skb_store_bytes(skb, 60, &word, 4, {flags}) ? 2 : 0;
}}
"""
# Rewrites the destination address, and with it the checksums of IP and TCP.
NAT = """
SEC("tc") int nat(struct __sk_buff *skb)
{{
    __be32 from, to = 0x0900000a;
    bpf_skb_load_bytes(skb, 30, &from, 4);
    bpf_l4_csum_replace(skb, 50, from, to, {flags});
    bpf_l3_csum_replace(skb, 24, from, to, 4);
    return bpf_skb_store_bytes(skb, 30, &to, 4, 0) ? 2 : 0;
}}
"""


def set_up(rig: Object) -> None:
    rig.maps.ports[PORT] = {"dscp": 46, "mark": 7}


@given(packet=net.tcp_packets(destination_port=PORT) | net.udp_packets(destination_port=PORT))
def test_the_marker_keeps_the_devices_sum_of_both_ip_versions(marker, packet):
    set_up(marker)

    run = marker.run(packet, checksum_complete=True)

    assert run.verdict is TC.OK
    assert run.context.mark == 7
    assert run == marker.run(packet)


def test_a_marker_that_forgets_the_sum_of_ipv6_is_found_out(forgetful):
    set_up(forgetful)

    with pytest.raises(Failure, match="tc_egress_marker: skb->csum is stale after the run") as seen:
        forgetful.run(V6, checksum_complete=True)

    assert seen.value.check == "checksum_complete"
    assert seen.value.packet == V6
    assert seen.value.repeat.endswith(f" --checksum-complete --frame {V6.hex()}")
    assert forgetful.mocks.bpf_csum_update.calls != []
    # IPv4's header and its own checksum cancel out; and without the sum nobody can tell.
    assert forgetful.run(V4, checksum_complete=True).bad_checksums == []
    assert forgetful.run(V6).bad_checksums == []


def test_the_check_tells_the_command_that_shows_the_stale_sum(forgetful):
    set_up(forgetful)

    with pytest.raises(Failure, match="what a device summed up stays right does not") as seen:
        forgetful.judge(V6)

    assert seen.value.repeat.endswith(f" --checksum-complete --frame {V6.hex()}")


@pytest.mark.parametrize(
    ("flags", "is_right"), [("BPF_F_RECOMPUTE_CSUM", True), ("0", False)], ids=["flag", "no flag"]
)
def test_bytes_that_are_stored_count_with_the_flag_alone(
    load: Load, flags: str, is_right: bool
) -> None:
    rig = load(STORE.format(flags=flags))
    frame = bytes(ETHER / IP() / UDP() / bytes(40))

    if is_right:
        run = rig.run(frame, ctx={"mark": 0x01020304}, checksum_complete=True)
        assert run.data[60:64] == b"\x04\x03\x02\x01"
    else:
        with pytest.raises(Failure, match="skb->csum is stale"):
            rig.run(frame, ctx={"mark": 0x01020304}, checksum_complete=True)
    # Storing what was there changes nothing, and is right either way.
    assert rig.run(frame, checksum_complete=True).data == frame


@pytest.mark.parametrize(
    ("flags", "is_right"), [("BPF_F_PSEUDO_HDR | 4", True), ("4", False)], ids=["flag", "no flag"]
)
def test_a_translated_address_is_in_the_pseudo_header_too(
    load: Load, flags: str, is_right: bool
) -> None:
    rig = load(NAT.format(flags=flags))

    if is_right:
        run = rig.run(V4, checksum_complete=True)
        assert (run.packet[IP].dst, run.bad_checksums) == ("10.0.0.9", [])
    else:
        assert rig.run(V4).bad_checksums == [], "the frame is right, the sum beside it is not"
        with pytest.raises(Failure, match="BPF_F_PSEUDO_HDR"):
            rig.run(V4, checksum_complete=True)


# What these do to skb->csum is right on a real ingress; the test run compares it all the same.
@pytest.mark.parametrize(
    ("call", "helper"),
    [
        ("bpf_skb_vlan_pop(skb)", "bpf_skb_vlan_pop"),
        ("bpf_skb_change_tail(skb, skb->len - 4, 0)", "bpf_skb_change_tail"),
    ],
    ids=["pop", "cut"],
)
def test_nobody_is_accused_where_the_test_run_cannot_tell(
    load: Load, call: str, helper: str
) -> None:
    rig = load(f'SEC("tc") int entry(struct __sk_buff *skb) {{ {call}; return 0; }}')
    frame = bytes(ETHER / Dot1Q(vlan=5) / IP() / UDP() / b"hello")

    assert rig.judge(frame).data != frame
    with pytest.raises(InputRefused, match=f"with {helper} a test run cannot tell whether skb->c"):
        rig.run(frame, checksum_complete=True)


def test_a_finding_leaves_the_next_run_as_ever(load: Load) -> None:
    rig = load(STORE.format(flags="0"))
    frame = bytes(ETHER / IP() / UDP() / bytes(40))

    with pytest.raises(Failure):
        rig.run(frame, ctx={"mark": 1}, checksum_complete=True)

    assert rig.run(frame, ctx={"mark": 1}).verdict is TC.OK
    assert rig.run_many([frame]).verdicts == [TC.OK]


def test_each_packet_of_a_replay_meets_a_fresh_object_where_that_is_asked(load: Load) -> None:
    rig = load('__u32 seen; SEC("tc") int once(struct __sk_buff *skb) { return seen++ ? 2 : 0; }')
    records = [Record(number, 0, V4, len(V4)) for number in (1, 2)]

    def verdicts(*, renew: bool) -> list[Any]:
        events = replay(rig.program, records, checksum_complete=True, renew=renew)
        return [event.run.verdict for event in events if event.run]

    assert verdicts(renew=False) == [TC.OK, TC.SHOT]
    assert verdicts(renew=True) == [TC.OK, TC.OK]


@given(frame=net.frames(), mark=st.integers(0, 0xFFFFFFFF))
def test_a_program_that_changes_nothing_is_never_accused(tc_ingress, frame, mark):
    try:
        run = tc_ingress.run(frame, ctx={"mark": mark}, checksum_complete=True)
    except InputRefused:
        return  # shorter than a test run takes

    assert run.data == frame


tc_ingress = packetrig.fixture("progs/tc_ingress.bpf.c")


def test_an_xdp_program_has_no_sum_to_keep(load: Load) -> None:
    rig = load('SEC("xdp") int pass(struct xdp_md *ctx) { return XDP_PASS; }')

    with pytest.raises(InputRefused, match="checksum_complete= is for programs .* this one is xdp"):
        rig.run(V4, checksum_complete=True)


def test_a_kernel_without_the_flag_is_no_verdict(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = load('SEC("tc") int pass(struct __sk_buff *skb) { return 0; }')
    monkeypatch.setattr(probes, "has_checksum_complete", lambda: False)

    with pytest.raises(Unsupported, match="checksum_complete=True is not supported here"):
        rig.run(V4, checksum_complete=True)
    assert refusals.checksum_reason("xdp") != ""


def test_the_probe_agrees_with_the_run(load: Load) -> None:
    rig = load('SEC("tc") int pass(struct __sk_buff *skb) { return 0; }')
    if not probes.has_checksum_complete():
        pytest.skip("this kernel has no BPF_F_TEST_SKB_CHECKSUM_COMPLETE")

    assert rig.run(V4, checksum_complete=True).verdict is TC.OK
