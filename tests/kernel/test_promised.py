"""What the checks of bytes do not promise: of what lies, and of what a tunnel held."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.vxlan import VXLAN

from packetrig import XDP, Failure, Object, Spec, build, checks

from .test_checks import ETHER, PACKET
from .test_checks import spec as spec

LINK, INSIDE = PACKET[:14], PACKET[14:]
OUTER = IP(src="10.0.0.8", dst="10.0.0.9")
WRONG = bytes(IP(src="10.0.0.1", dst="10.0.0.2", chksum=1) / UDP())
VXLAN_PACKET = bytes(
    ETHER / IP(src="10.0.0.8", dst="10.0.0.9", chksum=1) / UDP(chksum=0) / VXLAN() / Ether(PACKET)
)
SHORT, LONG = (bytes(ETHER / IP(len=length) / TCP()) for length in (0, 65535))
SHORT_V6 = bytes(ETHER / IPv6(plen=0) / TCP())
PADDED = bytes(ETHER / OUTER / UDP(dport=4789, chksum=0) / bytes(32))


@pytest.fixture
def passes(spec: Spec) -> Iterator[Object]:
    with spec.load(program="passes") as loaded:
        yield loaded


def judge(passes: Object, before: bytes, after: bytes, verdict: XDP = XDP.PASS) -> None:
    run = passes.run(before)._replace(data=after, verdict=verdict)
    checks.right_checksums_stay_right(before, run)
    checks.the_output_parses_as_far_as_the_input(before, run)
    checks.a_forwarded_packet_loses_one_hop(before, run)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (SHORT, bytes(ETHER / IP(proto=4, len=20)) + SHORT[14:]),
        (LONG, bytes(ETHER / IP(proto=4, len=19)) + LONG[14:]),
        (SHORT_V6, bytes(ETHER / IPv6(nh=41, plen=40)) + SHORT_V6[14:]),
        (bytes(ETHER / OUTER / UDP(dport=7) / (bytes(8) + WRONG)), LINK + WRONG),
        (bytes(ETHER / OUTER / UDP(dport=7) / bytes(40)), LINK + bytes(40)),
        (bytes(ETHER / IP(proto=4) / bytes(30)), LINK + bytes(30)),
        (PADDED, PADDED + bytes(64)),
        (VXLAN_PACKET, VXLAN_PACKET[:-40]),
        (PACKET, bytes(ETHER / IPv6(nh=17) / UDP(dport=7, chksum=0, len=8 + len(INSIDE))) + INSIDE),
    ],
    ids=[
        *("no length", "too long", "no length, IPv6", "an unknown tunnel", "with nothing in it"),
        *("a cut packet in IP", "made longer", "made shorter", "a tunnel without a checksum"),
    ],
)
def test_what_the_program_did_not_do_is_not_laid_at_its_door(
    passes: Object, before: bytes, after: bytes
) -> None:
    judge(passes, before, after)


def test_what_comes_out_of_an_unknown_tunnel_was_not_forwarded(passes: Object) -> None:
    moved = bytes(6) + LINK[6:] + INSIDE

    judge(passes, bytes(ETHER / OUTER / UDP(dport=7) / INSIDE), moved, XDP.REDIRECT)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (PACKET, LINK + bytes(2) + INSIDE),
        (PACKET, PACKET[:30]),
        (bytes(ETHER / Dot1Q() / IP(INSIDE)), LINK + bytes(ETHER / Dot1Q() / IP(INSIDE))[20:]),
        (bytes(ETHER / OUTER / IP(INSIDE)), LINK + INSIDE[4:]),
        (PACKET, bytes(ETHER / IP(proto=4, chksum=7) / IP(INSIDE))),
    ],
    ids=["moved", "cut off", "a tag of six bytes", "a header of twenty-four", "a wrong tunnel"],
)
def test_what_it_did_is(passes: Object, before: bytes, after: bytes) -> None:
    with pytest.raises(Failure):
        judge(passes, before, after)


def test_what_leaves_has_no_sum_of_a_device(tmp_path: Path) -> None:
    source = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("tc/egress") int writes(struct __sk_buff *ctx)
{
	unsigned char *data = (void *)(long)ctx->data;

	if (data + 60 > (unsigned char *)(long)ctx->data_end)
		return 0;
	data[59] ^= 1;
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
"""
    path = tmp_path / "writes.bpf.c"
    path.write_text(source)

    with build(path).load() as writes:
        writes.judge(bytes(ETHER / IP() / bytes(60)))
