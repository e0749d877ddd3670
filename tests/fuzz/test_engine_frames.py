"""Frames in the loop's C: headers stand where packets.frames says, and checksums are right."""

from __future__ import annotations

from random import Random

import pytest

from packetrig._bpf import ffi, lib
from packetrig.fuzz import seeds as sources
from packetrig.packets import craft, frames, malformed, tunnels

V4, V6 = craft.V4, craft.V6
INNER = V4.packet(craft.udp(b"data", V4), craft.UDP)
IN_VXLAN = tunnels.vxlan(V4.frame(craft.tcp(b"data", V4), craft.TCP))
NEWER = ("srv6", "gtp", "vxlan-gpe", "mpls-in-udp", "l2tp", "pppoe")
TUNNELLED = (
    V4.frame(craft.udp(IN_VXLAN, V4, destination_port=4789), craft.UDP),
    V6.frame(tunnels.gre(INNER, 0x0800, has_checksum=True, key=7), tunnels.GRE),
    craft.ethernet(tunnels.mpls(INNER, (100, 7)), tunnels.ETHERTYPE_MPLS),
    *(frame for name, frame in malformed._sound() if name in NEWER),
)
SOUND = (*sources.plain(), *TUNNELLED)


def repaired(frame: bytes, *, lengths: bool = False, checksums: bool = True) -> bytes:
    room = ffi.new("uint8_t[]", frame)
    lib.fz_repair(room, len(frame), lengths, checksums)
    return bytes(ffi.buffer(room, len(frame)))


def walked(frame: bytes) -> list[tuple[int, int, bool]]:
    walk = ffi.new("struct fz_walk *")
    lib.fz_walk(ffi.from_buffer(frame), len(frame), walk)
    found = walk.headers[0 : walk.count]
    return [(header.at, header.size, bool(header.is_whole)) for header in found]


def broken(frame: bytes, random: Random) -> bytes:
    changed = bytearray(frame)
    for _ in range(random.randrange(1, 4)):
        changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("number", range(len(SOUND)))
def test_what_is_sound_is_left_as_it_is(number: int) -> None:
    frame = SOUND[number]

    assert repaired(frame, lengths=True) == frame


def test_headers_stand_where_they_stand_for_python() -> None:
    for frame in SOUND:
        wanted = [
            (header.offset, header.length, header.is_whole)
            for header in frames.walk(frame)
            if header.layer not in ("LLC", "SNAP")
        ]
        assert walked(frame) == wanted, frame.hex()


def test_repaired_checksums_are_right() -> None:
    random = Random(1)
    for case in malformed.catalogue():
        assert frames.bad_checksums(repaired(case.frame)) == [], case.id
    for frame in SOUND:
        for _ in range(200):
            changed = repaired(broken(frame, random))
            assert frames.bad_checksums(changed) == [], changed.hex()


def test_repaired_lengths_end_where_the_frame_ends() -> None:
    payload = bytes(37)
    for network in (V4, V6):
        frame = network.frame(craft.udp(payload, network), craft.UDP)
        cut, longer = frame[:-5], frame + bytes(11)

        assert repaired(cut, lengths=True) == network.frame(
            craft.udp(payload[:-5], network), craft.UDP
        )
        assert repaired(longer, lengths=True) == network.frame(
            craft.udp(payload + bytes(11), network), craft.UDP
        )


@pytest.mark.parametrize("network", [V4, V6], ids=["ipv4", "ipv6"])
def test_a_first_fragment_has_the_udp_length_of_its_datagram(network: craft.Network) -> None:
    packet = network.frame(craft.udp(bytes(16), network, length=1000), craft.UDP)
    first, atomic = bytearray(packet), bytearray(packet)
    if network is V4:
        place, first[20:22], atomic[20:22] = 38, b"\x20\x00", b"\x00\x00"
    else:
        place, first[20], atomic[20] = 66, 44, 44
        first[54:54] = bytes((17, 0, 0, 1, 0, 0, 0, 9))
        atomic[54:54] = bytes((17, 0, 0, 0, 0, 0, 0, 9))

    kept = repaired(bytes(first), lengths=True)
    assert int.from_bytes(kept[place : place + 2], "big") == 1000
    whole = repaired(bytes(atomic), lengths=True)
    assert int.from_bytes(whole[place : place + 2], "big") == 8 + 16


def test_udp_without_a_checksum_stays_without_one() -> None:
    frame = V4.frame(craft.udp(b"data", V4, checksum=0), craft.UDP)

    assert repaired(frame, lengths=True) == frame


def test_any_bytes_are_walked_and_repaired_within_their_bounds() -> None:
    random = Random(2)
    for _ in range(5000):
        frame = random.randbytes(random.randrange(1, 90))
        for at, size, is_whole in walked(frame):
            assert at < len(frame)
            assert not is_whole or at + size <= len(frame)
        assert len(repaired(frame, lengths=True)) == len(frame)
