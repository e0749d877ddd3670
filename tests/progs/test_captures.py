"""Every program gives each packet of each capture the verdict that is written beside it.

Those were decided without the programs (fixtures/recording/expect.py), so a mistake has to be made
twice to go unseen.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import packetrig
from packetrig import replay
from packetrig.packets import pcap

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "fixtures" / "policy"
CAPTURES = sorted((ROOT / "fixtures" / "pcap").glob("*.pcap"))
PROGRAMS = sorted(path.name.removesuffix(".bpf.c") for path in (ROOT / "progs").glob("*.bpf.c"))


def test_each_program_has_a_state_to_be_set_up_with() -> None:
    assert [name for name in PROGRAMS if not (POLICY / f"{name}.toml").exists()] == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_real_traffic_gets_the_verdicts_that_were_decided_elsewhere(program: str) -> None:
    setup = replay.Setup.read(POLICY / f"{program}.toml")
    spec = packetrig.build(ROOT / "progs" / f"{program}.bpf.c")
    wrong = {}

    for capture in CAPTURES:
        frames = [record.data for record in pcap.read(capture)]
        with setup.load(spec) as loaded:
            seen = tuple(replay.name_of(verdict) for verdict in loaded.run_many(frames).verdicts)
        if seen != replay.expectations(capture)[program]:
            wrong[capture.stem] = replay.run_lengths(seen)

    assert wrong == {}
