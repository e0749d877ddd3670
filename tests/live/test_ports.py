"""Wires with several ports: which of them a frame was redirected to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import packetrig
from packetrig import Object, Spec
from packetrig.errors import Error
from packetrig.live import Ended, Wire

pytestmark = pytest.mark.live

SOURCE = Path(__file__).parent / "redirects.bpf.c"
BY_NUMBER, BY_MAP, INTO, COPY = range(4)
XDP_MODES = ("native", "generic")
TC_MODES = ("tc-ingress", "tcx-ingress")


@pytest.fixture(scope="session")
def redirects() -> Spec:
    return packetrig.build(SOURCE)


@pytest.fixture
def xdp(redirects: Spec) -> Iterator[Object]:
    with redirects.load(program="redirect_xdp") as loaded:
        yield loaded


@pytest.fixture
def tc(redirects: Spec) -> Iterator[Object]:
    with redirects.load(program="redirect_tc") as loaded:
        yield loaded


@pytest.fixture
def box() -> Iterator[Wire]:
    with Wire(ports=3) as made:
        yield made


def frame(how: int, where: int) -> bytes:
    return bytes.fromhex("020000000002 020000000001 0800") + bytes([how, where]).ljust(50, b"\xaa")


def test_a_wire_has_as_many_ports_as_it_was_asked_for(box):
    assert [end.name for end in box.ports] == ["right", "right2", "right3"]
    assert [end.peer.name for end in box.ports] == ["left", "left2", "left3"]
    assert box.ports[0] is box.right


@pytest.mark.parametrize("mode", XDP_MODES)
@pytest.mark.parametrize("port", [1, 2])
def test_a_redirect_by_number_is_heard_behind_that_port(box, xdp, mode, port):
    sent = frame(BY_NUMBER, box.ports[port].index)
    with box.right.attach(xdp, mode=mode):
        trip = box.trace(sent)

    assert trip.ended is Ended.ELSEWHERE
    assert trip.port == box.ports[port].peer.name
    assert trip.elsewhere == {trip.port: (sent,)}
    assert (trip.passed, trip.returned) == ((), ())


@pytest.mark.parametrize("mode", XDP_MODES)
def test_a_redirect_by_devmap_is_heard_behind_the_port_of_its_entry(box, xdp, mode):
    with box.right.namespace.inside():  # the map looks for the interface where its writer is
        for slot in (1, 2):
            xdp.maps.ports[slot] = box.ports[slot].index
    with box.right.attach(xdp, mode=mode):
        assert [box.send(frame(BY_MAP, slot)).port for slot in (1, 2)] == ["left2", "left3"]
        assert box.send(frame(BY_MAP, 3)).ended is Ended.NOWHERE  # no such entry: DROP


@pytest.mark.parametrize("mode", [*XDP_MODES, *TC_MODES])
def test_a_redirect_to_where_it_came_from_is_a_way_back(box, xdp, tc, mode):
    sent = frame(BY_NUMBER, box.right.index)
    with box.right.attach(xdp if mode in XDP_MODES else tc, mode=mode):
        answer = box.send(sent)

    assert (answer, answer.ended, answer.returned) == ([], Ended.BACK, (sent,))


@pytest.mark.parametrize("mode", TC_MODES)
def test_tc_redirects_out_of_a_port_into_one_and_by_copy(box, tc, mode):
    there = box.ports[1].index
    with box.right.attach(tc, mode=mode):
        assert box.send(frame(BY_NUMBER, there)).port == "left2"
        assert box.send(frame(INTO, there)).port == "right2"
        copied = box.send(frame(COPY, there))

    assert copied == [frame(COPY, there)]
    assert copied.ended is Ended.STACK
    assert copied.trip.elsewhere == {"left2": (frame(COPY, there),)}


@pytest.mark.slow
@pytest.mark.parametrize("mode", TC_MODES)
def test_a_redirect_that_goes_round_for_ever_is_named(box, tc, mode):
    with box.right.attach(tc, mode=mode), pytest.raises(Error, match="frames arrive without end"):
        box.send(frame(INTO, box.right.index))

    assert box.send(frame(INTO, box.right.index)).ended is Ended.STACK


@pytest.mark.parametrize("mode", ["tc-egress", "tcx-egress"])
def test_what_leaves_is_redirected_too(box, tc, mode):
    with box.left.attach(tc, mode=mode):
        assert box.send(frame(BY_NUMBER, box.ports[2].peer.index)).port == "right3"


def test_a_redirect_to_nowhere_is_counted_as_no_redirect(box, xdp):
    with box.right.attach(xdp):
        assert box.trace(frame(BY_NUMBER, 99)).ended is Ended.NOWHERE


def test_what_another_processor_hands_on_is_waited_for(redirects):
    with redirects.load(program="redirect_cpu") as loaded, Wire() as wire:
        count = min(2, os.cpu_count() or 1)
        for number in range(count):
            loaded.maps.cpus[number] = 64
        with wire.right.attach(loaded):
            for number in range(100):
                sent = frame(number, number % count)
                assert wire.send(sent) == [sent]
            assert wire.send(frame(0, 2)).ended is Ended.NOWHERE  # no such entry: DROP


def test_each_side_may_have_a_namespace_of_its_own(xdp):
    with Wire(ports=2, apart=True) as box, box.right.attach(xdp):
        assert box.send(frame(BY_NUMBER, box.ports[1].index)).port == "left2"


def test_a_number_of_ports_that_no_wire_has_is_named():
    with pytest.raises(Error, match="ports=0: a wire has 1 to 16"):
        Wire(ports=0)


def test_a_program_for_a_devmaps_entries_is_told_where_it_belongs(box, redirects):
    with (
        redirects.load(program="behind_redirect") as loaded,
        pytest.raises(Error, match=r"for entries of maps .xdp/devmap.*put it into the map"),
        box.right.attach(loaded),
    ):
        pass
