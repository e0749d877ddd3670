"""What a campaign judges on every run: each way in which a run can be wrong, by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import packetrig
from packetrig import Run, check, fuzz
from packetrig._bpf import probes
from packetrig.fuzz import Ended, Found
from packetrig.packets import craft

pytestmark = pytest.mark.slow

APART = Path(__file__).parent / "sources" / "xdp_apart.bpf.c"
JUDGED = Path(__file__).parents[1] / "kernel" / "sources" / "judged.bpf.c"
QUERY = craft.V4.frame(craft.udp(b"data", craft.V4), craft.UDP)
QUERY6 = craft.V6.frame(craft.udp(b"data", craft.V6), craft.UDP)


def found(source: Path, **how: Any) -> list[str]:
    """Search from two packets, and name the checks that something broke."""
    events = list(fuzz.campaign(source, seeds=[QUERY, QUERY6], runs=300, seed=1, **how))
    assert isinstance(events[-1], Ended)
    return sorted({each.check for each in events if isinstance(each, Found)})


@check
def it_is_asked(before: bytes, run: Run) -> bool:
    return len(run.data) >= 0


@pytest.mark.parametrize("checks", [(), (it_is_asked,)], ids=["built-in", "one's own as well"])
def test_bytes_are_judged_whatever_else_is(checks: tuple[packetrig.Check, ...]) -> None:
    assert found(JUDGED, program="spoils_ports", checks=checks) == ["right_checksums_stay_right"]


@pytest.mark.skipif(not probes.has_checksum_complete(), reason="needs Linux 6.11")
def test_the_sum_of_a_device_is_judged() -> None:
    assert found(JUDGED, program="writes_directly") == ["what_a_device_summed_up_stays_right"]


@pytest.mark.parametrize("what", ["BYTE", "COUNT"])
def test_equal_packets_are_held_to_the_bytes_and_to_the_state_that_they_leave(what: str) -> None:
    assert found(APART) == []
    assert found(APART, define={what: "position()"}) == ["equal_packets_are_treated_equally"]


@pytest.mark.parametrize("what", ["BYTE", "COUNT"])
def test_another_program_is_held_to_the_bytes_and_to_the_state_that_it_leaves(what: str) -> None:
    same, other = packetrig.build(APART), packetrig.build(APART, define={what: 7})

    assert found(APART, against=same) == []
    assert found(APART, against=other) == [f"the same as {APART}"]
