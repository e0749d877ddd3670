"""The kinds of programs and maps, by libbpf's section names and the kernel's numbers.

Numbers are those of include/uapi/linux/bpf.h; they never change.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


@dataclass(frozen=True, slots=True)
class ProgramKind:
    """Describe a kind of program.

    `sections` are the prefixes that name it (libbpf before 1.0 went by prefix, and objects in
    the wild still do); `testable` tells whether BPF_PROG_TEST_RUN serves it.
    """

    name: str
    type: int
    attach: int = 0
    sections: tuple[str, ...] = ()
    testable: bool = True


PROGRAM_KINDS: dict[str, ProgramKind] = {
    kind.name: kind
    for kind in (
        ProgramKind("xdp", 6, 37, ("xdp",)),
        ProgramKind(
            "tc",
            3,
            0,
            (
                "tc",
                "tcx",
                "classifier",
                "ingress",
                "egress",
                "netkit",
                "to-netdev",
                "from-netdev",
                "to-container",
                "from-container",
            ),
        ),
        ProgramKind("action", 4, 0, ("action",)),
        ProgramKind("socket_filter", 1, 0, ("socket",)),
        ProgramKind("cgroup_skb", 8, 0, ("cgroup_skb", "cgroup/skb")),
        ProgramKind("lwt_in", 10, 0, ("lwt_in",)),
        ProgramKind("lwt_out", 11, 0, ("lwt_out",)),
        ProgramKind("lwt_xmit", 12, 0, ("lwt_xmit",)),
        ProgramKind("lwt_seg6local", 19, 0, ("lwt_seg6local",)),
        ProgramKind("flow_dissector", 22, 17, ("flow_dissector",)),
        ProgramKind("sk_lookup", 30, 36, ("sk_lookup",)),
        ProgramKind("raw_tracepoint", 17, 0, ("raw_tp", "raw_tracepoint")),
        ProgramKind("syscall", 31, 0, ("syscall",)),
        ProgramKind("netfilter", 32, 45, ("netfilter",)),
        ProgramKind("cgroup_sock_addr", 18, 0, ("cgroup/connect", "cgroup/bind"), testable=False),
        ProgramKind("cgroup_sock", 9, 0, ("cgroup/sock",), testable=False),
        ProgramKind("sock_ops", 13, 0, ("sockops",), testable=False),
        ProgramKind("sk_skb", 14, 0, ("sk_skb",), testable=False),
        ProgramKind("sk_msg", 16, 0, ("sk_msg",), testable=False),
        ProgramKind("kprobe", 2, 0, ("kprobe", "kretprobe", "uprobe"), testable=False),
        ProgramKind("tracepoint", 5, 0, ("tracepoint", "tp/"), testable=False),
        ProgramKind("tracing", 26, 0, ("fentry", "fexit", "tp_btf", "iter"), testable=False),
        ProgramKind("ext", 28, 0, ("freplace",), testable=False),
        ProgramKind("lsm", 29, 0, ("lsm",), testable=False),
    )
}

# Types that trace the kernel: whoever loads one needs CAP_PERFMON (is_perfmon_prog_type).
TRACING_TYPES = frozenset({2, 5, 7, 17, 24, 26, 27, 28, 29})

KIND_OF_TYPE = {kind.type: kind.name for kind in PROGRAM_KINDS.values()}

# BPF_F_XDP_HAS_FRAGS: the program can take a frame that lies in several pieces. Linux 5.18.
XDP_HAS_FRAGS = 1 << 5
# BPF_F_SLEEPABLE: what libbpf sets for SEC("syscall"), which are refused without it.
SLEEPABLE = 1 << 4


def kind_of_section(section: str) -> str | None:
    """Name the kind that a section's prefix stands for, as libbpf did before 1.0."""
    for kind in PROGRAM_KINDS.values():
        if section.startswith(kind.sections):
            return kind.name
    return None


# Sections that libbpf knows, of kinds that no packet reaches or that no test run serves.
_OF_NO_PACKET = (
    "struct_ops",
    "cgroup/dev",
    "cgroup/getpeername",
    "cgroup/getsockname",
    "cgroup/getsockopt",
    "cgroup/recvmsg",
    "cgroup/sendmsg",
    "cgroup/setsockopt",
    "cgroup/sysctl",
    "cgroup/unix",
    "ksyscall",
    "kretsyscall",
    "lirc_mode2",
    "perf_event",
    "sk_reuseport",
    "uretprobe",
    "usdt",
)


def is_of_no_packet(section: str) -> bool:
    """Tell whether a section names a kind of program that packetrig has nothing to do with."""
    return section.startswith(_OF_NO_PACKET)


# XDP programs that run behind a redirect, by the attach type that libbpf gives their sections.
BEHIND_REDIRECT = {33: "xdp/devmap", 35: "xdp/cpumap"}
# As libbpf wrote those sections before 1.0; objects in the wild still do.
_OLD_ATTACH = (("xdp_devmap/", 33), ("xdp_cpumap/", 35))


def attach_of_section(section: str, kind: str) -> int:
    """Return the attach type for a section that libbpf 1.x does not know."""
    for prefix, attach in _OLD_ATTACH:
        if kind == "xdp" and section.startswith(prefix):
            return attach
    return PROGRAM_KINDS[kind].attach


class MapKind(IntEnum):
    """Name the kinds of maps (enum bpf_map_type)."""

    HASH = 1
    ARRAY = 2
    PROG_ARRAY = 3
    PERF_EVENT_ARRAY = 4
    PERCPU_HASH = 5
    PERCPU_ARRAY = 6
    STACK_TRACE = 7
    CGROUP_ARRAY = 8
    LRU_HASH = 9
    LRU_PERCPU_HASH = 10
    LPM_TRIE = 11
    ARRAY_OF_MAPS = 12
    HASH_OF_MAPS = 13
    DEVMAP = 14
    SOCKMAP = 15
    CPUMAP = 16
    XSKMAP = 17
    SOCKHASH = 18
    CGROUP_STORAGE = 19
    REUSEPORT_SOCKARRAY = 20
    PERCPU_CGROUP_STORAGE = 21
    QUEUE = 22
    STACK = 23
    SK_STORAGE = 24
    DEVMAP_HASH = 25
    STRUCT_OPS = 26
    RINGBUF = 27
    INODE_STORAGE = 28
    TASK_STORAGE = 29
    BLOOM_FILTER = 30
    USER_RINGBUF = 31
    CGRP_STORAGE = 32
    ARENA = 33


PER_CPU = {MapKind.PERCPU_HASH, MapKind.PERCPU_ARRAY, MapKind.LRU_PERCPU_HASH}
HASHES = {
    MapKind.HASH,
    MapKind.PERCPU_HASH,
    MapKind.LRU_HASH,
    MapKind.LRU_PERCPU_HASH,
    MapKind.LPM_TRIE,
    MapKind.HASH_OF_MAPS,
    MapKind.DEVMAP_HASH,
}
ARRAYS = {MapKind.ARRAY, MapKind.PERCPU_ARRAY}
# Arrays whose slots hold a descriptor or nothing.
SLOTS = {
    MapKind.PROG_ARRAY,
    MapKind.ARRAY_OF_MAPS,
    MapKind.DEVMAP,
    MapKind.CPUMAP,
    MapKind.XSKMAP,
    MapKind.SOCKMAP,
    MapKind.CGROUP_ARRAY,
    MapKind.REUSEPORT_SOCKARRAY,
}
OF_MAPS = {MapKind.ARRAY_OF_MAPS, MapKind.HASH_OF_MAPS}
QUEUES = {MapKind.QUEUE, MapKind.STACK}
EVENTS = {MapKind.RINGBUF, MapKind.PERF_EVENT_ARRAY}
