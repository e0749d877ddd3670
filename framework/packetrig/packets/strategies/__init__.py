"""Generate frames, as bytes, for property tests.

Each argument is keyword-only, and a value or a strategy; what is left out is chosen. Packets are
valid by construction, lengths and checksums right, unless an argument says otherwise: a length, an
offset or a checksum that is given is written as it is. Examples shrink to the plainest packet:
IPv4, no VLAN, no options, from 192.0.2.1 port 40000 to 192.0.2.2 port 80, without payload.
Impossible arguments raise hypothesis' InvalidArgument, which names them.

The arguments for what is below a protocol are the same everywhere:

- Ethernet: `source_mac`, `destination_mac`, `vlans` (a tag, or several from the outside in; `()`
  for none);
- IPv4 and IPv6: `version`, `source`, `destination`, `ttl` (the hop limit), `tos` (the traffic
  class), `identification`, `fragment_offset` (in units of 8 bytes), `more_fragments`, `ip_length`
  (total length, or IPv6's payload length);
- IPv4 alone: `dont_fragment`, `ip_options`, `ihl`, `ip_checksum`;
- IPv6 alone: `flow_label`, `extensions` (pairs: protocol number, header without its first byte).
"""

from __future__ import annotations

import os
from typing import Unpack

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy

from .. import malformed, pcap
from . import _arguments, _assemble
from ._arguments import Address, Arg, Mac, drawn

__all__ = [
    "arp_packets",
    "ethernet_frames",
    "frames",
    "from_pcap",
    "http_requests",
    "icmp_packets",
    "ipv4_packets",
    "ipv6_packets",
    "mangled",
    "sctp_packets",
    "tcp_packets",
    "udp_packets",
]


def frames() -> SearchStrategy[bytes]:
    """Generate frames of every kind that this module knows, some of them mangled.

    About one in three is malformed. Shrinks towards `ethernet_frames()`, that is to 14 bytes.

    Example:
        >>> @given(frame=frames())
        ... def test_every_verdict_is_a_legal_one(firewall, frame):
        ...     assert firewall.run(frame).verdict in XDP
    """
    return drawn(_assemble.anything_at_all, {"data": _data()})


def tcp_packets(
    *,
    source_port: Arg[int] = None,
    destination_port: Arg[int] = None,
    sequence: Arg[int] = None,
    acknowledgment: Arg[int] = None,
    flags: Arg[int | str] = None,
    window: Arg[int] = None,
    urgent: Arg[int] = None,
    options: Arg[bytes] = None,
    data_offset: Arg[int] = None,
    checksum: Arg[int] = None,
    payload: Arg[bytes] = None,
    **lower: Unpack[_arguments.Network],
) -> SearchStrategy[bytes]:
    """Generate TCP packets over IPv4 and IPv6, some with an HTTP request or other data.

    A `data_offset` of 5 or more gets options that fill its header, so it tells the truth unless
    `options` are given too and are of another length. Below 5 it always lies. Flags are letters
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
        "data": _data() if payload is None else None,
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
        "payload": _data() if payload is None else payload,
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

    Shrinks to an empty echo request over IPv4.
    """
    arguments = {
        "kind": kind,
        "code": code,
        "rest": rest,
        "checksum": checksum,
        "payload": _data() if payload is None else payload,
    }
    return drawn(_assemble.icmp, arguments, lower)


def sctp_packets(
    *,
    source_port: Arg[int] = None,
    destination_port: Arg[int] = None,
    tag: Arg[int] = None,
    crc: Arg[int] = None,
    payload: Arg[bytes] = None,
    **lower: Unpack[_arguments.Network],
) -> SearchStrategy[bytes]:
    """Generate SCTP packets with one DATA chunk. Shrinks to an empty one over IPv4."""
    arguments = {
        "source_port": source_port,
        "destination_port": destination_port,
        "tag": tag,
        "crc": crc,
        "payload": _data() if payload is None else payload,
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
    if lower.setdefault("version", 4) != 4:
        raise InvalidArgument(f"version={lower['version']!r}: ipv4_packets() has only one")
    arguments = {
        "protocol": protocol,
        "payload": _data() if payload is None else payload,
    }
    return drawn(_assemble.ip, arguments, lower)


def ipv6_packets(
    *,
    protocol: Arg[int] = None,
    payload: Arg[bytes] = None,
    **lower: Unpack[_arguments.Network],
) -> SearchStrategy[bytes]:
    """Generate IPv6 packets around any payload, some with extension headers.

    `protocol` is what follows the last of them. Shrinks to "no next header" (59), no payload.
    """
    if lower.setdefault("version", 6) != 6:
        raise InvalidArgument(f"version={lower['version']!r}: ipv6_packets() has only one")
    arguments = {
        "protocol": protocol,
        "payload": _data() if payload is None else payload,
    }
    return drawn(_assemble.ip, arguments, lower)


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
        "payload": _data() if payload is None else payload,
    }
    return drawn(_assemble.ethernet, arguments, lower, has_network=False)


def http_requests(
    *, method: Arg[str | bytes] = None, path: Arg[str | bytes] = None
) -> SearchStrategy[bytes]:
    """Generate HTTP/1.1 requests, to be the `payload` of `tcp_packets`.

    Some carry a body, some come twice (pipelined). Shrinks to `GET /` with a Host line.
    """
    return drawn(_assemble.http, {"method": method, "path": path})


def mangled(packets: SearchStrategy[bytes] | None = None) -> SearchStrategy[bytes]:
    """Generate frames that something is wrong with: made from `packets`, by default all kinds.

    They are cut (at the edge of a header or anywhere), lie in one field of one header (version,
    length, offset, next protocol; checksums then still fit), have a checksum broken, a bit
    flipped, a header twice or missing. Never under 14 bytes. Shrinks to a frame that is cut.
    """
    if packets is None:
        return drawn(_assemble.anything_broken, {"data": _data()})
    picks = st.binary(min_size=malformed.PICKS, max_size=malformed.PICKS)
    return st.tuples(packets, picks).map(lambda pair: malformed.mangle(*pair))


def from_pcap(path: str | os.PathLike[str]) -> SearchStrategy[bytes]:
    """Generate the frames of a capture, each different one once; shrinks to the shortest.

    Packets that the capture tool cut short are left out: half a packet is no real traffic.

    Raises:
        CaptureError, NotFound: at once, when the file is not a capture of Ethernet.
        InvalidArgument: it holds no whole packet.
    """
    whole = {
        record.data
        for record in pcap.read(path)
        if not record.is_snapped and len(record.data) >= 14
    }
    if not whole:
        raise InvalidArgument(f"path={str(path)!r}: the capture holds no whole packet")
    return st.sampled_from(sorted(whole, key=lambda frame: (len(frame), frame)))


def _data() -> SearchStrategy[bytes]:
    return st.binary(max_size=64)
