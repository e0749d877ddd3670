"""The loop in C, and the stories that it tells, as Python sees them."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from enum import IntEnum
from typing import Any

from .. import refusals
from .._bpf import OUTPUT_ROOM, ffi, lib, strerror
from .._bpf.contexts import LAYOUTS
from .._bpf.profile import Profile
from ..checks.builtin import DROPS
from ..coverage import Counters
from ..errors import Error, InputRefused, Unsupported
from ..program import Program
from ..run import Run, made
from ..verdicts import TABLES, XDP
from .dictionary import Word
from .sums import sums_of
from .target import Target

# A story is no longer than this: short enough for Ctrl-C, and for the time that was asked for.
MOST_RUNS = 1024
# What mutators make is no longer than Ethernet carries, unless a seed is.
_MOST_BYTES = 1518
_ADJUST_META = 54
# Helpers that change a packet's length: bpf_skb_change_proto, _tail, _head, bpf_skb_adjust_room,
# bpf_skb_vlan_push, _pop, bpf_xdp_adjust_head, _tail, bpf_lwt_push_encap, bpf_lwt_seg6_adjust_srh,
# bpf_lwt_seg6_action.
_RESIZING = {18, 19, 31, 38, 43, 44, 50, 65, 73, 75, 76}
CHECKSUM_COMPLETE = 1 << 2
# They take a context and no frame, or give back something else than one.
_ONE_BY_ONE = refusals.FRAMELESS | refusals.WITHOUT_OUTPUT
_new = tuple.__new__
_room = ffi.new_allocator(should_clear_after_alloc=False)


class Row(IntEnum):
    """Name what the frames of a story have in common; the numbers are those of fuzz.h."""

    ANY = 0
    FLOW = 1  # they belong to one flow, in both directions
    FLOOD = 2  # they are one frame, of another flow each time


class Runner:
    """Hold what the loop runs a program with."""

    def __init__(self, program: Program, *, has_output: bool) -> None:
        self.program = program
        kind, spec = program.kind, program.owner.spec
        layout = LAYOUTS.get(kind)
        moves = kind == "xdp" and _ADJUST_META in spec.helpers_of(program.name)
        is_given = layout is not None and (kind in refusals.SKB_KINDS or moves)
        self.context_size = layout.size if layout is not None and is_given else 0
        self.linear = refusals.limits().xdp_linear if moves else 0
        self._out = _room("uint8_t[]", OUTPUT_ROOM)
        self.handle = ffi.new("struct pr_runner *")
        self.handle.out = self._out
        self.handle.out_capacity = OUTPUT_ROOM if has_output else 0
        self.handle.repeat = 1
        self.handle.ctx_in_size = self.handle.ctx_out_size = self.context_size

    def ready(self) -> Any:
        """Return the handle; what the object was loaded as may have changed."""
        owner = self.program.owner
        owner.loaded.is_dirty = True
        self.handle.prog_fd = owner.loaded.program_fds[self.program.name]
        self.handle.netns_fd = owner.netns.fileno() if owner.runs_in_own_netns else -1
        return self.handle


class Story:
    """Hold the runs of one story: frames in, verdicts and frames out; valid until the next one."""

    def __init__(self, program: Program, handle: Any) -> None:
        self.program = program
        self.handle = handle
        count = self.count = int(handle.count)
        self.retvals: list[int] = ffi.unpack(handle.retvals, count) if count else []
        self.marks = bytes(ffi.buffer(handle.marks, count))
        self._sizes = ffi.unpack(handle.sizes, count) if count else []
        self._starts = ffi.unpack(handle.starts, count) if count else []
        used = handle.frames_used
        self._frames = bytes(ffi.buffer(handle.frames, used)) if used else b""
        self._table = TABLES.get(program.kind, {})
        self._is_plain = not handle.context_size

    def frame(self, number: int) -> bytes:
        """Return a frame as it was given."""
        start = self._starts[number]
        return self._frames[start : start + self._sizes[number]]

    def frames(self, count: int | None = None) -> list[bytes]:
        """Return the first frames, or all."""
        return [self.frame(number) for number in range(self.count if count is None else count)]

    def entry(self, number: int) -> int:
        """Return the number of the corpus entry that a frame became."""
        return int(self.handle.entries[number])

    def parent(self, number: int) -> int:
        """Return the number of the corpus entry that a frame was made from; -1 for a seed."""
        parent = int(self.handle.parents[number])
        return -1 if parent == 0xFFFFFFFF else parent

    def run(self, number: int) -> Run:
        """Make the value of a run."""
        frame, handle = self.frame(number), self.handle
        size = handle.data_sizes[number]
        if size:
            start = handle.data_starts[number]
            data = bytes(ffi.buffer(handle.data + start, size))
        else:
            data = frame
        retval = self.retvals[number]
        if self._is_plain:
            verdict = self._table.get(retval, retval)
            return _new(Run, (verdict, data, frame, 0, self.program, b"", b""))
        size = handle.context_size
        context = bytes(ffi.buffer(handle.contexts + number * size, size))
        return made(self.program, retval, data, frame, 0, context)


class Loop:
    """Own the loop's half in C: corpus, words, generator of random numbers, coverage so far."""

    def __init__(
        self, target: Target, seed: int, *, has_output: bool, every: int, longest: int = 0
    ) -> None:
        self.target = target
        program = self.program = target.program
        if program.kind in _ONE_BY_ONE:
            raise Unsupported(
                f"a campaign on {program.name}",
                f"a {program.kind} program is not given frames as an interface gives them",
            )
        self.counters = Counters(target.object) if target.has_feedback else None
        self.runner = Runner(program, has_output=has_output)
        count = self.counters.size // 8 if self.counters else 0
        self.limits = _limits(program, self.runner, longest)
        if target.other_program is not None:
            _narrow(self.limits, target.other_program)
        self.limits.has_feedback = target.has_feedback
        self.limits.every = every
        self._fuzz = ffi.gc(lib.pr_fuzz_new(seed, self.limits, count), lib.pr_fuzz_free)
        self._story = self.new_story(self.runner)
        self.of_counters = count
        if not self._fuzz:
            raise Error(f"{program.name}: no memory for a campaign")
        if target.has_feedback:
            self._add_sums(target.object.spec.profile)

    def _add_sums(self, profile: Profile | None) -> None:
        """Tell the loop what no counter counts: the sides of branches that are sums of some."""
        assert profile is not None
        for each in sums_of(profile):
            for counter, factor in each:
                lib.pr_fuzz_term(self._fuzz, counter, factor, (counter, factor) == each[-1])

    def new_story(self, runner: Runner) -> Any:
        """Make room for a story of the longest kind."""
        story = lib.pr_story_new(MOST_RUNS, runner.context_size)
        if not story:
            raise Error(f"{self.program.name}: no memory for {MOST_RUNS} runs")
        return ffi.gc(story, lib.pr_story_free)

    def use(self, words: Iterable[Word]) -> None:
        """Add words to the dictionary."""
        for word in words:
            lib.pr_fuzz_word(self._fuzz, word.data, len(word.data), int(word.kind))

    def fits(self, frame: bytes) -> bool:
        """Tell whether a test run of the program takes a frame; others are never given to it."""
        return bool(lib.pr_fuzz_fits(self._fuzz, frame, len(frame)))

    def feed(self, frames: Iterable[bytes]) -> None:
        """Give frames that are run as they are, before anything else."""
        for frame in frames:
            if lib.pr_fuzz_feed(self._fuzz, frame, len(frame)):
                raise Error(f"{self.program.name}: no memory for a frame of {len(frame)} bytes")

    @property
    def corpus(self) -> int:
        """Return how many frames the corpus holds."""
        return int(lib.pr_fuzz_corpus(self._fuzz))

    @property
    def waiting(self) -> int:
        """Return how many frames were fed and not yet run."""
        return int(lib.pr_fuzz_waiting(self._fuzz))

    @property
    def covered(self) -> int:
        """Return how many counters were reached."""
        return int(lib.pr_fuzz_covered(self._fuzz))

    def totals(self) -> bytes:
        """Return the counters of the whole campaign, summed up."""
        return bytes(ffi.buffer(lib.pr_fuzz_totals(self._fuzz), 8 * self.of_counters))

    def tell(self, count: int, row: Row = Row.ANY) -> Story:
        """Make and run frames from the state that the object is in.

        Raises:
            InputRefused: There is nothing to begin with: no seed can be given to this program.
            Error: The kernel refuses to run it.
        """
        counters = self.counters.address if self.counters else ffi.NULL
        lib.pr_fuzz_row(self._fuzz, int(row))
        error = lib.pr_fuzz_tell(self._fuzz, self.runner.ready(), self._story, counters, count)
        if error == -errno.ENODATA:
            if self._story.count:  # all were refused, and this says why
                self.program.run(Story(self.program, self._story).frame(0))
            raise InputRefused(
                f"{self.program.name}: none of the seeds is a frame that a test run of a "
                f"{self.program.kind} program takes; name other seeds"
            )
        if error:
            raise Error(f"{self.program.name}: a run in the loop: {strerror(-error)}")
        return Story(self.program, self._story)

    def again(
        self, story: Story, runner: Runner, room: Any, *, first: int, last: int, flags: int = 0
    ) -> int:
        """Run frames of a story once more; return how many came out otherwise."""
        found = lib.pr_story_again(
            story.handle, runner.ready(), self.limits, room, first, last, flags
        )
        if found < 0:
            raise Error(f"{runner.program.name}: a story told again: {strerror(-found)}")
        return int(found)


def _range(program: Program) -> tuple[int, int]:
    if program.kind in refusals.SKB_KINDS:
        return refusals.LEAST + 1, refusals.limits().skb_most
    return refusals.range_of(program.name, program.kind, has_frags=program.has_frags)


def _narrow(limits: Any, other: Program) -> None:
    """Make only frames that the other program can be given as well."""
    least, most = _range(other)
    limits.least, limits.most = max(limits.least, least), min(limits.most, most)
    limits.is_skb = limits.is_skb or other.kind in refusals.SKB_KINDS


def _limits(program: Program, runner: Runner, longest: int) -> Any:
    kind = program.kind
    limits = ffi.new("struct pr_limits *")
    limits.is_skb = kind in refusals.SKB_KINDS
    limits.is_xdp = kind == "xdp"
    limits.least, most = _range(program)
    limits.most = min(most, max(_MOST_BYTES, longest))
    limits.linear = runner.linear
    helpers = program.owner.spec.helpers_of(program.name)
    limits.keeps_length = helpers.isdisjoint(_RESIZING)
    table = TABLES.get(kind)
    limits.any_verdict = table is None
    for number, verdict in (table or {}).items():
        how = lib.PR_IS_LEGAL
        how |= lib.PR_DROPS if any(verdict is each for each in DROPS) else 0
        how |= lib.PR_ABORTS if verdict is XDP.ABORTED else 0
        limits.verdicts[255 if number == 0xFFFFFFFF else number] = how
    return limits
