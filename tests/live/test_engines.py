"""Three engines: each tells what it saw, agrees with the test run or says where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

import packetrig
from packetrig import TC, XDP
from packetrig.errors import Error
from packetrig.live import Ended, Wire
from packetrig.live.engines import Bench, CannotTell
from packetrig.live.parity import KNOWN

pytestmark = pytest.mark.live

SEEING = ("live-frames", "wire", "wire:generic")
REDIRECTS = Path(__file__).parent / "redirects.bpf.c"


@pytest.mark.parametrize("engine", SEEING)
@pytest.mark.parametrize(
    ("verdict", "ended"),
    [
        (XDP.PASS, Ended.STACK),
        (XDP.DROP, Ended.NOWHERE),
        (XDP.ABORTED, Ended.NOWHERE),
        (XDP.TX, Ended.BACK),
        (77, Ended.NOWHERE),
    ],
)
def test_a_verdict_is_told_by_where_the_frame_ended(xdp, frame, engine, verdict, ended):
    with Bench(engine) as bench:
        seen = bench.run(xdp.program, frame(verdict))

    assert (seen.verdict, seen.ended, seen.difference) == (verdict, ended, None)
    assert seen.expected.verdict == verdict
    assert verdict in seen.verdicts or verdict == 77


@pytest.mark.parametrize("engine", SEEING)
def test_what_a_program_rewrote_is_seen_where_it_ended(xdp, frame, engine):
    sent = frame(XDP.PASS, stamp=6)
    with Bench(engine) as bench:
        seen = bench.run(xdp.program, sent)

    assert seen.data == b"\x06" + sent[1:]
    assert seen.is_rewritten
    assert seen == xdp.run(sent)
    assert repr(seen) == f"<Seen XDP.PASS by {engine}: ended on the stack>"


@pytest.mark.parametrize("engine", SEEING)
def test_the_bytes_of_a_frame_that_ended_nowhere_cannot_be_told(xdp, frame, engine):
    with Bench(engine) as bench:
        seen = bench.run(xdp.program, frame(XDP.DROP))

    with pytest.raises(CannotTell, match="the bytes of a frame that nobody received"):
        _ = seen.data


@pytest.mark.parametrize("engine", ["wire", "wire:tc-egress", "wire:tcx-ingress"])
@pytest.mark.parametrize("verdict", [TC.OK, TC.PIPE, TC.SHOT])
def test_tc_is_told_by_where_the_frame_ended(tc, frame, engine, verdict):
    with Bench(engine) as bench:
        seen = bench.run(tc.program, frame(verdict))

    assert (seen.verdict, seen.difference) == (verdict, None)
    assert seen.verdict in seen.verdicts


def test_tcx_and_clsact_end_a_stolen_frame_otherwise_and_both_agree(tc, frame):
    with Bench("wire") as clsact, Bench("wire:tcx-ingress") as tcx:
        stolen = [bench.run(tc.program, frame(TC.STOLEN)) for bench in (clsact, tcx)]

    assert [seen.ended for seen in stolen] == [Ended.NOWHERE, Ended.STACK]
    assert [seen.verdict for seen in stolen] == [TC.STOLEN, TC.STOLEN]


def test_tc_has_no_live_frames(tc, frame):
    with Bench("live-frames") as bench, pytest.raises(CannotTell, match="only XDP has live frames"):
        bench.run(tc.program, frame(TC.OK))


@pytest.mark.parametrize(
    ("engine", "size"), [("live-frames", 13), ("live-frames", 3600), ("wire", 13), ("wire", 1515)]
)
def test_a_frame_that_an_engine_does_not_take_is_named(xdp, engine, size):
    with Bench(engine) as bench, pytest.raises(CannotTell, match=f"{size} bytes"):
        bench.run(xdp.program, bytes(size))


def test_a_program_with_a_memory_is_asked_again_from_the_same_past(load, frame):
    memory = load("only_the_first")
    with Bench("wire") as bench:
        seen = [bench.run(memory.program, frame(0)) for _ in range(3)]

    assert [each.verdict for each in seen] == [XDP.PASS, XDP.DROP, XDP.DROP]
    assert [each.expected.verdict for each in seen] == [XDP.PASS, XDP.DROP, XDP.DROP]
    assert memory.globals.seen == 3  # as the frames left it, not the questions


def test_a_renewed_object_is_attached_anew(load, frame):
    memory = load("only_the_first")
    with Bench("wire") as bench:
        before = bench.run(memory.program, frame(0)), bench.run(memory.program, frame(0))
        memory.reload()
        after = bench.run(memory.program, frame(0))

    assert [each.verdict for each in (*before, after)] == [XDP.PASS, XDP.DROP, XDP.PASS]


def test_a_difference_is_named_with_what_the_hook_does_otherwise(load, frame):
    tagged = frame(0)[:12] + b"\x81\x00\x02\x00\x08\x00" + bytes(46)
    with Bench("wire") as bench:
        seen = bench.run(load("drops_bare_frames").program, tagged)

    assert seen.verdict is TC.OK
    assert seen.difference.known[0].name == "VLAN tag"
    assert str(seen.difference).startswith(
        "testrun: TC.SHOT; wire: TC.OK, ended on the stack; may be explained by: VLAN tag"
    )
    assert "stands beside the frame" in seen.explain()


@pytest.mark.parametrize(
    ("program", "engine", "name"),
    [
        ("drops_for_others", "wire", "pkt_type"),
        ("drops_on_loopback", "wire:tcx-ingress", "interface"),
        ("drops_on_loopback", "wire:tc-egress", "interface"),
        ("xdp_drops_on_loopback", "wire", "interface"),
        ("xdp_drops_on_loopback", "wire:generic", "interface"),
        ("xdp_drops_on_loopback", "live-frames", "interface"),
    ],
)
def test_what_an_interface_does_otherwise_is_named(load, frame, program, engine, name):
    with Bench(engine) as bench:
        seen = bench.run(load(program).program, frame(0))

    assert seen.expected.verdict.name in ("SHOT", "DROP")
    assert seen.ended is Ended.STACK
    assert name in [known.name for known in seen.difference.known]


def test_a_frame_that_finds_no_room_to_grow_is_named(load, frame):
    program = load("xdp_grows").program
    with Bench("wire") as bench:
        seen = bench.run(program, frame(0))

    assert seen.expected.verdict is XDP.PASS
    assert seen.ended is Ended.NOWHERE
    assert seen.difference.known[0].name == "room"


def test_a_large_frame_comes_in_pieces_where_a_test_run_has_none(load, frame):
    program = load("drops_in_pieces")
    with Wire(mtu=9000) as wide, wide.right.attach(program, mode="tc-ingress"):
        assert wide.send(frame(0, size=3000)) != []
        assert wide.send(frame(0, size=6000)).ended is Ended.NOWHERE
    assert program.run(frame(0, size=3000)).verdict is TC.OK


def test_a_redirect_is_told_by_the_port_where_the_frame_was_heard():
    with (
        packetrig.build(REDIRECTS).load(program="redirect_xdp") as loaded,
        Wire(ports=2) as wire,
    ):
        frame = bytes(12) + b"\x08\x00" + bytes([0, wire.ports[1].index]) + bytes(46)
        for engine in ("live-frames", "wire", "wire:generic"):
            with Bench(engine, wire=wire) as bench:
                seen = bench.run(loaded.program, frame)
            assert (seen.verdict, seen.trip.port) == (XDP.REDIRECT, "left2")
            assert (seen.difference, seen.data) == (None, frame)


def test_a_redirect_to_nowhere_is_no_difference_and_is_no_drop():
    with packetrig.build(REDIRECTS).load(program="redirect_xdp") as loaded, Bench("wire") as bench:
        seen = bench.run(loaded.program, bytes(12) + b"\x08\x00" + bytes([0, 99]) + bytes(46))

    assert (seen.verdict, seen.ended) == (XDP.REDIRECT, Ended.NOWHERE)


def test_where_the_state_cannot_be_put_back_the_verdict_is_only_told_if_it_is_the_only_one(
    xdp, frame, monkeypatch
):
    xdp.state._obstacle = "events are gone"
    with Bench("wire") as bench:
        passed = bench.run(xdp.program, frame(XDP.PASS))
        dropped = bench.run(xdp.program, frame(XDP.DROP))

    assert passed.verdict is XDP.PASS
    assert set(dropped.verdicts) == {XDP.DROP, XDP.ABORTED, XDP.REDIRECT}
    with pytest.raises(CannotTell, match=r"one of XDP.DROP, XDP.ABORTED.*events are gone"):
        _ = dropped.verdict


@pytest.mark.parametrize("engine", SEEING)
@pytest.mark.parametrize("size", [14, 17, 19, 20])
def test_a_frame_that_the_kernel_drops_behind_xdp_was_let_through(load, engine, size):
    tagged = bytes(12) + b"\x81\x00\x00\x07" + bytes(44)
    with Bench(engine) as bench:
        seen = bench.run(load("xdp_passes").program, tagged[:size])

    assert seen.ended is (Ended.STACK if size == 20 else Ended.NOWHERE)
    assert (seen.verdict, seen.difference) == (XDP.PASS, None)


def test_a_frame_that_the_kernel_drops_before_tc_is_not_seen_by_it(tc):
    tagged = bytes(12) + b"\x81\x00\x00\x07\x08"
    with Bench("wire") as bench, pytest.raises(CannotTell, match="cut in its VLAN tag"):
        bench.run(tc.program, tagged)


def test_a_frame_that_only_an_interface_takes_is_seen_without_a_test_run(tc):
    short = bytes(12) + b"\x08\x00" + bytes([TC.SHOT]) + bytes(9)
    with Bench("wire") as bench:
        seen = bench.run(tc.program, short)

    assert (seen.ended, seen.expected) == (Ended.NOWHERE, None)
    with pytest.raises(CannotTell, match=r"one of TC.SHOT, TC.STOLEN.*takes no less than 34"):
        _ = seen.verdict


@pytest.mark.parametrize("name", ["dream", "live-frames:native", "wire:offload"])
def test_an_engine_that_there_is_not_is_told_those_that_there_are(name):
    with pytest.raises(Error, match="there are: "):
        Bench(name)


def test_the_known_differences_are_these():
    assert [known.name for known in KNOWN] == [
        "VLAN tag",
        "redirect",
        "room",
        "pkt_type",
        "interface",
        "checksum state",
        "non-linear skb",
        "time and chance",
    ]
