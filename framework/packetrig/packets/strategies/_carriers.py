"""Strategies for packets that carry other packets: tunnels, MPLS, and errors about a packet.

What they carry is given as a frame, by a strategy like the others here (or as a scapy packet);
tunnels that carry bare IP take its Ethernet and VLAN tags off.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from hypothesis.strategies import SearchStrategy

from . import _arguments, _mix, _tunnels
from ._arguments import Address, Arg, drawn
from ._packets import data


def ipip_packets(
    *, inner: Arg[Any] = None, **lower: Unpack[_arguments.Network]
) -> SearchStrategy[bytes]:
    """Generate IPv4 or IPv6 in IPv4 or IPv6. Shrinks to an empty UDP packet inside, over IPv4.

    Example:
        >>> ipip_packets(inner=tcp_packets(version=6), version=4)      # 6in4
    """
    return drawn(_tunnels.ipip, {"inner": _inner(inner)}, lower)


def gre_packets(
    *,
    inner: Arg[Any] = None,
    key: Arg[int] = None,
    sequence: Arg[int] = None,
    has_checksum: Arg[bool] = None,
    **lower: Unpack[_arguments.Network],
) -> SearchStrategy[bytes]:
    """Generate packets, or whole frames, in GRE, with key, sequence number and checksum or without.

    Shrinks to a header of 4 bytes around an empty UDP packet.
    """
    arguments = {
        "inner": _inner(inner),
        "key": key,
        "sequence": sequence,
        "has_checksum": has_checksum,
    }
    return drawn(_tunnels.gre, arguments, lower)


def vxlan_packets(
    *,
    inner: Arg[Any] = None,
    vni: Arg[int] = None,
    is_generic: Arg[bool] = None,
    source_port: Arg[int] = None,
    destination_port: Arg[int] = None,
    checksum: Arg[int] = None,
    **lower: Unpack[_arguments.Network],
) -> SearchStrategy[bytes]:
    """Generate frames in VXLAN, port 4789, most without a UDP checksum.

    With `is_generic=True` it is VXLAN-GPE, port 4790, which carries packets, too. Shrinks to
    network 0 around an empty UDP packet.
    """
    arguments = {
        "inner": _inner(inner),
        "vni": vni,
        "is_generic": is_generic,
        "source_port": source_port,
        "destination_port": destination_port,
        "checksum": checksum,
    }
    return drawn(_tunnels.vxlan, arguments, lower)


def geneve_packets(
    *,
    inner: Arg[Any] = None,
    vni: Arg[int] = None,
    tunnel_options: Arg[bytes] = None,
    source_port: Arg[int] = None,
    destination_port: Arg[int] = None,
    checksum: Arg[int] = None,
    **lower: Unpack[_arguments.Network],
) -> SearchStrategy[bytes]:
    """Generate frames, or packets, in GENEVE, port 6081, with options or without.

    Shrinks to network 0 and no options around an empty UDP packet.
    """
    arguments = {
        "inner": _inner(inner),
        "vni": vni,
        "tunnel_options": tunnel_options,
        "source_port": source_port,
        "destination_port": destination_port,
        "checksum": checksum,
    }
    return drawn(_tunnels.geneve, arguments, lower)


def gue_packets(
    *,
    inner: Arg[Any] = None,
    variant: Arg[int] = None,
    tunnel_fields: Arg[bytes] = None,
    source_port: Arg[int] = None,
    destination_port: Arg[int] = None,
    checksum: Arg[int] = None,
    **lower: Unpack[_arguments.Network],
) -> SearchStrategy[bytes]:
    """Generate packets in Generic UDP Encapsulation, port 6080, of both variants.

    Variant 1 has no header: the inner packet's version stands in its place. Shrinks to variant 0.
    """
    arguments = {
        "inner": _inner(inner),
        "variant": variant,
        "tunnel_fields": tunnel_fields,
        "source_port": source_port,
        "destination_port": destination_port,
        "checksum": checksum,
    }
    return drawn(_tunnels.gue, arguments, lower)


def mpls_packets(
    *,
    inner: Arg[Any] = None,
    labels: Arg[Any] = None,
    ttl: Arg[int] = None,
    **lower: Unpack[_arguments.Ethernet],
) -> SearchStrategy[bytes]:
    """Generate packets behind one to three MPLS labels; `labels` from the outside in.

    Shrinks to label 0 before an empty UDP packet.
    """
    arguments = {"inner": _inner(inner), "labels": labels, "ttl": ttl}
    return drawn(_tunnels.mpls, arguments, lower, has_network=False)


def srv6_packets(
    *,
    inner: Arg[Any] = None,
    segments: Arg[Iterable[Address]] = None,
    segments_left: Arg[int] = None,
    **lower: Unpack[_arguments.Network],
) -> SearchStrategy[bytes]:
    """Generate packets, or whole frames, behind IPv6's segment routing header (SRv6, RFC 8754).

    `segments` in the order in which they are visited; the destination is the one whose turn it is.
    Shrinks to a single segment before an empty UDP packet.

    Example:
        >>> srv6_packets(segments=["2001:db8::a", "2001:db8::b"], segments_left=1)
    """
    arguments = {"inner": _inner(inner), "segments": segments, "segments_left": segments_left}
    return drawn(_tunnels.srv6, arguments, lower, version=6)


def gtp_packets(
    *,
    inner: Arg[Any] = None,
    teid: Arg[int] = None,
    sequence: Arg[int] = None,
    flow: Arg[int] = None,
    source_port: Arg[int] = None,
    destination_port: Arg[int] = None,
    checksum: Arg[int] = None,
    **lower: Unpack[_arguments.Network],
) -> SearchStrategy[bytes]:
    """Generate packets of mobile networks in GTP-U, port 2152; `flow` brings 5G's extension.

    Shrinks to tunnel 0 and a header of 8 bytes around an empty UDP packet.
    """
    arguments = {
        "inner": _inner(inner),
        "teid": teid,
        "sequence": sequence,
        "flow": flow,
        "source_port": source_port,
        "destination_port": destination_port,
        "checksum": checksum,
    }
    return drawn(_tunnels.gtp, arguments, lower)


def l2tp_packets(
    *,
    inner: Arg[Any] = None,
    tunnel: Arg[int] = None,
    session: Arg[int] = None,
    source_port: Arg[int] = None,
    destination_port: Arg[int] = None,
    checksum: Arg[int] = None,
    **lower: Unpack[_arguments.Network],
) -> SearchStrategy[bytes]:
    """Generate packets in PPP in L2TP, version 2, port 1701.

    Shrinks to tunnel 0, session 0, around an empty UDP packet.
    """
    arguments = {
        "inner": _inner(inner),
        "tunnel": tunnel,
        "session": session,
        "source_port": source_port,
        "destination_port": destination_port,
        "checksum": checksum,
    }
    return drawn(_tunnels.l2tp, arguments, lower)


def pppoe_packets(
    *, inner: Arg[Any] = None, session: Arg[int] = None, **lower: Unpack[_arguments.Ethernet]
) -> SearchStrategy[bytes]:
    """Generate packets in a session of PPPoE. Shrinks to session 0 around an empty UDP packet."""
    arguments = {"inner": _inner(inner), "session": session}
    return drawn(_tunnels.pppoe, arguments, lower, has_network=False)


def icmp_errors(
    *,
    about: Arg[Any] = None,
    kind: Arg[int] = None,
    code: Arg[int] = None,
    mtu: Arg[int] = None,
    **lower: Unpack[_arguments.Network],
) -> SearchStrategy[bytes]:
    """Generate what routers and hosts say about a packet: ICMP and ICMPv6 errors that quote it.

    They go to the packet's source, over its own IP version, and quote as much as real ones do: over
    IPv4 sometimes the header and 8 bytes alone. Shrinks to "too big".

    Example:
        >>> icmp_errors(about=tcp_packets(destination="192.0.2.80"), mtu=1280)
    """
    arguments = {"about": _inner(about), "kind": kind, "code": code, "mtu": mtu}
    return drawn(_tunnels.icmp_error, arguments, lower)


def _inner(given: Any) -> Any:
    return drawn(_mix.inner, {"data": data()}) if given is None else given
