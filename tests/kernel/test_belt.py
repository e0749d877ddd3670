"""The conveyor belt, and checks: what one hook passes the next one sees, and judges."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether

import packetrig
from packetrig import TC, XDP, Error, Failure, InputRefused, Object, Run, Unsupported, carried
from packetrig import strategies as net
from packetrig._bpf import lib
from packetrig.live import Wire

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


def test_xdp_programs_behind_each_other_share_the_metadata(load: Load, marker) -> None:
    marker.maps.marks["10.0.0.0/8"] = 7
    reader = load(
        """
        SEC("xdp") int reader(struct xdp_md *ctx)
        {
            void *data = (void *)(long)ctx->data;
            __u32 *meta = (void *)(long)ctx->data_meta; /* magic, mark */
            return (void *)(meta + 2) <= data && meta[1] == 7 ? XDP_TX : XDP_DROP;
        }
        """
    )
    bystander = load('SEC("xdp") int bystander(struct xdp_md *ctx) { return XDP_PASS; }')

    trip = packetrig.belt(marker, bystander, reader).run(Ether() / IP(src="10.0.0.66") / UDP())

    assert [step.verdict for step in trip] == [XDP.PASS, XDP.PASS, XDP.TX]


def test_a_packet_that_leaves_meets_tc_egress_alone(load: Load) -> None:
    road = packetrig.belt(load(FIRST), load(OUTWARD))

    trip = road.send(FRAME)

    assert [step.verdict for step in trip] == [TC.SHOT]
    with pytest.raises(Error, match=r"a Trip is no verdict: write \.verdict is TC\.OK"):
        assert trip != TC.OK
    with pytest.raises(Error, match="no program on this belt sees a packet that leaves"):
        packetrig.belt(load(FIRST)).send(FRAME)


def test_a_belt_takes_xdp_and_tc_alone(load: Load) -> None:
    with pytest.raises(Error, match="keep: a belt takes xdp and tc programs"):
        packetrig.belt(load('SEC("socket") int keep(struct __sk_buff *skb) { return 1; }'))


# Several TC programs, as the kernel asks them


def answering(name: str, verdict: str, more: str = "") -> str:
    return f'SEC("tc/ingress") int {name}(struct __sk_buff *skb) {{ {more} return {verdict}; }}'


@pytest.mark.parametrize("verdict", ["TC_ACT_UNSPEC", "TC_ACT_PIPE", "TC_ACT_RECLASSIFY", "77"])
def test_a_tc_program_that_decides_nothing_leaves_it_to_the_next(load: Load, verdict: str) -> None:
    road = packetrig.belt(load(PKT_CLS + answering("one", verdict)), load(INWARD))

    assert [step.program.name for step in road.run(FRAME)] == ["one", "inward"]


@pytest.mark.parametrize("verdict", ["TC_ACT_OK", "TC_ACT_SHOT", "TC_ACT_STOLEN", "TC_ACT_TRAP"])
def test_a_tc_program_that_decides_is_the_last_one_asked(load: Load, verdict: str) -> None:
    road = packetrig.belt(load(PKT_CLS + answering("one", verdict)), load(INWARD))

    assert [step.program.name for step in road.run(FRAME)] == ["one"]


def test_the_skb_keeps_mark_priority_and_cb_from_one_program_to_the_next(load: Load) -> None:
    writes = "skb->mark = 5; skb->priority = 6; skb->cb[2] = 7;"
    reads = "if (skb->mark == 5 && skb->priority == 6 && skb->cb[2] == 7) return 2;"

    trip = packetrig.belt(
        load(answering("one", "-1", writes)), load(answering("two", "0", reads))
    ).run(FRAME)

    assert trip.verdict is TC.SHOT


# Metadata, on the kernel's own road


marker = packetrig.fixture("progs/xdp_marker.bpf.c")
tc_ingress = packetrig.fixture("progs/tc_ingress.bpf.c")
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
MARKED = bytes(ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / UDP() / b"hello")


def test_the_mark_of_xdp_arrives_at_tc_ingress(marker, tc_ingress):
    marker.maps.marks["10.0.0.0/8"] = 7
    road = packetrig.belt(marker, tc_ingress)

    trip = road.run(MARKED)

    assert [step.verdict for step in trip] == [XDP.PASS, TC.OK]
    assert trip[1].context.mark == 7
    assert trip[1].metadata == trip[0].metadata == struct.pack("=II", 0x70747267, 7)
    assert (trip.data, trip[1].frame) == (MARKED, MARKED)
    assert tc_ingress.maps.traffic == {7: {"packets": 1, "bytes": len(MARKED)}}


def test_without_metadata_the_test_run_answers(marker, tc_ingress):
    trip = packetrig.belt(marker, tc_ingress).run(MARKED)

    assert trip[1] == tc_ingress.run(MARKED)


@pytest.mark.live
def test_the_belt_and_a_wire_agree(marker, tc_ingress):
    marker.maps.marks["10.0.0.0/8"] = 7
    trip = packetrig.belt(marker, tc_ingress).run(MARKED)
    counted = dict(tc_ingress.maps.traffic)

    tc_ingress.renew()
    with Wire() as wire, wire.right.attach(marker), wire.right.attach(tc_ingress, "tc-ingress"):
        arrived = wire.send(MARKED)

    assert arrived == [trip.data]
    assert tc_ingress.maps.traffic == counted


@given(packet=net.ipv4_packets(vlans=()), mark=st.integers(0, 0xFFFFFFFF))
def test_every_packet_that_xdp_marks_is_counted_by_its_mark(marker, tc_ingress, packet, mark):
    marker.maps.marks["0.0.0.0/0"] = mark

    trip = packetrig.belt(marker, tc_ingress).run(packet)

    assert [step.verdict for step in trip] == [XDP.PASS, TC.OK]
    assert trip.data == packet
    assert trip[1].context.mark == mark
    assert dict(tc_ingress.maps.traffic) == {mark: {"packets": 1, "bytes": len(packet)}}


TAGGED = bytes(ETHER / Dot1Q(vlan=5, prio=3) / IP(src="10.0.0.1") / UDP())


def test_a_vlan_tag_comes_back_where_it_was(load: Load, marker):
    marker.maps.marks["10.0.0.0/8"] = 7
    # At ingress the tag is beside the frame, as behind every driver.
    beside = load(
        READER.format(more="if (!skb->vlan_present || skb->vlan_tci != 0x6005) return 2;")
    )

    trip = packetrig.belt(marker, beside).run(TAGGED)

    assert trip.verdict is TC.OK
    assert trip.data == TAGGED
    assert trip[1].context.vlan_present == 0, "as in a test run: it is in the frame"


PKT_CLS = "#include <linux/pkt_cls.h>\n"
READER = """
SEC("tc/ingress") int reader(struct __sk_buff *skb)
{{
    unsigned int *meta = (void *)(long)skb->data_meta;
    if ((void *)(meta + 2) > (void *)(long)skb->data)
        return 77;
    {more}
    return 0;
}}
"""
REWRITES = """
SEC("tc/ingress") int rewrites(struct __sk_buff *skb)
{
    unsigned int *meta = (void *)(long)skb->data_meta;
    unsigned char *data = (void *)(long)skb->data;
    if ((void *)(meta + 2) > (void *)data || (void *)(data + 1) > (void *)(long)skb->data_end)
        return 77;
    meta[1] += 1;
    data[0] = 0x42;
    skb->mark = meta[1];
    skb->cb[4] = 9;
    skb->tstamp = 12345;
    return -1;
}
"""


def test_two_tc_programs_share_the_metadata_and_the_skb(load: Load, marker):
    marker.maps.marks["10.0.0.0/8"] = 7
    second = load(READER.format(more="if (skb->mark == 8 && skb->cb[4] == 9) return meta[1];"))

    trip = packetrig.belt(marker, load(REWRITES), second).run(MARKED)

    assert [step.verdict for step in trip] == [XDP.PASS, TC.UNSPEC, 8]
    assert trip[1].data == trip[2].frame == b"\x42" + MARKED[1:]
    assert trip[1].context.tstamp == 12345
    assert trip[2].metadata == struct.pack("=II", 0x70747267, 8)


def test_a_program_that_does_not_look_takes_the_test_run(load: Load, marker):
    marker.maps.marks["10.0.0.0/8"] = 7
    blind = load(INWARD)

    trip = packetrig.belt(marker, blind).run(MARKED)

    assert not carried.reads_metadata(blind.program)
    assert (trip[1].metadata, blind.recorders) == (b"", {})


def test_functions_and_maps_of_the_program_come_along(load: Load, marker):
    marker.maps.marks["10.0.0.0/8"] = 7
    rig = load("""
        struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32);
                 __type(value, __u32); } m SEC(".maps");
        __u32 seen;
        static __attribute__((noinline)) int mark_of(struct __sk_buff *skb)
        {
            unsigned int *meta = (void *)(long)skb->data_meta;
            return (void *)(meta + 2) > (void *)(long)skb->data ? 99 : meta[1];
        }
        SEC("tc/ingress") int deep(struct __sk_buff *skb)
        {
            __u32 key = 0, *value = bpf_map_lookup_elem(&m, &key);
            seen += 1;
            if (value)
                *value = mark_of(skb);
            return 0;
        }
    """)
    road = packetrig.belt(marker, rig)

    for _ in range(3):
        assert road.run(MARKED).verdict is TC.OK

    assert (rig.maps.m[0], rig.globals.seen) == (7, 3)


@pytest.mark.parametrize("way", ["reload", "restore"])
def test_a_renewed_program_is_the_one_that_is_called(load: Load, marker, way: str):
    marker.maps.marks["10.0.0.0/8"] = 7
    rig = load("__u32 seen;" + READER.format(more="return ++seen;"))
    road = packetrig.belt(marker, rig)
    assert [road.run(MARKED).verdict for _ in range(2)] == [1, 2]

    getattr(rig, way)()

    assert road.run(MARKED).verdict == 1
    assert rig.globals.seen == 1


def test_a_closed_object_leaves_no_hook_behind(load: Load, marker):
    marker.maps.marks["10.0.0.0/8"] = 7
    rig = load(READER.format(more=""))
    packetrig.belt(marker, rig).run(MARKED)
    recorder = rig.recorders["reader"]

    rig.close()

    assert recorder._fds == []


def test_a_frame_larger_than_a_live_frame_is_refused_by_name(load: Load, marker):
    marker.maps.marks["10.0.0.0/8"] = 7
    large = bytes(ETHER / IP(src="10.0.0.1") / UDP() / bytes(3450))

    with pytest.raises(InputRefused, match="cannot be carried from XDP to TC here"):
        packetrig.belt(marker, load(READER.format(more=""))).run(large)


def test_a_frame_shorter_than_a_test_run_takes_is_carried_all_the_same(load: Load, marker):
    first = load("""
        SEC("xdp") int first(struct xdp_md *ctx)
        {
            if (bpf_xdp_adjust_meta(ctx, -8))
                return XDP_DROP;
            return XDP_PASS;
        }
    """)
    short = bytes(12) + b"\x08\x00" + b"\x45"

    trip = packetrig.belt(first, load(READER.format(more="return 5;"))).run(short)

    assert [step.verdict for step in trip] == [XDP.PASS, 5]
    assert trip.data == short


def test_tail_calls_and_callbacks_are_no_obstacle_behind_metadata(load: Load, marker):
    marker.maps.marks["10.0.0.0/8"] = 7
    pipeline = load(
        """
        struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 1);
                 __type(key, __u32); __type(value, __u32); } jumps SEC(".maps");
        static long each(__u32 at, void *sum) { *(__u32 *)sum += at; return 0; }
        SEC("tc") int last(struct __sk_buff *skb)
        {
            __u32 *meta = (void *)(long)skb->data_meta;
            __u32 sum = 0;
            if ((void *)(meta + 2) > (void *)(long)skb->data)
                return 2;
            bpf_loop(3, each, &sum, 0);
            skb->mark = 100 * sum + meta[1];
            return 0;
        }
        SEC("tc") int first(struct __sk_buff *skb)
        {
            bpf_tail_call(skb, &jumps, 0);
            return 2;
        }
        """
    )
    pipeline.maps.jumps[0] = pipeline.programs.last

    trip = packetrig.belt(marker, pipeline.programs.first).run(MARKED)

    assert (trip.verdict, trip[1].context.mark) == (TC.OK, 307)


def test_a_kernel_without_tcx_gives_no_verdict(load: Load, marker, monkeypatch: pytest.MonkeyPatch):
    marker.maps.marks["10.0.0.0/8"] = 7
    monkeypatch.setattr(carried, "lib", Without(lib))

    with pytest.raises(Unsupported, match="tcx, Linux 6.6.* packetrig.live puts both on a wire"):
        packetrig.belt(marker, load(READER.format(more=""))).run(MARKED)


class Without:
    """Stand for the library of a kernel that has no tcx."""

    def __init__(self, real: object) -> None:
        self.real = real

    def __getattr__(self, name: str) -> object:
        return (lambda *_: -22) if name == "pr_tcx_ingress" else getattr(self.real, name)


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


def test_a_packet_is_no_stage() -> None:
    with pytest.raises(Error, match="a belt takes objects and programs, not b'packet'"):
        packetrig.belt(b"packet")  # type: ignore[arg-type]
