"""What each program makes of real packets, field by field, in files that a review can read.

Of all captured packets it is the first of each kind of answer: every verdict, with the packet left
alone and rewritten. The files are in fixtures/golden/progs/test_golden/.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import packetrig
from packetrig import Run, replay
from packetrig.packets import pcap

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "fixtures" / "policy"
CAPTURES = sorted((ROOT / "fixtures" / "pcap").glob("*.pcap"))
PROGRAMS = sorted(path.name.removesuffix(".bpf.c") for path in (ROOT / "progs").glob("*.bpf.c"))
REWRITING = {"tc_egress_balancer", "tc_egress_marker", "xdp_balancer", "xdp_router"}


def answers(program: str) -> Iterator[tuple[str, Run]]:
    """Yield the first run of each kind of answer, with a name for it."""
    setup = replay.Setup.read(POLICY / f"{program}.toml")
    spec = packetrig.build(ROOT / "progs" / f"{program}.bpf.c")
    seen = set()
    for capture in CAPTURES:
        with setup.load(spec) as loaded:
            for record in pcap.read(capture):
                run = loaded.run(record.data)
                kind = f"{replay.name_of(run.verdict).lower()}{'_rewritten' * run.is_rewritten}"
                if kind not in seen:
                    seen.add(kind)
                    yield kind, run


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_first_packet_of_each_kind_of_answer_is_as_it_was(program: str) -> None:
    kinds = []
    for kind, run in answers(program):
        kinds.append(kind)
        assert run == packetrig.golden(f"{program}_{kind}"), run.explain()

    assert any(kind.endswith("_rewritten") for kind in kinds) is (program in REWRITING)
