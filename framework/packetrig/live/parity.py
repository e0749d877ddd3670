"""What a hook is known to do otherwise than the kernel's test run: differences that have a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..verdicts import TC, XDP
from .attach import Mode
from .taps import VLAN
from .trip import Ended

# Helpers by number, and where fields stand in struct __sk_buff and struct xdp_md.
_CSUM = {10, 11, 28, 40, 135}  # l3_csum_replace, l4_csum_replace, csum_diff, _update, _level
_CLOCKS = {5, 7, 118, 125, 160, 208}  # ktime_get_*_ns, get_prandom_u32, jiffies64
_PULL_DATA = 39
_ROOM = {44, 54, 65}  # xdp_adjust_head, _meta, _tail
_SKB_PKT_TYPE, _SKB_INGRESS, _SKB_IFINDEX, _SKB_DATA = 4, 36, 40, 76
_XDP_INGRESS, _XDP_QUEUE = 12, 16
_LOAD = 0x61  # BPF_LDX of a word, as these fields are


@dataclass(frozen=True, slots=True)
class Occasion:
    """Hold one frame that ended otherwise, or looked otherwise, than its test run."""

    program: Any
    mode: Mode | None  # None: live frames
    frame: bytes
    verdict: Any
    ended: Ended

    @property
    def is_tc(self) -> bool:
        """Tell TC's hooks from XDP's."""
        return bool(self.program.kind != "xdp")

    def calls(self, helpers: set[int]) -> bool:
        """Tell whether the program calls one of these helpers."""
        found = self.program.owner.spec.helpers_of(self.program.name)
        return not helpers.isdisjoint(found)

    def reads(self, *offsets: int) -> bool:
        """Tell whether the program has a load at one of these offsets, of its context or not."""
        opened = self.program.owner.loaded.opened
        code = next(p.code() for p in opened.programs() if p.name == self.program.name)
        return any(
            code[at] == _LOAD and int.from_bytes(code[at + 2 : at + 4], "little") in offsets
            for at in range(0, len(code), 8)
        )


@dataclass(frozen=True, slots=True)
class Known:
    """Name a difference between a hook and the test run, and tell where it may be at work."""

    name: str
    text: str
    applies: Callable[[Occasion], bool]


def _is_tagged(seen: Occasion) -> bool:
    return int.from_bytes(seen.frame[12:14], "big") in VLAN


KNOWN = (
    Known(
        "VLAN tag",
        "at TC ingress the outer VLAN tag stands beside the frame (skb->vlan_tci), in a test run "
        "in it",
        lambda seen: seen.is_tc and _is_tagged(seen) and (not seen.mode or seen.mode.is_tc_ingress),
    ),
    Known(
        "redirect",
        "a test run does not look whether a redirect's target is there, or takes frames",
        lambda seen: seen.verdict in ((TC.REDIRECT,) if seen.is_tc else (XDP.REDIRECT,)),
    ),
    Known(
        "room",
        "an interface may have less room before or behind the frame, so that it cannot grow; bytes "
        "that were added and not written are zero in a test run alone",
        lambda seen: not seen.is_tc and seen.calls(_ROOM),
    ),
    Known(
        "pkt_type",
        "skb->pkt_type: in a test run an ordinary frame is another host's (3), on an interface it "
        "is this one's (0) if the MAC address is",
        lambda seen: seen.is_tc and seen.reads(_SKB_PKT_TYPE),
    ),
    Known(
        "interface",
        "the interface's number: a test run has that of the loopback (1)",
        lambda seen: (
            seen.reads(_SKB_INGRESS, _SKB_IFINDEX)
            if seen.is_tc
            else seen.reads(_XDP_INGRESS, _XDP_QUEUE)
        ),
    ),
    Known(
        "checksum state",
        "skb->ip_summed: a test run has CHECKSUM_NONE; a device may have summed the frame, or be "
        "about to",
        lambda seen: seen.is_tc and seen.calls(_CSUM),
    ),
    Known(
        "non-linear skb",
        "an interface may hand over an skb whose data_end comes before the frame's end: "
        "bpf_skb_pull_data(); a test run's is linear",
        lambda seen: seen.is_tc and seen.reads(_SKB_DATA) and not seen.calls({_PULL_DATA}),
    ),
    Known(
        "time and chance",
        "the program asks for the time or for a random number: two runs are two answers",
        lambda seen: seen.calls(_CLOCKS),
    ),
)


def reasons(seen: Occasion) -> tuple[Known, ...]:
    """Return the known differences that may be at work, the likeliest first."""
    return tuple(known for known in KNOWN if known.applies(seen))
