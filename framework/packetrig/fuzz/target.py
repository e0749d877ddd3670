"""What a campaign is about: one program, twice loaded, in its set-up state, and what judges it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from .. import coverage, differential
from .._bpf import lib
from .._bpf.kinds import EVENTS
from ..checks import Check, builtin
from ..checks.judging import selected
from ..errors import CompileError, Error, Failure, InputRefused, LoadError, ToolMissing
from ..models import Model
from ..objects import Object
from ..program import Program
from ..replay import Setup
from ..spec import Spec, build
from ..state import Moment
from ..verdicts import Verdict
from .sums import executed


@dataclass(frozen=True)
class Recipe:
    """Hold all that a target is made of, as a value that travels to other processes.

    Objects are in it as they were compiled: `plain` is what ships, `counting` the same program
    with counters; None where there is none, and `why_plain` says why.
    """

    plain: Spec
    counting: Spec | None = None
    why_plain: str = ""
    setup: Setup = field(default_factory=Setup)
    program: str | None = None
    kind: str | None = None
    checks: tuple[Check, ...] = ()
    without: tuple[str, ...] = ()
    model: Model | None = None
    against: Spec | None = None

    @classmethod
    def of(
        cls,
        source: str | Path | Spec,
        *,
        define: Mapping[str, object] | None = None,
        include: tuple[str | Path, ...] = (),
        flags: tuple[str, ...] = (),
        feedback: bool = True,
        **rest: Any,
    ) -> Self:
        """Compile a source twice, plain and counting; an object file has only the plain half.

        Raises:
            CompileError: clang refuses it.
            NotFound: There is no such file.
        """
        plain = (
            source
            if isinstance(source, Spec)
            else build(source, define=define, include=include, flags=flags)
        )
        if not feedback:
            return cls(plain, None, "it was asked for", **rest)
        try:
            return cls(plain, coverage.twin(plain), "", **rest)
        except (CompileError, ToolMissing, Error) as e:
            return cls(plain, None, str(e), **rest)

    def open(self) -> Target:
        """Load the target."""
        return Target(self)


class Target:
    """Hold a program that a campaign is about; a context manager.

    `object` runs in the loop (counting, or plain, and `why_plain` says why); `plain` is what
    ships: on it every failure is confirmed. Both are in the set-up state when a story begins.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.why_plain = recipe.why_plain
        self.setup = recipe.setup
        self._moments: dict[int, Moment] = {}
        with ExitStack() as stack:
            self.plain = self._load(stack, recipe.plain)
            self.plain_program = self._program(self.plain)
            self.object = self._load_counting(stack)
            self.program = self._program(self.object)
            self.other: Object | None = None
            if recipe.against is not None:
                self.other = self._load_other(stack, recipe.against)
            self._stack = stack.pop_all()
        self.rules = selected(builtin, tuple(recipe.checks), tuple(recipe.without))

    @classmethod
    def open(cls, source: str | Path | Spec, **options: Any) -> Self:
        """Compile and load: the options are those of `Recipe` and of `build()`."""
        return cls(Recipe.of(source, **options))

    def _load(self, stack: ExitStack, spec: Spec) -> Object:
        recipe = self.recipe
        return stack.enter_context(self.setup.load(spec, program=recipe.program, kind=recipe.kind))

    def _load_counting(self, stack: ExitStack) -> Object:
        if self.recipe.counting is not None:
            try:
                return self._load(stack, self.recipe.counting)
            except LoadError as e:
                self.why_plain = f"with counters the kernel refuses it: {e}"
        return self._load(stack, self.recipe.plain)

    def _load_other(self, stack: ExitStack, spec: Spec) -> Object:
        # It may have other maps and globals: it gets what it has a place for.
        setup = self.setup
        maps = {name: entries for name, entries in setup.maps.items() if name in spec.maps}
        values = {name: value for name, value in setup.globals.items() if name in spec.globals}
        name = self.recipe.program if self.recipe.program in spec.programs else None
        sizes = {name: size for name, size in setup.max_entries.items() if name in spec.maps}
        self._other_setup = Setup(maps, values, setup.path, sizes)
        return stack.enter_context(self._other_setup.load(spec, program=name))

    def _program(self, loaded: Object) -> Program:
        if self.recipe.program is not None:
            return loaded.programs[self.recipe.program]
        return loaded.program

    @property
    def has_feedback(self) -> bool:
        """Tell whether the loop's object counts what it executes."""
        return not self.why_plain

    @property
    def other_program(self) -> Program | None:
        """Return the program that is compared with, if there is one."""
        if self.other is None:
            return None
        name = self.recipe.program
        if name is not None and name in self.other.programs:
            return self.other.programs[name]
        return self.other.program

    @property
    def verdicts(self) -> Mapping[Any, Any] | None:
        """Return what the other program must answer where this one answers that."""
        other = self.other_program
        if other is None or other.kind == self.program.kind:
            return None
        return differential.XDP_TC if self.program.kind == "xdp" else _TC_XDP

    def begin(self, found: Object) -> None:
        """Put an object into its set-up state."""
        home = self._moments.get(id(found))
        if home is not None:
            found.state.put_back(home, found.state.take())
        else:
            found.renew()
            setup = self._other_setup if found is self.other else self.setup
            setup.put(found)
            if not found.state.obstacle:
                self._moments[id(found)] = found.state.take()
        forget_events(found)

    def home(self, found: Object) -> Moment | None:
        """Return what `begin` put back; None where the object had to be renewed for it."""
        return self._moments.get(id(found))

    def check(self, frames: Sequence[bytes]) -> Failure | None:
        """Run frames in order on the plain object, from the set-up state, and judge each."""
        told = self.story(frames)
        return told[1] if told else None

    def story(self, frames: Sequence[bytes], *, judged: int = 0) -> tuple[int, Failure] | None:
        """Do what `check` does, and tell the number of the frame that fails.

        Those before the number `judged` are run, and not judged.
        """
        self.begin(self.plain)
        if self.other is not None:
            self.begin(self.other)
        with self.plain.state.on_one_cpu():
            for number, frame in enumerate(frames):
                try:
                    (self._judge if number >= judged else self._run)(frame)
                except InputRefused:
                    continue
                except Failure as failure:
                    return number, failure
        return None

    def last(self, frames: Sequence[bytes]) -> Failure | None:
        """Do what `check` does for the last frame; those before it are run, and not judged."""
        told = self.story(frames, judged=len(frames) - 1)
        return told[1] if told else None

    def _run(self, frame: bytes) -> None:
        self.plain_program.run(frame)
        if self.other_program is not None:
            self.other_program.run(frame)

    def _judge(self, frame: bytes) -> None:
        recipe = self.recipe
        run = self.plain_program.judge(
            frame, *recipe.checks, model=recipe.model, without=recipe.without
        )
        other = self.other_program
        if other is not None:
            differential.compare(run, other.run(frame), verdicts=self.verdicts)

    def covers(self, frames: Sequence[bytes]) -> frozenset[int]:
        """Tell what of the program frames execute, from the set-up state, as numbers.

        Raises:
            Error: The object has no counters, and why.
        """
        if not self.has_feedback:
            raise Error(f"{self.program.name}: what frames cover is not known: {self.why_plain}")
        self.begin(self.object)
        counters = coverage.Counters(self.object)
        counters.clear()
        for frame in frames:
            try:
                self.program.run(frame)
            except InputRefused:
                continue
        profile = self.object.spec.profile
        assert profile is not None
        return executed(profile, counters.take())

    def close(self) -> None:
        """Unload everything; does nothing the second time."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def forget_events(found: Object) -> None:
    """Empty ring and perf buffers: a full one would make the program go another way."""
    for name, each in found.maps.items():
        if each.kind in EVENTS:
            lib.pr_records_read(found.loaded.reader(name))
            found.loaded.unread.pop(name, None)


def _turned(table: Mapping[Any, Any]) -> dict[Verdict, tuple[Verdict, ...]]:
    found: dict[Verdict, tuple[Verdict, ...]] = {}
    for one, others in table.items():
        for other in others if isinstance(others, tuple) else (others,):
            found[other] = (*found.get(other, ()), one)
    return found


_TC_XDP = _turned(differential.XDP_TC)
