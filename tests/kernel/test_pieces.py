"""A frame in pieces, and a run on a processor: what a test asks for beside the frame."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

import pytest

from packetrig import XDP, Error, InputRefused, Object, Unsupported, refusals
from packetrig._bpf import probes

Load = Callable[..., Object]
FRAME = bytes(12) + b"\x08\x00" + bytes(range(86))
# It says how much lies in one piece, and reads the byte behind it.
READER = """
__u32 linear, byte, behind;
SEC("{section}") int reader({context} *ctx)
{{
    __u8 found = 0;
    linear = (long)ctx->data_end - (long)ctx->data;
    behind = {load}(ctx, linear, &found, 1);
    byte = found;
    return {verdict};
}}
"""
XDP_READER = READER.format(
    section="xdp.frags", context="struct xdp_md", load="bpf_xdp_load_bytes", verdict="XDP_PASS"
)
TC_READER = READER.format(
    section="tc", context="struct __sk_buff", load="bpf_skb_load_bytes", verdict=0
)
COUNTER = """
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1);
         __type(key, __u32); __type(value, __u64); } runs SEC(".maps");
SEC("%s") int counter(void *ctx)
{
    __u32 zero = 0;
    __u64 *count = bpf_map_lookup_elem(&runs, &zero);
    if (count)
        *count += 1;
    return bpf_get_smp_processor_id();
}
"""


@pytest.fixture
def pieces() -> None:
    if not probes.has_pieces("xdp"):
        pytest.skip("this kernel's test run gives XDP programs a frame in one piece")


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("linear", [14, 34, 99])
def test_an_xdp_program_sees_so_many_bytes_in_one_piece(load: Load, linear: int) -> None:
    rig = load(XDP_READER)

    run = rig.run(FRAME, linear=linear)

    assert (run.verdict, run.data) == (XDP.PASS, FRAME)
    assert (rig.globals.linear, rig.globals.behind) == (linear, 0)
    assert rig.globals.byte == FRAME[linear]


@pytest.mark.usefixtures("pieces")
def test_metadata_comes_before_what_lies_in_one_piece(load: Load) -> None:
    rig = load(XDP_READER)

    run = rig.run(FRAME, linear=20, meta=b"meta")

    assert rig.globals.linear == 20
    assert run.data == FRAME
    assert rig.run(FRAME).data == FRAME
    assert rig.globals.linear == len(FRAME), "the next one is whole again"


@pytest.mark.usefixtures("pieces")
def test_a_whole_frame_is_one_piece(load: Load) -> None:
    rig = load(XDP_READER)

    assert rig.run(FRAME, linear=len(FRAME)) == rig.run(FRAME)


@pytest.mark.parametrize("linear", [0, 13, 101, 3.5, True, "14"])
def test_what_cannot_lie_in_one_piece_is_named(load: Load, linear: object) -> None:
    with pytest.raises(InputRefused, match=r"reader: linear=.* it takes an int from 14 to "):
        load(XDP_READER).run(FRAME, linear=linear)


def test_a_program_that_takes_no_pieces_is_given_none(load: Load) -> None:
    rig = load('SEC("xdp") int plain(struct xdp_md *ctx) { return XDP_PASS; }')

    with pytest.raises(InputRefused, match=r"linear= is for programs .* SEC\(\"xdp\.frags\"\)"):
        rig.run(FRAME, linear=20)


@pytest.mark.parametrize("section", ["lwt_in", "flow_dissector", "raw_tp/x"])
def test_kinds_that_know_no_pieces_are_named(load: Load, section: str) -> None:
    rig = load(f'SEC("{section}") int other(void *ctx) {{ return 0; }}')
    frame = b"" if "raw" in section else FRAME

    with pytest.raises(InputRefused, match="linear= is for XDP and for programs"):
        rig.run(frame, linear=14)


def test_tc_has_pieces_where_the_kernel_has_or_says_which_has(load: Load) -> None:
    rig = load(TC_READER)

    if probes.has_pieces("tc"):
        rig.run(FRAME, linear=20)
        assert (rig.globals.linear, rig.globals.byte) == (20, FRAME[20])
    else:
        with pytest.raises(Unsupported, match=r"linear=20 .*Linux 6\.19 can .*over a wire"):
            rig.run(FRAME, linear=20)
    assert rig.run(FRAME).data == FRAME


@pytest.mark.parametrize("kind", ["xdp", "tc"])
def test_a_kernel_that_splits_nothing_is_named(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(probes, "has_pieces", lambda _: False)

    with pytest.raises(Unsupported, match="a frame in one piece"):
        refusals.linear_reason(kind, 20, 60, has_frags=True)


@pytest.mark.parametrize("section", ["xdp", "tc", "raw_tp/x"])
def test_a_run_is_on_the_processor_that_is_asked_for(load: Load, section: str) -> None:
    rig = load(COUNTER % section)
    home = os.sched_getaffinity(0)
    frame = b"" if "raw" in section else FRAME

    for number in sorted(home):
        assert int(rig.run(frame, cpu=number).verdict) == number
        assert rig.maps.runs[0][number] == 1
    assert sum(rig.maps.runs[0]) == len(home)
    assert os.sched_getaffinity(0) == home


@pytest.mark.parametrize("number", [-1, 1 << 20, 1 << 80, "0", 0.5])
def test_a_processor_that_there_is_not_is_named(load: Load, number: object) -> None:
    rig = load(COUNTER % "xdp")
    home = os.sched_getaffinity(0)

    with pytest.raises(InputRefused, match="cpu=.* this process cannot run there"):
        rig.run(FRAME, cpu=number)
    with pytest.raises(Error):
        rig.run(FRAME, cpu=number, redirect=True)
    assert os.sched_getaffinity(0) == home
    assert sum(rig.maps.runs[0]) == 0


def test_what_is_asked_for_goes_together(load: Load) -> None:
    rig = load(
        'SEC("tc") int all(struct __sk_buff *skb) { skb->mark++; return bpf_redirect(3, 0); }'
    )
    number = min(os.sched_getaffinity(0))

    run = rig.run(FRAME, ctx={"mark": 7}, redirect=True, cpu=number, repeat=2)

    assert (run.context.mark, run.redirect.ifindex) == (9, 3)
    assert struct.pack("=I", run.context.mark) in run.context.raw
