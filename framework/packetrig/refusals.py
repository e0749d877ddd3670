"""Why a frame or context cannot be given to a program: every refusal of the kernel, named.

The kernel answers EINVAL to a dozen different mistakes, and accepts some inputs that no driver
would ever hand a program. `limits()` asks this kernel; `before()` and `after()` put it in words.
"""

from __future__ import annotations

import errno
import mmap
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

from ._bpf import ENOTSUPP, denied, probes, strerror
from ._bpf.kinds import PROGRAM_KINDS, MapKind
from .errors import Error, InputRefused, InternalError, Unsupported

# The Ethernet header; BPF_PROG_TEST_RUN takes nothing shorter.
LEAST = 14
SKB_KINDS = frozenset(
    {
        "tc",
        "action",
        "socket_filter",
        "cgroup_skb",
        "lwt_in",
        "lwt_out",
        "lwt_xmit",
        "lwt_seg6local",
    }
)
# They see a packet from its IP header on; what a test run gives back has zeros before it.
WITHOUT_ETHERNET = SKB_KINDS - {"tc", "action"}
# Kinds that are given a context and no frame.
FRAMELESS = frozenset({"sk_lookup", "raw_tracepoint", "syscall"})
# They give back no frame: a struct bpf_flow_keys, or nothing.
WITHOUT_OUTPUT = frozenset({"flow_dissector", "netfilter"})
_ONCE = frozenset({"raw_tracepoint", "syscall"})
MAX_REPEAT = 10_000_000
# What tells about programs that have no test run.
_AS_SYSCALL = "; load it with kind='syscall' and give its context as bytes: run(b'', ctx=...)"
_ON_CALLS = "; packetrig.live.cgroup() lets real calls meet them"
_INSTEAD = {
    **dict.fromkeys(("kprobe", "tracepoint"), _AS_SYSCALL),
    **dict.fromkeys(("cgroup_sock_addr", "cgroup_sock"), _ON_CALLS),
}
# What they do to skb->csum is right, and a test run takes it for wrong.
_SUM_APART = {18: "bpf_skb_vlan_push", 19: "bpf_skb_vlan_pop", 38: "bpf_skb_change_tail"}

# What an errno means to one kind of map.
_NO_DEVICE = (
    "this process's network namespace has no interface of that number (one of a wire: "
    "with wire.right.namespace.inside(): ...)"
)
_ANOTHER = "it takes an inner map like its template (kind, sizes, flags): new_inner() makes one"
MAP_REFUSALS: dict[tuple[MapKind | int, int], str] = {
    (MapKind.DEVMAP, errno.EINVAL): _NO_DEVICE,
    (MapKind.DEVMAP_HASH, errno.EINVAL): _NO_DEVICE,
    (MapKind.CPUMAP, errno.ENODEV): "this machine has no CPU of that number",
    (MapKind.ARRAY_OF_MAPS, errno.EINVAL): _ANOTHER,
    (MapKind.HASH_OF_MAPS, errno.EINVAL): _ANOTHER,
    (MapKind.PROG_ARRAY, errno.EINVAL): "it takes programs of one kind that could call each other",
    (MapKind.PROG_ARRAY, errno.EBADF): "that is no descriptor of a loaded program",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Hold how long frames may be, in bytes: XDP's linear part and whole, and an skb's."""

    xdp_linear: int
    xdp_most: int
    skb_most: int


@cache
def limits() -> Limits:
    """Ask this kernel how long a frame may be."""
    return Limits(probes.xdp_linear(), probes.xdp_most(), probes.skb_most())


def range_of(what: str, kind: str, *, has_frags: bool) -> tuple[int, int]:
    """Return the least and most bytes that a frame for a program of this kind may have.

    Raises:
        Unsupported: No kernel has a test run for this kind, and what is there instead.
    """
    if not PROGRAM_KINDS[kind].testable:
        raise Unsupported(
            f"running {kind} programs",
            f"BPF_PROG_TEST_RUN does not serve them ({what}){_INSTEAD.get(kind, '')}",
        )
    if kind in FRAMELESS:
        return 0, 0
    if kind == "xdp":
        found = limits()
        return LEAST, found.xdp_most if has_frags else found.xdp_linear
    return LEAST, 1 << 20


def before(kind: str, size: int, *, has_frags: bool, meta: int = 0) -> str:
    """Say why a frame of `size` bytes is not given to the kernel at all; "" if it is."""
    if kind in FRAMELESS:
        return f"a {kind} program takes no frame: pass b'' and ctx=" if size else ""
    if size < LEAST:
        return (
            f"a frame of {size} bytes: BPF_PROG_TEST_RUN takes no less than {LEAST}, the Ethernet "
            "header; send shorter ones over a wire"
        )
    if kind != "xdp":
        return ""
    found = limits()
    linear = found.xdp_linear - meta
    if size > linear and not has_frags:
        return (
            f"a frame of {size} bytes: the program was loaded without multi-buffer support, so a "
            f'driver hands it at most {linear} bytes in one piece; use SEC("xdp.frags") or '
            "kind='xdp.frags'"
        )
    if size > found.xdp_most:
        return f"a frame of {size} bytes: this kernel's test run takes at most {found.xdp_most}"
    return ""


def repeat_reason(kind: str, repeat: object) -> str:
    """Say why a run cannot be repeated so many times; "" if it can."""
    if type(repeat) is not int or not 1 <= repeat <= MAX_REPEAT:
        return f"repeat={repeat!r}: it takes an int from 1 to {MAX_REPEAT}"
    if repeat > 1 and kind in _ONCE:
        return f"repeat={repeat}: the kernel's test run of a {kind} program knows no repeat"
    return ""


def meta_reason(kind: str, meta: bytes) -> str:
    """Say why metadata cannot be given; "" if it can."""
    if kind != "xdp":
        return f"meta= is for XDP: a {kind} program sees what an XDP program before it left (belt)"
    most = probes.xdp_meta_most()
    if len(meta) % 4 or len(meta) > most:
        return f"meta of {len(meta)} bytes: this kernel takes a multiple of 4, at most {most}"
    return ""


def checksum_reason(kind: str) -> str:
    """Say why a program cannot be given a CHECKSUM_COMPLETE skb; "" if it can.

    Raises:
        Unsupported: It could, by another kernel.
    """
    if kind not in SKB_KINDS:
        return f"checksum_complete= is for programs that are given an skb, this one is {kind}"
    if not probes.has_checksum_complete():
        raise Unsupported(
            "checksum_complete=True",
            "this kernel's test run has no BPF_F_TEST_SKB_CHECKSUM_COMPLETE (Linux 6.11 has)",
        )
    return ""


def linear_reason(kind: str, linear: object, size: int, *, has_frags: bool) -> str:
    """Say why a frame cannot be given in pieces, the first of so many bytes; "" if it can.

    Raises:
        Unsupported: It could, by another kernel.
    """
    if (kind != "xdp" and kind not in SKB_KINDS) or kind.startswith("lwt"):
        return f"linear= is for XDP and for programs that are given an skb, this one is {kind}"
    if type(linear) is not int or not LEAST <= linear <= size:
        return f"linear={linear!r}: it takes an int from {LEAST} to the frame's {size} bytes"
    if kind == "xdp" and not has_frags:
        return 'linear= is for programs that take frames in pieces: SEC("xdp.frags")'
    if not probes.has_pieces("xdp" if kind == "xdp" else "tc"):
        kernel = "Linux 6.18, and stable ones," if kind == "xdp" else "Linux 6.19"
        raise Unsupported(
            f"linear={linear}",
            f"this kernel's test run gives {kind} programs a frame in one piece ({kernel} can "
            "split it); over a wire, long frames come in several",
        )
    return ""


def sum_reason(helpers: Collection[int]) -> str:
    """Say why a stale sum tells nothing about a program that calls these helpers; "" if it does.

    The test run compares skb->csum whatever became of it. bpf_skb_change_tail takes the mark
    CHECKSUM_COMPLETE off a packet that it cuts, and the stack sums again; the two for VLAN tags
    count the Ethernet header on a real TC ingress alone (bpf_push_mac_rcsum).
    """
    found = [name for number, name in _SUM_APART.items() if number in helpers]
    if not found:
        return ""
    return f"with {' and '.join(found)} a test run cannot tell whether skb->csum is stale"


def behind_redirect(what: str, section: str) -> Unsupported:
    """Say that a program of a devmap or cpumap has no test run, and what has."""
    return Unsupported(
        f"running {section} programs",
        f"they run behind a redirect, where BPF_PROG_TEST_RUN does not go; load {what} as a plain "
        f"XDP program: load(program='{what}', kind='xdp')",
    )


class Interrupted(Error):
    """Say that a signal ended a run half way."""


def after(
    what: str, kind: str, error: int, frame: bytes, *, has_context: bool, flags: int = 0
) -> Error:
    """Name the reason for an errno that BPF_PROG_TEST_RUN gave."""
    size = len(frame)
    if error in (errno.EPERM, errno.EACCES):
        return denied(f"{what}: running it")
    if error == ENOTSUPP:
        return Unsupported(
            f"running {kind} programs", f"this kernel has no BPF_PROG_TEST_RUN for them ({what})"
        )
    reason = _reason(kind, error, frame, has_context=has_context)
    if reason:
        return InputRefused(f"{what}: {reason}")
    if error == errno.EINTR:
        return Interrupted(
            f"{what}: a signal interrupted the run; whether it ran is not known, so it was not "
            "repeated: its maps may have counted it already"
        )
    if error == errno.ENOSPC:
        return InternalError(f"{what}: the output is larger than the room for it ({size} bytes in)")
    return InputRefused(
        f"{what}: the kernel refused the run: {strerror(error)}; {size} bytes, "
        f"{'with' if has_context else 'without'} context, flags {flags}"
    )


def _reason(kind: str, error: int, frame: bytes, *, has_context: bool) -> str:
    size = len(frame)
    ethertype = frame[12:14]
    if error == errno.EINVAL and kind in SKB_KINDS:
        for wire, name, least in ((b"\x08\x00", "IPv4", 34), (b"\x86\xdd", "IPv6", 54)):
            if ethertype == wire and size < least:
                # Linux 12bec2bd4b76 ("bpf: reject short IPv4/IPv6 inputs"), and backports
                return (
                    f"an {name} frame of {size} bytes: this kernel's test run takes no less than "
                    f"{least} (Ethernet and the {name} header); send it over a wire"
                )
        if size == LEAST:
            return f"a frame of {size} bytes: this kernel's test run wants a byte behind the header"
    if error in (errno.EINVAL, errno.ENOMEM) and size > (most := _most_of(kind)):
        return (
            f"a frame of {size} bytes: this kernel's test run takes at most {most} bytes for a "
            f"{kind} program"
        )
    if error == errno.ENOMEM and kind == "xdp":
        return f"a frame of {size} bytes: this kernel's test run takes at most {limits().xdp_most}"
    if error == errno.ENODEV:
        return "no interface has that ifindex in the network namespace that the program runs in"
    if error == errno.E2BIG:
        return "the context or batch size is larger than this kernel knows"
    if error == errno.EPROTONOSUPPORT or error == errno.EPROTO:
        return f"a {kind} program takes no frame of ethertype 0x{ethertype.hex()}"
    if error == errno.EAFNOSUPPORT and kind == "sk_lookup":
        return "it takes ctx={'family': 2} (AF_INET) or 10 (AF_INET6), with addresses and ports"
    if error == errno.EINVAL and kind == "sk_lookup":
        return "no interface has the ingress_ifindex of the context"
    if error == errno.EINVAL and kind == "raw_tracepoint":
        return "ctx= takes 8 bytes for each argument, all that the program reads, at most 12"
    if error == errno.EINVAL and kind == "syscall":
        return "ctx= takes all the bytes of its context that the program may read or write"
    if error == errno.EINVAL and kind == "netfilter":
        return "a netfilter test run takes an IPv4 or IPv6 packet that fits its hook"
    if error == errno.EINVAL and kind == "xdp" and has_context:
        return (
            "the kernel refused the context: rx_queue_index needs an ingress_ifindex whose device "
            "has that queue, and metadata must fit"
        )
    return ""


def _most_of(kind: str) -> int:
    if kind == "flow_dissector":
        return mmap.PAGESIZE
    return limits().skb_most if kind in SKB_KINDS or kind == "netfilter" else 1 << 31
