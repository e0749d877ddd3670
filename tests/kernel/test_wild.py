"""What programs in the wild do that ours do not: found with them, shown here in a few lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import packetrig
from packetrig import (
    TC,
    XDP,
    CodecError,
    CompileError,
    LoadError,
    MapError,
    NoSuchName,
    Object,
    Unsupported,
    VerifierError,
)

Load = Callable[..., Object]
FRAME = bytes(64)

REDIRECTED = """
SEC("xdp") int first(struct xdp_md *ctx) { return XDP_PASS; }
SEC("%s") int behind(struct xdp_md *ctx) { return ctx->egress_ifindex == 7 ? XDP_DROP : XDP_PASS; }
"""


@pytest.mark.parametrize("section", ["xdp/devmap", "xdp_devmap/egress"])
def test_a_devmap_program_loads_with_the_others_and_says_why_it_cannot_run(
    load: Load, section: str
) -> None:
    rig = load(REDIRECTED % section)

    assert rig.programs.first.run(FRAME).verdict is XDP.PASS
    with pytest.raises(Unsupported, match=r"behind a redirect.*program='behind', kind='xdp'"):
        rig.programs.behind.run(FRAME)
    with pytest.raises(Unsupported, match="xdp/devmap"):
        rig.programs.behind.run_many([FRAME])


@pytest.mark.parametrize("section", ["xdp/cpumap", "xdp_cpumap/pass"])
def test_a_cpumap_program_runs_as_a_plain_one(load: Load, section: str) -> None:
    text = f'SEC("{section}") int behind(struct xdp_md *ctx) {{ return XDP_DROP; }}'

    with pytest.raises(Unsupported, match="xdp/cpumap"):
        load(text).run(FRAME)
    assert load(text, kind="xdp").run(FRAME).verdict is XDP.DROP


def test_a_kind_is_about_the_programs_whose_sections_tell_none(load: Load) -> None:
    rig = load(
        """
        SEC("xdp") int known(struct xdp_md *ctx) { return XDP_PASS; }
        SEC("prog") int unknown(struct __sk_buff *ctx) { return ctx->len == 64 ? 2 : 0; }
        """,
        kind="tc",
    )

    assert rig.programs.known.run(FRAME).verdict is XDP.PASS
    assert rig.programs.unknown.run(FRAME).verdict is TC.SHOT
    assert rig.programs.known.statistics.instructions
    assert rig.programs.unknown.statistics.instructions


def test_an_object_that_only_traces_the_kernel_is_not_told_to_be_xdp(load: Load) -> None:
    with pytest.raises(LoadError, match=r"trace the kernel.*SEC\(\"fentry/f\"\).*program='traces'"):
        load('SEC("fentry/f") int traces(void *ctx) { return 0; }')


def test_an_object_that_no_packet_reaches_is_not_told_to_be_xdp(load: Load) -> None:
    programs = "".join(
        f'SEC("struct_ops/f{n}") int f{n}(void *ctx) {{ return 0; }}\n' for n in range(6)
    )

    with pytest.raises(LoadError, match=r"no packet can be given to: f0 in .* and 2 more; pack"):
        load(programs)
    with pytest.raises(LoadError, match=r'given to: gets in SEC\("cgroup/getsockopt"\);'):
        load('SEC("cgroup/getsockopt") int gets(void *ctx) { return 1; }')


def test_a_program_array_says_which_program_it_does_not_take(load: Load) -> None:
    mixed = """
    int next(struct xdp_md *ctx);
    struct {
        __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 1); __uint(key_size, 4);
        __array(values, int(struct xdp_md *));
    } jumps SEC(".maps") = { .values = { (void *)&next } };
    SEC("xdp") int next(struct xdp_md *ctx) { return XDP_DROP; }
    SEC("xdp.frags") int first(struct xdp_md *ctx) { bpf_tail_call(ctx, &jumps, 0); return 2; }
    """

    with pytest.raises(LoadError, match="'jumps' does not take next in slot 0: .* all with frags"):
        load(mixed)


def test_of_a_loop_without_end_its_state_is_not_told(load: Load) -> None:
    loops = """
    SEC("xdp") int loops(struct xdp_md *ctx) {
        volatile int n = 0;
        while (n >= 0)
            n++;
        return XDP_PASS;
    }
    """

    with pytest.raises(
        packetrig.VerifierError, match=r"verifier: infinite loop detected at insn \d+ \("
    ):
        load(loops)


EVENTS = """
struct sample { __u64 when; __u32 length; __u8 kind; };
const struct sample *unused_sample;
struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4);
} samples SEC(".maps");
SEC("xdp") int entry(struct xdp_md *ctx) {
    struct sample s = { .when = 1, .length = ctx->data_end - ctx->data, .kind = 2 };
    bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &s, sizeof(s));
    return XDP_PASS;
}
"""


def test_an_event_is_typed_though_the_perf_buffer_pads_it(load: Load) -> None:
    rig = load(EVENTS)
    rig.run(FRAME)

    assert rig.maps.samples.read() == [{"when": 1, "length": 64, "kind": 2}]


def test_a_wrong_name_for_events_loses_none_of_them(load: Load) -> None:
    rig = load(EVENTS)
    rig.run(FRAME)

    with pytest.raises(NoSuchName, match=r"'sampel', did you mean 'sample'.*unused_event"):
        rig.maps.samples.read("sampel")
    with pytest.raises(CodecError, match="an event of 20 bytes is no xdp_md, which has 24"):
        rig.maps.samples.read("xdp_md")
    assert [sample.length for sample in rig.maps.samples.read("sample")] == [64]


TABLES = """
struct timed { int value; struct bpf_timer timer; };
struct tries { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 4); __type(key, __u64); __type(value, __u32); } trie SEC(".maps");
struct timers { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4);
    __type(key, __u32); __type(value, struct timed); } timer SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 4); __type(key, __u32);
    __array(values, struct tries); } by_prefix SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 4); __type(key, __u32);
    __array(values, struct timers); } by_time SEC(".maps") = { .values = { [1] = &timer } };
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 2); __uint(key_size, 4);
    __uint(value_size, 4); } jumps SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 2); __uint(key_size, 4);
    __uint(value_size, 4); } devices SEC(".maps");
SEC("xdp") int entry(struct xdp_md *ctx) { bpf_tail_call(ctx, &jumps, 0); return XDP_PASS; }
"""


@pytest.mark.parametrize("outer", ["by_prefix", "by_time"])
def test_an_inner_map_has_its_templates_flags_and_types(load: Load, outer: str) -> None:
    rig = load(TABLES)
    inner = rig.maps[outer].new_inner()
    rig.maps[outer][0] = inner

    assert rig.maps[outer][0].spec == inner.spec


def test_an_inner_map_of_before_a_renewal_is_not_another_map(load: Load) -> None:
    rig = load(TABLES)
    inner = rig.maps.by_time[1]
    assert rig.maps.by_time[1].fd == inner.fd, "looked at twice, and one descriptor"
    rig.reload()

    with pytest.raises(MapError, match="went when the object was renewed"):
        inner[1] = {"value": 1}
    assert dict(rig.maps.by_time[1]) == {}


def test_slots_say_what_they_take(load: Load) -> None:
    rig = load(TABLES)

    for wrong in ("entry", None, -1, rig):
        with pytest.raises(CodecError, match="jumps: value .* it takes a program"):
            rig.maps.jumps[0] = wrong
    with pytest.raises(MapError, match="jumps: setting 0: .*no descriptor"):
        rig.maps.jumps[0] = 99_999
    with pytest.raises(CodecError, match="it takes an inner map: new_inner"):
        rig.maps.by_time[0] = {1: 2}
    with pytest.raises(MapError, match=r"by_time: setting 0: it takes an inner map like its"):
        rig.maps.by_time[0] = rig.maps.trie
    with pytest.raises(MapError, match=r"devices: setting 0: .*no interface of that number"):
        rig.maps.devices[0] = 4_000


MADE = """
struct {{ __uint(type, BPF_MAP_TYPE_{}); {} }} wrong SEC(".maps");
SEC("xdp") int entry(struct xdp_md *ctx) {{ return bpf_map_delete_elem(&wrong, ctx) ? 2 : 1; }}
"""
FOUR = "__uint(max_entries, 4); "


@pytest.mark.parametrize(
    ("kind", "fields", "reason"),
    [
        (
            "ARRAY_OF_MAPS",
            FOUR + "__uint(key_size, 4); __uint(value_size, 4);",
            r"template.*__array\(values",
        ),
        (
            "PERF_EVENT_ARRAY",
            FOUR + "__uint(key_size, 4); __uint(value_size, 16);",
            "4 bytes each, not 4 and 16",
        ),
        ("HASH", FOUR, r"no key: __type\(key"),
        ("HASH", "__type(key, int); __type(value, int);", "max_entries"),
        ("ARRAY", FOUR + "__type(key, __u64); __type(value, int);", "keys have 4 bytes, not 8"),
        ("LPM_TRIE", FOUR + "__type(key, __u64); __type(value, int);", "BPF_F_NO_PREALLOC"),
    ],
)
def test_a_map_that_cannot_be_made_says_what_it_lacks(
    load: Load, kind: str, fields: str, reason: str
) -> None:
    with pytest.raises(LoadError, match=f"map 'wrong' cannot be made: .*{reason}"):
        load(MADE.format(kind, fields))


def test_an_optional_program_is_loaded_when_it_is_named(load: Load) -> None:
    refused = 'SEC("?xdp") int broken(struct xdp_md *ctx) { return *(int *)(long)ctx->data; }'
    rig = load('SEC("xdp") int works(struct xdp_md *ctx) { return XDP_PASS; }' + refused)

    assert rig.run(FRAME).verdict is XDP.PASS
    with pytest.raises(LoadError, match="'broken' .* left out .*program='broken'"):
        rig.programs.broken  # noqa: B018
    with pytest.raises(VerifierError, match="broken"):
        rig.spec.load(program="broken")
    with pytest.raises(LoadError, match=r"all its programs are optional.*program='broken'"):
        load(refused + 'SEC("?tc") int other(void *ctx) { return 0; }')


def test_a_map_that_cannot_be_read_is_not_said_to_be_full(load: Load) -> None:
    rig = load(
        """
        struct { __uint(type, BPF_MAP_TYPE_SOCKMAP); __uint(max_entries, 2);
            __type(key, __u32); __type(value, __u32); } sockets SEC(".maps");
        SEC("tc") int entry(void *ctx) { return 0; }
        """
    )
    with pytest.raises(MapError, match="SOCKMAP map refuses that"):
        dict(rig.maps.sockets)


@pytest.mark.parametrize("section", ["cgroup_skb/egress", "socket", "lwt_xmit"])
def test_a_frame_keeps_its_ethernet_header_though_the_program_does_not_see_it(
    load: Load, section: str
) -> None:
    frame = bytes(range(12)) + b"\x08\x00" + b"\x45" + bytes(19)
    rig = load(f'SEC("{section}") int entry(struct __sk_buff *skb) {{ return skb->len == 20; }}')
    run = rig.run(frame)

    assert int(run.verdict) == 1
    assert run.data == frame
    assert not run.is_rewritten
    assert rig.run_many([frame])[0] == run


def test_an_event_that_is_no_struct_is_not_taken_for_one_of_the_kernel(load: Load) -> None:
    rig = load(
        """
        struct key { struct bpf_lpm_trie_key head; __u32 data; };
        struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(map_flags, BPF_F_NO_PREALLOC);
            __uint(max_entries, 4); __type(key, struct key); __type(value, int); } t SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_RINGBUF);
            __uint(max_entries, 4096); } lengths SEC(".maps");
        SEC("xdp") int entry(struct xdp_md *ctx) {
            __u32 length = ctx->data_end - ctx->data;
            bpf_map_delete_elem(&t, &(struct key){});
            bpf_ringbuf_output(&lengths, &length, sizeof(length), 0);
            return XDP_PASS;
        }
        """
    )
    rig.run(FRAME)

    assert rig.maps.lengths.read() == [bytes([64, 0, 0, 0])]


def test_a_devmap_takes_an_interface_and_the_program_behind_it(load: Load) -> None:
    rig = load(
        """
        struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 2); __uint(key_size, 4);
            __uint(value_size, sizeof(struct bpf_devmap_val)); } ports SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_CPUMAP); __uint(max_entries, 1); __uint(key_size, 4);
            __uint(value_size, sizeof(struct bpf_cpumap_val)); } cpus SEC(".maps");
        SEC("xdp") int entry(struct xdp_md *ctx) { return bpf_redirect_map(&ports, 1, XDP_DROP); }
        SEC("xdp/devmap") int behind(struct xdp_md *ctx) { return XDP_PASS; }
        """
    )
    behind, ports = rig.programs.behind, rig.maps.ports
    ports[0] = {"ifindex": 1}
    ports[1] = {"ifindex": 1, "bpf_prog": behind}
    rig.maps.cpus[0] = {"qsize": 192}

    assert ports[0] == {"ifindex": 1, "bpf_prog": {"fd": 0, "id": 0}}
    assert ports[1]["bpf_prog"]["id"] == behind.id
    assert rig.maps.cpus[0]["qsize"] == 192
    assert rig.programs.entry.run(FRAME).verdict is XDP.REDIRECT
    with pytest.raises(CodecError, match="ports: value there is no field 'if_index'"):
        ports[0] = {"if_index": 1}
    with pytest.raises(CodecError, match="ifindex is an int, bpf_prog a program"):
        ports[0] = {"ifindex": "lo"}


def test_a_missing_vmlinux_h_is_said_to_be_made(source: Callable[..., Path]) -> None:
    path = source("", preamble='#include "vmlinux.h"\n')

    with pytest.raises(CompileError, match=r"'vmlinux.h' file not found; bpftool btf dump file"):
        packetrig.build(path)


def test_who_redirects_into_an_empty_slot_is_told_that_this_may_be_why_it_aborts(
    load: Load,
) -> None:
    rig = load(
        """
        struct { __uint(type, BPF_MAP_TYPE_XSKMAP); __uint(max_entries, 2);
            __uint(key_size, 4); __uint(value_size, 4); } sockets SEC(".maps");
        SEC("xdp") int entry(struct xdp_md *ctx) { return bpf_redirect_map(&sockets, 0, 0); }
        """
    )
    with pytest.raises(
        packetrig.Failure, match="never aborts.*where sockets has nothing in a slot"
    ):
        rig.judge(FRAME)


STRUCT_OPS = """
struct tcp_congestion_ops { char name[16]; void (*init)(void *); };
SEC("struct_ops/begin") void begin(void *ctx) {}
SEC(".struct_ops") struct tcp_congestion_ops ops = { .init = (void *)begin, .name = "wild" };
SEC("xdp") int entry(struct xdp_md *ctx) { return XDP_DROP; }
"""


@pytest.mark.parametrize("kind", [None, "xdp"])
def test_a_table_of_functions_beside_the_program_is_left_out(load: Load, kind: str | None) -> None:
    rig = load(STRUCT_OPS, kind=kind)

    assert list(rig.programs) == ["entry"]
    assert list(rig.maps) == []
    assert rig.run(FRAME).verdict is XDP.DROP
    rig.renew()
    assert rig.program.statistics.instructions == 2


FAR = """
__attribute__((noinline, section("apart"))) int far(int x) { volatile int y = x; return y; }
SEC("xdp") int entry(struct xdp_md *ctx) { return far(2); }
"""
UNLIKE = """
extern long bpf_xdp_metadata_rx_hash(long) __ksym;
SEC("xdp") int entry(void *ctx) { return bpf_xdp_metadata_rx_hash(1); }
"""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ('SEC("xdp") static int entry(void *ctx) { return 2; } void *kept = entry;', "static$"),
        ('extern int other(void); SEC("xdp") int entry(void *c) { return other(); }', "gen object"),
        (FAR, "own section"),
        (UNLIKE, "vmlinux.h does"),
    ],
)
def test_what_libbpf_refuses_says_what_to_try(load: Load, code: str, reason: str) -> None:
    with pytest.raises(LoadError, match=f"; .*{reason}"):
        load(code)
