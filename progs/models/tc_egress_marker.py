"""tc_egress_marker: DSCP and mark by the destination port; ECN and the checksums stay."""

from __future__ import annotations

from typing import Any

import packetrig
from packetrig import TC, Answer
from packetrig.checks import a_second_pass_changes_nothing, only_change

from . import headers
from .headers import IPV4, TCP, UDP, Malformed

CHECKS = (only_change("IP.tos", "IP.chksum", "IPv6.tc"), a_second_pass_changes_nothing)


@packetrig.model
def tc_egress_marker(frame: bytes, maps: Any, ctx: Any) -> Any:
    untouched = Answer(TC.OK, changes={}, context={"mark": ctx.get("mark", 0)})
    try:
        header = headers.network(frame)
        if header is None or header.is_fragment or header.protocol not in (TCP, UDP):
            return untouched
        port = headers.ports(header)[1]
    except Malformed:
        return untouched
    treatment = maps.ports.get(port)
    if treatment is None:
        return untouched
    kind, at = headers.ethernet(frame)
    packet = frame[at:]
    marked = _marked4(packet, treatment.dscp) if kind == IPV4 else _marked6(packet, treatment.dscp)
    return Answer(TC.OK, frame[:at] + marked, {}, context={"mark": treatment.mark})


def _marked4(packet: bytes, dscp: int) -> bytes:
    tos = (dscp << 2 & 0xFF) | packet[1] & 3
    return headers.replaced(packet, 0, bytes((packet[0], tos)), checksum=10)


def _marked6(packet: bytes, dscp: int) -> bytes:
    # Version, traffic class (DSCP and ECN), flow label: 4, 6, 2 and 20 bits.
    word = int.from_bytes(packet[:4], "big") & ~(0x3F << 22) | (dscp & 0x3F) << 22
    return word.to_bytes(4, "big") + packet[4:]
