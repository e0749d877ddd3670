"""tc_http: xdp_http's decision at TC ingress."""

from __future__ import annotations

from typing import Any

import packetrig
from packetrig import TC
from packetrig.checks import only_change

from . import http

CHECKS = (only_change(),)


@packetrig.model
def tc_http(frame: bytes, maps: Any, globals: Any) -> Any:  # noqa: A002
    is_dropped, counted = http.judged(frame, maps, globals.port)
    return TC.SHOT if is_dropped else TC.OK, frame, counted
