"""Build DNS messages, sound ones and such that lie about their names and counts."""

from __future__ import annotations

import struct
from collections.abc import Sequence

A, NS, CNAME, MX, TXT, AAAA, OPT, ANY = 1, 2, 5, 15, 16, 28, 41, 255
QUERY, ANSWER = 0x0100, 0x8180  # recursion wanted; and given

# Names that lie: a pointer to itself, two that point at each other, a label beyond the end, one of
# a length that is none, no end, a pointer beyond the message, more labels than a name may have.
LYING_NAMES = (
    b"\xc0\x0c",
    b"\xc0\x0e\xc0\x0c",
    b"\x3fa",
    b"\x40a",
    b"\1a\1b",
    b"\xff\xff",
    b"\1a" * 130 + b"\0",
)

_LEAST_TO_POINT_AT = 12  # the header: where the first question's name stands


def name(text: str | bytes) -> bytes:
    """Encode a name as labels: `name("a.example")` is `b"\\x01a\\x07example\\x00"`.

    Raises:
        ValueError: a label is empty or has over 63 bytes, or the whole over 255.
    """
    raw = text.encode("ascii") if isinstance(text, str) else text
    labels = raw.rstrip(b".").split(b".") if raw.strip(b".") else []
    if any(not 1 <= len(label) <= 63 for label in labels):
        raise ValueError("each label of a name has 1 to 63 bytes")
    encoded = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    if len(encoded) > 255:
        raise ValueError("a name has at most 255 bytes")
    return encoded


def message(
    question: bytes,
    *,
    kind: int = A,
    identification: int = 0,
    flags: int = QUERY,
    answers: Sequence[bytes] = (),
    has_edns: bool = False,
    questions: int = 1,
    answer_count: int | None = None,
) -> bytes:
    """Build a message about one encoded name; `answers` are the data of its records.

    The records point back at the question's name, as every server compresses it.
    """
    count = len(answers) if answer_count is None else answer_count
    header = struct.pack("!HHHHHH", identification, flags, questions, count, 0, int(has_edns))
    asked = question + struct.pack("!HH", kind, 1)
    pointer = (0xC000 | _LEAST_TO_POINT_AT).to_bytes(2, "big")
    records = b"".join(
        pointer + struct.pack("!HHIH", kind, 1, 300, len(data)) + data for data in answers
    )
    edns = b"\0" + struct.pack("!HHIH", OPT, 1232, 0, 0) if has_edns else b""
    return header + asked + records + edns
