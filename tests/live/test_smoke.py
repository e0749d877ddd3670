"""Smoke: a program on an interface is held to its own test run."""

from __future__ import annotations

import pytest

from packetrig import TC, XDP
from packetrig.live import Ended, Mode, smoke
from packetrig.live.smoke import TAG_IS_CUT, VLAN_IS_BESIDE, VLAN_IS_PUSHED, ends

pytestmark = pytest.mark.live

HOOKS = [
    ("native", "answer_xdp"),
    ("generic", "answer_xdp"),
    ("tc-ingress", "answer_tc"),
    ("tc-egress", "answer_tc"),
    ("tcx-ingress", "answer_tc"),
    ("tcx-egress", "answer_tc"),
]


@pytest.mark.parametrize(("mode", "program"), HOOKS)
def test_every_verdict_ends_where_the_test_run_says(frame, load, mode, program):
    frames = [frame(answer, stamp=stamp) for answer in range(9) for stamp in (0, 6)]
    report = smoke(load(program), mode, frames, traffic=False)
    assert report.holds
    assert report.sent == 18
    assert sum(report.ended.values()) == 18


@pytest.mark.parametrize(("mode", "program"), HOOKS)
def test_real_traffic_is_held_to_the_test_run_too(load, mode, program):
    report = smoke(load(program), mode, [])
    assert report.holds
    assert report.sent + report.traffic >= 10


@pytest.mark.parametrize(
    ("mode", "program"),
    [("native", "xdp_drops_on_loopback"), ("tc-ingress", "drops_for_others")],
)
def test_real_traffic_that_arrives_against_the_test_run_differs(load, mode, program):
    report = smoke(load(program), mode, [])
    assert not report.holds
    assert report.differing == report.traffic
    first = report.differences[0]
    assert (first.expected, first.seen) == (Ended.NOWHERE, Ended.STACK)


def test_frames_that_cannot_be_tried_are_counted_with_their_reason(xdp, frame):
    report = smoke(xdp, "native", [bytes(9), frame(2), bytes(2000)], traffic=False)
    assert report.sent == 1
    assert sum(report.refused.values()) == 2
    assert any("9 bytes" in reason for reason in report.refused)


def test_a_program_with_a_memory_differs_unless_it_is_prepared(load, frame):
    program = load("only_the_first")
    remembered = smoke(program, "native", [frame(0), frame(0)], traffic=False)
    program.renew()
    prepared = smoke(program, "native", [frame(0), frame(0)], prepare=lambda _: None, traffic=False)
    assert not remembered.holds
    assert "should end in stack, ended in nowhere" in str(remembered.differences[0])
    assert prepared.holds


def test_a_difference_that_the_hook_explains_is_told_apart(load, frame):
    tagged = frame(0)[:12] + b"\x81\x00\x02\x00\x08\x00" + bytes(46)
    report = smoke(load("drops_bare_frames"), "tc-ingress", [tagged], traffic=False)
    assert report.holds
    assert [difference.reason for difference in report.known] == [VLAN_IS_BESIDE]


@pytest.mark.parametrize(
    ("mode", "program", "kind", "expected"),
    [
        ("native", "xdp_drops_on_loopback", b"\x08\x00", Ended.NOWHERE),
        ("native", "xdp_redirects_on_loopback", b"\x08\x00", Ended.ELSEWHERE),
        ("native", "xdp_drops_on_loopback", b"\x81\x00\x02\x00\x08\x00", Ended.NOWHERE),
        ("tc-ingress", "drops_on_loopback", b"\x08\x00", Ended.NOWHERE),
        ("tcx-ingress", "drops_on_loopback", b"\x08\x00", Ended.NOWHERE),
        ("tc-egress", "drops_on_loopback", b"\x08\x00", Ended.NOWHERE),
        ("tc-egress", "drops_on_loopback", b"\x81\x00\x02\x00\x08\x00", Ended.NOWHERE),
    ],
)
def test_a_difference_that_no_hook_explains_is_none_of_the_known(
    load, frame, mode, program, kind, expected
):
    report = smoke(load(program), mode, [frame(0, kind=kind)], traffic=False)
    assert not report.holds
    assert report.known == ()
    (found,) = report.differences
    assert (found.expected, found.seen) == (expected, Ended.STACK)


@pytest.mark.parametrize("mode", ["tc-egress", "tcx-egress"])
def test_a_tag_that_a_program_pushes_is_no_difference_to_its_test_run(load, frame, mode):
    report = smoke(load("pushes_a_tag"), mode, [frame(0)])
    assert report.holds
    assert {difference.reason for difference in report.known} == {VLAN_IS_PUSHED}


def test_a_frame_that_the_kernel_drops_is_no_fault_of_the_program(load):
    cut = bytes(12) + b"\x81\x00\x00\x07\x08"
    report = smoke(load("xdp_passes"), "native", [cut], traffic=False)
    assert report.holds
    assert [difference.reason for difference in report.known] == [TAG_IS_CUT]


def test_what_a_program_swallows_at_egress_ends_nowhere(load, frame):
    report = smoke(load("drops_bare_frames"), "tc-egress", [frame(0)], traffic=False)
    assert report.holds
    assert report.ended == {"nowhere": 1}


def test_illegal_verdicts_have_their_ends_too():
    assert ends(Mode.NATIVE, 77) is Ended.NOWHERE
    assert ends(Mode.TC_INGRESS, 77) is Ended.STACK
    assert ends(Mode.GENERIC, XDP.TX) is Ended.BACK
    assert ends(Mode.TC_EGRESS, TC.UNSPEC) is Ended.STACK
