"""tc_ingress_ports: xdp_ports' decision at TC ingress."""

from __future__ import annotations

from typing import Any

import packetrig
from packetrig import TC
from packetrig.checks import only_change

from . import ports

CHECKS = (only_change(),)


@packetrig.model
def tc_ingress_ports(frame: bytes, maps: Any, globals: Any) -> Any:  # noqa: A002
    is_dropped, counted = ports.judged(frame, maps, closed=bool(globals.closed))
    return TC.SHOT if is_dropped else TC.OK, frame, counted
