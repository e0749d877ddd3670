"""Malformed frames: a catalogue that stays, random ones that say what is wrong with them."""

from __future__ import annotations

import hashlib
import pickle
import random
from collections import Counter

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from packetrig import packets
from packetrig.packets import explain, frames, malformed, told
from packetrig.packets import strategies as net
from packetrig.packets.malformed import Kind

quick = settings(max_examples=25)


def test_the_catalogue_has_many_different_frames_with_different_ids():
    cases = malformed.catalogue()

    assert len(cases) >= 1500
    assert len({case.id for case in cases}) == len(cases)
    assert len({case.frame for case in cases}) == len(cases)
    assert min(len(case.frame) for case in cases) == 14
    assert all(case.what and case.id.isprintable() and " " not in case.id for case in cases)


def test_the_catalogue_has_every_value_of_the_small_fields():
    ids = {case.id for case in malformed.catalogue()}

    assert {f"tcp4/IP.ihl-{value}" for value in range(16) if value != 5} <= ids
    assert {f"tcp4/IP.version-{value}" for value in range(16) if value != 4} <= ids
    assert {f"tcp4/TCP.dataofs-{value}" for value in range(16) if value != 5} <= ids
    assert {f"tcp6/IPv6.version-{value}" for value in range(16) if value != 6} <= ids
    assert {f"ah6/AH.len-{value}" for value in range(256) if value != 4} <= ids
    assert {f"extensions6/IPv6ExtHdrDestOpt.optlen-{value}" for value in (0, 3, 5, 255)} <= ids
    assert {f"sctp4/SCTP.chunklen-{value}" for value in (0, 3, 18, 65535)} <= ids
    assert {f"tcp4/cut-at-{size}" for size in range(14, 55)} <= ids


def test_ids_are_stable():
    frame_of = {case.id: case.frame for case in malformed.catalogue()}

    assert frame_of["udp4/cut-at-33"].hex() == (
        "020000000002020000000001080045000020000000004011f6c9c0000201c00002"
    )
    assert frame_of["tcp4/IP.ihl-3"][14] == 0x43
    assert frame_of["vlan-tcp4/Dot1Q.type-2054"][16:18] == bytes((8, 6))


def test_a_change_of_the_catalogue_is_deliberate():
    # People's parametrized tests, waivers and crash files name these ids: write a new number here
    # when frames were added, and see in a diff of the ids that none has gone.
    whole = hashlib.sha256()
    for case in malformed.catalogue():
        whole.update(f"{case.id} {case.frame.hex()}\n".encode())

    assert (len(malformed.catalogue()), whole.hexdigest()[:16]) == (12092, "9a5b2caadb44a066")


def test_only_one_thing_is_wrong_with_a_lie():
    lies = (Kind.LENGTH, Kind.VERSION, Kind.PROTOCOL, Kind.FIELD, Kind.SHORT)
    cases = [case for case in malformed.catalogue() if case.kind in lies]

    assert [case.id for case in cases if frames.bad_checksums(case.frame)] == []


def test_each_broken_checksum_is_named_by_what_it_is():
    cases = malformed.catalogue(kind="checksum")
    said = [case for case in cases if case.layer.partition(":")[0] != "UDP"]  # whose zero is "none"

    assert len(said) > 200
    assert [case.id for case in said if not frames.bad_checksums(case.frame)] == []


def test_the_catalogue_is_filtered_by_packet_layer_and_kind():
    whole = malformed.catalogue()

    assert {case.packet for case in malformed.catalogue(packet="tcp4")} == {"tcp4"}
    assert {case.layer for case in malformed.catalogue(layer="IP")} == {"IP", "IP:2"}
    assert {case.layer for case in malformed.catalogue(layer="IP:2")} == {"IP:2"}
    assert {case.kind for case in malformed.catalogue(kind="cut")} == {Kind.CUT}
    assert malformed.catalogue(kind=Kind.CUT, layer="TCP", packet="tcp4")
    assert sum(len(malformed.catalogue(kind=kind)) for kind in Kind if kind is not Kind.BIT) == len(
        whole
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"packet": "tcp5"}, "packet='tcp5': the catalogue has tcp4, "),
        ({"layer": "Tcp"}, "layer='Tcp': the catalogue has "),
        ({"kind": "broken"}, "'broken' is not a valid Kind"),
        ({"layer": "ARP", "packet": "tcp4"}, "layer='ARP': the catalogue has "),
    ],
)
def test_a_filter_that_nothing_passes_is_an_error(asked, message):
    with pytest.raises(ValueError) as refused:
        malformed.catalogue(**asked)

    assert message in str(refused.value)


def test_a_short_ip_packet_is_known_to_be_refused_by_test_runs_of_tc():
    cut = {case.id: case for case in malformed.catalogue(kind="cut")}

    assert "takes IPv4 from 34 bytes on" in cut["tcp4/cut-at-33"].refused_by("tc")
    assert "takes IPv6 from 54 bytes on" in cut["tcp6/cut-at-53"].refused_by("tc")
    assert cut["tcp4/cut-at-34"].refused_by("tc") == ""
    assert cut["tcp4/cut-at-33"].refused_by("xdp") == ""
    assert cut["arp/cut-at-20"].refused_by("tc") == ""
    assert cut["tcp4/cut-at-33"].refused_by("socket_filter")
    with pytest.raises(ValueError, match="kind='TC': a frame can be given to action, cgroup_skb"):
        cut["tcp4/cut-at-33"].refused_by("TC")


@quick
@given(net.frames(), st.binary(min_size=8, max_size=8))
def test_mangling_changes_a_frame_keeps_it_runnable_and_says_what_is_wrong(frame, picks):
    broken = malformed.mangle(frame, picks)

    assert len(broken) >= 14
    assert broken != frame
    assert broken.what


@settings(max_examples=30)
@given(st.binary(max_size=60), st.binary(max_size=8))
def test_mangling_takes_any_bytes(data, picks):
    assert isinstance(malformed.mangle(data, picks), bytes)


def mangled(frame, *picks):
    return malformed.mangle(frame, bytes(picks).ljust(malformed.PICKS, b"\0"))


def test_a_mangled_frame_names_what_is_wrong_with_it():
    frame = packets.craft.V4.frame(packets.craft.udp(b"data", packets.craft.V4), 17)

    seen = [mangled(frame, way, 1, *picks).what for way, picks in SAID]

    assert seen == [
        "cut after 34 bytes, behind IP",
        "cut after 17 bytes, in IP, byte 3",
        "cut after 44 bytes, in the payload",
        "IP.version is 1 instead of 4",
        "IP.chksum is 63176 instead of 63177",
        "bit 7 of byte 0 is flipped, in Ether",
        "IP stands there twice",
        "IP is missing",
        "IP and UDP have changed places",
        "a fragment over the transport header of the first",
    ]


SAID = (
    *((0, ()), (1, (3,)), (2, (0, 30)), (3, (0, 1)), (7, ())),
    *((8, (0, 0, 7)), (9, ()), (10, ()), (11, ()), (12, ())),
)


def test_a_way_that_one_header_has_not_is_tried_on_the_next():
    frame = packets.craft.ethernet(packets.craft.arp(), 0x0806)

    assert mangled(frame, 7, 0).what.startswith("bit ")  # no checksum anywhere
    assert mangled(frame, 9, 0).what == "ARP stands there twice"


@pytest.mark.slow
def test_every_way_of_mangling_happens():
    seen = Counter()

    @settings(max_examples=400, phases=[Phase.generate])
    @given(net.mangled(net.udp_packets(payload=st.binary(min_size=8, max_size=8))))
    def collect(frame):
        seen[frame.what] += 1

    collect()
    words = ("cut after", ".len is", ".chksum is", "flipped", "twice", "missing", "places", "over")
    assert {word for word in words if any(word in what for what in seen)} == set(words)


@pytest.mark.slow
def test_a_mangled_frame_shrinks_to_one_that_is_cut():
    udp = net.mangled(net.udp_packets())
    shrunk = find(udp, lambda _: True, random=random.Random(1), settings=settings(database=None))

    assert shrunk.what == "cut after 14 bytes, behind Ether"


# --- frames that say what they are ---


def test_a_frame_that_says_what_it_is_equals_its_bytes():
    frame = told.Mangled(b"abc" * 5, "IP.len lies")

    assert frame == b"abc" * 5
    assert hash(frame) == hash(b"abc" * 5)
    assert packets.to_bytes(frame) is frame
    assert type(frame[:3]) is bytes


def test_a_frame_says_what_it_is_where_it_is_shown():
    frame = malformed.catalogue(packet="udp4", kind="version")[0].frame

    assert repr(frame) == f"Mangled({bytes(frame)!r}, 'udp4: IP.version is 0 instead of 4')"
    assert explain.summary(frame).endswith("; udp4: IP.version is 0 instead of 4")


@pytest.mark.parametrize(
    "frame",
    [
        told.Mangled(b"abc", "cut"),
        told.Fragment(b"abc", "bytes 0 to 7"),
        told.Segment(b"abc", "flow 2: FIN", 2, is_answer=True),
    ],
    ids=lambda frame: type(frame).__name__,
)
def test_a_frame_keeps_what_it_says_when_it_is_pickled(frame):
    again = pickle.loads(pickle.dumps(frame))

    assert (type(again), again, vars(again)) == (type(frame), frame, vars(frame))
    assert repr(again) == repr(frame)
