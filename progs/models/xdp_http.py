"""xdp_http: HTTP requests are dropped unless their path is allowed."""

from __future__ import annotations

from typing import Any

import packetrig
from packetrig import XDP
from packetrig.checks import only_change

from . import http

CHECKS = (only_change(),)


@packetrig.model
def xdp_http(frame: bytes, maps: Any, globals: Any) -> Any:  # noqa: A002
    is_dropped, counted = http.judged(frame, maps, globals.port)
    return XDP.DROP if is_dropped else XDP.PASS, frame, counted
