"""A check: one thing that must hold for every packet, and what becomes of it when it does not."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import Error, Failure, PermissionDenied, Unsupported

if TYPE_CHECKING:
    from ..program import Program
    from ..run import Run

CheckFunction = Callable[..., Any]
# What a check may ask for by name, beside the frame before and the run.
ASKABLE = ("maps", "grown", "again")


class Check:
    """Hold one check; made by `@packetrig.check`.

    Calling it with the frame before and the run judges that run: nothing happens when it holds,
    Failure when it does not, and Error when the check itself breaks, which says nothing about the
    program. `object.judge(packet, check)` does that and gives the check what it asks for.
    """

    def __init__(
        self,
        function: CheckFunction,
        *,
        name: str = "",
        applies: Callable[[Program], bool] | None = None,
        made: Callable[[], Check] | None = None,
    ) -> None:
        self.function = function
        self.name = name or function.__name__
        self.asks = _asked(function, self.name)
        # Tells of a program whether there is anything to check; None: always.
        self.applies = applies
        # Makes the same check again, in another process; None: it is found by its name.
        self.made = made
        self.__doc__ = function.__doc__

    def __call__(self, before: bytes, run: Run, **given: Any) -> None:
        if missing := [name for name in self.asks if name not in given]:
            raise Error(
                f"check {self.name} asks for {' and '.join(missing)}: "
                f"use object.judge(packet, {self.name})"
            )
        try:
            held = self.function(before, run, **{name: given[name] for name in self.asks})
        except AssertionError as e:
            repeat = e.repeat if isinstance(e, Failure) else ""
            raise self._failure(before, run, str(e).partition("\n")[0], repeat) from e
        except (Unsupported, PermissionDenied):
            raise  # of this kernel, not of the check: the plugin skips
        except Exception as e:
            raise self._broken(run, f"{type(e).__name__}: {e}") from e
        if held is False:
            raise self._failure(before, run, "")
        if held is not None and held is not True:
            # A 0, an empty list or a coroutine would pass for "it holds".
            raise self._broken(run, f"it asserts, or returns True or False, not {repr(held)[:80]}")

    def _broken(self, run: Run, why: str) -> Error:
        return Error(
            f"check {self.name} itself failed: {why}; nothing is known about {run.program.name}"
        )

    def _failure(self, before: bytes, run: Run, why: str, repeat: str = "") -> Failure:
        told = f": {why}" if why else ""
        sentence = f"{run.program.name}: {self.name.replace('_', ' ')} does not hold{told}"
        return Failure(
            lambda: f"{sentence}\n{run.explain()}",
            check=self.name,
            packet=before,
            run=run,
            repeat=repeat or run.repeat,
        )

    def __repr__(self) -> str:
        return f"<Check {self.name}>"


def _asked(function: CheckFunction, name: str) -> tuple[str, ...]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # something of C: as it always was called
        return ()
    rest = [each for each in parameters[2:] if each.kind is not each.VAR_KEYWORD]
    wrong = [each.name for each in rest if each.name not in ASKABLE and each.default is each.empty]
    if len(parameters) < 2 or wrong:
        shown = ", ".join(each.name for each in parameters)
        raise Error(
            f"check {name}({shown}): it takes (before, run), and may ask for "
            f"{', '.join(ASKABLE)} by name"
        )
    return tuple(each.name for each in rest if each.name in ASKABLE)


def check(function: CheckFunction) -> Check:
    """Turn a function of (before, run) into a check; its name is the sentence that must hold.

    It asserts, or returns False:

        @packetrig.check
        def a_dropped_packet_is_left_as_it_was(before, run):
            return run.verdict is not XDP.DROP or run.data == before

        firewall.judge(frame, a_dropped_packet_is_left_as_it_was)

    By name it may ask for more, and then needs `judge()`: `maps`, what the run changed in them
    ({map: {key: (old, new)}}); `grown`, the entries that it added ({map: [key]}); `again`, a
    callable that runs the same packet once more from the same state, or another one.
    """
    return Check(function)
