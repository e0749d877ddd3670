"""xdp_router: IPv4 by the longest prefix, a hop less, the neighbour's MAC, redirected."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import packetrig
from packetrig import XDP
from packetrig.checks import only_change

from . import headers
from .headers import IPV4, TCP, UDP, Ip, Malformed

CHECKS = (only_change("Ether.dst", "Ether.src", "IP.ttl", "IP.chksum"),)


@packetrig.model
def xdp_router(frame: bytes, maps: Any) -> Any:
    if headers.number(frame, 12) != IPV4 or frame[0] & 1:
        return XDP.PASS, frame, {}
    try:
        header = headers.ipv4(frame[14:])
    except Malformed:
        return XDP.PASS, frame, {}
    if frame[14] & 15 != 5 or frame[22] <= 1:
        return XDP.PASS, frame, {}
    prefix = headers.longest(maps.routes, header.destination)
    neighbour = maps.neighbours.get(maps.routes[prefix]) if prefix else None
    if neighbour is None:
        return XDP.PASS, frame, {}
    hop = bytes((frame[22] - 1, frame[23]))
    packet = headers.replaced(frame[14:], 8, hop, checksum=10)
    routed = bytes(neighbour.address) + bytes(neighbour.source) + frame[12:14] + packet
    return XDP.REDIRECT, routed, {"flows": _counted(header, maps)}


def _counted(header: Ip, maps: Any) -> dict[Any, Any]:
    source_port = destination_port = 0
    if not header.is_fragment and header.protocol in (TCP, UDP):
        with suppress(Malformed):
            source_port, destination_port = headers.ports(header)
    flow = header.source + header.destination
    flow += source_port.to_bytes(2, "big") + destination_port.to_bytes(2, "big")
    flow += bytes((header.protocol, 0, 0, 0))
    before = maps.flows.get(flow)
    after = {"packets": before.packets + 1 if before else 1}
    return {flow: (before, after)}
