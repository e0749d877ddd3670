"""Where the walk along a frame has got to: the headers and checksums that it met."""

from __future__ import annotations

from typing import NamedTuple


# A NamedTuple, not a frozen dataclass: half of the cost of a walk is making these.
class Header(NamedTuple):
    """Tell where one header stands in a frame.

    `length` is what the header says of itself (ihl, data offset), or the least that its kind has
    if it says something impossible. `is_whole` is False when that was so, or when the header runs
    past the end of the frame or of the packet around it.
    """

    name: str
    offset: int
    length: int
    is_whole: bool

    @property
    def end(self) -> int:
        """Say where the header ends, which may lie beyond the frame."""
        return self.offset + self.length

    @property
    def layer(self) -> str:
        """Give scapy's class name alone: `IP` for `IP:2`."""
        return self.name.partition(":")[0]


class Span(NamedTuple):
    # A checksum to look at, in the field at `at`: over frame[start:stop], after the pseudo header
    # if there is one.
    field: str
    at: int
    start: int
    stop: int
    pseudo: bytes
    is_crc: bool


class Cursor:
    __slots__ = ("counts", "end", "frame", "headers", "is_complete", "is_v6", "pseudo", "spans")

    def __init__(self, frame: bytes) -> None:
        self.frame = frame
        self.end = len(frame)  # where the innermost packet ends, as far as the frame goes
        self.is_complete = False  # the innermost IP packet is all there, and not a fragment
        self.is_v6 = False  # the innermost IP header
        self.pseudo = b""  # source and destination of the innermost IP header; b"" if unclear
        self.headers: list[Header] = []
        self.spans: list[Span] = []
        self.counts: dict[str, int] = {}

    def enter(self, name: str, at: int, length: int, *, is_sane: bool = True) -> str | None:
        """Note a header; give its (numbered) name if it is whole, None if the walk ends here."""
        count = self.counts[name] = self.counts.get(name, 0) + 1
        if count > 1:
            name = f"{name}:{count}"
        is_whole = is_sane and at + length <= self.end
        self.headers.append(Header(name, at, length, is_whole))
        return name if is_whole else None

    def u8(self, at: int) -> int:
        return self.frame[at] if at < self.end else 0

    def u16(self, at: int) -> int:
        return int.from_bytes(self.frame[at : at + 2], "big") if at + 2 <= self.end else 0

    def check(self, field: str, at: int, where: int, protocol: int = 0) -> None:
        # From here to the end of the packet. Protocol 0: without a pseudo header.
        if not self.is_complete or (protocol and not self.pseudo):
            return
        pseudo = b""
        if protocol:
            length = self.end - at
            pseudo = self.pseudo + length.to_bytes(4, "big") + protocol.to_bytes(4, "big")
        is_crc = field.startswith("SCTP")
        self.spans.append(Span(field, at + where, at, self.end, pseudo, is_crc))
