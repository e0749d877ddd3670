"""Watch what a test run loads: twins are put in place of plain objects, and their counters read."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .._bpf.libbpf import short_log
from ..errors import Error, LoadError
from ..objects import Object
from ..spec import Spec
from .counting import Counters
from .gathered import minus
from .twins import twin

Add = Callable[[bytes, bytes], None]


@dataclass(slots=True, eq=False)
class _Watched:
    """Hold the counters of a loaded object, and what they were when last read."""

    counters: Counters
    add: Add
    before: bytes


class Watch:
    """Load twins in place of objects, from `begin()` to `end()`, and hand on what they count.

    Args:
        built: Says of which build a twin is loaded: mostly the one that is asked for. None: it is
            loaded as it is.
        counting: Is told of an object that was loaded, and returns what takes its counters and
            its bitmap, each time what came since the last.
        refused: Is told of which object there is no twin, and why.
        mcdc: Count conditions and decisions too.
    """

    def __init__(
        self,
        *,
        built: Callable[[Spec], Spec | None],
        counting: Callable[[Object], Add],
        refused: Callable[[Spec, str], None],
        mcdc: bool = False,
    ) -> None:
        self._built = built
        self._counting = counting
        self._refused = refused
        self._has_mcdc = mcdc
        self._load: Any = Spec.load
        self._twins: dict[tuple[str, ...], Spec | None] = {}
        # Which twins did not load, and how: to ask the verifier again may take many seconds.
        self._refusals: set[tuple[str, str]] = set()
        self._watched: list[_Watched] = []

    def begin(self) -> None:
        """Put twins in place: whichever way a test comes to a program, it passes `Spec.load`."""
        load = self._load = Spec.load

        @functools.wraps(load)
        def loaded(spec: Spec, **how: Any) -> Object:
            made = self._twin(spec)
            if made is None or (made.sha256, repr(how)) in self._refusals:
                return load(spec, **how)
            try:
                with short_log():
                    found = load(made, **how)
            except LoadError as e:
                why = str(e)
            else:
                self._watch(found)
                return found
            found = load(spec, **how)  # where this is refused too, it is told once
            self._refusals.add((made.sha256, repr(how)))
            self._refused(spec, f"it loads, but not instrumented: {why}")
            return found

        Spec.load = loaded  # type: ignore[method-assign, assignment]

    def end(self) -> None:
        """Let objects be loaded as they are again."""
        Spec.load = self._load  # type: ignore[method-assign]

    def collect(self) -> None:
        """Hand on what was counted since the last time."""
        for each in self._watched:
            _take(each)

    def _twin(self, spec: Spec) -> Spec | None:
        if spec.is_instrumented or (built := self._built(spec)) is None:
            return None
        key = (spec.sha256, *built.command)
        if key not in self._twins:
            self._twins[key] = None
            try:
                self._twins[key] = twin(built, mcdc=self._has_mcdc)
            except Error as e:
                self._refused(spec, str(e))
        made = self._twins[key]
        # Values of fakes are each build's own.
        return made and replace(
            made, define=spec.define, include=spec.include, mocks=spec.mocks, plain=spec
        )

    def _watch(self, found: Object) -> None:
        """Count what an object does, until it is closed and when it is loaded again."""
        owner = weakref.ref(found)
        watched: _Watched | None = self._started(found)

        def told(is_there: bool) -> None:
            nonlocal watched
            again = owner()
            if not is_there and watched is not None:
                _take(watched)
                self._watched.remove(watched)
                watched = None  # it holds the map
            elif is_there and again is not None:
                watched = self._started(again)

        found.counters.watchers.append(told)

    def _started(self, found: Object) -> _Watched:
        counters = Counters(found)
        made = _Watched(counters, self._counting(found), bytes(counters.size))
        self._watched.append(made)
        return made


def _take(watched: _Watched) -> None:
    now = watched.counters.take()
    if now != watched.before:
        watched.add(minus(now, watched.before), watched.counters.take_bitmap())
        watched.before = now
