"""Frames that say what they are: bytes in every respect, with a word for the reader on top.

`program.run()` takes them as it takes any bytes; what they say is printed where the frame is: in a
falsifying example, in the report of a failed test, in `explain.summary`.
"""

from __future__ import annotations

from typing import Any, Self


class Told(bytes):
    """Hold a frame and, in `what`, a few words that tell it from others.

    It equals the plain bytes, and what is cut out of it or joined to it is plain bytes again.
    """

    what: str = ""

    def __new__(cls, frame: bytes, what: str) -> Self:
        """Make one of a frame and of what is to be said about it."""
        told = super().__new__(cls, frame)
        told.what = what
        return told

    def __repr__(self) -> str:
        return f"{type(self).__name__}({bytes(self)!r}, {self.what!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (bytes(self), self.what)


class Mangled(Told):
    """Hold a frame that something is wrong with; `what` names it: "IP.len is 3 instead of 28"."""


class Fragment(Told):
    """Hold one of the fragments of a packet; `what` says which bytes it carries."""


class Segment(Told):
    """Hold one frame of a flow; `what` names it: "flow 1: SYN".

    `flow` counts from 1; `is_answer` tells the server's frames from the client's.
    """

    flow: int
    is_answer: bool

    def __new__(cls, frame: bytes, what: str, flow: int = 1, *, is_answer: bool = False) -> Self:
        """Make one of a frame, of what is said about it, and of where it belongs."""
        told = super().__new__(cls, frame, what)
        told.flow, told.is_answer = flow, is_answer
        return told

    def __repr__(self) -> str:
        answer = ", is_answer=True" if self.is_answer else ""
        return f"Segment({bytes(self)!r}, {self.what!r}, {self.flow}{answer})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _segment, (bytes(self), self.what, self.flow, self.is_answer)


def _segment(frame: bytes, what: str, flow: int, is_answer: bool) -> Segment:
    return Segment(frame, what, flow, is_answer=is_answer)
