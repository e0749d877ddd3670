"""xdp_firewall: packets of blocked sources are dropped, by address, then by prefix."""

from __future__ import annotations

import ipaddress
from typing import Any

import packetrig
from packetrig import XDP
from packetrig.checks import only_change

from . import headers
from .headers import IPV4, IPV6, Malformed

CHECKS = (only_change(),)


@packetrig.model
def xdp_firewall(frame: bytes, maps: Any, globals: Any) -> Any:  # noqa: A002
    total = sum(maps.drops[0])
    dropped = {"drops": {0: (total, total + 1)}}
    try:
        source = _source(frame)
    except Malformed:
        return (XDP.DROP, frame, dropped) if globals.strict else (XDP.PASS, frame, {})
    hit = _hit(source, maps) if source else None
    if hit is None:
        return XDP.PASS, frame, {}
    name, key = hit
    count = maps[name][key]
    return XDP.DROP, frame, {name: {key: (count, count + 1)}, **dropped}


def _source(frame: bytes) -> bytes:
    kind, at = headers.ethernet(frame)
    if kind == IPV4:
        return headers.ipv4(frame[at:]).source
    if kind == IPV6:
        return headers.ipv6(frame[at:]).source
    return b""


def _hit(source: bytes, maps: Any) -> tuple[str, str] | None:
    suffix = "6" if len(source) == 16 else ""
    address = str(ipaddress.ip_address(source))
    if address in maps[f"blocked{suffix}"]:
        return f"blocked{suffix}", address
    prefix = headers.longest(maps[f"prefixes{suffix}"], source)
    return (f"prefixes{suffix}", prefix) if prefix else None
