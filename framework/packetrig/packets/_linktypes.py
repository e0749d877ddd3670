"""Names of what captures hold (https://www.tcpdump.org/linktypes.html), and what to do about it."""

from __future__ import annotations

ETHERNET = 1

_NAMES = {
    0: "BSD loopback",
    6: "token ring",
    8: "SLIP",
    9: "PPP",
    10: "FDDI",
    12: "raw IP",
    14: "raw IP",
    50: "PPP in HDLC framing",
    51: "PPPoE",
    101: "raw IP",
    104: "Cisco HDLC",
    105: "802.11",
    107: "frame relay",
    108: "OpenBSD loopback",
    113: "Linux cooked",
    117: "PF log",
    119: "802.11 with Prism headers",
    127: "802.11 with radiotap headers",
    143: "DOCSIS",
    147: "user 0",
    187: "Bluetooth HCI",
    189: "USB",
    192: "per-packet information",
    195: "802.15.4",
    201: "Bluetooth HCI with direction",
    220: "USB, memory-mapped",
    227: "CAN bus",
    228: "raw IPv4",
    229: "raw IPv6",
    239: "netfilter log",
    249: "USB of Windows",
    253: "netlink",
    276: "Linux cooked v2",
}
_COOKED = "; record on one interface instead of `any`"
_RAW = "; record below the tunnel, or put an Ethernet header before each packet"


def link_name(link: int) -> str:
    """Name a link type with its number: `raw IP (101)`."""
    return f"{_NAMES.get(link, 'a link type unknown here')} ({link})"


def advice(link: int) -> str:
    """Say what to do about a capture of this link type, where something can be done."""
    if link in (113, 276):
        return _COOKED
    return _RAW if link in (12, 14, 101, 228, 229) else ""
