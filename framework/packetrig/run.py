"""One run of a program on one frame, as a value; and many of them as a sequence."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from ._bpf import ffi, lib
from ._bpf.contexts import LAYOUTS, Context
from .errors import Error
from .packets import explain, frames
from .refusals import LEAST, WITHOUT_ETHERNET
from .verdicts import verdict_of

if TYPE_CHECKING:
    from .program import Program
    from .redirects import Redirect


class _Fields(NamedTuple):
    verdict: Any
    data: bytes
    frame: bytes
    nanoseconds: int
    program: Program
    metadata: bytes
    raw_context: bytes


class Run(_Fields):
    """Hold what the kernel answered for one frame.

    `verdict` is XDP.PASS, TC.OK ... or a plain int where the program returned no verdict of its
    kind; `data` the frame afterwards (bytes); `frame` the frame before; `metadata` the bytes that
    an XDP program left before the frame; `nanoseconds` what the kernel measured (a single run says
    little: see `packetrig bench`); `program` the one that ran.

    Two runs are equal when verdict, data, metadata and context are; time and program do not count.

        run = router.run(packet)
        assert run.verdict is XDP.REDIRECT
        assert run.changes == {"IP.ttl": (64, 63), "IP.chksum": ANY, "Ether.dst": (A, B)}
    """

    # A tuple inside: as immutable as a frozen dataclass, made in 0.1 us where that takes 0.9.
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Run):
            return NotImplemented
        return (
            self.verdict == other.verdict
            and self.data == other.data
            and self.metadata == other.metadata
            and self.raw_context == other.raw_context
        )

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self.verdict, self.data, self.metadata))

    def __repr__(self) -> str:
        size = f"{len(self.data)} bytes"
        if self.data == self.frame:
            change = f"{size}, unchanged"
        elif len(self.data) == len(self.frame):
            change = f"{size}, rewritten"
        else:
            change = f"{len(self.frame)} bytes became {len(self.data)}"
        layers = " / ".join(h.name for h in frames.walk(self.data)) or "no layers"
        build = " (test build)" if self.program.is_test_build else ""
        build += " (instrumented)" if self.program.owner.is_instrumented else ""
        return f"<Run {self.verdict!r} of {self.program.name}{build} on {layers}, {change}>"

    @property
    def context(self) -> Context | bytes | None:
        """Return the context afterwards by field (`run.context.mark`); None if there is none.

        A syscall program's is bytes: what it wrote into its argument.
        """
        layout = LAYOUTS.get(self.program.kind)
        if not self.raw_context:
            return None
        return Context(self.raw_context, layout) if layout else self.raw_context

    @property
    def packet(self) -> Any:
        """Return the frame afterwards as a scapy packet, built when asked."""
        return explain.dissect(self.data)

    @property
    def is_rewritten(self) -> bool:
        """Tell whether the program changed the frame."""
        return self.data != self.frame

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """Tell which fields changed, by scapy's names: {"IP.ttl": (64, 63)}."""
        return explain.changes(self.frame, self.data)

    @property
    def bad_checksums(self) -> list[str]:
        """List the checksums that are wrong afterwards: ["IP.chksum", "TCP.chksum"]."""
        return frames.bad_checksums(self.data)

    @property
    def redirect(self) -> Redirect | None:
        """Tell where the frame was redirected to: `run(packet, redirect=True).redirect.ifindex`.

        Raises:
            Error: The run was not asked to note it.
        """
        raise Error(
            f"{self.program.name}: a run notes its target when it is asked to: "
            "run(packet, redirect=True).redirect"
        )

    def looks_like(self, template: Any, *, only: Sequence[str] = ()) -> explain.Likeness:
        """Compare with a template: the fields named in `only`, else those the template sets."""
        return explain.looks_like(self.data, template, only=only)

    @property
    def repeat(self) -> str:
        """Return the command that runs the program on this frame again."""
        return repeated(self.program, self.frame)

    def explain(self) -> str:
        """Tell the run in full: the frame layer by layer, what changed, and how to repeat it."""
        rows = [
            f"{self.program.name}: {self.verdict!r}",
            *(f"  build   {line}" for line in told(self.program)),
            f"  frame   {explain.summary(self.frame)} ({len(self.frame)} bytes)",
        ]
        if self.is_rewritten:
            rows.append(explain.difference(self.frame, self.data, names=("before", "after")))
        if bad := self.bad_checksums:
            rows.append(f"  wrong checksums: {', '.join(bad)}")
        rows.append(f"  scapy   {explain.expression(self.frame)}")
        rows.append(f"  repeat  {self.repeat}")
        return "\n".join(rows)


def repeated(program: Program, frame: bytes, *, checksum_complete: bool = False) -> str:
    """Write the command that runs a program on a frame again."""
    owner = program.owner
    spec = owner.spec
    words = ["packetrig", "run", str(spec.source or spec.path or spec.name)]
    if len(spec.programs) > 1:
        words += ["--program", program.name]
    if owner.kind is not None:
        words += ["--kind", owner.kind]
    for name, value in spec.define.items():
        words += ["--define", name if value is None else f"{name}={value}"]
    for folder in spec.include:
        words += ["--include", str(folder)]
    for name, value in owner.values.items():
        words += ["--set", f"{name}={value}"]
    if checksum_complete:
        words.append("--checksum-complete")
    return shlex.join([*words, "--frame", frame.hex()])


def told(program: Program) -> list[str]:
    """Say of a test build that it is one, and what is faked; nothing of what may ship."""
    lines = ["instrumented for coverage: what ships does not count (repeat runs that)"]
    lines = lines if program.owner.is_instrumented else []
    if not program.is_test_build:
        return lines
    values = ", ".join(f"{n}={fake.value.now!r}" for n, fake in program.owner.mocks.items())
    names = ", ".join(program.owner.spec.faked)
    return [
        *lines,
        f"a test build, not what ships; faked: {values or names} (repeat runs it without fakes)",
    ]


def made(
    program: Program, retval: int, data: bytes, frame: bytes, nanoseconds: int, context: bytes
) -> Run:
    """Make the value of a run from what the kernel gave back.

    An XDP program's output begins with its metadata, whose length is in the context's `data`; the
    context itself is left out: it holds nothing else that a program can change.
    """
    verdict = verdict_of(program.kind, retval)
    if program.kind in WITHOUT_ETHERNET:
        data = frame[:LEAST] + data[LEAST:]
    if program.kind != "xdp" or not context:
        return Run(verdict, data, frame, nanoseconds, program, b"", context)
    meta = int.from_bytes(context[:4], "little")
    return Run(verdict, data[meta:], frame, nanoseconds, program, data[:meta], b"")


class Runs(Sequence[Run]):
    """Hold the answers for many frames; a Run is made when one is looked at.

    runs = firewall.run_many(frames)
    assert set(runs.verdicts) == {XDP.PASS}
    """

    def __init__(self, program: Program, frames: Sequence[bytes], batch: Any) -> None:
        self._program = program
        self._frames = frames
        self._batch = ffi.gc(batch, lib.pr_batch_free)

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def verdicts(self) -> list[Any]:
        """Return the verdicts, one a frame."""
        kind = self._program.kind
        return [verdict_of(kind, r) for r in ffi.unpack(self._batch.retvals, len(self))]

    @property
    def nanoseconds(self) -> list[int]:
        """Return what the kernel measured for each frame, in nanoseconds."""
        return list(ffi.unpack(self._batch.durations, len(self)))

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> list[Run]: ...
    def __getitem__(self, index: int | slice) -> Run | list[Run]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"run {index} of {len(self)}")
        b = self._batch
        start = b.ends[index - 1] if index else 0
        data = bytes(ffi.buffer(b.data + start, b.ends[index] - start))
        size = b.context_size
        context = bytes(ffi.buffer(b.contexts + index * size, size))
        return made(
            self._program, b.retvals[index], data, self._frames[index], b.durations[index], context
        )

    def __repr__(self) -> str:
        return f"<Runs: {len(self)} of {self._program.name}>"
