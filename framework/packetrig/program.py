"""One loaded program: given frames, it answers with verdicts and what it made of them."""

from __future__ import annotations

import array
import errno
import threading
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from . import checks, packets, refusals
from ._bpf import OUTPUT_ROOM, ffi, lib, strerror
from ._bpf.contexts import LAYOUTS
from ._bpf.kinds import BEHIND_REDIRECT
from ._bpf.processors import processor
from .asked import Asked
from .cost import measure
from .errors import Error, Failure, InputRefused, Unsupported
from .redirects import noted
from .run import Run, Runs, made, repeated
from .verdicts import TABLES
from .verifier import Statistics

if TYPE_CHECKING:
    from .checks import Check
    from .models import Model
    from .objects import Object
    from .state import Transition

_ADJUST_META = 54
# One call of the C loop: long enough that its start costs nothing, short enough for Ctrl-C, and
# few enough frames that their block is memory in use already (fresh pages cost a twentieth more).
_BATCH = 1024
_NO_VERDICTS: dict[int, int] = {}

_pr_run = lib.pr_run
_unpack = ffi.unpack
_buffer = ffi.buffer
_new = tuple.__new__
# Not cleared: pages of the output's room that are never written are never touched.
_room = ffi.new_allocator(should_clear_after_alloc=False)
# BPF_F_TEST_SKB_CHECKSUM_COMPLETE: the skb comes from a device that summed all of it.
_CHECKSUM_COMPLETE = 1 << 2


class Program:
    """Run one program of a loaded object.

        run = firewall.programs.ingress.run(Ether() / IP(dst="10.0.0.1") / UDP())
        assert run.verdict is XDP.PASS

    A frame that the kernel's test run refuses, or that no driver would hand the program, raises
    InputRefused with the reason; it never counts as tested.
    """

    def __init__(self, owner: Object, name: str) -> None:
        self.owner = owner
        self.name = name
        # What it answered last, for whoever reports on a failed test.
        self.last: Run | Runs | None = None
        loaded = owner.loaded
        self.kind = loaded.kinds[name]
        self.section = owner.spec.programs[name].section
        self.has_frags = loaded.frags[name]
        self._verdicts: Mapping[int, Any] = TABLES.get(self.kind, _NO_VERDICTS)
        self._least = self._most = -1
        layout = LAYOUTS.get(self.kind)
        self._is_skb = self.kind in refusals.SKB_KINDS
        # An skb's context is always given: what the program wrote into mark or cb comes back in it.
        # XDP's only where the program may move the metadata, which then comes before the frame.
        self._needs_context = self.kind == "xdp" and _ADJUST_META in owner.spec.helpers_of(name)
        size = layout.size if layout and (self._is_skb or self._needs_context) else 0
        self._out = _room("char[]", OUTPUT_ROOM)
        # Answers come back through one runner, and other threads run while the kernel works.
        self._lock = threading.Lock()
        self._runner = ffi.new("struct pr_runner *")
        self._runner.out = ffi.cast("uint8_t *", self._out)
        self._runner.out_capacity = OUTPUT_ROOM
        self._runner.repeat = 1
        self._runner.netns_fd = -1
        self._runner.ctx_in_size = self._runner.ctx_out_size = size
        self._context_size = size
        self.renewed()

    def renewed(self) -> None:
        """Take over the descriptor of the object's new loading."""
        self._runner.prog_fd = self.owner.loaded.program_fds[self.name]
        self._most = -1  # where it runs is asked again: the namespace may be another

    def _prepare(self) -> None:
        """Find out what frames may be given, and where the program runs; once, at the first run."""
        self._least, most = refusals.range_of(self.name, self.kind, has_frags=self.has_frags)
        if self.owner.runs_in_own_netns:
            self._runner.netns_fd = self.owner.netns.fileno()
        is_plain = not self._needs_context and self.kind in ("xdp", "tc", "action")
        # Kinds that always want a context, and fakes that may run out, never take the short way.
        is_plain = is_plain and not self.is_test_build
        self._most = most if is_plain else -2

    @property
    def is_test_build(self) -> bool:
        """Tell whether helpers of its object are faked (mocks=)."""
        return self.owner.is_test_build

    @property
    def fd(self) -> int:
        """Return the program's descriptor; it changes when the object is renewed."""
        # Whoever has it can run the program where we do not see it: on an interface, for instance.
        self.owner.loaded.is_dirty = True
        return self.owner.loaded.program_fds[self.name]

    @property
    def id(self) -> int:
        """Return the kernel's id of the program."""
        return int(self._info().id)

    @property
    def tag(self) -> str:
        """Return the kernel's tag: a hash of the instructions, different between kernels."""
        return bytes(self._info().tag).hex()

    def _info(self) -> Any:
        info = ffi.new("struct pr_prog_info *")
        error = -lib.pr_prog_info(self.owner.loaded.program_fds[self.name], info)
        if error:
            raise Error(f"{self.name}: asking the kernel about it: {strerror(error)}")
        return info

    @property
    def statistics(self) -> Statistics:
        """Return what the verifier and the JIT made of it; loads the program once more."""
        is_told = self.name in self.owner.loaded.told
        kind = self.owner.kind if is_told else None
        owner = self.owner
        return measure(owner.spec, self.name, kind=kind, values=owner.values, size=owner.size)

    def run(
        self,
        packet: Any,
        *,
        ctx: Mapping[str, Any] | bytes | None = None,
        meta: bytes = b"",
        repeat: int = 1,
        checksum_complete: bool = False,
        redirect: bool = False,
        linear: int | None = None,
        cpu: int | None = None,
    ) -> Run:
        """Run the program once on a packet.

        Args:
            packet: A scapy packet, or the frame's bytes.
            ctx: The context by field: {"mark": 5}, {"ingress_ifindex": 1}; bytes for raw
                tracepoint, syscall and netfilter programs.
            meta: XDP metadata before the frame, a multiple of 4 bytes.
            repeat: Run it so many times in one call, for timing. The kernel does not give the
                packet back its first form in between: a program that rewrites sees its own work.
            checksum_complete: Give a TC (or other skb) program an skb whose sum a device has
                computed (CHECKSUM_COMPLETE), as a NIC does on receive. Needs Linux 6.11.
            redirect: Note where the frame is redirected to: `run.redirect`. Needs Linux 6.10.
            linear: Split the frame: so many bytes come in one piece, the rest in fragments that
                the program has to pull or load. XDP with frags (Linux 6.18), TC (Linux 6.19).
            cpu: Run it on that processor: per-CPU maps count there.

        Raises:
            InputRefused: The frame or context cannot be given to this program, and why.
            Unsupported: This kernel cannot test-run programs of this kind, or lacks the checksum.
            Failure: With `checksum_complete`: the program rewrote the frame and left skb->csum
                as it was, so the stack behind it would drop the packet.
        """
        if type(packet) is not bytes:
            packet = packets.to_bytes(packet)
        size = len(packet)
        asks = ctx or meta or repeat != 1 or checksum_complete or redirect
        if asks or linear is not None or cpu is not None or not self._least <= size <= self._most:
            return self._run_slowly(
                packet, Asked(ctx, meta, repeat, checksum_complete, redirect, linear, cpu)
            )
        runner = self._runner
        self.owner.loaded.is_dirty = True
        with self._lock:
            error = _pr_run(runner, packet, size)
            if error:
                raise self._refused(-error, packet)
            retval = runner.retval
            size = self._context_size
            self.last = run = _new(
                Run,
                (
                    self._verdicts.get(retval, retval),
                    _unpack(self._out, runner.out_size),
                    packet,
                    runner.duration,
                    self,
                    b"",
                    _buffer(runner.ctx_out, size)[:] if size else b"",
                ),
            )
        return run

    def judge(
        self,
        packet: Any,
        *given: Check,
        model: Model | None = None,
        without: Collection[Check | str] | Check = (),
        builtin: tuple[Check, ...] = checks.builtin,
        ctx: Mapping[str, Any] | None = None,
        meta: bytes = b"",
    ) -> Run:
        """Run the program on a packet, hold the run to checks and a model, and return it.

            @given(packet=net.frames())
            def test_it_holds(firewall, packet):
                firewall.judge(packet)

        Args:
            *given: Further checks. One of a built-in check's name takes its place.
            model: A reference model that must agree (see packetrig.model).
            without: Built-in checks to leave out, themselves or by name.
            builtin: Those to start from: checks.builtin, or checks.cheap where time counts.

        Raises:
            Failure: A check does not hold, or the model says otherwise.
            Error: A check or the model itself broke: nothing is known about the program.
        """
        return checks.judge(
            self, packet, given, model=model, without=without, builtin=builtin, ctx=ctx, meta=meta
        )

    def transition(self, packet: Any, **options: Any) -> Transition:
        """Put `maps` in, run a packet, and return the verdict, the packet, and what maps changed.

            assert firewall.transition(frame, maps={"blocked": {BAD: 0}}) == (
                XDP.DROP, frame, {"blocked": {BAD: (0, 1)}})

        `ctx` and `meta` are those of `run`.
        """
        return checks.transition(self, packet, **options)

    def _run_slowly(self, frame: bytes, asked: Asked) -> Run:
        """Run with a context, with metadata, or with a frame whose length must be looked at."""
        if self._most == -1:
            self._prepare()
            return self.run(frame, **asked._asdict())
        asked.check(self, len(frame))
        once = partial(self._run_as_asked, frame, asked)
        with self._lock, processor(asked.cpu):
            self.last = run = noted(self, self._runner, once) if asked.redirect else once()
        if self.is_test_build:
            self.owner.mocks.complain()
        return run

    def _run_as_asked(self, frame: bytes, asked: Asked) -> Run:
        meta, repeat = asked.meta, asked.repeat
        raw = asked.context(self, frame, always=self._needs_context)
        runner = self._runner
        size = self._context_size
        ffi.buffer(runner.ctx_in)[: len(raw)] = raw
        runner.ctx_in_size = len(raw)
        # A syscall program's result is written into its context; asking for another is refused.
        runner.ctx_out_size = 0 if self.kind in ("syscall", "raw_tracepoint") else len(raw)
        # Raw tracepoint and syscall programs are refused with any repeat, 1 included.
        runner.repeat = 0 if self.kind in refusals.FRAMELESS and repeat == 1 else repeat
        runner.out_capacity = 0 if self.kind in refusals.FRAMELESS else OUTPUT_ROOM
        runner.flags = _CHECKSUM_COMPLETE if asked.checksum_complete else 0
        self.owner.loaded.is_dirty = True
        try:
            whole = bytes(meta) + frame
            error = _pr_run(runner, whole or ffi.NULL, len(whole))
            if error:
                raise self._refused(-error, frame, has_context=bool(raw))
            out = bytes(_unpack(self._out, runner.out_size)) if runner.out_capacity else frame
            after = runner.ctx_in if self.kind == "syscall" else runner.ctx_out
            context = bytes(ffi.buffer(after, len(raw)))
        finally:
            ffi.buffer(runner.ctx_in)[: len(raw)] = bytes(len(raw))
            runner.ctx_in_size = runner.ctx_out_size = size
            runner.repeat = 1
            runner.flags = 0
            runner.out_capacity = OUTPUT_ROOM
        if self.kind in refusals.WITHOUT_OUTPUT:
            verdict = self._verdict(runner.retval)
            return Run(verdict, frame, frame, runner.duration, self, b"", out)
        return made(self, runner.retval, out, frame, runner.duration, context)

    def _verdict(self, retval: int) -> Any:
        return self._verdicts.get(retval, retval)

    def _refused(self, error: int, frame: bytes, *, has_context: bool = False) -> Exception:
        self.last = None  # an earlier answer would be told as this one's
        if error == errno.EBADMSG and self._runner.flags & _CHECKSUM_COMPLETE:
            if reason := refusals.sum_reason(self.owner.spec.helpers_of(self.name)):
                return InputRefused(f"{self.name}: {reason}")
            return Failure(
                f"{self.name}: skb->csum is stale after the run: it changed bytes that the device "
                "summed (CHECKSUM_COMPLETE) and did not take the change into the sum, so the stack "
                "drops the packet; use bpf_csum_update(), BPF_F_RECOMPUTE_CSUM, or "
                "BPF_F_PSEUDO_HDR with bpf_l4_csum_replace()",
                check="checksum_complete",
                packet=frame,
                repeat=repeated(self, frame, checksum_complete=True),
            )
        attach = self.owner.loaded.attach_types[self.name] if self.kind == "xdp" else 0
        if error == errno.EINVAL and attach in BEHIND_REDIRECT:
            return refusals.behind_redirect(self.name, BEHIND_REDIRECT[attach])
        return refusals.after(self.name, self.kind, error, frame, has_context=has_context)

    def run_many(self, frames: Iterable[Any]) -> Runs:
        """Run the program on many frames, in one loop in C; maps keep their state in between.

        Raises:
            InputRefused: A frame cannot be given to this program; its number is told, and the
                frames before it have run.
        """
        if self._most == -1:
            self._prepare()
        if self.kind in refusals.FRAMELESS | refusals.WITHOUT_OUTPUT:
            raise Unsupported("run_many()", f"a {self.kind} program takes one run() at a time")
        given = list(frames)
        if not {bytes}.issuperset(map(type, given)):
            given = [packets.to_bytes(frame) for frame in given]
        sizes = array.array("I", list(map(len, given)))
        least, most = refusals.range_of(self.name, self.kind, has_frags=self.has_frags)
        linear = refusals.limits().xdp_linear if self._needs_context else 0
        room = sum(sizes) + 2 * OUTPUT_ROOM
        batch = lib.pr_batch_new(len(given), room, self._context_size)
        if not batch:
            raise Error(f"{self.name}: no memory for {len(given)} frames")
        runs = Runs(self, given, batch)
        self.owner.loaded.is_dirty = True
        at = ffi.from_buffer("uint32_t[]", sizes)
        for first in range(0, len(given), _BATCH):
            last = min(first + _BATCH, len(given))
            block = b"".join(given[first:last])
            with self._lock:
                error = lib.pr_run_many(
                    self._runner, batch, block, at, first, last, least, most, linear
                )
            if error:
                raise self._refused_in_batch(-error, given, batch.done)
        self.last = runs
        if self.is_test_build:
            self.owner.mocks.complain()
        return runs

    def _refused_in_batch(self, error: int, frames: list[bytes], number: int) -> Exception:
        frame = frames[number]
        reason = refusals.before(self.kind, len(frame), has_frags=self.has_frags)
        if reason:
            return InputRefused(f"{self.name}: frame {number}: {reason}")
        refused = self._refused(error, frame, has_context=bool(self._context_size))
        return (
            type(refused)(f"frame {number}: {refused}")
            if isinstance(refused, InputRefused)
            else refused
        )

    def __repr__(self) -> str:
        return f'<Program {self.name}: {self.kind}, SEC("{self.section}")>'
