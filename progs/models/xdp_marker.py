"""xdp_marker: the mark of a source's network, in front of the packet."""

from __future__ import annotations

import struct
from typing import Any

import packetrig
from packetrig import XDP, Answer
from packetrig.checks import only_change

from . import headers
from .headers import IPV4, Malformed

MAGIC = 0x70747267
CHECKS = (only_change(),)


@packetrig.model
def xdp_marker(frame: bytes, maps: Any, meta: bytes) -> Any:
    unmarked = Answer(XDP.PASS, changes={}, metadata=meta)
    try:
        kind, at = headers.ethernet(frame)
        if kind != IPV4:
            return unmarked
        source = headers.ipv4(frame[at:]).source
    except Malformed:
        return unmarked
    prefix = headers.longest(maps.marks, source)
    if prefix is None:
        return unmarked
    mark = struct.pack("=II", MAGIC, maps.marks[prefix])
    return Answer(XDP.PASS, changes={}, metadata=mark + meta)
