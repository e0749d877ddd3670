"""From a failure to a finding: minimised, placed, and told once."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..checks import Check
from ..errors import Error, Failure
from ..loaded import choose
from ..models import Model
from . import finding as findings
from . import place
from .finding import Finding, Made
from .minimise import Story, search
from .target import Recipe, Target

# Failures of one check that are made small; after these, every 2nd, 4th, 8th ...
_TRIES = 12


class Reporter:
    """Turn the failures of a target into findings, each told once.

    Nothing looks at the clock: the same failures in the same order give the same findings.
    """

    def __init__(self, target: Target, *, seed: int | None = None) -> None:
        self._target = target
        self._made = made_of(target.recipe)
        self._seed = seed
        self._known: set[str] = set()
        self._seen: set[tuple[str, frozenset[int]]] = set()
        self._tries: dict[str, int] = {}

    def finding(self, frames: Sequence[bytes], failure: Failure) -> Finding | None:
        """Make a finding of a story that fails on the plain object; None: it is known."""
        if not self._is_worth_it(frames, failure):
            return None
        target, check = self._target, failure.check
        told = target.story(frames)
        if told is not None and told[1].check == check:
            frames = frames[: told[0] + 1]
        # Most stories that are tried do not fail, and the last frame alone tells that: judging
        # takes a hundred times as long as running. Not where judging leaves another state behind.
        is_told_by_last = len(frames) > 1 and self._fails_last(tuple(frames), check)
        found = search(
            frames,
            lambda story: (
                not (is_told_by_last and len(story) > 1 and not self._fails_last(story, check))
                and self._fails(story, check)
            ),
        )
        final = target.check(found.frames) or failure
        made = findings.of(
            final,
            found.frames,
            place=place.of(target, found.frames, found.passing),
            made=self._made,
            object_sha256=target.recipe.plain.sha256,
            seed=self._seed,
        )
        self._note(check, found.frames)
        if made.id in self._known:
            return None
        self._known.add(made.id)
        return made

    def _fails(self, story: Story, check: str) -> bool:
        told = self._target.story(story)
        return told is not None and told[0] == len(story) - 1 and told[1].check == check

    def _fails_last(self, story: Story, check: str) -> bool:
        failure = self._target.last(story)
        return failure is not None and failure.check == check

    def _is_worth_it(self, frames: Sequence[bytes], failure: Failure) -> bool:
        # What goes the very way of one that was told is the same; looking costs one run.
        way = self._way(frames[-1:])
        if way and (failure.check, way) in self._seen:
            return False
        tries = self._tries[failure.check] = self._tries.get(failure.check, 0) + 1
        if tries > _TRIES and tries & (tries - 1):
            return False
        if way:
            self._seen.add((failure.check, way))
        return True

    def _note(self, check: str, frames: Sequence[bytes]) -> None:
        if way := self._way(frames[-1:]):
            self._seen.add((check, way))

    def _way(self, frames: Sequence[bytes]) -> frozenset[int]:
        if not self._target.has_feedback:
            return frozenset()
        try:
            return self._target.covers(frames)
        except Error:
            return frozenset()


def made_of(recipe: Recipe) -> Made:
    """Tell what a recipe is made of in words that a file can hold."""
    spec = recipe.plain
    source = _shown(spec.source or spec.path or Path(spec.name))
    against = recipe.against
    programs = [recipe.program] if recipe.program else list(choose(spec, None, recipe.kind))
    return Made(
        source=source,
        program=programs[0] if len(programs) == 1 else "",
        kind=recipe.kind,
        define=dict(spec.define),
        include=tuple(_included(spec.command, Path(source))),
        maps=recipe.setup.maps,
        globals=recipe.setup.globals,
        max_entries=recipe.setup.max_entries,
        checks=tuple(dict.fromkeys(_where(check) for check in recipe.checks)),
        without=tuple(getattr(each, "name", each) for each in recipe.without),
        model=_where(recipe.model) if recipe.model is not None else "",
        against=_shown(against.source or against.path or Path(against.name)) if against else "",
    )


def _included(command: Sequence[str], source: Path) -> Iterator[str]:
    # Those that were asked for: the one beside the source is found again without a word.
    beside = os.path.realpath(source.parent / "include")
    for option, folder in itertools.pairwise(command):
        if option == "-I" and os.path.realpath(folder) != beside:
            yield _shown(Path(folder))


def _where(judge: Check | Model) -> str:
    """Name a check or a model by its file and its name there, alone or in a tuple.

    One that has no name (it was made inside a function) is called so: replay cannot find it.
    """
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not file or not file.endswith(".py") or module.__name__.startswith("packetrig."):
            continue
        for name, value in list(vars(module).items()):
            is_in = isinstance(value, tuple | list) and any(each is judge for each in value)
            if value is judge or is_in:
                return f"{_shown(Path(file))}:{name}"
    return f"(in no file):{judge.name}"


def _shown(path: Path) -> str:
    here = Path.cwd()
    whole = Path(os.path.normpath(here / path))
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(path)
