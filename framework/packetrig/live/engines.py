"""One program, three engines: the test run, live frames, a wire; and what each could see.

The test run returns a verdict. The two others show where a frame ended, and several verdicts end
alike: a frame that XDP drops and one that it aborts, one that TC lets through with OK and with
UNSPEC. There the test run of the same frame, from the same state, says which it was, if what was
seen allows it; what it does not allow is a difference (`Seen.difference`), with the names of what
this hook is known to do otherwise.
"""

from __future__ import annotations

import errno
import struct
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

from .. import packets
from .._bpf import ffi, lib, probes, strerror
from ..errors import Error, InputRefused, Unsupported
from ..program import Program
from ..run import Run
from ..state import Again, Moment
from ..verdicts import TC, XDP
from .attach import Mode, natural_mode
from .parity import Known, Occasion, reasons
from .smoke import ends
from .taps import is_cut_in_its_tag
from .trip import Ended, Trip
from .wire import Wire

ENGINES = ("testrun", "live-frames", "wire")
_LIVE_FRAMES = 1 << 1
_CONTEXT = struct.Struct("=6I")  # struct xdp_md
# The first of each row is what to call it when nothing else is known of it.
_XDP = {
    Ended.STACK: (XDP.PASS,),
    Ended.BACK: (XDP.TX, XDP.REDIRECT),
    Ended.ELSEWHERE: (XDP.REDIRECT,),
    Ended.NOWHERE: (XDP.DROP, XDP.ABORTED, XDP.REDIRECT),
}
_TC = {
    Ended.STACK: (TC.OK, TC.UNSPEC, TC.PIPE, TC.RECLASSIFY),
    Ended.BACK: (TC.REDIRECT,),
    Ended.ELSEWHERE: (TC.REDIRECT,),
    Ended.NOWHERE: (TC.SHOT, TC.STOLEN, TC.QUEUED, TC.TRAP, TC.REDIRECT),
}


class CannotTell(Unsupported):
    """Say what an engine cannot see or do by its nature; no other kernel would change that."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Tell what an engine saw that the test run says otherwise; `known` may explain it."""

    engine: str
    expected: str
    seen: str
    frame: bytes
    known: tuple[Known, ...]

    def __str__(self) -> str:
        names = ", ".join(known.name for known in self.known) or "nothing that is known"
        return (
            f"testrun: {self.expected}; {self.engine}: {self.seen}; may be explained by: {names} "
            f"({len(self.frame)} bytes: {self.frame[:64].hex()})"
        )


class Seen(Run):
    """Be a Run that was observed: the verdict by where the frame ended, the data where it did.

    `engine` names the engine, `ended` and `trip` tell where the frame ended, `verdicts` are all
    that end so. `expected` is the test run of the same frame; None where the object's state cannot
    be put back, or the test run does not take the frame: `why_alone` says which. `difference` is
    what it says otherwise, or None.
    """

    engine: str
    trip: Trip
    verdicts: tuple[Any, ...]
    expected: Run | None
    why_alone: str
    difference: Difference | None
    _shown: str

    @property
    def ended(self) -> Ended:
        """Say where the frame ended: STACK, BACK, ELSEWHERE or NOWHERE."""
        return self.trip.ended

    @property
    def verdict(self) -> Any:  # a field there, worked out here
        """Return the verdict, as far as it can be seen.

        Raises:
            CannotTell: several verdicts end so, and the test run cannot be asked which.
        """
        if self[0] is None:
            names = ", ".join(map(str, self.verdicts))
            raise CannotTell(
                f"telling verdicts that end {_where(self.ended)} apart on the engine {self.engine}",
                f"it was one of {names}, and the test run cannot be asked: {self.why_alone}",
            )
        return self[0]

    @property
    def data(self) -> bytes:  # a field there, worked out here
        """Return the frame where it ended.

        Raises:
            CannotTell: it ended nowhere, and nobody saw what the program made of it.
        """
        if self.ended is Ended.NOWHERE or not self[1]:
            raise CannotTell(
                "the bytes of a frame that nobody received",
                f"on the engine {self.engine} it ended {_where(self.ended)}",
            )
        return bytes(self[1])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Run):
            return NotImplemented
        data = self[1] == other[1] if isinstance(other, Seen) else self.data == other.data
        return bool(self.verdict == other.verdict and data)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self[0], self[1]))

    def __repr__(self) -> str:
        return f"<Seen {self._shown} by {self.engine}: ended {_where(self.ended)}>"

    @property
    def notes(self) -> list[str]:
        """Tell in lines what can be told of the frame, and whether the test run agrees."""
        rows = []
        if self[1] and self[1] != self.frame:
            rows += [f"  changed {n}: {a!r} -> {b!r}" for n, (a, b) in self.changes.items()]
        if self.difference:
            rows.append(f"  engines differ: {self.difference}")
            rows += [f"    {known.name}: {known.text}" for known in self.difference.known]
        elif self.expected:
            rows.append("  the test run agrees")
        else:
            rows.append(f"  no test run beside it: {self.why_alone}")
        return rows

    def explain(self) -> str:
        """Tell what was seen, and what the test run says."""
        head = f"{self.program.name}: {self!r}"
        return "\n".join([head, *self.notes, f"  repeat  {self.repeat}"])


def _where(ended: Ended) -> str:
    return {Ended.STACK: "on the stack", Ended.BACK: "with its sender"}.get(ended, ended.value)


class Bench:
    """Run programs on one engine; `close()` takes the wire away, unless it was given."""

    def __init__(self, engine: str, *, wire: Wire | None = None) -> None:
        self.name = engine
        self._kind, _, mode = engine.partition(":")
        if self._kind not in ENGINES or (mode and self._kind != "wire"):
            named = ", ".join(ENGINES)
            raise Error(f"no engine named '{engine}'; there are: {named}, and wire:generic ...")
        self._mode = Mode.of(mode) if mode else None
        self._stack = ExitStack()
        self._wire = wire
        self._attachment: Any = None
        self._attached: Any = None  # with the loading: renewing an object makes another

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Detach what is attached; does nothing the second time."""
        self._detach()
        self._stack.close()

    def run(self, program: Program, packet: Any) -> Run:
        """Run a program on a packet and tell what this engine saw.

        Raises:
            CannotTell: this engine does not run such a program, or such a frame.
        """
        frame = packets.to_bytes(packet)
        if self._kind == "testrun":
            return program.run(frame)
        if self._kind == "live-frames" and program.kind != "xdp":
            raise CannotTell(
                f"{program.kind} on the engine live-frames", "only XDP has live frames"
            )
        if program.kind not in ("xdp", "tc"):
            raise CannotTell(f"{program.kind} on the engine {self.name}", "it has no such hook")
        state = program.owner.state
        with state.on_one_cpu():
            before = None if state.obstacle else state.take()
            try:
                trip, mode = self._observe(program, frame)
            except InputRefused as e:
                raise CannotTell(f"this frame on the engine {self.name}", str(e)) from e
            return self._made(program, trip, mode, before)

    def _observe(self, program: Program, frame: bytes) -> tuple[Trip, Mode | None]:
        if self._wire is None:
            self._wire = self._stack.enter_context(Wire())
        if self._kind == "live-frames":
            return _live(self._wire, program, frame), None
        mode = self._mode or natural_mode(program)
        if mode.is_tc_ingress and is_cut_in_its_tag(frame):
            raise CannotTell("a frame that is cut in its VLAN tag", "no TC program is shown it")
        if self._attached != (program, program.owner.loaded):
            self._detach()
            end = self._wire.left if mode.is_egress else self._wire.right
            self._attachment = end.attach(program, mode)
            self._attachment.__enter__()
            self._attached = (program, program.owner.loaded)
        program.owner.loaded.is_dirty = True  # the frame runs it where nobody else sees it
        return self._wire.trace(frame), mode

    def _detach(self) -> None:
        if self._attachment is not None:
            self._attachment.close()
        self._attachment = self._attached = None

    def _made(self, program: Program, trip: Trip, mode: Mode | None, before: Moment | None) -> Seen:
        possible: tuple[Any, ...] = (_XDP if program.kind == "xdp" else _TC)[trip.ended]
        if "xdp_tx" in trip.counters:
            possible = (XDP.TX,)
        if trip.ended is Ended.NOWHERE and is_cut_in_its_tag(trip.frame):
            possible += (XDP.PASS if program.kind == "xdp" else TC.OK,)
        heard = trip.passed or trip.returned or next(iter(trip.elsewhere.values()), ())
        data = heard[0] if heard else b""
        expected, why = _asked(program, trip.frame, before)
        verdict: Any = possible[0] if len(possible) == 1 or expected else None
        if expected is not None and _agrees(expected, trip, mode):
            verdict = expected.verdict
        seen = Seen(verdict, data, trip.frame, 0, program, b"", b"")
        seen.engine, seen.trip, seen.verdicts, seen.expected = self.name, trip, possible, expected
        seen.why_alone = why
        seen._shown = " or ".join(map(repr, possible)) if verdict is None else repr(verdict)
        seen.difference = self._difference(seen, mode)
        program.last = seen
        return seen

    def _difference(self, seen: Seen, mode: Mode | None) -> Difference | None:
        expected = seen.expected
        if expected is None:
            return None
        same_end = _agrees(expected, seen.trip, mode)
        if same_end and (not seen[1] or seen[1] == expected.data):
            return None
        told = repr(expected.verdict)
        what = f"{seen._shown}, ended {_where(seen.ended)}"
        if same_end:
            what = f"ended {_where(seen.ended)} too, with other bytes ({len(seen[1])})"
        occasion = Occasion(seen.program, mode, seen.frame, expected.verdict, seen.ended)
        return Difference(self.name, told, what, seen.frame, reasons(occasion))


def _asked(program: Program, frame: bytes, before: Moment | None) -> tuple[Run | None, str]:
    # The test run of the frame from the state before it; or why there is none.
    if before is None:
        return None, program.owner.state.obstacle
    stand_in = Run(None, frame, frame, 0, program, b"", b"")
    try:
        return Again(program, stand_in, before, {})(frame), ""
    except InputRefused as e:
        return None, str(e)


def _agrees(expected: Run, trip: Trip, mode: Mode | None) -> bool:
    want = ends(mode or Mode.NATIVE, expected.verdict)
    if want is Ended.STACK and is_cut_in_its_tag(expected.data):
        want = Ended.NOWHERE  # let through, and dropped by the kernel
    if want is Ended.ELSEWHERE:  # a redirect may lead back, and on a wire of one port nowhere
        return trip.ended is not Ended.STACK
    return trip.ended is want


def _live(wire: Wire, program: Program, frame: bytes) -> Trip:
    """Let the kernel's test run send one frame on, as if the right end had received it."""

    def inject() -> None:
        runner = ffi.new("struct pr_runner *")
        runner.prog_fd = program.fd
        runner.netns_fd = wire.right.namespace.fd
        runner.repeat = runner.batch_size = 1
        runner.flags = _LIVE_FRAMES
        context = _CONTEXT.pack(0, len(frame), 0, wire.right.index, 0, 0)
        runner.ctx_in_size = len(context)
        ffi.buffer(runner.ctx_in)[: len(context)] = context
        error = -lib.pr_run(runner, frame, len(frame))
        if error == errno.EINVAL and not probes.has_live_frames():
            raise Unsupported("live frames (Linux 5.18)", f"{program.name}: {strerror(error)}")
        if error:
            raise InputRefused(
                f"{program.name}: a frame of {len(frame)} bytes cannot be sent on: "
                f"{strerror(error)}; live frames have 14 bytes, and at most what fits a page (3408)"
            )

    return wire.observe(frame, inject)
