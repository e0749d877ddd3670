"""The words that a campaign writes into frames: what the program compares with, and its set-up.

Each is bytes of a kind; the mutators put those of a kind into the fields of that kind, and any of
them anywhere. Numbers are in network order.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from .._bpf.kinds import ARRAYS, HASHES, OF_MAPS
from ..objects import Object
from ..spec import Spec
from .words import Words

_EXECUTABLE = 4
_JUMP, _JUMP32, _ALU, _ALU64 = 5, 6, 4, 7
_ADD, _XOR = 0x00, 0xA0
_NO_COMPARE = (0x00, 0x80, 0x90)  # JA, CALL, EXIT
_ORDERED = (0x20, 0x30, 0x60, 0x70, 0xA0, 0xB0, 0xC0, 0xD0)
_LDDW = 0x18
_PRINTABLE = re.compile(rb"[\x20-\x7e\r\n\t]{2,64}")
_MOST = 400
_MOST_KEYS = 64
_MOST_BYTES = 64  # of a constant array
# Of numbers those that may be a length: shorter ones are of headers, longer ones of no interface.
_LEAST_LENGTH, _MOST_LENGTH = 14, 9216
_HEADERS = 128  # before what has that length
_SHUT_READ = 1 << 4  # BPF_F_WRONLY


class Kind(IntEnum):
    """Name what a word is; the numbers are those of fuzz_mutate.c."""

    ANY = 0
    MAC = 1
    V4 = 2
    V6 = 3
    PORT = 4
    NUMBER = 5
    TEXT = 6
    LENGTH = 7


# What constant bytes of such a number may be.
_KINDS = {4: Kind.V4, 6: Kind.MAC, 16: Kind.V6}


@dataclass(frozen=True, slots=True)
class Word:
    """Hold one word."""

    data: bytes
    kind: Kind = Kind.ANY


# What stands in the payloads that programs look into: HTTP and DNS.
PROTOCOLS = (
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"/",
    b"?",
    b" ",
    b" HTTP/1.1\r\n",
    b"Host: ",
    b"\r\n\r\n",
    b"\x07example\x03com\x00",
    b"\xc0\x0c",
    b"\x00\x01\x00\x01",
)


def words_of(spec: Spec, loaded: Object, words: Words) -> tuple[Word, ...]:
    """Collect the words for a program: its compares, its constants, its set-up, known protocols."""
    found: dict[Word, None] = {}
    for word in (
        *_of_setup(words),
        *_of_code(spec),
        *_of_constants(spec, loaded),
        *_of_keys(loaded),
        *_lengths(spec, loaded),
        *(Word(each) for each in PROTOCOLS),
    ):
        if word.data:
            found[word] = None
    return tuple(found)[:_MOST]


def lengths_of(words: Iterable[Word]) -> Iterator[int]:
    """Tell how long frames become whose parts have the lengths among the words."""
    for word in words:
        if word.kind is Kind.LENGTH:
            yield int.from_bytes(word.data, "big") + _HEADERS


def _of_setup(words: Words) -> Iterator[Word]:
    yield from (Word(each, Kind.MAC) for each in words.macs)
    yield from (Word(each, Kind.V4) for each in words.v4)
    yield from (Word(each, Kind.V6) for each in words.v6)
    yield from (Word(each, Kind.TEXT) for each in words.texts)
    for number in words.numbers:
        if 0 <= number < 1 << 32:
            size = 2 if number < 1 << 16 else 4
            yield Word(number.to_bytes(size, "big"), Kind.NUMBER)


def _of_code(spec: Spec) -> Iterator[Word]:
    values: dict[int, None] = {}
    for section, code in spec.sections.values():
        if section.flags & _EXECUTABLE:
            values |= dict.fromkeys(_compared(code))
            yield from _sixteen(code)
    for value in values:
        for each in _spelled(value):
            # Two bytes are most fields that are compared: ports, types, tags.
            yield Word(each, Kind.NUMBER if len(each) == 2 else Kind.ANY)


def _sixteen(code: bytes) -> Iterator[Word]:
    """Join neighbours: clang compares an IPv6 address by two numbers, people by four."""
    found = [value.to_bytes(8, "little") for value in _compared(code) if value >> 32]
    for one, other in pairwise(found):
        yield from (Word(one + other), Word(other + one))
    fours = [value.to_bytes(4, "little") for value in _compared(code) if 0 < value >> 16 < 1 << 16]
    fours = [each for each in fours if each[1:] != b"\xff\xff\xff"]
    for at in range(len(fours) - 3):
        four = fours[at : at + 4]
        yield from (Word(b"".join(four), Kind.V6), Word(b"".join(reversed(four)), Kind.V6))


def _lengths(spec: Spec, loaded: Object) -> Iterator[Word]:
    """List what may be asked about how long a frame, or a part of it, is: what is compared with,
    and what is added to a pointer before it is held to the end.
    """
    values: dict[int, None] = {}
    for section, code in spec.sections.values():
        if section.flags & _EXECUTABLE:
            values |= dict.fromkeys(_compared(code))
            values |= dict.fromkeys(_added(code))
    values |= dict.fromkeys(_numbers(_constants(spec, loaded)))
    for value in values:
        if _LEAST_LENGTH <= value <= _MOST_LENGTH:
            yield Word(value.to_bytes(2, "big"), Kind.LENGTH)


def _added(code: bytes) -> Iterator[int]:
    for at in range(0, len(code) - 7, 8):
        op, _, _, imm = struct.unpack_from("=BBhi", code, at)
        if op & 7 in (_ALU, _ALU64) and not op & 8 and op & 0xF0 == _ADD and imm > 0:
            yield imm


def _compared(code: bytes) -> Iterator[int]:
    """List the numbers that code compares with, or that it takes a difference from."""
    for at in range(0, len(code) - 7, 8):
        op, _, _, imm = struct.unpack_from("=BBhi", code, at)
        kind, how = op & 7, op & 0xF0
        if kind in (_JUMP, _JUMP32) and not op & 8 and how not in _NO_COMPARE:
            yield imm & 0xFFFFFFFF
            if how in _ORDERED:
                yield from ((imm + 1) & 0xFFFFFFFF, (imm - 1) & 0xFFFFFFFF)
        elif kind in (_ALU, _ALU64) and not op & 8 and how == _XOR:
            yield imm & 0xFFFFFFFF
        elif kind in (_ALU, _ALU64) and not op & 8 and how == _ADD and imm < 0:
            yield -imm & 0xFFFFFFFF  # x - 80 < 3: a range that begins at 80
        elif op == _LDDW and not code[at + 1] >> 4 and at + 16 <= len(code):
            high = struct.unpack_from("=I", code, at + 12)[0]
            if high:
                yield imm & 0xFFFFFFFF | high << 32


def _spelled(value: int) -> Iterator[bytes]:
    """Write a number as it may stand in a frame: as short as it is, in both orders."""
    if value >> 31 == 1 and value < 1 << 32 and value > 0xFFFFFF00:
        return  # a small negative number: lengths and offsets, nothing of a frame
    size = next(each for each in (1, 2, 4, 8) if value < 1 << 8 * each)
    yield value.to_bytes(size, "big")
    if size > 1:
        yield value.to_bytes(size, "little")
    elif value > 1:
        yield value.to_bytes(2, "big")


def _of_constants(spec: Spec, loaded: Object) -> Iterator[Word]:
    for name, (_, data) in spec.sections.items():
        if name.startswith(".rodata"):
            yield from (Word(text) for text in _PRINTABLE.findall(data))
    for value in _constants(spec, loaded):
        if isinstance(value, bytes) and 1 < len(value) <= _MOST_BYTES:
            yield Word(bytes(value), _KINDS.get(len(value), Kind.ANY))
    for number in _numbers(_constants(spec, loaded)):
        yield Word(number.to_bytes(2 if number < 1 << 16 else 4, "big"), Kind.NUMBER)
        yield from (Word(each) for each in _spelled(number))


def _constants(spec: Spec, loaded: Object) -> Iterator[object]:
    return (loaded.globals[name] for name, found in spec.globals.items() if found.is_const)


def _numbers(values: Iterable[object]) -> Iterator[int]:
    for value in values:
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 32:
            yield value


def _of_keys(loaded: Object) -> Iterator[Word]:
    for found in loaded.maps.values():
        is_shut = found.spec.flags & _SHUT_READ
        if found.kind in HASHES - ARRAYS - OF_MAPS and not is_shut:
            for key in sorted(found.raw_items())[:_MOST_KEYS]:
                yield Word(key.rstrip(b"\0") if len(key) > 8 else key)
