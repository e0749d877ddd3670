"""Fakes: what a helper answers is the test's, in a test build that nothing takes for what ships."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

import packetrig
from packetrig import XDP, CompileError, Error, LoadError, Object, Spec, gate, mocks
from packetrig.deploy import attaching
from packetrig.live import Wire

PERIOD = 1_000_000_000
clock = mocks.Value(0)
limiter = packetrig.fixture(
    "progs/xdp_ratelimit.bpf.c", depth=3, period_ns=PERIOD, mocks={"bpf_ktime_get_ns": clock}
)
PACKET = bytes(
    Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.0.0.66") / UDP()
)
FRAME = bytes(64)

DICE = """
SEC("xdp") int dice(struct xdp_md *ctx) { return bpf_get_prandom_u32() % 6 + 10; }
"""
REDIRECT = """
SEC("xdp") int onward(struct xdp_md *ctx)
{
    if (ctx->data_end - ctx->data > 100)
        bpf_redirect(7, 0);
    return bpf_redirect(5, XDP_PASS);
}
"""

Load = Callable[..., Object]
Source = Callable[..., Path]


@pytest.fixture
def faked(source: Source):
    """Build a test build of C text and load it; closed after the test."""
    made: list[Object] = []

    def load(text: str, fakes: dict[str, object], **options: object) -> Object:
        made.append(packetrig.build(source(text), mocks=fakes, **options).load())  # type: ignore[arg-type]
        return made[-1]

    yield load
    for each in made:
        each.close()


def passes(rig: Object) -> bool:
    return rig.run(PACKET).verdict is XDP.PASS


# A clock


def test_time_refills_the_bucket_exactly(limiter):
    assert [passes(limiter) for _ in range(4)] == [True, True, True, False]

    clock.now = PERIOD - 1
    assert not passes(limiter)
    clock.advance(1)
    assert [passes(limiter) for _ in range(2)] == [True, False]
    clock.advance(10 * PERIOD)
    assert [passes(limiter) for _ in range(4)] == [True, True, True, False]
    assert limiter.maps.buckets["10.0.0.66"] == {"tokens": 0, "refilled_ns": 11 * PERIOD}


def test_a_clock_stands_at_its_start_in_every_test(limiter):
    assert clock.now == 0
    assert clock.calls == []


@given(waits=st.lists(st.integers(0, 2 * PERIOD), min_size=1, max_size=20))
def test_the_bucket_is_what_arithmetic_says_whenever_packets_come(limiter, waits):
    tokens, refilled = 3, 0
    for number, wait in enumerate(waits):
        clock.advance(wait)
        if number == 0:
            refilled = clock.now  # the first packet opens the bucket
        earned = (clock.now - refilled) // PERIOD
        refilled += earned * PERIOD
        tokens = min(3, tokens + earned) if tokens < 3 else tokens

        assert passes(limiter) is (tokens > 0)
        tokens = max(0, tokens - 1)
        assert limiter.maps.buckets["10.0.0.66"] == {"tokens": tokens, "refilled_ns": refilled}


@packetrig.table(("at first", PACKET, XDP.PASS), ("at first, again", PACKET, XDP.PASS))
def test_a_table_begins_each_row_at_the_start(limiter, packet, verdict):
    assert clock.now == 0
    clock.advance(5)
    for _ in range(3):
        run = limiter.run(packet)

    assert run.verdict is verdict


@pytest.mark.live
def test_a_clock_can_be_set_while_the_program_is_attached(limiter):
    with Wire() as wire, wire.right.attach(limiter, mode="native"):
        arrived = [len(wire.send(PACKET)) for _ in range(4)]
        clock.advance(PERIOD)
        arrived += [len(wire.send(PACKET)) for _ in range(2)]

    assert arrived == [1, 1, 1, 0, 1, 0]


def test_objects_that_share_a_clock_see_one_time(faked: Load) -> None:
    text = 'SEC("xdp") int now(struct xdp_md *ctx) { return bpf_ktime_get_ns(); }'
    shared = mocks.Value(3)
    early = faked(text, {"bpf_ktime_get_ns": shared})
    shared.now = 40

    late = faked(text, {"bpf_ktime_get_ns": shared})

    assert [early.run(FRAME).verdict, late.run(FRAME).verdict] == [40, 40]
    late.renew()
    assert [early.run(FRAME).verdict, late.run(FRAME).verdict] == [3, 3]


@pytest.mark.parametrize("way", ["reload", "restore"])
def test_both_ways_of_renewal_give_the_first_value_back(faked: Load, way: str) -> None:
    rig = faked(DICE, {"bpf_get_prandom_u32": [4, 5]})
    rig.mocks.bpf_get_prandom_u32.value.now = 2
    rig.run(FRAME)

    getattr(rig, way)()

    assert rig.mocks.bpf_get_prandom_u32.calls == []
    assert [rig.run(FRAME).verdict for _ in range(2)] == [14, 15]


def test_an_object_that_nobody_touched_is_not_renewed(faked: Load) -> None:
    rig = faked(DICE, {"bpf_get_prandom_u32": 1})
    rig.run(FRAME)
    rig.renew()
    before = rig.loaded

    rig.renew()

    assert rig.loaded is before


# Other values


def test_a_number_is_answered_always(faked: Load) -> None:
    rig = faked(DICE, {"bpf_get_prandom_u32": 9})

    assert [rig.run(FRAME).verdict for _ in range(3)] == [13, 13, 13]


def test_a_sequence_is_answered_in_turn_and_then_it_is_an_error_of_the_test(faked: Load) -> None:
    rig = faked(DICE, {"bpf_get_prandom_u32": [0, 5, 3]})

    assert [rig.run(FRAME).verdict for _ in range(3)] == [10, 15, 13]
    with pytest.raises(Error, match="bpf_get_prandom_u32 was asked 4 times, its fake has 3 values"):
        rig.run(FRAME)


def test_a_sequence_that_ends_within_many_runs_is_an_error_too(faked: Load) -> None:
    rig = faked(DICE, {"bpf_get_prandom_u32": [0, 5, 3]})

    assert rig.run_many([FRAME] * 3).verdicts == [10, 15, 13]
    with pytest.raises(Error, match="was asked 4 times"):
        rig.run_many([FRAME])


@given(numbers=st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=8))
def test_drawn_numbers_are_what_the_program_gets(numbers):
    luck = mocks.Value(0)
    with dice_of(luck).load() as rig:
        luck.now = numbers
        assert [rig.run(FRAME).verdict for _ in numbers] == [n % 6 + 10 for n in numbers]


def dice_of(luck: mocks.Value) -> Spec:
    source = Path(__file__).parent / "sources" / "dice.bpf.c"
    return packetrig.build(source, mocks={"bpf_get_prandom_u32": luck})


def test_arguments_are_kept_in_the_order_of_the_calls(faked: Load) -> None:
    rig = faked(REDIRECT, {"bpf_redirect": -7})

    assert rig.run(FRAME).verdict == 0xFFFFFFF9
    rig.run(bytes(200))

    assert rig.mocks.bpf_redirect.calls == [(5, 2), (7, 0), (5, 2)]


def test_a_pointer_is_none_among_the_arguments_and_a_signed_number_has_its_sign(
    faked: Load,
) -> None:
    rig = faked(
        'SEC("xdp") int grow(struct xdp_md *ctx) { return bpf_xdp_adjust_head(ctx, -4); }',
        {"bpf_xdp_adjust_head": 77},
    )

    assert rig.run(FRAME).verdict == 77
    assert rig.mocks["bpf_xdp_adjust_head"].calls == [(None, -4)]


def test_more_calls_than_are_kept_are_an_error_when_they_are_asked_for(faked: Load) -> None:
    rig = faked(REDIRECT, {"bpf_redirect": 2})
    rig.run_many([FRAME] * 257)

    with pytest.raises(Error, match="bpf_redirect was called 257 times, 256 calls are kept"):
        rig.mocks.bpf_redirect.calls  # noqa: B018


def test_a_full_ring_buffer_can_be_played(faked: Load) -> None:
    rig = faked(
        """
        struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } r SEC(".maps");
        SEC("xdp") int tell(struct xdp_md *ctx)
        {
            int *event = bpf_ringbuf_reserve(&r, 4, 0);
            if (!event)
                return XDP_TX;
            *event = 1;
            bpf_ringbuf_submit(event, 0);
            return XDP_PASS;
        }
        """,
        {"bpf_ringbuf_reserve": 0},
    )

    assert rig.run(FRAME).verdict is XDP.TX
    assert rig.mocks.bpf_ringbuf_reserve.calls == [(None, 4, 0)]


# How programs name their helpers

OWN_DECLARATION = """
typedef unsigned long long u64;
static u64 (*bpf_ktime_get_ns)(void) = (void *) 5;
struct xdp_md;
__attribute__((section("xdp"), used)) int now(struct xdp_md *ctx)
{ (void)ctx; return bpf_ktime_get_ns(); }
char LICENSE[] __attribute__((section("license"), used)) = "GPL";
"""


def test_a_program_that_declares_its_helpers_itself_can_be_faked(source: Source) -> None:
    path = source(OWN_DECLARATION, preamble="")

    with packetrig.build(path, mocks={"bpf_ktime_get_ns": 12}, flags=("-Werror",)).load() as rig:
        assert rig.run(FRAME).verdict == 12


def test_types_of_a_programs_own_do_not_clash_with_the_fakes(source: Source) -> None:
    # As with vmlinux.h: what uapi headers define is defined here, and no uapi header is wanted.
    vmlinux = """
    typedef unsigned int __u32; typedef unsigned long long __u64; typedef int __s32;
    typedef unsigned short __u16; typedef unsigned char __u8; typedef long long __s64;
    typedef __u16 __be16; typedef __u32 __be32; typedef __u32 __wsum;
    enum bpf_map_type { BPF_MAP_TYPE_HASH = 1 };
    struct xdp_md { __u32 data, data_end; };
    #include <bpf/bpf_helpers.h>
    SEC("xdp") int now(struct xdp_md *ctx) { return bpf_ktime_get_ns() + ctx->data * 0; }
    char LICENSE[] SEC("license") = "GPL";
    """

    path = source(vmlinux, preamble="")

    with packetrig.build(path, mocks={"bpf_ktime_get_ns": 12}).load() as rig:
        assert rig.run(FRAME).verdict == 12


def test_a_helper_that_prints_is_faked_with_its_format(faked: Load) -> None:
    rig = faked(
        'SEC("xdp") int say(struct xdp_md *ctx) { return bpf_printk("%d %d", 1, 2) + 3; }',
        {"bpf_trace_printk": -1},
    )

    assert rig.run(FRAME).verdict is XDP.PASS
    assert rig.mocks.bpf_trace_printk.calls == [(None, 6)]


def test_a_call_in_a_function_of_its_own_is_faked(faked: Load) -> None:
    rig = faked(
        """
        static __attribute__((noinline)) __u64 later(__u64 by) { return bpf_ktime_get_ns() + by; }
        SEC("xdp") int now(struct xdp_md *ctx) { return later(ctx->rx_queue_index + 1); }
        """,
        {"bpf_ktime_get_ns": 20},
    )

    assert rig.run(FRAME).verdict == 21


def test_what_calls_a_helper_otherwise_than_by_its_name_is_refused(source: Source) -> None:
    path = source("""
    static __u64 (*my_clock)(void) = (void *) 5;
    SEC("xdp") int now(struct xdp_md *ctx) { return my_clock(); }
    """)

    with pytest.raises(Error, match="still calls bpf_ktime_get_ns: not by that name"):
        packetrig.build(path, mocks={"bpf_ktime_get_ns": 12})


def test_a_source_that_fakes_break_says_that_it_compiles_without(source: Source) -> None:
    path = source("""
    #undef bpf_ktime_get_ns
    struct packetrig_mock_bpf_ktime_get_ns { int clash; };
    SEC("xdp") int now(struct xdp_md *ctx) { return bpf_ktime_get_ns(); }
    """)

    with pytest.raises(CompileError, match="it compiles, but not with fakes for bpf_ktime_get_ns"):
        packetrig.build(path, mocks={"bpf_ktime_get_ns": 12})


# What is refused


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("bpf_ktime_get", 0, r"no helper named 'bpf_ktime_get', did you mean 'bpf_ktime_get_\w+'"),
        ("bpf_get_prandom_u32", 0, r"never calls bpf_get_prandom_u32; it calls: bpf_ktime_get_ns"),
        ("bpf_ktime_get_ns", -1, "bpf_ktime_get_ns returns __u64, from 0 to .* cannot return -1"),
        ("bpf_ktime_get_ns", 1 << 64, "cannot return 18446744073709551616"),
        ("bpf_ktime_get_ns", [1, -1], "cannot return -1"),
        ("bpf_ktime_get_ns", [], "an empty sequence answers nothing"),
        ("bpf_ktime_get_ns", [0] * 513, "at most 512 values, this has 513"),
        ("bpf_ktime_get_ns", lambda: 5, "not a function: the kernel cannot call Python"),
        ("bpf_ktime_get_ns", "5", "not str '5'"),
        ("bpf_ktime_get_ns", 1.5, "not float 1.5"),
        ("bpf_ktime_get_ns", None, "not NoneType None"),
    ],
)
def test_what_cannot_be_faked_says_why(source: Source, name: str, value: object, said: str) -> None:
    path = source('SEC("xdp") int now(struct xdp_md *ctx) { return bpf_ktime_get_ns(); }')

    with pytest.raises(Error, match=said):
        packetrig.build(path, mocks={name: value})


def test_a_pointer_other_than_null_cannot_be_faked(source: Source) -> None:
    path = source("""
    struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32);
             __type(value, __u32); } m SEC(".maps");
    SEC("xdp") int see(struct xdp_md *ctx)
    { __u32 key = 0; __u32 *found = bpf_map_lookup_elem(&m, &key); return found ? *found : 9; }
    """)

    with pytest.raises(Error, match="bpf_map_lookup_elem returns a pointer.* only fake of it is 0"):
        packetrig.build(path, mocks={"bpf_map_lookup_elem": 4096})
    with packetrig.build(path, mocks={"bpf_map_lookup_elem": 0}).load() as rig:
        assert rig.run(FRAME).verdict == 9


def test_a_value_set_later_is_checked_as_one_given_first(limiter):
    with pytest.raises(Error, match="bpf_ktime_get_ns returns __u64.* cannot return -1"):
        clock.advance(-1)
    assert clock.now == 0


def test_an_object_file_cannot_be_faked(source: Source) -> None:
    made = packetrig.build(source('SEC("xdp") int one(struct xdp_md *ctx) { return 1; }'))
    assert made.path is not None

    with pytest.raises(Error, match="is compiled already; fakes need the C source"):
        packetrig.build(made.path, mocks={"bpf_ktime_get_ns": 0})


def test_without_types_nothing_can_be_faked(source: Source) -> None:
    path = source('SEC("xdp") int now(struct xdp_md *ctx) { return bpf_ktime_get_ns(); }')

    with pytest.raises(Error, match="was compiled without types: leave -g0 out"):
        packetrig.build(path, mocks={"bpf_ktime_get_ns": 0}, flags=("-g0",))


def test_a_fake_that_is_not_there_suggests_those_that_are(limiter):
    with pytest.raises(packetrig.NoSuchName, match="did you mean 'bpf_ktime_get_ns'"):
        limiter.mocks.bpf_ktime_get_n  # noqa: B018


# What ships is another object


def test_a_test_build_is_another_object_than_the_one_that_ships(limiter):
    shipped = packetrig.build("progs/xdp_ratelimit.bpf.c")

    assert not shipped.is_test_build
    assert shipped.faked == ()
    assert limiter.spec.is_test_build
    assert limiter.spec.faked == ("bpf_ktime_get_ns",)
    assert limiter.spec.sha256 != shipped.sha256
    assert limiter.spec.globals.keys() == shipped.globals.keys()
    assert 5 in shipped.helpers
    assert 5 not in limiter.spec.helpers


def test_an_object_file_of_a_test_build_is_still_known_as_one(limiter, tmp_path):
    (tmp_path / "shipped.o").write_bytes(limiter.spec.data)

    read = Spec.read(tmp_path / "shipped.o")

    assert read.is_test_build
    assert read.faked == ("bpf_ktime_get_ns",)
    with read.load() as rig:
        assert "test build" in repr(rig.run(PACKET))


def test_the_gate_refuses_a_test_build_and_its_evidence_names_no_object(limiter, tmp_path):
    (tmp_path / "shipped.o").write_bytes(limiter.spec.data)
    (tmp_path / "gate.toml").write_text("version = 1\n[verifier]\n")
    policy = gate.read(tmp_path / "gate.toml")

    events = gate.judge(policy, [tmp_path / "shipped.o"], into=tmp_path, seed=0)
    (judged,) = [event for event in events if isinstance(event, gate.Judged)]

    assert judged.decision is gate.Decision.REFUSED
    (reason,) = judged.outcome("build").reasons
    assert reason.text == (
        "shipped.o is a test build, bpf_ktime_get_ns faked: gate the object that ships"
    )
    found = gate.evidence.document(judged, policy, seed=0)
    assert found["decision"] == "REFUSED"
    assert found["object"]["sha256"] is None


def test_a_test_build_is_never_attached(limiter):
    request = attaching.Request(limiter.spec, "none", "native", lambda *_: None)

    with (
        pytest.raises(Error, match=r"is a test build, its helpers are faked: never attach it"),
        attaching._loaded(request, None),
    ):
        pass


def test_a_run_says_that_it_used_a_test_build(limiter):
    run = limiter.run(PACKET)

    assert run.program.is_test_build
    assert repr(run).startswith("<Run XDP.PASS of xdp_ratelimit (test build) on ")
    assert "a test build, not what ships; faked: bpf_ktime_get_ns=0" in run.explain()
    assert "(test build, faked: bpf_ktime_get_ns)" in repr(limiter)
    with packetrig.build("progs/xdp_ratelimit.bpf.c").load() as shipped:
        assert "test build" not in repr(shipped.run(PACKET)) + repr(shipped)
        assert "test build" not in shipped.run(PACKET).explain()


def test_values_that_no_object_uses_have_no_calls() -> None:
    with pytest.raises(Error, match="no loaded object uses this value"):
        mocks.Value(0).calls  # noqa: B018


def test_a_verifier_error_of_a_test_build_is_a_load_error(source: Source) -> None:
    # The fake of a scalar is a scalar: what needed the helper's own proof is refused as ever.
    path = source("""
    SEC("xdp") int far(struct xdp_md *ctx)
    {
        char *at = (void *)(long)ctx->data;
        return at[bpf_get_prandom_u32()];
    }
    """)

    with pytest.raises(LoadError, match="rejected by the verifier"):
        packetrig.build(path, mocks={"bpf_get_prandom_u32": 0}).load()
