"""Frames of every kind, sound and broken, out of one draw of decisions."""

from __future__ import annotations

from collections.abc import Callable

from .. import fragments, malformed
from ..told import Mangled
from . import _payloads, _tunnels
from ._arguments import Values
from ._assemble import arp, ethernet, icmp, ip, sctp, tcp, udp

_Assemble = Callable[[bytes, Values], bytes]


def fragment(picks: bytes, values: Values) -> bytes:
    """Choose a fragment of a packet: the first, a later one, or one that fits nowhere. Pick 68."""
    offset = (0, 1, 185, 8189)[picks[68] >> 3 & 3]
    choose = tcp if picks[68] & 0x20 else udp
    return choose(picks, {"more_fragments": True, "fragment_offset": offset, **values})


def cut_up(picks: bytes, values: Values) -> bytes:
    """Choose one of the fragments that a packet is cut into. Picks 66 to 68."""
    whole = tcp(picks, {**values, "payload": values["payload"] + bytes(64)})
    parts = fragments.split(whole, size=8 + 8 * (picks[66] % 8))
    return bytes(parts[picks[67] % len(parts)])


def query(picks: bytes, values: Values) -> bytes:
    """Choose a DNS message in UDP. Picks 72 to 97."""
    message = _payloads.dns(picks[72:], {})
    return udp(picks, {"destination_port": 53, **values, "payload": message})


_TRANSPORTS: tuple[_Assemble, ...] = (udp, tcp, icmp, tcp, udp)


def inner(picks: bytes, values: Values) -> bytes:
    """Choose what a tunnel carries: no VLAN tags, no tunnel of its own. Pick 70."""
    choose = _TRANSPORTS[picks[70] % len(_TRANSPORTS)]
    name = "data" if choose is icmp else "payload"
    return choose(picks, {"vlans": (), name: values["data"]})


def _carrying(choose: _Assemble, name: str) -> _Assemble:
    # The inner packet takes its decisions from the other end of the same draw.
    def assemble(picks: bytes, values: Values) -> bytes:
        return choose(picks, {**values, name: inner(picks[::-1], {"data": values["payload"]})})

    return assemble


def _now_and_then(rare: _Assemble, common: _Assemble) -> _Assemble:
    # Pick 44.
    def assemble(picks: bytes, values: Values) -> bytes:
        return (rare if picks[44] >= 0xA0 else common)(picks, values)

    return _carrying(assemble, "inner")


# As many of each as its share among a hundred frames of real and unreal networks.
_KINDS: tuple[_Assemble, ...] = (
    ethernet,
    *(udp, tcp, icmp, tcp, arp, ip, tcp, udp, tcp, sctp) * 2,
    *(tcp, udp, tcp),
    *(fragment, cut_up, query),
    _now_and_then(_tunnels.srv6, _tunnels.ipip),
    _carrying(_tunnels.gre, "inner"),
    _now_and_then(_tunnels.gtp, _tunnels.vxlan),
    _carrying(_tunnels.geneve, "inner"),
    _now_and_then(_tunnels.l2tp, _tunnels.gue),
    _now_and_then(_tunnels.pppoe, _tunnels.mpls),
    _carrying(_tunnels.icmp_error, "about"),
)


def anything(picks: bytes, values: Values) -> bytes:
    """Choose a frame of any kind. Pick 69."""
    choose = _KINDS[picks[69] % len(_KINDS)]
    if choose in (tcp, icmp, sctp):  # which have more to choose from than plain data
        return choose(picks, values)
    return choose(picks, {**values, "payload": values["data"]})


def anything_broken(picks: bytes, values: Values) -> Mangled:
    """Choose a frame and what is wrong with it. Picks 70 to 77."""
    return malformed.mangle(anything(picks, values), picks[70:78])


def anything_at_all(picks: bytes, values: Values) -> bytes:
    """Choose a frame that is sound, or one in three times is not. Picks 68 to 77."""
    is_broken = picks[68] & 7 > 4
    return anything_broken(picks, values) if is_broken else anything(picks, values)
