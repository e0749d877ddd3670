"""Give every live object of a session its first state: before each test, before each example."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from .._bpf.processors import one_processor
from ..objects import Object
from ..run import Run
from . import skips

_LIVE = pytest.StashKey[list[Object]]()


def live(config: pytest.Config) -> list[Object]:
    """Return the objects that fixtures of this session have loaded and not yet closed."""
    return config.stash.setdefault(_LIVE, [])


def renew(config: pytest.Config) -> None:
    """Renew what ran since the last time, and forget what it answered."""
    for found in live(config):
        for program in found.programs.values():
            program.last = None
        if found.is_closed:  # a test did it, and that is state as well
            found.reload()
        else:
            found.renew()


@contextmanager
def on_one_processor(item: pytest.Item) -> Iterator[None]:
    """Keep a test on one processor if an object that it was given counts for each of them.

    Two objects that are given the same packets then count in the same place.
    """
    given = getattr(item, "funcargs", {}).values()
    if any(isinstance(each, Object) and each.state.is_per_cpu for each in given):
        with one_processor():
            yield
    else:
        yield


def last_runs(config: pytest.Config) -> list[Run]:
    """Return what each program of the session's objects answered last."""
    answers = [p.last for found in live(config) for p in found.programs.values()]
    return [last if isinstance(last, Run) else last[-1] for last in answers if last]


def before_each_example(item: pytest.Item) -> Callable[[], None] | None:
    """Make a Hypothesis test renew before each example; the answer puts back what was there.

    Hypothesis and its other plugins keep the function to call in `test.hypothesis.inner_test`.
    """
    test = getattr(item, "obj", None)
    if getattr(test, "is_hypothesis_test", False) is not True:
        return None
    handle = getattr(test, "hypothesis", None)
    inner = getattr(handle, "inner_test", None)
    if inner is None:
        return None
    config = item.config
    is_async = inspect.iscoroutinefunction(inner)
    setattr(handle, "inner_test", (_awaited if is_async else _called)(inner, config))  # noqa: B010
    deadline_back = _without_deadline(test) if live(config) else None

    def put_back() -> None:
        setattr(handle, "inner_test", inner)  # noqa: B010
        if deadline_back:
            deadline_back()

    return put_back


def _without_deadline(test: Any) -> Callable[[], None] | None:
    """Take away the deadline that Hypothesis has when nobody chose one; the answer puts it back.

    Renewal counts into an example's time: on a loaded machine, and with programs that the verifier
    takes long for, right programs were said to fail.
    """
    function, name = getattr(test, "__func__", test), "_hypothesis_internal_use_settings"
    used = getattr(function, name, None)
    if used is None:
        return None
    settings: Any = type(used)  # hypothesis.settings; not imported, for it is slow to import
    if used.deadline != settings.get_profile("default").deadline:
        return None
    setattr(function, name, settings(used, deadline=None))
    return lambda: setattr(function, name, used)


def _called(inner: Callable[..., Any], config: pytest.Config) -> Callable[..., Any]:
    @functools.wraps(inner)
    def renewed(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        renew(config)
        try:
            return inner(*args, **kwargs)
        except Exception as e:
            # Hypothesis lets a skip through at once; an error it would first try to shrink.
            if skipped := skips.outcome(e, config):
                raise skipped from e
            raise

    return renewed


def _awaited(inner: Callable[..., Any], config: pytest.Config) -> Callable[..., Any]:
    # Plugins for async tests look whether the function is a coroutine's.
    @functools.wraps(inner)
    async def renewed(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        renew(config)
        return await inner(*args, **kwargs)

    return renewed
