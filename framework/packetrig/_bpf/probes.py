"""What this kernel can do, found out by doing it: yes, no, or cannot tell.

Never by the kernel's version: distributions backport. Conclusive answers are kept for the life of
the process, "cannot tell" (no privilege) is asked again.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Self

from ..errors import Error, Unsupported
from . import ENOTSUPP, OUTPUT_ROOM, capability_missing, denied, ffi, lib, strerror
from .kinds import PROGRAM_KINDS, SLEEPABLE, TRACING_TYPES, XDP_HAS_FRAGS


class Answer(Enum):
    """Say whether the kernel has a feature."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True, slots=True)
class Feature:
    """Hold one answer with what shows it, and what to do about a no."""

    name: str
    answer: Answer
    reason: str = ""
    advice: str = ""


_numbers: dict[str, int] = {}

_EXIT = struct.pack("=BBhi", 0x95, 0, 0, 0)


def _move(register: int, value: int) -> bytes:
    return struct.pack("=BBhi", 0xB7, register, 0, value)


def _load_word(to: int, source: int, offset: int) -> bytes:
    return struct.pack("=BBhi", 0x61, source << 4 | to, offset, 0)


def _reaching(size: int) -> bytes:
    """Return 1 where so much of the frame lies in one piece.

    By a comparison: data_end - data is refused to whoever lacks CAP_PERFMON.
    """
    code = _move(0, 0) + _load_word(2, 1, 0) + _load_word(3, 1, 4)
    code += struct.pack("=BBhi", 0x07, 2, 0, size)  # r2 += size
    code += struct.pack("=BBhi", 0x2D, 3 << 4 | 2, 1, 0)  # if r2 > r3, over the next one
    return code + _move(0, 1) + _EXIT


def _return(value: int) -> bytes:
    return _move(0, value) + _EXIT


class _Probe:
    """Hold a program of a few instructions for as long as a probe needs it."""

    def __init__(self, kind: str, instructions: bytes, *, flags: int = 0) -> None:
        described = PROGRAM_KINDS[kind]
        self.fd = lib.pr_prog_load(
            described.type, described.attach, flags, instructions, len(instructions) // 8
        )
        if self.fd < 0:
            if -self.fd in (errno.EPERM, errno.EACCES):
                traces = described.type in TRACING_TYPES
                raise denied(f"loading a {kind} program", traces=traces)
            raise Unsupported(f"{kind} programs", f"the kernel refused one: {strerror(-self.fd)}")
        self._out = ffi.new("uint8_t[]", OUTPUT_ROOM)
        self.runner = ffi.new(
            "struct pr_runner *",
            {"prog_fd": self.fd, "netns_fd": -1, "repeat": 1, "out": self._out},
        )
        self.runner.out_capacity = OUTPUT_ROOM

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def run(self, frame: bytes) -> int:
        """Run it; the errno, 0 for none."""
        return -int(lib.pr_run(self.runner, frame, len(frame)))


def _remember(name: str, ask: Callable[[], int]) -> int:
    if name not in _numbers:
        _numbers[name] = ask()
    return _numbers[name]


def _largest(accepts: Callable[[int], bool], low: int, high: int) -> int:
    """Find the largest accepted number; `low` is accepted."""
    while low < high:
        middle = (low + high + 1) // 2
        if accepts(middle):
            low = middle
        else:
            high = middle - 1
    return low


def xdp_linear() -> int:
    """Return how many bytes of a frame an XDP program sees in one piece in a test run.

    3520 with pages of 4 KiB: a page without headroom (256) and skb_shared_info (320).
    """

    size = 4 * os.sysconf("SC_PAGE_SIZE")

    def reaches(wanted: int) -> bool:
        with _Probe("xdp", _reaching(wanted)) as probe:
            return not probe.run(bytes(size)) and bool(probe.runner.retval)

    def ask() -> int:
        with _Probe("xdp", _return(2)) as probe:
            if not probe.run(bytes(size)):
                return _largest(reaches, 64, min(size, 0xFFFF))
            # Before multi-buffer (Linux 5.18) a frame longer than the linear part is refused.
            return _largest(lambda n: not probe.run(bytes(n)), 64, size)

    return _remember("xdp_linear", ask)


def xdp_most() -> int:
    """Return the longest frame that a multi-buffer XDP program can be given in a test run."""

    def ask() -> int:
        try:
            with _Probe("xdp", _return(2), flags=XDP_HAS_FRAGS) as probe:
                top = 18 * os.sysconf("SC_PAGE_SIZE")
                return _largest(lambda n: not probe.run(bytes(n)), 64, top)
        except Unsupported:
            return xdp_linear()

    return _remember("xdp_most", ask)


def skb_most() -> int:
    """Return the longest frame that TC and the other skb programs can be given in a test run."""

    def ask() -> int:
        with _Probe("tc", _return(0)) as probe:
            top = 18 * os.sysconf("SC_PAGE_SIZE")
            return _largest(lambda n: not probe.run(bytes(n)), 64, top)

    return _remember("skb_most", ask)


def xdp_meta_most() -> int:
    """Return the most bytes of metadata before a frame in an XDP test run; 0 without contexts."""

    def ask() -> int:
        with _Probe("xdp", _return(2)) as probe:
            runner = probe.runner
            runner.ctx_in_size = 24

            def accepts(words: int) -> bool:
                size = 4 * words
                struct.pack_into("=3I", ffi.buffer(runner.ctx_in), 0, size, size + 64, 0)
                return not probe.run(bytes(size + 64))

            return 4 * _largest(accepts, 0, 64) if accepts(0) else 0

    return _remember("xdp_meta_most", ask)


def has_xdp_context() -> bool:
    """Tell whether an XDP test run takes a context (Linux 5.15)."""

    def ask() -> int:
        with _Probe("xdp", _return(2)) as probe:
            probe.runner.ctx_in_size = 24
            struct.pack_into("=3I", ffi.buffer(probe.runner.ctx_in), 0, 0, 64, 0)
            return int(not probe.run(bytes(64)))

    return bool(_remember("xdp_context", ask))


def has_kind(kind: str) -> bool:
    """Tell whether this kernel has programs of a kind; of those that trace it nothing is known."""

    def ask() -> int:
        flags = SLEEPABLE if kind == "syscall" else 0
        try:
            with _Probe(kind, _return(0), flags=flags):
                return 1
        except Unsupported:
            return 0

    return not PROGRAM_KINDS[kind].testable or bool(_remember(f"{kind} programs", ask))


def _kind_runs(kind: str) -> Feature:
    """Load a program of a kind that does nothing, and run it."""
    name = f"{kind} test run"
    try:
        flags = SLEEPABLE if kind == "syscall" else 0
        with _Probe(kind, _return(0), flags=flags) as probe:
            error = probe.run(b"" if kind in ("sk_lookup", "raw_tracepoint", "syscall") else _FRAME)
    except Unsupported as e:
        return Feature(name, Answer.NO, e.reason)
    if error in (ENOTSUPP, errno.EOPNOTSUPP):
        return Feature(name, Answer.NO, "the kernel has no BPF_PROG_TEST_RUN for this kind")
    return Feature(name, Answer.YES)


# A UDP packet in IPv4, long enough for every kind.
_FRAME = bytes.fromhex("020000000001020000000002" + "0800" + "4500002e000000004011") + bytes(40)


def _frags() -> Feature:
    most, linear = xdp_most(), xdp_linear()
    if most > linear:
        return Feature("XDP multi-buffer", Answer.YES, f"{linear} bytes linear, {most} in all")
    return Feature("XDP multi-buffer", Answer.NO, f"frames longer than {linear} bytes are refused")


def _live_frames() -> Feature:
    # A probe must look at the effect: Linux 5.10 ignores the flag when no context is given.
    name = "XDP live frames"
    with _Probe("xdp", _return(1)) as probe:
        probe.runner.flags = 1 << 1
        probe.runner.out_capacity = 0
        probe.runner.retval = 77
        error = probe.run(bytes(64))
        if error:
            return Feature(name, Answer.NO, strerror(error))
        if probe.runner.retval == 1:
            return Feature(name, Answer.NO, "the kernel ignores the flag")
        return Feature(name, Answer.YES)


def has_live_frames() -> bool:
    """Tell whether an XDP test run can hand its frame on (Linux 5.18)."""
    return _live_frames().answer is Answer.YES


def has_pieces(kind: str) -> bool:
    """Tell whether a frame can be split where the caller says: XDP (Linux 6.18), tc (6.19)."""
    at, size = (4, 24) if kind == "xdp" else (80, 192)  # data_end, and the whole context

    def ask() -> int:
        flags = XDP_HAS_FRAGS if kind == "xdp" else 0
        with _Probe(kind, _return(0), flags=flags) as probe:
            probe.runner.ctx_in_size = size
            struct.pack_into("=I", ffi.buffer(probe.runner.ctx_in), at, 40)
            return int(not probe.run(_FRAME))

    return bool(_remember(f"{kind} pieces", ask))


def _pieces(kind: str) -> Feature:
    name = f"{kind.upper()} frame in pieces"
    if has_pieces(kind):
        return Feature(name, Answer.YES)
    return Feature(name, Answer.NO, "the kernel refuses a data_end before the end")


def has_checksum_complete() -> bool:
    """Tell whether an skb can be given whose sum a device has computed (Linux 6.11)."""

    def ask() -> int:
        with _Probe("tc", _return(0)) as probe:
            probe.runner.flags = 1 << 2
            return int(not probe.run(_FRAME))

    return bool(_remember("checksum_complete", ask))


def _checksum_complete() -> Feature:
    name = "skb CHECKSUM_COMPLETE"
    if has_checksum_complete():
        return Feature(name, Answer.YES)
    return Feature(name, Answer.NO, "the kernel refuses the flag")


def _context() -> Feature:
    most = xdp_meta_most()
    if has_xdp_context():
        return Feature("XDP context", Answer.YES, f"metadata up to {most} bytes")
    return Feature("XDP context", Answer.NO, "a context is refused")


def _asked(name: str, ask: Callable[[], Feature]) -> Feature:
    try:
        return ask()
    except Unsupported as e:
        return Feature(name, Answer.NO, e.reason)
    except (Error, OSError) as e:
        advice = "run it as root" if capability_missing() else ""
        return Feature(name, Answer.UNKNOWN, str(e), advice)


def features() -> list[Feature]:
    """Ask for everything that packetrig uses; nothing raises, a failed probe is "cannot tell"."""
    kinds = [k.name for k in PROGRAM_KINDS.values() if k.testable]
    asked = [_asked(f"{kind} test run", lambda k=kind: _kind_runs(k)) for kind in kinds]  # type: ignore[misc]
    rest: list[tuple[str, Any]] = [
        ("XDP context", _context),
        ("XDP multi-buffer", _frags),
        ("XDP live frames", _live_frames),
        ("skb CHECKSUM_COMPLETE", _checksum_complete),
        ("XDP frame in pieces", lambda: _pieces("xdp")),
        ("TC frame in pieces", lambda: _pieces("tc")),
    ]
    return asked + [_asked(name, ask) for name, ask in rest]
