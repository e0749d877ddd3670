"""What a program can answer, by the kind of its hook (include/uapi/linux/bpf.h, pkt_cls.h)."""

from __future__ import annotations

from enum import IntEnum

from .errors import Error


class Verdict(IntEnum):
    """Print as people write it, `XDP.PASS`, in assertions and in tables.

    It equals its number, and no verdict of another kind: XDP.PASS and TC.SHOT are both a 2. To
    compare it with what has a verdict is an Error: `run != XDP.DROP` would hold for every run.
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Verdict) and type(other) is not type(self):
            return False
        if hasattr(type(other), "verdict"):
            raise Error(f"a {type(other).__name__} is no verdict: write .verdict is {self}")
        return int.__eq__(self, other)

    def __ne__(self, other: object) -> bool:  # int has one of its own
        return not self == other

    __hash__ = int.__hash__


class XDP(Verdict):
    """Name the verdicts of an XDP program (enum xdp_action)."""

    ABORTED = 0
    DROP = 1
    PASS = 2
    TX = 3
    REDIRECT = 4


class TC(Verdict):
    """Name the verdicts of a TC program (TC_ACT_*, TCX_* share their numbers)."""

    UNSPEC = -1
    OK = 0
    RECLASSIFY = 1
    SHOT = 2
    PIPE = 3
    STOLEN = 4
    QUEUED = 5
    REPEAT = 6
    REDIRECT = 7
    TRAP = 8


class CGROUP(Verdict):
    """Name the verdicts of a cgroup_skb program; egress may also ask for congestion notice."""

    DROP = 0
    PASS = 1
    DROP_CN = 2
    PASS_CN = 3


class SK(Verdict):
    """Name the verdicts of an sk_lookup program (enum sk_action)."""

    DROP = 0
    PASS = 1


class LWT(Verdict):
    """Name the verdicts of a lightweight-tunnel program (enum bpf_ret_code)."""

    OK = 0
    DROP = 2
    REDIRECT = 7
    REROUTE = 128
    CONTINUE = 129


class FLOW(Verdict):
    """Name the verdicts of a flow dissector program (enum bpf_ret_code)."""

    OK = 0
    DROP = 2
    CONTINUE = 129


class NF(Verdict):
    """Name the verdicts of a netfilter program (include/uapi/linux/netfilter.h)."""

    DROP = 0
    ACCEPT = 1


# Verdicts by program kind, as `Program.kind` spells it. Kinds that answer with a plain number
# (socket filters return a length, syscall and raw tracepoint programs any value) are absent.
BY_KIND: dict[str, type[Verdict]] = {
    "xdp": XDP,
    "tc": TC,
    "action": TC,
    "cgroup_skb": CGROUP,
    "sk_lookup": SK,
    "lwt_in": LWT,
    "lwt_out": LWT,
    "lwt_xmit": LWT,
    "lwt_seg6local": LWT,
    "flow_dissector": FLOW,
    "netfilter": NF,
}


def _tables() -> dict[str, dict[int, Verdict]]:
    # The kernel hands the verdict over as a u32: TC_ACT_UNSPEC arrives as 4294967295.
    return {kind: {int(v) & 0xFFFFFFFF: v for v in verdicts} for kind, verdicts in BY_KIND.items()}


TABLES = _tables()


def verdict_of(kind: str, retval: int) -> int:
    """Name the u32 that the kernel returned for a program of this kind.

    A number that is no verdict of the kind (XDP 77) is returned as a plain int: the kernel
    lets it through, and the check "the verdict is a legal one" is what objects to it.
    """
    return TABLES.get(kind, {}).get(retval, retval)


def is_legal(kind: str, verdict: int) -> bool:
    """Tell whether a verdict is one that the kernel defines for this kind of program."""
    table = BY_KIND.get(kind)
    return table is None or isinstance(verdict, table)
