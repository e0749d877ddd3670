"""xdp_untag: the outer tag of listed VLANs is gone, and everything else is as it was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2 import Dot1AD, Dot1Q

import packetrig
from packetrig import XDP
from packetrig import strategies as net

from . import untagging
from .untagging import INSIDE, TAGGED, UNTAGGED, E

untag = packetrig.fixture("progs/xdp_untag.bpf.c")


def without_outer_tag(frame: bytes) -> bytes:
    return frame[:12] + frame[16:]


def test_a_listed_vlan_loses_its_tag_and_nothing_else(untag):
    untagging.set_up(untag)

    run = untag.run(TAGGED)

    assert run.verdict is XDP.PASS
    assert run.data == UNTAGGED
    assert untag.maps.untagged[10] == 1


@packetrig.table(
    ("listed", E / Dot1Q(vlan=10) / INSIDE, XDP.PASS),
    ("802.1ad", E / Dot1AD(vlan=10) / INSIDE, XDP.PASS),
    ("inner tag stays", E / Dot1AD(vlan=10) / Dot1Q(vlan=10) / INSIDE, XDP.PASS),
    ("priority and drop bit", E / Dot1Q(vlan=10, prio=7, dei=1) / INSIDE, XDP.PASS),
    ("the tag alone", bytes(E / Dot1Q(vlan=10, type=0x0800)), XDP.PASS),
)
def test_tags_that_go(untag, packet, verdict):
    untagging.set_up(untag)

    run = untag.run(packet)

    assert run.verdict is verdict
    assert run.data == without_outer_tag(bytes(packet))


@packetrig.table(
    ("other VLAN", E / Dot1Q(vlan=11) / INSIDE, XDP.PASS),
    ("inner tag listed", E / Dot1AD(vlan=11) / Dot1Q(vlan=10) / INSIDE, XDP.PASS),
    ("no tag", E / INSIDE, XDP.PASS),
    ("tag cut short", bytes(E / Dot1Q(vlan=10) / INSIDE)[:17], XDP.PASS),
)
def test_frames_that_stay(untag, packet, verdict):
    untagging.set_up(untag)

    run = untag.run(packet)

    assert run.verdict is verdict
    assert not run.is_rewritten
    assert untag.maps.untagged[10] == 0


@given(frame=net.frames(), tag=st.integers(0, 0xFFFF), outer=st.sampled_from([0x8100, 0x88A8]))
def test_tagging_and_untagging_gives_the_frame_back(untag, frame, tag, outer):
    untag.maps.untagged[tag & 0xFFF] = 0
    tagged = frame[:12] + outer.to_bytes(2, "big") + tag.to_bytes(2, "big") + frame[12:]

    assert untag.run(tagged).data == frame
    assert untag.maps.untagged == {tag & 0xFFF: 1}


@given(frame=net.frames() | net.mangled())
def test_with_an_empty_map_everything_passes_as_it_came(untag, frame):
    run = untag.run(frame)

    assert run.verdict is XDP.PASS
    assert run.data == frame
