"""Reading and writing captures, whole and broken ones."""

from __future__ import annotations

import struct

import pytest
from scapy.utils import PcapNgWriter, PcapWriter, RawPcapReader

from packetrig.errors import CaptureError, InputRefused, NotFound
from packetrig.packets import pcap

FRAMES = [bytes(range(14)) + bytes(6), bytes(60), bytes(14)]


def header(order: str = "<", magic: int = 0xA1B2C3D4, link: int = 1) -> bytes:
    return struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)


def packet(data: bytes, order: str = "<", length: int | None = None, fraction: int = 5) -> bytes:
    length = len(data) if length is None else length
    return struct.pack(order + "IIII", 7, fraction, len(data), length) + data


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(order: str = "<", link: int = 1, options: bytes = b"") -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, 65535) + options, order)


def enhanced(data: bytes, order: str = "<", ticks: int = 0, index: int = 0) -> bytes:
    fixed = struct.pack(order + "IIIII", index, ticks >> 32, ticks & 0xFFFFFFFF, len(data), 99)
    return block(6, fixed + data, order)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "some.pcap"


def fault(file, content: bytes) -> str:
    file.write_bytes(content)
    with pytest.raises(CaptureError) as caught:
        list(pcap.read(file))
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    return message.removeprefix(f"{file}: ")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "unit"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)], ids=["us", "ns"])
def test_a_capture_is_read_in_both_byte_orders_and_resolutions(file, order, magic, unit):
    file.write_bytes(header(order, magic) + packet(bytes(14), order) + packet(bytes(20), order))

    assert list(pcap.read(file)) == [
        pcap.Record(1, 7_000_000_000 + 5 * unit, bytes(14), 14),
        pcap.Record(2, 7_000_000_000 + 5 * unit, bytes(20), 20),
    ]


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_pcapng_is_read_in_both_byte_orders(file, order):
    nanoseconds = struct.pack(order + "HHBxxx", 9, 1, 9) + bytes(4)
    file.write_bytes(
        section(order)
        + interface(order)
        + interface(order, options=nanoseconds)
        + block(5, bytes(12), order)  # statistics: skipped
        + enhanced(bytes(14), order, ticks=1_500_000)
        + enhanced(bytes(15), order, ticks=1_500_000_000, index=1)
        + block(3, struct.pack(order + "I", 16) + bytes(16), order)
    )

    assert list(pcap.read(file)) == [
        pcap.Record(1, 1_500_000_000, bytes(14), 99),
        pcap.Record(2, 1_500_000_000, bytes(15), 99),
        pcap.Record(3, 0, bytes(16), 16),
    ]


def test_each_section_of_a_pcapng_has_interfaces_of_its_own(file):
    one = section() + interface() + enhanced(bytes(14))
    other = section(">") + interface(">") + enhanced(bytes(15), ">")
    file.write_bytes(one + other)

    assert [len(record.data) for record in pcap.read(file)] == [14, 15]


def test_a_packet_that_was_cut_by_the_capture_says_so(file):
    file.write_bytes(header() + packet(bytes(14), length=1500) + packet(bytes(14)))

    snapped, whole = pcap.read(file)

    assert (snapped.original_length, snapped.is_snapped) == (1500, True)
    assert (whole.original_length, whole.is_snapped) == (14, False)


def test_a_capture_without_packets_is_a_capture(file):
    file.write_bytes(header())

    assert list(pcap.read(file)) == []


def test_what_comes_before_the_broken_packet_is_delivered(file):
    file.write_bytes(header() + packet(bytes(14)) + packet(bytes(60))[:-1])
    records = pcap.read(file)

    assert next(records).number == 1
    with pytest.raises(CaptureError) as caught:
        next(records)
    assert "breaks off in packet 2: 59 of 60 bytes are there" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: no capture at all"),
        (b"\xd4\xc3", "is not a pcap or pcapng file: it begins with d4 c3"),
        (b"#!/bin/sh\n", "is not a pcap or pcapng file: it begins with 23 21 2f 62"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "is compressed with gzip: unpack it first"),
        (header()[:20], "breaks off in the file header: 20 of 24 bytes"),
        (header(link=101), "holds raw IP (101), not Ethernet; record below the tunnel"),
        (header(link=113), "holds Linux cooked (113), not Ethernet; record on one interface"),
        (header(link=105), "holds 802.11 (105), not Ethernet"),
        (header(link=9999), "holds a link type unknown here (9999), not Ethernet"),
        (header() + packet(b"")[:-1], "breaks off in packet 1: 15 of 16 bytes"),
        (header() + struct.pack("<IIII", 0, 0, 1 << 30, 1 << 30), "packet 1 claims 1073741824"),
        (section()[:10], "breaks off in the section header"),
        (section()[:-8], "breaks off in packet 1"),
        (section()[:8] + bytes(20), "its byte order mark is 00 00 00 00"),
        (section() + interface(link=276) + enhanced(bytes(14)), "holds Linux cooked v2 (276)"),
        (section() + enhanced(bytes(14)), "packet 1 is of interface 0, which is not described"),
        (section() + interface() + enhanced(bytes(14))[:-4], "breaks off in packet 1"),
        (section() + interface() + enhanced(bytes(14))[:-4] + bytes(4), "two lengths differ"),
        (section() + b"\x06\0\0\0\x01\0\0\0", "has a block of 1 bytes at packet 1"),
        (section() + interface() + block(6, bytes(4)), "packet 1 is too short to be one"),
    ],
)
def test_a_bad_capture_is_named_with_what_is_wrong(file, content, message):
    assert message in fault(file, content)


def test_a_pcapng_packet_that_claims_more_than_its_block_is_named(file):
    lying = block(6, struct.pack("<IIIII", 0, 0, 0, 500, 500) + bytes(14))

    assert "packet 1 claims 500 bytes, its block holds" in fault(
        file, section() + interface() + lying
    )


@pytest.mark.parametrize("cut", range(1, len(header()) + 46))
def test_a_capture_that_ends_anywhere_is_read_or_named(file, cut):
    whole = header() + packet(bytes(14)) + packet(bytes(0))
    file.write_bytes(whole[:cut])

    if cut in (24, 54, 70):
        assert list(pcap.read(file)) is not None
    else:
        with pytest.raises(CaptureError):
            list(pcap.read(file))


def test_a_capture_that_is_not_there_is_not_found(tmp_path):
    with pytest.raises(NotFound):
        list(pcap.read(tmp_path / "missing.pcap"))
    with pytest.raises(CaptureError):
        list(pcap.read(tmp_path))


def test_what_is_written_is_read_again(file):
    assert pcap.write(file, FRAMES) == 3

    assert [record.data for record in pcap.read(file)] == FRAMES
    assert [record.time_ns for record in pcap.read(file)] == [0, 1000, 2000]


def test_a_record_keeps_its_time_and_length(file):
    record = pcap.Record(1, 1_700_000_000_123_456_789, bytes(14), 1500)

    pcap.write(file, [record])

    assert list(pcap.read(file)) == [record]


def test_scapy_reads_what_is_written(file):
    pcap.write(file, FRAMES)

    with RawPcapReader(str(file)) as reader:
        assert [data for data, _ in reader] == FRAMES


@pytest.mark.parametrize("writer", [PcapWriter, PcapNgWriter])
def test_what_scapy_writes_is_read(file, writer):
    from scapy.all import Ether

    with writer(str(file)) as out:
        for frame in FRAMES:
            out.write(Ether(frame))

    assert [record.data for record in pcap.read(file)] == FRAMES


def test_a_capture_appears_whole_or_not_at_all(file):
    pcap.write(file, FRAMES)

    with pytest.raises(InputRefused):
        pcap.write(file, [bytes(14), "text"])

    assert [record.data for record in pcap.read(file)] == FRAMES
    assert list(file.parent.iterdir()) == [file]


def test_a_frame_that_no_capture_holds_is_refused(file):
    with pytest.raises(InputRefused) as refused:
        pcap.write(file, [bytes(14), bytes(300_000)])

    assert "packet 2: 300000 bytes" in str(refused.value)
    assert list(file.parent.iterdir()) == []
