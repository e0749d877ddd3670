"""The kinds besides XDP and TC that the kernel's test run serves, and what is odd about each."""

from __future__ import annotations

import dataclasses
import platform
import struct
from collections.abc import Callable

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

import packetrig
from packetrig import CGROUP, FLOW, LWT, NF, SK, InputRefused, Object, Unsupported
from packetrig._bpf import probes
from packetrig._bpf.kinds import PROGRAM_KINDS

Load = Callable[..., Object]
MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
UDP4 = bytes(Ether(**MACS) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=7, dport=53) / b"hello")
UDP6 = bytes(Ether(**MACS) / IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP(sport=7, dport=53))


def test_a_socket_filter_answers_with_a_length_and_sees_no_ethernet(load: Load) -> None:
    rig = load('SEC("socket") int keep(struct __sk_buff *skb) { return skb->len; }')

    run = rig.run(UDP4)

    assert run.verdict == len(UDP4) - 14
    assert run.data == UDP4, "the header, which the kernel gives back as zeros, is kept"


@pytest.mark.parametrize("verdict", [0, 1])
def test_a_cgroup_program_answers_drop_or_pass(load: Load, verdict: int) -> None:
    rig = load(f'SEC("cgroup_skb/ingress") int gate(struct __sk_buff *skb) {{ return {verdict}; }}')

    assert rig.run(UDP4).verdict is CGROUP(verdict)
    assert rig.run_many([UDP4, UDP6]).verdicts == [CGROUP(verdict)] * 2


@pytest.mark.parametrize("kind", ["lwt_in", "lwt_out", "lwt_xmit"])
def test_a_lightweight_tunnel_program_runs(load: Load, kind: str) -> None:
    rig = load(
        f'SEC("{kind}") int tunnel(struct __sk_buff *skb) {{ return skb->len == 33 ? 2 : 0; }}'
    )

    assert rig.program.kind == kind
    assert rig.run(UDP4).verdict is LWT.DROP
    assert rig.run(UDP4 + b"x").verdict is LWT.OK


def test_a_flow_dissector_s_answer_is_the_flow(load: Load) -> None:
    rig = load(
        """
        SEC("flow_dissector") int dissect(struct __sk_buff *skb)
        {
            struct bpf_flow_keys *keys = skb->flow_keys;
            keys->ip_proto = 17;
            keys->thoff = keys->nhoff + 20;
            return 0;
        }
        """
    )

    run = rig.run(UDP4)

    assert run.verdict is FLOW.OK
    assert (run.context.nhoff, run.context.thoff, run.context.ip_proto) == (14, 34, 17)
    assert run.data == UDP4
    assert rig.run(UDP4, ctx={"flags": 1}).context.flags == 1
    with pytest.raises(InputRefused, match="flags=8"):
        rig.run(UDP4, ctx={"flags": 8})


def test_sk_lookup_takes_a_context_and_no_frame(load: Load) -> None:
    rig = load(
        'SEC("sk_lookup") int pick(struct bpf_sk_lookup *ctx) '
        "{ return ctx->local_port == 80 ? SK_PASS : SK_DROP; }"
    )
    ctx = {"family": 2, "protocol": 6, "local_port": 80}

    assert rig.run(b"", ctx=ctx).verdict is SK.PASS
    assert rig.run(b"", ctx={**ctx, "local_port": 81}).verdict is SK.DROP
    with pytest.raises(InputRefused, match="takes no frame"):
        rig.run(UDP4, ctx=ctx)
    with pytest.raises(InputRefused, match="local_port=65536"):
        rig.run(b"", ctx={**ctx, "local_port": 65536})
    with pytest.raises(InputRefused, match="cookie"):
        rig.run(b"", ctx={**ctx, "cookie": 5})
    with pytest.raises(InputRefused, match="takes ctx={'family': 2}"):
        rig.run(b"")
    with pytest.raises(InputRefused, match="no interface has the ingress_ifindex"):
        rig.run(b"", ctx={**ctx, "ingress_ifindex": 9999})
    with pytest.raises(Unsupported, match="one run"):
        rig.run_many([b""])


def test_sk_lookup_takes_addresses_as_people_write_them(load: Load) -> None:
    rig = load(
        """
        SEC("sk_lookup") int pick(struct bpf_sk_lookup *ctx)
        {
            return ctx->remote_ip4 == __builtin_bswap32(0x0a000042) ||
                   ctx->local_ip6[3] == __builtin_bswap32(7);
        }
        """
    )

    assert rig.run(b"", ctx={"family": 2, "remote_ip4": "10.0.0.66"}).verdict is SK.PASS
    assert rig.run(b"", ctx={"family": 2, "remote_ip4": "10.0.0.1"}).verdict is SK.DROP
    assert rig.run(b"", ctx={"family": 10, "local_ip6": "2001:db8::7"}).verdict is SK.PASS
    assert rig.run(b"", ctx={"family": 10, "local_ip6": [0, 0, 0, 7]}).verdict is SK.DROP
    for name, value in (("remote_ip4", "::1"), ("local_ip6", "10.0.0.1"), ("local_ip4", 1.5)):
        with pytest.raises(InputRefused, match=f"ctx {name}=.* takes an IPv[46] address"):
            rig.run(b"", ctx={"family": 2, name: value})


def test_a_syscall_program_writes_into_its_context(load: Load) -> None:
    rig = load(
        """
        SEC("syscall") int add(struct { unsigned int a, b, sum; } *args)
        {
            args->sum = args->a + args->b;
            return 7;
        }
        """
    )

    run = rig.run(b"", ctx=struct.pack("=3I", 40, 2, 0))

    assert run.verdict == 7
    assert struct.unpack("=3I", run.context) == (40, 2, 42)


def test_a_raw_tracepoint_program_takes_its_arguments_as_bytes(load: Load) -> None:
    rig = load(
        'SEC("raw_tp/packetrig") int trace(struct bpf_raw_tracepoint_args *ctx) '
        "{ return ctx->args[0] + ctx->args[1]; }"
    )

    assert rig.run(b"", ctx=struct.pack("=2Q", 40, 2)).verdict == 42
    with pytest.raises(InputRefused, match="ctx as bytes"):
        rig.run(b"", ctx={"args": 1})
    with pytest.raises(InputRefused, match="8 bytes for each argument"):
        rig.run(b"", ctx=bytes(8 * 13))
    with pytest.raises(InputRefused, match="repeat=2: .* raw_tracepoint program knows no repeat"):
        rig.run(b"", ctx=bytes(16), repeat=2)


def test_a_netfilter_program_takes_the_packet_without_ethernet(load: Load) -> None:
    rig = load('SEC("prog") int hook(void *ctx) { return 1; }', kind="netfilter")

    # Without a context the hook is LOCAL_OUT: the frame begins with the IP header.
    assert rig.run(UDP4[14:]).verdict is NF.ACCEPT
    with pytest.raises(InputRefused, match="from its IP header on"):
        rig.run(UDP4)
    with pytest.raises(InputRefused, match="from its IP header on"):
        rig.run(UDP4, repeat=2)
    with pytest.raises(InputRefused, match="takes at most 37.. bytes for a netfilter program"):
        rig.run(UDP4[14:] + bytes(5000))


def test_a_netfilter_program_leaves_the_packet_as_it_is(load: Load) -> None:
    rig = load('SEC("prog") int hook(void *ctx) { return 1; }', kind="netfilter")

    # The kernel gives no packet back: that is no packet of 0 bytes.
    assert rig.judge(UDP4[14:]).data == UDP4[14:]


def test_a_netfilter_program_is_told_the_ip_version(load: Load) -> None:
    rig = load(
        """
        struct state { unsigned char hook, pf; };
        struct context { const struct state *state; };
        SEC("prog") int hook(struct context *ctx)
        {
            return ctx->state->pf == 10;
        }
        """,
        kind="netfilter",
    )

    assert rig.run(UDP4[14:]).verdict is NF.DROP
    assert rig.run(UDP6[14:]).verdict is NF.ACCEPT


def test_a_kind_without_a_test_run_is_unsupported_by_name(load: Load) -> None:
    rig = load('SEC("cgroup/connect4") int refuse(struct bpf_sock_addr *ctx) { return 0; }')

    assert rig.program.kind == "cgroup_sock_addr"
    with pytest.raises(Unsupported, match="running cgroup_sock_addr programs"):
        rig.run(UDP4)


def test_what_the_verifier_forbids_a_kind_is_a_verifier_error(load: Load) -> None:
    with pytest.raises(packetrig.VerifierError, match="R0"):
        load('SEC("cgroup_skb/ingress") int gate(struct __sk_buff *skb) { return 5; }')


KPROBE = """
#include <linux/ptrace.h>
#include <bpf/bpf_tracing.h>
SEC("kprobe/tcp_v4_connect") int probe(struct pt_regs *ctx) { return PT_REGS_PARM3(ctx); }
SEC("tracepoint/net/net_dev_queue") int point(struct { __u64 common, skb; __u32 len; } *ctx)
{
    return ctx->len;
}
SEC("perf_event") int sample(struct { __u64 period; } *ctx) { return ctx->period; }
"""
# struct pt_regs: where the third argument of a function stands
THIRD = {"x86_64": 12 * 8, "aarch64": 2 * 8}


@pytest.mark.parametrize(
    ("program", "at"), [("probe", THIRD.get(platform.machine())), ("point", 16), ("sample", 0)]
)
def test_what_traces_the_kernel_gets_a_context_as_a_syscall_program(
    load: Load, program: str, at: int | None
) -> None:
    if at is None:
        pytest.skip("where arguments stand is not written down for this machine")
    rig = load(KPROBE, program=program, kind="syscall")
    context = bytearray(400)
    struct.pack_into("=I", context, at, 42)

    assert rig.run(b"", ctx=bytes(context)).verdict == 42
    with pytest.raises(InputRefused, match="ctx= takes all the bytes of its context"):
        rig.run(b"")


@pytest.mark.parametrize("program", ["probe", "point"])
def test_what_traces_the_kernel_has_no_test_run_of_its_own(source, program: str) -> None:
    spec = packetrig.build(source(KPROBE))
    try:
        rig = spec.load(program=program)
    except packetrig.Error as e:  # a kernel that has no kprobes
        pytest.skip(str(e))
    with rig:
        for packet in (b"", UDP4):
            with pytest.raises(Unsupported, match="load it with kind='syscall'"):
                rig.run(packet)
        with pytest.raises(Unsupported, match="load it with kind='syscall'"):
            rig.run_many([UDP4])


def test_what_meets_a_call_is_told_where_it_meets_one(load: Load) -> None:
    rig = load('SEC("cgroup/connect4") int hook(struct bpf_sock_addr *ctx) { return 1; }')

    with pytest.raises(Unsupported, match=r"packetrig\.live\.cgroup"):
        rig.run(UDP4)


def test_a_kind_that_this_kernel_has_not_is_named(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = dataclasses.replace(PROGRAM_KINDS["netfilter"], type=999)
    monkeypatch.setitem(PROGRAM_KINDS, "netfilter", newer)
    monkeypatch.setattr(probes, "_numbers", {})

    with pytest.raises(Unsupported, match="loading netfilter programs .* this kernel has none"):
        load('SEC("prog") int hook(void *ctx) { return 1; }', kind="netfilter")
