"""Where a frame ends: on the stack, back, elsewhere, nowhere."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from packetrig import TC, XDP, InputRefused
from packetrig.errors import Error
from packetrig.live import Ended, Wire, finish
from packetrig.live.taps import Tap

pytestmark = pytest.mark.live

XDP_MODES = ("native", "generic")
REPOSITORY = Path(__file__).resolve().parents[2]


def test_without_a_program_a_frame_arrives_as_it_was_sent(wire, frame):
    for sent in (frame(0), frame(7, kind=b"\x86\xdd"), frame(1, size=1514), frame(0)[:14]):
        assert wire.send(sent) == [sent]


def test_nothing_but_the_frame_is_ever_on_the_wire(wire, frame):
    trips = [wire.trace(frame(number)) for number in range(50)]
    assert all(len(trip.passed) == 1 and trip.returned == () for trip in trips)


def test_the_right_end_sends_to_the_left(wire, frame):
    assert wire.right.send(frame(1)) == [frame(1)]


def test_a_scapy_packet_can_be_sent(wire):
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether

    packet = Ether(src=wire.left.mac, dst=wire.right.mac) / IP(src="10.0.0.1", dst="10.0.0.2")
    assert wire.send(packet / UDP()) == [bytes(packet / UDP())]


@pytest.mark.parametrize("mode", XDP_MODES)
@pytest.mark.parametrize(
    ("verdict", "ended"),
    [
        (XDP.PASS, Ended.STACK),
        (XDP.DROP, Ended.NOWHERE),
        (XDP.ABORTED, Ended.NOWHERE),
        (XDP.TX, Ended.BACK),
        (XDP.REDIRECT, Ended.NOWHERE),
        (77, Ended.NOWHERE),
    ],
)
def test_xdp_decides_where_a_frame_ends(wire, frame, xdp, mode, verdict, ended):
    with wire.right.attach(xdp, mode=mode):
        assert wire.trace(frame(verdict)).ended is ended


@pytest.mark.parametrize("mode", XDP_MODES)
def test_what_xdp_rewrote_is_what_arrives(wire, frame, xdp, mode):
    with wire.right.attach(xdp, mode=mode):
        sent = frame(XDP.PASS, stamp=0x06)
        assert wire.send(sent) == [b"\x06" + sent[1:]]


@pytest.mark.parametrize("mode", XDP_MODES)
def test_what_xdp_sends_back_is_returned_and_no_other_frame_with_it(wire, frame, xdp, mode):
    with wire.right.attach(xdp, mode=mode):
        for stamp in (2, 4, 6):
            sent = frame(XDP.TX, stamp=stamp)
            trip = wire.trace(sent)
            assert trip.returned == (bytes([stamp]) + sent[1:],)
            assert trip.passed == ()
        assert wire.trace(frame(XDP.DROP)).returned == ()


def test_native_xdp_is_counted_by_the_driver(wire, frame, xdp):
    with wire.right.attach(xdp, mode="native"):
        assert wire.trace(frame(XDP.DROP)).counters["xdp_drops"] == 1
        assert wire.trace(frame(XDP.TX)).counters["xdp_tx"] == 1
        assert "xdp_drops" not in wire.trace(frame(XDP.PASS)).counters


@pytest.mark.parametrize("mode", XDP_MODES)
def test_a_vlan_tag_arrives_behind_xdp(wire, frame, xdp, mode):
    tagged = frame(0)[:12] + b"\x81\x00\x02\x00\x08\x00" + bytes(46)  # byte 14: PASS
    with wire.right.attach(xdp, mode=mode):
        assert wire.send(tagged) == [tagged]


@pytest.mark.parametrize(
    ("verdict", "ended"),
    [
        (TC.OK, Ended.STACK),
        (TC.RECLASSIFY, Ended.STACK),
        (TC.SHOT, Ended.NOWHERE),
        (TC.PIPE, Ended.STACK),
        (TC.STOLEN, Ended.NOWHERE),
        (TC.TRAP, Ended.NOWHERE),
        (TC.REDIRECT, Ended.NOWHERE),
    ],
)
def test_tc_decides_where_a_frame_ends(wire, frame, tc, verdict, ended):
    with wire.right.attach(tc, mode="tc-ingress"):
        assert wire.trace(frame(verdict)).ended is ended
    with wire.left.attach(tc, mode="tc-egress"):
        assert wire.trace(frame(verdict)).ended is ended


@pytest.mark.parametrize(
    ("verdict", "ended"),
    [
        (TC.UNSPEC, Ended.STACK),
        (TC.OK, Ended.STACK),
        (TC.SHOT, Ended.NOWHERE),
        (TC.STOLEN, Ended.STACK),  # tcx knows four answers: every other goes on
        (TC.TRAP, Ended.STACK),
        (TC.REDIRECT, Ended.NOWHERE),
    ],
)
def test_tcx_decides_where_a_frame_ends(wire, frame, tc, verdict, ended):
    number = verdict & 0xFF
    with wire.right.attach(tc, mode="tcx-ingress"):
        assert wire.trace(frame(number)).ended is ended
    with wire.left.attach(tc, mode="tcx-egress"):
        assert wire.trace(frame(number)).ended is ended


@pytest.mark.parametrize("kind", [b"\x08\x06", b"\x86\xdd", b"\x77\x77", b"\x00\x2e"])
def test_tc_ingress_is_watched_for_any_protocol(wire, frame, tc, kind):
    with wire.right.attach(tc, mode="tc-ingress"):
        assert wire.send(frame(TC.OK, kind=kind)) == [frame(TC.OK, kind=kind)]
        assert wire.send(frame(TC.SHOT, kind=kind)) == []


def test_what_tc_rewrote_is_what_arrives(wire, frame, tc):
    sent = frame(TC.OK, stamp=0x06)
    with wire.right.attach(tc, mode="tc-ingress"):
        assert wire.send(sent) == [b"\x06" + sent[1:]]
    with wire.left.attach(tc, mode="tc-egress"):
        assert wire.send(sent) == [b"\x06" + sent[1:]]


def test_tc_ingress_sees_the_vlan_tag_beside_the_frame(wire, frame, load):
    tagged = frame(0)[:12] + b"\x81\x00\x02\x00\x08\x00" + bytes(46)
    with wire.right.attach(load("drops_bare_frames"), mode="tc-ingress"):
        assert wire.trace(tagged).ended is Ended.STACK
        assert wire.trace(frame(0)).ended is Ended.NOWHERE


def test_tc_sees_what_xdp_left(wire, frame, xdp, tc):
    with wire.right.attach(xdp, mode="native"), wire.right.attach(tc, mode="tc-ingress"):
        assert wire.send(frame(XDP.DROP)) == []  # never comes to TC
        assert wire.send(frame(XDP.PASS)) == []  # XDP.PASS is TC.SHOT
        assert wire.right.modes


def test_an_egress_program_of_the_wrong_end_is_named(wire, frame, tc):
    with wire.right.attach(tc, mode="tc-egress"):
        with pytest.raises(Error, match=r"wire\.left"):
            wire.send(frame(TC.SHOT))
        assert wire.right.send(frame(TC.SHOT)) == []


@pytest.mark.parametrize("size", [0, 13, 1515, 70_000])
def test_a_frame_that_does_not_fit_is_refused(wire, size):
    with pytest.raises(InputRefused, match=f"{size} bytes"):
        wire.send(bytes(size))


@pytest.mark.parametrize("mtu", [67, 65536, -1, "1500", None])
def test_an_mtu_that_no_veth_has_is_named(mtu):
    with pytest.raises(Error, match=f"mtu={mtu!r}: a veth has one of 68 to 65535"):
        Wire(mtu=mtu)


@pytest.mark.parametrize(
    ("address", "prefix"), [("nonsense", 24), ("10.0.0.1", 33), ("2001:db8::1", 129)]
)
def test_an_address_that_is_none_is_named(wire, address, prefix):
    with pytest.raises(Error, match=f"right: the address {address}/{prefix}: "):
        wire.right.assign(address, prefix)


@pytest.mark.parametrize(
    ("address", "mac"), [("10.0.0.1", "02:00"), ("10.0.0", "02:00:00:00:00:01")]
)
def test_a_neighbour_that_is_none_is_named(wire, address, mac):
    with pytest.raises(Error, match=f"right: the neighbour {address}: "):
        wire.right.meet(address, mac)


def test_a_wire_for_jumbo_frames_carries_them(frame):
    with Wire(mtu=3000) as wide:
        assert wide.send(frame(0, size=3014)) == [frame(0, size=3014)]


def test_what_was_sent_says_where_it_ended(wire, frame, xdp):
    with wire.right.attach(xdp):
        passed, dropped = wire.send(frame(XDP.PASS)), wire.send(frame(XDP.DROP))
        answered = wire.send(frame(XDP.TX))

    assert passed == [frame(XDP.PASS)]
    assert [sent.ended for sent in (passed, dropped, answered)] == [
        Ended.STACK,
        Ended.NOWHERE,
        Ended.BACK,
    ]
    assert answered.returned == (frame(XDP.TX),)
    assert answered == []


def test_a_wire_that_is_closed_or_not_open_is_named(frame, xdp):
    wire = Wire()
    with pytest.raises(Error, match="the wire is not open: use it in its with block"):
        wire.send(frame(1))
    with wire:
        right = wire.right
        with pytest.raises(Error, match="open already"):
            wire.__enter__()
    wire.close()
    with pytest.raises(Error, match="the wire is closed"):
        wire.trace(frame(1))
    with pytest.raises(Error, match="the wire is closed"):
        right.attach(xdp).__enter__()
    with pytest.raises(Error, match="closed"):
        right.assign("10.0.0.1", 24)


def test_a_closed_wire_may_be_opened_again(frame):
    wire = Wire()
    for _ in range(2):
        with wire:
            assert wire.send(frame(1)) == [frame(1)]


@pytest.mark.parametrize(
    ("mode", "program", "told"),
    [
        ("native", "answer_xdp", "right: XDP program {} (native)"),
        ("generic", "answer_xdp", "right: XDP program {} (generic)"),
        ("tc-ingress", "answer_tc", "right: TC program {} (tc-ingress)"),
        ("tcx-egress", "answer_tc", "right: TC program {} (tcx-egress)"),
    ],
)
def test_what_is_still_attached_is_named(wire, load, mode, program, told):
    source = load(program)
    with wire.right.attach(source, mode=mode) as attached:
        assert wire.leftovers() == [told.format(attached.program_id)]
    assert wire.leftovers() == []


def test_a_process_that_still_runs_inside_is_named(wire, tmp_path):
    file = tmp_path / "said"
    file.write_text("up\n")
    with wire.right.namespace.started(["tail", "-f", file]) as process:
        assert process.stdout.readline() == "up\n"  # before it has no command line yet
        assert wire.leftovers() == [f"process {process.pid} (tail -f {file}) still runs inside"]
    assert wire.leftovers() == []


@pytest.mark.parametrize("mode", XDP_MODES)
def test_frames_in_pieces_go_through_a_program_that_takes_them(frame, load, mode):
    with Wire(mtu=9000) as wide, wide.right.attach(load("answer_frags"), mode=mode):
        sent = frame(XDP.PASS, stamp=6, size=9014)
        assert wide.send(sent) == [b"\x06" + sent[1:]]
        assert wide.send(frame(XDP.DROP, size=9014)).ended is Ended.NOWHERE
        assert wide.send(frame(XDP.TX, size=9014)).returned == (frame(XDP.TX, size=9014),)


def test_of_many_frames_each_says_where_it_ended(wire, frame, xdp):
    with wire.right.attach(xdp):
        sent = wire.send_many(frame(verdict) for verdict in (XDP.PASS, XDP.DROP, XDP.TX))
    assert [each.ended for each in sent] == [Ended.STACK, Ended.NOWHERE, Ended.BACK]


def test_two_wires_do_not_hear_each_other(frame):
    with Wire() as one, Wire() as other:
        assert one.send(frame(1)) == [frame(1)]
        assert other.right.heard((3,)) == ()


def test_each_end_may_have_a_namespace_of_its_own(frame):
    with Wire(apart=True) as wire:
        assert wire.send(frame(1)) == [frame(1)]
        with wire.left.namespace.inside():
            assert {name for _, name in socket.if_nameindex()} == {"lo", "left"}


def test_another_thread_may_send(wire, frame, xdp):
    seen = []
    with wire.right.attach(xdp, mode="generic"):
        thread = threading.Thread(target=lambda: seen.append(wire.trace(frame(XDP.TX)).ended))
        thread.start()
        thread.join()
    assert seen == [Ended.BACK]


def test_a_process_that_is_stopped_while_it_waits_looks_once_more(wire, frame, monkeypatch):
    now, looks, received = [0.0], [], Wire.received

    def too_early(self, end):
        looks.append(end)
        if len(looks) != 2:
            return received(self, end)
        now[0] += 3600
        return 0, 0

    monkeypatch.setattr(Wire, "received", too_early)
    monkeypatch.setattr("packetrig.live.wire.time", SimpleNamespace(monotonic=lambda: now[0]))

    assert wire.send(frame(1)) == [frame(1)]


def test_sending_leaves_the_cpus_of_the_thread_as_they_were(wire, frame):
    before = os.sched_getaffinity(0)
    wire.send(frame(0))
    assert os.sched_getaffinity(0) == before


def test_a_wire_leaves_no_interface_and_no_descriptor(frame, xdp, tc):
    finish()
    interfaces, descriptors = socket.if_nameindex(), _open_descriptors()
    for mode, source in (("native", xdp), ("generic", xdp), ("tc-ingress", tc)):
        with Wire() as wire, wire.right.attach(source, mode=mode):
            wire.send(frame(1))
    finish()
    assert socket.if_nameindex() == interfaces
    assert _open_descriptors() == descriptors


KILLED = """
import sys
import packetrig
from packetrig.live import Wire
with packetrig.build(sys.argv[1]).load(program="answer_xdp") as object, Wire() as wire:
    with wire.right.attach(object, mode="native") as attached:
        print(attached.program_id, flush=True)
        sys.stdin.read()
"""


@pytest.mark.slow  # it starts another interpreter
def test_a_killed_process_leaves_nothing_behind():
    interfaces = socket.if_nameindex()
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent / "answers.bpf.c")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        number = int(process.stdout.readline())
        assert _program_exists(number)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert socket.if_nameindex() == interfaces
    while _program_exists(number):  # the kernel takes namespaces down by itself, in its own time
        os.sched_yield()


@pytest.mark.slow  # it starts another interpreter
@pytest.mark.parametrize("capability", ["sys_admin", "net_admin", "net_raw"])
def test_a_missing_capability_is_named(capability):
    code = "from packetrig.live import Wire; Wire().__enter__()"
    without = ["setpriv", "--bounding-set", f"-{capability}", sys.executable, "-c", code]
    done = subprocess.run(without, capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("packetrig.errors.PermissionDenied: ")
    assert f"CAP_{capability.upper()}" in last


def test_traffic_that_is_faster_than_its_reader_is_read_in_parts():
    frame = bytes.fromhex("020000000002020000000001 88b5") + bytes(46)
    with Wire() as wire:
        with wire.right.namespace.inside():
            tap = Tap(wire.right.name)
        with tap.socket:
            for _ in range(5):
                wire.send(frame)

            assert len(tap.heard(most=3)) == 3
            assert len(tap.heard(most=3)) == 2


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _program_exists(number: int) -> bool:
    from packetrig import _bpf

    fd = _bpf.lib.bpf_prog_get_fd_by_id(number)
    if fd >= 0:
        os.close(fd)
    return bool(fd >= 0)
