"""xdp_untag: the outer VLAN tag of listed VLANs goes, and nothing else."""

from __future__ import annotations

from typing import Any

import packetrig
from packetrig import XDP
from packetrig.checks import length_changes, only_change

from . import headers

CHECKS = (only_change("Ether.type", takes=("Dot1Q", "Dot1AD")), length_changes(by=-4))


@packetrig.model
def xdp_untag(frame: bytes, maps: Any) -> Any:
    if headers.number(frame, 12) not in headers.TAGS or len(frame) < 18:
        return XDP.PASS, frame, {}
    vlan = headers.number(frame, 14) & 0xFFF
    if vlan not in maps.untagged:
        return XDP.PASS, frame, {}
    count = maps.untagged[vlan]
    return XDP.PASS, frame[:12] + frame[16:], {"untagged": {vlan: (count, count + 1)}}
