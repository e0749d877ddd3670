"""tc_ingress: what arrives is counted by its mark."""

from __future__ import annotations

from typing import Any

import packetrig
from packetrig import TC, Answer
from packetrig.checks import only_change

CHECKS = (only_change(),)


@packetrig.model
def tc_ingress(frame: bytes, maps: Any, ctx: Any) -> Any:
    # A test run has no metadata: the packet keeps the mark that it came with.
    mark = ctx.get("mark", 0)
    before = maps.traffic.get(mark)
    after = {
        "packets": (before.packets if before else 0) + 1,
        "bytes": (before.bytes if before else 0) + len(frame),
    }
    changes = {"traffic": {mark: (before, after)}}
    return Answer(TC.OK, changes=changes, context={"mark": mark})
