"""The catalogue of malformed frames, against the kernel's own test run."""

from __future__ import annotations

from pathlib import Path

import packetrig
from packetrig.packets import malformed

xdp_http = packetrig.fixture(Path(__file__).parents[2] / "progs" / "xdp_http.bpf.c")


def test_every_malformed_frame_can_be_given_to_an_xdp_program(xdp_http):
    cases = malformed.catalogue()

    assert len(xdp_http.run_many([case.frame for case in cases]).verdicts) == len(cases)


def test_a_run_remembers_what_was_wrong_with_its_frame(xdp_http):
    case = malformed.catalogue(packet="udp4", kind="version")[0]

    run = xdp_http.run(case.frame)
    many = xdp_http.run_many([case.frame])

    assert run.frame is case.frame
    assert run == many[0]
    assert many[0].frame is case.frame
    assert "; udp4: IP.version is 0 instead of 4 (46 bytes)" in run.explain()
