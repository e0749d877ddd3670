"""xdp_ports: by destination port of TCP, UDP and SCTP; nothing changes."""

from __future__ import annotations

from typing import Any

import packetrig
from packetrig import XDP
from packetrig.checks import only_change

from . import ports

CHECKS = (only_change(),)


@packetrig.model
def xdp_ports(frame: bytes, maps: Any, globals: Any) -> Any:  # noqa: A002
    is_dropped, counted = ports.judged(frame, maps, closed=bool(globals.closed))
    return XDP.DROP if is_dropped else XDP.PASS, frame, counted
