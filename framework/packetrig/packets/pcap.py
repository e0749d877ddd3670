"""Read and write capture files: pcap and pcapng in, pcap out.

A reader of our own, because scapy's (RawPcapReader) ends silently where a file breaks off in the
middle of a packet, loads 0.6 s of scapy first, and says of most faults only "not supported".
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .. import files
from ..errors import CaptureError, InputRefused, NotFound
from ._linktypes import ETHERNET, advice, link_name

# Larger than any packet that a capture tool writes (libpcap's MAXIMUM_SNAPLEN is 256 KiB): beyond
# it, the file is broken rather than the packet long.
_MAX_PACKET = 1 << 18
_MAX_BLOCK = 1 << 24
_NANOSECOND = 1_000_000_000

_MAGIC = {  # first four bytes: byte order, nanoseconds in a unit of the fraction, extra header
    b"\xa1\xb2\xc3\xd4": (">", 1000, 0),
    b"\xd4\xc3\xb2\xa1": ("<", 1000, 0),
    b"\xa1\xb2\x3c\x4d": (">", 1, 0),
    b"\x4d\x3c\xb2\xa1": ("<", 1, 0),
    b"\xa1\xb2\xcd\x34": (">", 1000, 8),  # a patched libpcap of 1999: 8 bytes more a packet
    b"\x34\xcd\xb2\xa1": ("<", 1000, 8),
}
_SECTION = b"\x0a\x0d\x0d\x0a"
_OTHERS = {
    b"\x1f\x8b": "is compressed with gzip: unpack it first",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd: unpack it first",
    b"BZh": "is compressed with bzip2: unpack it first",
    b"\xfd7zXZ": "is compressed with xz: unpack it first",
    b"snoop\0\0\0": "is a snoop capture: convert it with `editcap -F pcap`",
    b"\x7fELF": "is an ELF object, not a capture",
}


@dataclass(frozen=True, slots=True)
class Record:
    """Hold one packet of a capture.

    `number` counts from 1, as tcpdump and Wireshark do. `time_ns` is since 1970. `data` is what
    was captured, `original_length` how long the packet was on the wire.
    """

    number: int
    time_ns: int
    data: bytes
    original_length: int

    @property
    def is_snapped(self) -> bool:
        """Tell whether the capture holds only the beginning of the packet."""
        return len(self.data) < self.original_length


def read(path: str | os.PathLike[str]) -> Iterator[Record]:
    """Yield the packets of a pcap or pcapng file, in its order, one at a time.

    A packet that was cut at the snap length comes as it was captured: ask `is_snapped`. The file
    is opened when the first packet is asked for.

    Raises:
        NotFound: there is no such file.
        CaptureError: it is empty, no capture, not of Ethernet, or breaks off; what came before
            the broken packet was yielded.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            yield from _packets(_Source(file, str(path)))
    except FileNotFoundError as e:
        raise NotFound(f"{path}: there is no such capture") from e
    except OSError as e:
        raise CaptureError(f"{path}: cannot be read: {files.reason(e)}") from e


def write(path: str | os.PathLike[str], frames: Iterable[bytes | Record]) -> int:
    """Write frames as a pcap file with nanosecond times; give how many.

    A record keeps its time and original length; plain frames are a microsecond apart, from 1970
    on, so that the same frames give the same file. The file appears whole or not at all; a link
    stays, and a device or FIFO is written straight to.

    Raises:
        Error: the file cannot be written.
        InputRefused: a frame is longer than a capture may hold (256 KiB), or is not bytes.
    """
    count = 0
    with files.writing(path) as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, _MAX_PACKET, ETHERNET))
        for count, frame in enumerate(frames, 1):
            file.write(_packed(frame, count))
    return count


def _packed(frame: bytes | Record, number: int) -> bytes:
    if not isinstance(frame, Record):
        if not isinstance(frame, (bytes, bytearray, memoryview)):
            raise InputRefused(
                f"packet {number}: a capture takes bytes, not {type(frame).__name__}"
            )
        frame = Record(number, (number - 1) * 1000, bytes(frame), len(frame))
    if len(frame.data) > _MAX_PACKET:
        raise InputRefused(
            f"packet {number}: {len(frame.data)} bytes are more than a capture holds"
        )
    seconds, rest = divmod(frame.time_ns, _NANOSECOND)
    header = struct.pack("<IIII", seconds, rest, len(frame.data), frame.original_length)
    return header + frame.data


class _Source:
    # A file that knows its name and how far it came, so that each fault can say where it is.

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file = file
        self.name = name
        self.number = 0  # of the packet being read

    def fault(self, what: str) -> CaptureError:
        return CaptureError(f"{self.name}: {what}")

    def cut(self, got: int, wanted: int) -> CaptureError:
        return self.fault(
            f"breaks off in packet {self.number}: {got} of {wanted} bytes are there;"
            " the packets before it are good"
        )

    def take(self, size: int) -> bytes:
        """Read exactly `size` bytes; nothing at all at the very end of the file."""
        data = self.file.read(size)
        if data and len(data) < size:
            raise self.cut(len(data), size)
        return data

    def check_link(self, link: int) -> None:
        if link != ETHERNET:
            raise self.fault(f"holds {link_name(link)}, not Ethernet{advice(link)}")


def _packets(source: _Source) -> Iterator[Record]:
    magic = source.file.read(4)
    if not magic:
        raise source.fault("is empty: no capture at all, not even a header")
    if magic == _SECTION:
        yield from _pcapng(source)
        return
    if magic not in _MAGIC:
        begin = magic + source.file.read(4)
        for sign, what in _OTHERS.items():
            if begin.startswith(sign):
                raise source.fault(what)
        raise source.fault(f"is not a pcap or pcapng file: it begins with {begin.hex(' ')}")
    yield from _pcap(source, *_MAGIC[magic])


def _pcap(source: _Source, order: str, unit: int, extra: int) -> Iterator[Record]:
    header = source.file.read(20)
    if len(header) < 20:
        raise source.fault(f"breaks off in the file header: {4 + len(header)} of 24 bytes")
    # The upper bits say whether frames end in a checksum, and how long it is.
    source.check_link(struct.unpack(order + "16xI", header)[0] & 0xFFFF)
    fixed = struct.Struct(order + "IIII")
    while True:
        source.number += 1
        head = source.take(fixed.size + extra)
        if not head:
            return
        seconds, fraction, length, original = fixed.unpack(head[: fixed.size])
        time_ns = seconds * _NANOSECOND + fraction * unit
        yield _record(source, time_ns, _body(source, length), original)


def _body(source: _Source, length: int) -> bytes:
    if length > _MAX_PACKET:
        raise source.fault(
            f"packet {source.number} claims {length} bytes: the file is broken from here on"
        )
    data = source.file.read(length)
    if len(data) < length:
        raise source.cut(len(data), length)
    return data


def _record(source: _Source, time_ns: int, data: bytes, original: int) -> Record:
    return Record(source.number, time_ns, data, max(original, len(data)))


# --- pcapng: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html ---


@dataclass(frozen=True, slots=True)
class _Interface:
    link: int
    snap: int
    ticks: int  # in a second
    offset: int  # seconds


def _pcapng(source: _Source) -> Iterator[Record]:
    order, interfaces = "<", list[_Interface]()
    kind = _SECTION
    source.number = 1
    while kind:
        if kind == _SECTION:
            order, interfaces = _section(source), []
        else:
            (number,) = struct.unpack(order + "I", kind)
            body = _block(source, order)
            if number == 1:
                interfaces.append(_interface(body, order))
            elif number in (2, 3, 6):
                yield _packet(source, number, body, order, interfaces)
                source.number += 1
        kind = source.take(4)


def _section(source: _Source) -> str:
    head = source.file.read(8)
    if len(head) < 8:
        raise source.fault("breaks off in the section header")
    order = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}.get(head[4:])
    if order is None:
        raise source.fault(f"is not a pcapng file: its byte order mark is {head[4:].hex(' ')}")
    (length,) = struct.unpack(order + "I", head[:4])
    if not 28 <= length <= _MAX_BLOCK or length % 4:
        raise source.fault(f"has a section header of {length} bytes: the file is broken")
    _rest(source, length - 12, length, order)
    return order


def _block(source: _Source, order: str) -> bytes:
    head = source.file.read(4)
    if len(head) < 4:
        raise source.cut(4 + len(head), 12)
    (length,) = struct.unpack(order + "I", head)
    if not 12 <= length <= _MAX_BLOCK or length % 4:
        raise source.fault(
            f"has a block of {length} bytes at packet {source.number}: broken from here on"
        )
    return _rest(source, length - 8, length, order)


def _rest(source: _Source, size: int, length: int, order: str) -> bytes:
    # The block's content and, behind it, its length once more.
    data = source.file.read(size)
    if len(data) < size:
        raise source.cut(length - size + len(data), length)
    if struct.unpack(order + "I", data[-4:])[0] != length:
        raise source.fault(
            f"has a block whose two lengths differ at packet {source.number}: broken from here on"
        )
    return data[:-4]


def _interface(body: bytes, order: str) -> _Interface:
    if len(body) < 8:
        return _Interface(-1, 0, 1, 0)
    link, snap = struct.unpack(order + "HxxI", body[:8])
    ticks, offset, at = 1_000_000, 0, 8
    while at + 4 <= len(body):
        code, size = struct.unpack(order + "HH", body[at : at + 4])
        value = body[at + 4 : at + 4 + size]
        if code == 9 and size == 1:  # if_tsresol
            ticks = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
        elif code == 14 and size == 8:  # if_tsoffset
            (offset,) = struct.unpack(order + "q", value)
        at += 4 + (size + 3) // 4 * 4
    return _Interface(link, snap, ticks, offset)


def _packet(
    source: _Source, kind: int, body: bytes, order: str, interfaces: list[_Interface]
) -> Record:
    least = 4 if kind == 3 else 20
    if len(body) < least:
        raise source.fault(f"packet {source.number} is too short to be one: broken from here on")
    if kind == 3:  # simple: of the first interface, without a time
        index, ticks, (original,) = 0, 0, struct.unpack(order + "I", body[:4])
        length = min(original, len(body) - 4)
    else:
        layout = "IIIII" if kind == 6 else "HxxIIII"
        index, high, low, length, original = struct.unpack(order + layout, body[:20])
        ticks = high << 32 | low
    if index >= len(interfaces):
        raise source.fault(
            f"packet {source.number} is of interface {index}, which is not described"
        )
    interface = interfaces[index]
    source.check_link(interface.link)
    if kind == 3 and interface.snap:
        length = min(length, interface.snap)
    if length > len(body) - least:
        raise source.fault(
            f"packet {source.number} claims {length} bytes, its block holds {len(body) - least}"
        )
    time_ns = interface.offset * _NANOSECOND + ticks * _NANOSECOND // interface.ticks
    return _record(source, time_ns, body[least : least + length], original)
