"""Generate packets, as bytes, for property tests.

Each argument is keyword-only, and a value or a strategy; what is left out is chosen. Packets are
valid by construction, lengths and checksums right, unless an argument says otherwise: a length, an
offset or a checksum that is given is written as it is. Examples shrink to the plainest packet:
IPv4, no VLAN, no options, from 192.0.2.1 port 40000 to 192.0.2.2 port 80, without payload.
Impossible arguments raise hypothesis' InvalidArgument when the first example is drawn, with the
argument named.

The arguments for what is below a protocol are the same everywhere:

- Ethernet: `source_mac`, `destination_mac`, `vlans` (a tag, or several from the outside in; a pair
  says its ethertype as well; `()` for none);
- IPv4 and IPv6: `version`, `source`, `destination`, `ttl` (the hop limit), `tos` (the traffic
  class), `identification`, `fragment_offset` (in units of 8 bytes), `more_fragments`, `ip_length`
  (total length, or IPv6's payload length);
- IPv4 alone: `dont_fragment`, `ip_options`, `ihl`, `ip_checksum`;
- IPv6 alone: `flow_label`, `extensions` (a chain of "hop by hop", "routing", "fragment",
  "authentication" and "destination", or pairs: protocol number, header without its first byte).

_packets.py        one packet of each protocol; _carriers.py: those that carry others
_contents.py       what packets carry, their options and tags
_conversations.py  several frames that belong together
_broken.py         whole frames, broken ones, those of a capture
_arguments.py      arguments: a value or a strategy; _values.py checks each by its name
_assemble.py       from one draw of bytes to a packet: _payloads.py, _tunnels.py, _mix.py
"""

from __future__ import annotations

from ._broken import frames, from_pcap, mangled
from ._carriers import (
    geneve_packets,
    gre_packets,
    gtp_packets,
    gue_packets,
    icmp_errors,
    ipip_packets,
    l2tp_packets,
    mpls_packets,
    pppoe_packets,
    srv6_packets,
    vxlan_packets,
)
from ._contents import (
    dns_messages,
    extension_chains,
    http_requests,
    ip_options,
    tcp_options,
    vlan_stacks,
)
from ._conversations import fragment_sets, sequences
from ._packets import (
    arp_packets,
    ethernet_frames,
    icmp_packets,
    icmpv6_packets,
    ipv4_packets,
    ipv6_packets,
    sctp_packets,
    tcp_packets,
    udp_packets,
)

__all__ = [
    "arp_packets",
    "dns_messages",
    "ethernet_frames",
    "extension_chains",
    "fragment_sets",
    "frames",
    "from_pcap",
    "geneve_packets",
    "gre_packets",
    "gtp_packets",
    "gue_packets",
    "http_requests",
    "icmp_errors",
    "icmp_packets",
    "icmpv6_packets",
    "ip_options",
    "ipip_packets",
    "ipv4_packets",
    "ipv6_packets",
    "l2tp_packets",
    "mangled",
    "mpls_packets",
    "pppoe_packets",
    "sctp_packets",
    "sequences",
    "srv6_packets",
    "tcp_options",
    "tcp_packets",
    "udp_packets",
    "vlan_stacks",
    "vxlan_packets",
]
