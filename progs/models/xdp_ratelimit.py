"""xdp_ratelimit: a token bucket for each IPv4 source.

Where tokens are earned (period_ns is not 0) the answer depends on the time, and the model says
only what does not: that the packet stays as it is.
"""

from __future__ import annotations

import ipaddress
from typing import Any

import packetrig
from packetrig import ANY, XDP
from packetrig.checks import drops_grow_only, only_change

from . import headers
from .headers import IPV4, Malformed

# A bucket of depth 0 is opened for a packet that is dropped.
CHECKS = (only_change(), drops_grow_only("buckets"))


@packetrig.model
def xdp_ratelimit(frame: bytes, maps: Any, globals: Any) -> Any:  # noqa: A002
    try:
        kind, at = headers.ethernet(frame)
        source = headers.ipv4(frame[at:]).source if kind == IPV4 else b""
    except Malformed:
        source = b""
    if not source:
        return XDP.PASS, frame, {}
    if globals.period_ns:
        return ANY, frame
    address = str(ipaddress.ip_address(source))
    prefix = headers.longest(maps.routes, source)
    depth = maps.routes[prefix] if prefix else globals.depth
    bucket = maps.buckets.get(address)
    tokens = depth if bucket is None else bucket.tokens
    changes: dict[str, Any] = {}
    left = tokens - 1 if tokens > 0 else tokens
    if bucket is None or left != tokens:
        after = {"tokens": left, "refilled_ns": ANY}
        changes["buckets"] = {address: (bucket, after)}
    if tokens > 0:
        return XDP.PASS, frame, changes
    dropped = sum(maps.drops[0])
    return XDP.DROP, frame, {**changes, "drops": {0: (dropped, dropped + 1)}}
