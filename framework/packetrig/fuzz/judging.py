"""Judging a whole story at once: every check on every run, at a price that a campaign can pay.

Three of the built-in checks are done in C as each run ends. Those that compare bytes hold by their
own definition for a packet that was dropped or left as it was, so they are called for the others
alone. Those that need a state to return to are asked of the story as a whole: it is told again
from the same state, and every verdict, every byte and the state at the end must be the same.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .. import checks
from .._bpf import lib, probes
from ..checks import Check
from ..checks.judging import selected
from ..errors import Failure
from ..refusals import SKB_KINDS, sum_reason
from ..state import Added, Moment
from .loop import CHECKSUM_COMPLETE, Loop, Runner, Story
from .target import Target

_IN_C = {
    checks.the_verdict_is_a_legal_one: lib.PR_ILLEGAL,
    checks.it_never_aborts: lib.PR_ABORTED,
}
LENGTH = "the_length_stays_as_it_is"
# They say nothing of a frame that came out as it went in.
_OF_BYTES = (
    checks.right_checksums_stay_right,
    checks.a_forwarded_packet_loses_one_hop,
    checks.the_output_parses_as_far_as_the_input,
)
_NOT_OF_DROPPED = (
    checks.right_checksums_stay_right,
    checks.the_output_parses_as_far_as_the_input,
)
_AGAIN = checks.equal_packets_are_treated_equally
_SUMMED = checks.what_a_device_summed_up_stays_right


class Suspect(NamedTuple):
    """Name a run that looks wrong, and the check that says so."""

    check: str
    number: int


class Judge:
    """Judge the stories of one target."""

    def __init__(self, target: Target, loop: Loop, *, is_full: bool) -> None:
        self.target, self.loop = target, loop
        self.is_full = is_full
        program = target.program
        rules = target.rules if is_full else selected(checks.cheap[:2], (), ())
        self.left_out = {
            rule.name: _why_not(rule, target)
            for rule in rules
            if rule.applies is not None and not rule.applies(program)
        }
        self.rules = tuple(rule for rule in rules if rule.name not in self.left_out)
        self._in_c = {rule.name: _IN_C[rule] for rule in self.rules if rule in _IN_C}
        if loop.limits.keeps_length:
            self._in_c[LENGTH] = lib.PR_LENGTH
        known = {*_IN_C, *_OF_BYTES, _AGAIN, _SUMMED}
        self._of_bytes = tuple(rule for rule in self.rules if rule in _OF_BYTES)
        others = [rule for rule in self.rules if rule not in known]
        # What runs a packet again, or looks at maps before and after, is asked step by step.
        self.slow = tuple(rule for rule in others if {"again", "maps"} & set(rule.asks))
        others = [rule for rule in others if rule not in self.slow]
        self._grown = tuple(rule for rule in others if "grown" in rule.asks)
        self._every = tuple(rule for rule in others if "grown" not in rule.asks)
        self._is_twice = _AGAIN in self.rules
        self._is_summed = _SUMMED in self.rules and _has_sums(target)
        self.shares: dict[str, int] = dict.fromkeys(self._names(), 0)
        self._second: Any = loop.new_story(loop.runner) if is_full else None
        self._other: tuple[Runner, Any] | None = None
        self._keys: dict[str, set[bytes]] = {}
        if is_full and target.other_program is not None:
            runner = Runner(target.other_program, has_output=True)
            self._other = runner, loop.new_story(runner)

    def _names(self) -> Iterator[str]:
        yield from self._in_c
        yield from (rule.name for rule in self.rules if rule.name not in self._in_c)
        if self.is_full and self.target.other_program is not None:
            yield self.against

    @property
    def against(self) -> str:
        """Return the name of the comparison with another program, as its failures have it."""
        spec = self.target.recipe.against
        return f"the same as {spec.source or spec.path or spec.name}" if spec else ""

    @property
    def steps(self) -> bool:
        """Tell whether something is judged step by step, on some of the runs."""
        return bool(self.slow) or self.target.recipe.model is not None

    def begin(self) -> None:
        """Look at what is there when a story begins."""
        if self._grown:
            self._keys = self.target.object.state.keys()

    def judge(self, story: Story, home: Moment | None) -> Iterator[Suspect]:
        """Judge every run of a story; the object is then in some state, not the set-up's."""
        told = story.count - story.marks.count(lib.PR_REFUSED)
        self._count(told, (*self._in_c, *(rule.name for rule in (*self._of_bytes, *self._every))))
        yield from self._marked(story)
        if not self.is_full:
            return
        if self._every:
            yield from self._called(story)
        elif self._of_bytes:
            yield from self._called_of_bytes(story)
        after = self.target.object.state.take() if home is not None else None
        if self._grown:
            self._count(told, tuple(rule.name for rule in self._grown))
            yield from self._growing(story)
        if after is not None:
            yield from self._of_state(story, after, told)
        if self._other is not None:
            yield from self._compared(story, told)

    def _count(self, runs: int, names: tuple[str, ...]) -> None:
        for name in names:
            self.shares[name] += runs

    def _marked(self, story: Story) -> Iterator[Suspect]:
        for name, bit in self._in_c.items():
            # Marks are few: most stories have none of these bits at all.
            if any(value & bit for value in set(story.marks)):
                for number, value in enumerate(story.marks):
                    if value & bit and not value & lib.PR_REFUSED:
                        yield Suspect(name, number)

    def _called(self, story: Story) -> Iterator[Suspect]:
        refused, changed, run_of = lib.PR_REFUSED, lib.PR_CHANGED, story.run
        every = [(rule.name, rule) for rule in self._every]
        for number, mark in enumerate(story.marks):
            if mark & refused:
                continue
            run = run_of(number)
            frame = run.frame
            for name, rule in every:
                try:
                    rule(frame, run)
                except Failure:
                    yield Suspect(name, number)
            if mark & changed:
                yield from self._bytes_of(frame, run, number, mark)

    def _called_of_bytes(self, story: Story) -> Iterator[Suspect]:
        skipped, changed = lib.PR_REFUSED, lib.PR_CHANGED
        for number, mark in enumerate(story.marks):
            if mark & changed and not mark & skipped:
                run = story.run(number)
                yield from self._bytes_of(run.frame, run, number, mark)

    def _bytes_of(self, frame: bytes, run: Any, number: int, mark: int) -> Iterator[Suspect]:
        for rule in self._of_bytes:
            if mark & lib.PR_DROPPED and rule in _NOT_OF_DROPPED:
                continue
            try:
                rule(frame, run)
            except Failure:
                yield Suspect(rule.name, number)

    # What needs the state of the set-up to return to

    def _of_state(self, story: Story, after: Moment, told: int) -> Iterator[Suspect]:
        state = self.target.object.state
        if self._is_twice:
            self._count(told, (_AGAIN.name,))
            self._back()
            differing = self._tell_again(story, story.count)
            again = state.take()
            is_same = story.retvals == _retvals(self._second, story.count)
            if differing or not is_same or again != after:
                yield Suspect(_AGAIN.name, _first_difference(story, self._second))
        if self._is_summed:
            self._count(told, (_SUMMED.name,))
            self._back()
            self._tell_again(story, story.count, flags=CHECKSUM_COMPLETE)
            for number, mark in enumerate(story.marks):
                is_stale = self._second.errors[number] == -errno.EBADMSG
                if is_stale and mark & lib.PR_CHANGED and any(story.run(number).data[14:]):
                    yield Suspect(_SUMMED.name, number)

    def _back(self) -> None:
        self.target.begin(self.target.object)

    def _tell_again(self, story: Story, last: int, *, first: int = 0, flags: int = 0) -> int:
        loop = self.loop
        return loop.again(story, loop.runner, self._second, first=first, last=last, flags=flags)

    def _growing(self, story: Story) -> Iterator[Suspect]:
        """Find the runs that added entries, where any did: the story is told again in pieces."""
        now = self.target.object.state.keys()
        has_grown = any(keys - self._keys[name] for name, keys in now.items())
        of_all = [rule for rule in self._grown if not _is_of_drops(rule)]
        wanted = [
            bool(of_all or value & lib.PR_DROPPED) and not value & lib.PR_REFUSED
            for value in story.marks
        ]
        if not has_grown or not any(wanted):
            none = Added(self.target.object, now, now)
            for number in range(story.count if of_all else 0):
                if wanted[number]:
                    yield from self._ask_grown(of_all, story, number, none)
            return
        self._back()
        keys, first = self._keys, 0
        while first < story.count:
            last = first + 1
            if not wanted[first]:
                while last < story.count and not wanted[last]:
                    last += 1
            self._tell_again(story, last, first=first)
            now = self.target.object.state.keys()
            if wanted[first]:
                grown = Added(self.target.object, keys, now)
                if grown or of_all:
                    yield from self._ask_grown(self._grown, story, first, grown)
            keys, first = now, last

    def _ask_grown(
        self, rules: Any, story: Story, number: int, grown: Mapping[str, list[Any]]
    ) -> Iterator[Suspect]:
        run = story.run(number)
        for rule in rules:
            try:
                rule(run.frame, run, grown=grown)
            except Failure:
                yield Suspect(rule.name, number)

    # Another program on the same story

    def _compared(self, story: Story, told: int) -> Iterator[Suspect]:
        assert self._other is not None
        target, (runner, room) = self.target, self._other
        self._count(told, (self.against,))
        other = target.other
        assert other is not None
        target.begin(other)
        target.begin(target.object)
        self.loop.again(story, self.loop.runner, self._second, first=0, last=story.count)
        differing = self.loop.again(story, runner, room, first=0, last=story.count)
        retvals = _retvals(room, story.count)
        is_same = not differing and self._agree(story.retvals, retvals)
        if not is_same:
            number = next(
                (
                    number
                    for number in range(story.count)
                    if room.entries[number]
                    or not self._agree([story.retvals[number]], [retvals[number]])
                ),
                story.count - 1,
            )
            yield Suspect(self.against, number)
        elif _maps_differ(target.object.state.take(), other.state.take()):
            yield Suspect(self.against, story.count - 1)

    def _agree(self, ours: list[int], theirs: list[int]) -> bool:
        table = self.target.verdicts
        if table is None:
            return ours == theirs
        mine = self.target.program._verdicts
        its = self.target.other_program._verdicts  # type: ignore[union-attr]  # there is one
        for one, other in set(zip(ours, theirs, strict=True)):
            wanted = table.get(mine.get(one, one), mine.get(one, one))
            if its.get(other, other) not in (wanted if isinstance(wanted, tuple) else (wanted,)):
                return False
        return True


def _retvals(handle: Any, count: int) -> list[int]:
    return list(handle.retvals[0:count]) if count else []


def _first_difference(story: Story, second: Any) -> int:
    for number in range(story.count):
        if second.entries[number] or second.retvals[number] != story.retvals[number]:
            return number
    return story.count - 1


def _maps_differ(ours: Moment, theirs: Moment) -> bool:
    return any(
        name in theirs.maps and theirs.maps[name] != entries for name, entries in ours.maps.items()
    )


def _is_of_drops(rule: Check) -> bool:
    return rule.function.__qualname__.startswith("drops_grow_only.")


def _has_sums(target: Target) -> bool:
    return target.program.kind in SKB_KINDS and probes.has_checksum_complete()


def _helpers(target: Target) -> frozenset[int]:
    program = target.program
    return program.owner.spec.helpers_of(program.name)


def _why_not(rule: Check, target: Target) -> str:
    if obstacle := target.object.state.obstacle:
        return obstacle
    if rule is _AGAIN:
        return "the program asks for the time, a random number or the processor, or starts a timer"
    if rule is checks.a_dropped_packet_grows_no_map or _is_of_drops(rule):
        return "the program adds nothing to maps"
    if rule is _SUMMED and (reason := sum_reason(_helpers(target))):
        return reason
    return f"it does not apply to this {target.program.kind} program"
