"""tc_egress_balancer: answers of a backend get the service's address as their source."""

from __future__ import annotations

from typing import Any

import packetrig
from packetrig import TC
from packetrig.checks import only_change

from .flows import MAPPED, Left, Packet, packed, read, readdress, replace
from .headers import TCP, UDP

CHECKS = (only_change("IP.src", "IP.chksum", "IPv6.src", "TCP.chksum", "UDP.chksum"),)


@packetrig.model
def tc_egress_balancer(frame: bytes, maps: Any) -> Any:
    untouched = TC.OK, frame, {}
    try:
        packet = read(frame, forwarded=False)
    except Left:
        return untouched
    key = packet.flow.turned.key
    answers = maps.sources.get(key) if packet.protocol in (TCP, UDP) else None
    if answers is None:
        return untouched
    service = packed(answers["source"])
    if (service[:12] == MAPPED) != (packet.version == 4):
        return untouched
    before = dict(answers)
    after = {**before, "packets": before["packets"] + 1}
    return TC.OK, _renamed(packet, service), {"sources": {key: (before, after)}}


def _renamed(packet: Packet, service: bytes) -> bytes:
    frame, at, old = bytearray(packet.frame), packet.network, packet.flow.source
    check = packet.transport + (16 if packet.protocol == TCP else 6)
    readdress(frame, check, packet.protocol, old, service)
    if packet.version == 4:
        replace(frame, at + 10, old[12:], service[12:])
        frame[at + 12 : at + 16] = service[12:]
    else:
        frame[at + 8 : at + 24] = service
    return bytes(frame)
