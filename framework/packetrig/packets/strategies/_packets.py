"""Strategies for one packet of each protocol."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Unpack

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from . import _arguments, _assemble
from ._arguments import Address, Arg, Mac, TcpOption, drawn


def tcp_packets(
    *,
    source_port: Arg[int] = None,
    destination_port: Arg[int] = None,
    sequence: Arg[int] = None,
    acknowledgment: Arg[int] = None,
    flags: Arg[int | str] = None,
    window: Arg[int] = None,
    urgent: Arg[int] = None,
    options: Arg[bytes | Iterable[TcpOption]] = None,
    data_offset: Arg[int] = None,
    checksum: Arg[int] = None,
    payload: Arg[bytes] = None,
    **lower: Unpack[_arguments.Network],
) -> SearchStrategy[bytes]:
    """Generate TCP packets over IPv4 and IPv6, some with an HTTP request or other data.

    A `data_offset` of 5 or more gets options that fill its header, so it tells the truth unless
    `options` are given too and are of another length. Below 5 it always lies. Options are bytes, or
    a list as scapy has it: `["SAckOK", ("MSS", 1460)]`; over 40 bytes do not fit. Flags are letters
    (`"SA"`) or a number. Shrinks to PSH and ACK, without options and payload.

    Example:
        >>> tcp_packets(data_offset=st.integers(0, 15), destination_port=80, version=4)
    """
    arguments = {
        "source_port": source_port,
        "destination_port": destination_port,
        "sequence": sequence,
        "acknowledgment": acknowledgment,
        "flags": flags,
        "window": window,
        "urgent": urgent,
        "options": options,
        "data_offset": data_offset,
        "checksum": checksum,
        "payload": payload,
        "data": data() if payload is None else None,
    }
    return drawn(_assemble.tcp, arguments, lower)


def udp_packets(
    *,
    source_port: Arg[int] = None,
    destination_port: Arg[int] = None,
    length: Arg[int] = None,
    checksum: Arg[int] = None,
    payload: Arg[bytes] = None,
    **lower: Unpack[_arguments.Network],
) -> SearchStrategy[bytes]:
    """Generate UDP packets over IPv4 (some with no checksum, a zero) and IPv6.

    Shrinks to port 40000 to 80 without payload.
    """
    arguments = {
        "source_port": source_port,
        "destination_port": destination_port,
        "length": length,
        "checksum": checksum,
        "payload": data() if payload is None else payload,
    }
    return drawn(_assemble.udp, arguments, lower)


def icmp_packets(
    *,
    kind: Arg[int] = None,
    code: Arg[int] = None,
    rest: Arg[bytes] = None,
    checksum: Arg[int] = None,
    payload: Arg[bytes] = None,
    **lower: Unpack[_arguments.Network],
) -> SearchStrategy[bytes]:
    """Generate ICMP and ICMPv6 packets; `rest` is the second word of the header.

    `icmp_errors()` has messages about a packet of your choice. Shrinks to an empty echo request
    over IPv4.
    """
    arguments = {
        "kind": kind,
        "code": code,
        "rest": rest,
        "checksum": checksum,
        "payload": payload,
        "data": data() if payload is None else None,
    }
    return drawn(_assemble.icmp, arguments, lower)


def icmpv6_packets(
    *,
    kind: Arg[int] = None,
    code: Arg[int] = None,
    rest: Arg[bytes] = None,
    checksum: Arg[int] = None,
    payload: Arg[bytes] = None,
    **lower: Unpack[_arguments.Network],
) -> SearchStrategy[bytes]:
    """Generate ICMPv6 packets: echo, errors, and the discovery of neighbours and routers.

    Those of discovery have the body, and the hop limit of 255, that their receivers ask for.
    Shrinks to an empty echo request.
    """
    arguments = {
        "kind": kind,
        "code": code,
        "rest": rest,
        "checksum": checksum,
        "payload": payload,
        "data": data() if payload is None else None,
    }
    return drawn(_assemble.icmp, arguments, lower, version=6)


def sctp_packets(
    *,
    source_port: Arg[int] = None,
    destination_port: Arg[int] = None,
    tag: Arg[int] = None,
    crc: Arg[int] = None,
    chunks: Arg[bytes] = None,
    payload: Arg[bytes] = None,
    **lower: Unpack[_arguments.Network],
) -> SearchStrategy[bytes]:
    """Generate SCTP packets: most with one DATA chunk, which carries `payload`; or `chunks`.

    Shrinks to an empty DATA chunk over IPv4.
    """
    arguments = {
        "source_port": source_port,
        "destination_port": destination_port,
        "tag": tag,
        "crc": crc,
        "chunks": chunks,
        "payload": payload,
        "data": data() if payload is None else None,
    }
    return drawn(_assemble.sctp, arguments, lower)


def ipv4_packets(
    *,
    protocol: Arg[int] = None,
    payload: Arg[bytes] = None,
    **lower: Unpack[_arguments.Network],
) -> SearchStrategy[bytes]:
    """Generate IPv4 packets around any payload, by default of a protocol that nobody knows.

    An `ihl` of 5 or more gets options that fill its header. Shrinks to protocol 253, no payload.
    """
    arguments = {
        "protocol": protocol,
        "payload": data() if payload is None else payload,
    }
    return drawn(_assemble.ip, arguments, lower, version=4)


def ipv6_packets(
    *,
    protocol: Arg[int] = None,
    payload: Arg[bytes] = None,
    **lower: Unpack[_arguments.Network],
) -> SearchStrategy[bytes]:
    """Generate IPv6 packets around any payload, some with extension headers.

    `protocol` is what follows the last of them. Shrinks to "no next header" (59), no payload.
    """
    arguments = {
        "protocol": protocol,
        "payload": data() if payload is None else payload,
    }
    return drawn(_assemble.ip, arguments, lower, version=6)


def arp_packets(
    *,
    operation: Arg[int] = None,
    sender_mac: Arg[Mac] = None,
    sender: Arg[Address] = None,
    target_mac: Arg[Mac] = None,
    target: Arg[Address] = None,
    **lower: Unpack[_arguments.Ethernet],
) -> SearchStrategy[bytes]:
    """Generate ARP requests and replies for IPv4. Shrinks to a request for 192.0.2.2."""
    arguments = {
        "operation": operation,
        "sender_mac": sender_mac,
        "sender": sender,
        "target_mac": target_mac,
        "target": target,
    }
    return drawn(_assemble.arp, arguments, lower, has_network=False)


def ethernet_frames(
    *,
    ethertype: Arg[int] = None,
    payload: Arg[bytes] = None,
    **lower: Unpack[_arguments.Ethernet],
) -> SearchStrategy[bytes]:
    """Generate frames of a protocol that is neither IP nor ARP. Shrinks to a bare 14 bytes."""
    arguments = {
        "ethertype": ethertype,
        "payload": data() if payload is None else payload,
    }
    return drawn(_assemble.ethernet, arguments, lower, has_network=False)


def data() -> SearchStrategy[bytes]:
    """Generate what a packet carries when nobody says what."""
    return st.binary(max_size=64)
