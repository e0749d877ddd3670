"""The conveyor belt, and checks: what one hook passes the next one sees, and judges."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import packetrig
from packetrig import TC, XDP, Error, Failure, Object, Run

Load = Callable[..., Object]
FRAME = bytes(12) + b"\x08\x00" + bytes(50)

FIRST = """
SEC("xdp") int first(struct xdp_md *ctx)
{
    unsigned char *data = (void *)(long)ctx->data;
    if ((void *)(data + 60) > (void *)(long)ctx->data_end)
        return XDP_DROP;
    data[0] = 0x42;
    return XDP_PASS;
}
"""
INWARD = 'SEC("tc/ingress") int inward(struct __sk_buff *skb) { return skb->len > 64 ? 2 : 0; }'
OUTWARD = 'SEC("tc/egress") int outward(struct __sk_buff *skb) { return 2; }'


def test_a_packet_that_arrives_meets_xdp_and_then_tc_ingress(load: Load) -> None:
    road = packetrig.belt(load(INWARD), load(OUTWARD), load(FIRST))

    trip = road.run(FRAME)

    assert [step.verdict for step in trip] == [XDP.PASS, TC.OK]
    assert trip.verdict is TC.OK
    assert trip[1].frame[0] == 0x42, "TC sees what XDP left"
    assert trip.data == trip[1].data
    assert [s.verdict for s in road.run(bytes(12) + b"\x08\x00" + bytes(60))] == [XDP.PASS, TC.SHOT]


def test_a_packet_that_xdp_drops_goes_no_further(load: Load) -> None:
    trip = packetrig.belt(load(FIRST), load(INWARD)).run(FRAME[:50])

    assert [step.verdict for step in trip] == [XDP.DROP]


def test_a_packet_that_leaves_meets_tc_egress_alone(load: Load) -> None:
    road = packetrig.belt(load(FIRST), load(OUTWARD))

    assert [step.verdict for step in road.send(FRAME)] == [TC.SHOT]
    with pytest.raises(Error, match="no program on this belt sees a packet that leaves"):
        packetrig.belt(load(FIRST)).send(FRAME)


def test_a_belt_takes_xdp_and_tc_alone(load: Load) -> None:
    with pytest.raises(Error, match="keep: a belt takes xdp and tc programs"):
        packetrig.belt(load('SEC("socket") int keep(struct __sk_buff *skb) { return 1; }'))


@packetrig.check
def the_first_byte_is_left_alone(before: bytes, run: Run) -> None:
    assert run.data[0] == before[0], "byte 0"


@packetrig.check
def the_length_is_kept(before: bytes, run: Run) -> bool:
    return len(run.data) == len(before)


@packetrig.check
def it_is_broken(before: bytes, run: Run) -> None:
    raise ValueError("oh")


def test_a_check_that_does_not_hold_is_a_failure_of_the_program(load: Load) -> None:
    run = load(FIRST).run(FRAME)

    the_length_is_kept(FRAME, run)
    with pytest.raises(
        Failure, match="first: the first byte is left alone does not hold"
    ) as caught:
        the_first_byte_is_left_alone(FRAME, run)
    assert caught.value.check == "the_first_byte_is_left_alone"
    assert caught.value.packet == FRAME
    assert "packetrig run" in caught.value.repeat
    with pytest.raises(Failure, match="the length is kept does not hold"):
        the_length_is_kept(FRAME + b"x", run)


def test_a_check_that_breaks_is_an_error_and_no_finding(load: Load) -> None:
    with pytest.raises(Error, match="check it_is_broken itself failed: ValueError: oh"):
        it_is_broken(FRAME, load(FIRST).run(FRAME))
