"""xdp_mac_filter: frames of blocked source addresses are dropped and counted."""

from __future__ import annotations

from typing import Any

import packetrig
from packetrig import XDP
from packetrig.checks import only_change

CHECKS = (only_change(),)


@packetrig.model
def xdp_mac_filter(frame: bytes, maps: Any) -> Any:
    source = frame[6:12]
    if source not in maps.blocked:
        return XDP.PASS, frame, {}
    count = maps.blocked[source]
    return XDP.DROP, frame, {"blocked": {source: (count, count + 1)}}
