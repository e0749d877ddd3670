"""What the wire knows without a kernel: where verdicts end, and which tap hears a frame."""

from __future__ import annotations

import struct

import pytest

from packetrig import TC, XDP
from packetrig.errors import Error
from packetrig.live import Ended, Mode, Sent, Trip
from packetrig.live.smoke import Difference, _Expected, _unmatched, ends
from packetrig.live.taps import ETH_P_802_2, ETH_P_802_3, _with_tag, protocol_of

MACS = bytes.fromhex("020000000002020000000001")


@pytest.mark.parametrize(
    ("kind", "heard_as"),
    [
        (b"\x08\x00\x45\x00", 0x0800),
        (b"\x86\xdd\x60\x00", 0x86DD),
        (b"\x81\x00\x00\x05\x08\x06", 0x0806),  # the outermost tag is taken off
        (b"\x88\xa8\x00\x05\x81\x00\x00\x06\x08\x00", 0x8100),  # an inner one is not
        (b"\x00\x2e\xaa\xaa\x03", ETH_P_802_2),
        (b"\x00\x2e\xff\xff\x00", ETH_P_802_3),
    ],
)
def test_a_frame_is_heard_as_its_protocol_behind_the_outermost_tag(kind, heard_as):
    assert protocol_of(MACS + kind) == heard_as


def test_a_tag_that_the_kernel_keeps_aside_is_put_back():
    bare = MACS + b"\x08\x00" + bytes(46)
    told = struct.pack("=IIIHHHH", (1 << 4) | (1 << 6), 60, 60, 0, 14, 0x2007, 0x88A8)
    assert _with_tag(bare, [(263, 8, told)]) == MACS + b"\x88\xa8\x20\x07" + bare[12:]


def test_a_frame_without_a_tag_is_left_alone():
    bare = MACS + b"\x08\x00" + bytes(46)
    told = struct.pack("=IIIHHHH", 1, 60, 60, 0, 14, 0, 0)
    assert _with_tag(bare, [(263, 8, told)]) == bare


@pytest.mark.parametrize(
    ("mode", "verdict", "ended"),
    [
        (Mode.NATIVE, XDP.PASS, Ended.STACK),
        (Mode.GENERIC, XDP.TX, Ended.BACK),
        (Mode.NATIVE, XDP.REDIRECT, Ended.ELSEWHERE),
        (Mode.NATIVE, XDP.ABORTED, Ended.NOWHERE),
        (Mode.NATIVE, 77, Ended.NOWHERE),
        (Mode.TC_INGRESS, TC.OK, Ended.STACK),
        (Mode.TC_EGRESS, TC.UNSPEC, Ended.STACK),
        (Mode.TC_EGRESS, TC.SHOT, Ended.NOWHERE),
        (Mode.TC_INGRESS, TC.REDIRECT, Ended.ELSEWHERE),
        (Mode.TC_INGRESS, 77, Ended.STACK),
        (Mode.TCX_INGRESS, TC.SHOT, Ended.NOWHERE),
        (
            Mode.TCX_INGRESS,
            TC.STOLEN,
            Ended.STACK,
        ),  # tcx knows OK, SHOT, REDIRECT; the rest is NEXT
        (Mode.TCX_EGRESS, TC.REDIRECT, Ended.ELSEWHERE),
    ],
)
def test_each_verdict_has_its_end(mode, verdict, ended):
    assert ends(mode, verdict) is ended


@pytest.mark.parametrize(
    ("passed", "returned", "counters", "ended"),
    [
        ((b"x",), (), {}, Ended.STACK),
        ((), (b"x",), {"xdp_tx": 1}, Ended.BACK),
        ((), (), {"xdp_redirect": 1}, Ended.ELSEWHERE),
        ((), (), {"xdp_drops": 1}, Ended.NOWHERE),
    ],
)
def test_a_trip_sums_up_what_was_seen(passed, returned, counters, ended):
    assert Trip(b"x", passed, returned, counters).ended is ended


def test_a_frame_that_one_other_end_heard_ended_there():
    heard = {"left2": (b"x",)}
    assert Trip(b"x", (), (), {}, heard).ended is Ended.ELSEWHERE
    assert Trip(b"x", (), (), {}, heard).port == "left2"
    assert Trip(b"x", (), (), {}, {**heard, "left3": (b"x",)}).port == ""
    assert Trip(b"x", (b"x",), (), {}, heard).ended is Ended.STACK  # a copy went elsewhere


def test_what_was_sent_is_the_list_of_what_arrived_and_more():
    sent = Sent(Trip(b"x", (b"y", b"z"), (b"w",)))
    assert sent == [b"y", b"z"]
    assert (sent.ended, sent.returned, sent.port) == (Ended.STACK, (b"w",), "")


@pytest.mark.parametrize("mode", Mode)
def test_a_hook_sees_what_comes_or_what_goes(mode):
    assert mode.is_xdp + mode.is_tc_ingress + mode.is_egress == 1
    assert mode.is_tcx == mode.value.startswith("tcx")


def test_a_mode_is_known_by_its_name():
    assert Mode.of("tc-egress") is Mode.TC_EGRESS
    assert Mode.of(Mode.NATIVE) is Mode.NATIVE
    with pytest.raises(Error, match="there are: native, generic, tc-ingress, tc-egress"):
        Mode.of("skb")


def test_a_frame_that_came_out_otherwise_names_the_fields():
    ip = bytes.fromhex("0800 4500001c00010000401166ce 0a000001 0a000002 00350035 0008eb31")
    frame = MACS + ip
    ended, seen = Ended.STACK, frame[:22] + b"\x3f" + frame[23:]

    told = str(Difference(frame, XDP.PASS, ended, ended, frame, (seen,)))
    twice = str(Difference(frame, XDP.PASS, ended, ended, frame, (frame, frame)))

    assert told.startswith("XDP.PASS ended in stack as it should, with other bytes: IP.ttl (42")
    assert twice.startswith("XDP.PASS ended in stack as it should, 2 times (42 bytes: ")


def test_what_arrives_is_held_to_what_the_test_run_lets_through_frame_by_frame():
    passes = _Expected(b"sent", XDP.PASS, Ended.STACK, b"rewritten")
    drops = _Expected(b"bad", XDP.DROP, Ended.NOWHERE, b"bad")

    assert _unmatched([passes, drops, passes], [b"rewritten", b"rewritten"]) == []
    (lost,) = _unmatched([passes, drops, passes], [b"rewritten"])
    assert (lost.frame, lost.expected, lost.seen) == (b"sent", Ended.STACK, Ended.NOWHERE)
    (slipped,) = _unmatched([passes, drops], [b"rewritten", b"bad"])
    assert (slipped.frame, slipped.verdict, slipped.seen) == (b"bad", XDP.DROP, Ended.STACK)
    (unknown,) = _unmatched([passes], [b"rewritten", b"of nobody"])
    assert (unknown.frame, unknown.verdict) == (b"of nobody", -1)
