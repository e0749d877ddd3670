"""Checks: what must hold for every packet, written once, used by tests, campaigns and the gate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import Error, Failure
from .run import Run

CheckFunction = Callable[[bytes, Run], Any]


class Check:
    """Hold one check; made by `@packetrig.check`.

    Calling it with the frame before and the run judges that run: nothing happens when it holds,
    Failure when it does not, and Error when the check itself breaks, which says nothing about the
    program.
    """

    def __init__(self, function: CheckFunction) -> None:
        self.function = function
        self.name = function.__name__
        self.__doc__ = function.__doc__

    def __call__(self, before: bytes, run: Run) -> None:
        try:
            held = self.function(before, run)
        except AssertionError as e:
            raise self._failure(before, run, str(e).splitlines()[0] if str(e) else "") from e
        except Exception as e:
            raise Error(
                f"check {self.name} itself failed: {type(e).__name__}: {e}; nothing is known about "
                f"{run.program.name}"
            ) from e
        if held is False:
            raise self._failure(before, run, "")

    def _failure(self, before: bytes, run: Run, why: str) -> Failure:
        told = f": {why}" if why else ""
        return Failure(
            f"{run.program.name}: {self.name.replace('_', ' ')} does not hold{told}\n"
            f"{run.explain()}",
            check=self.name,
            packet=before,
            run=run,
            repeat=run.repeat,
        )

    def __repr__(self) -> str:
        return f"<Check {self.name}>"


def check(function: CheckFunction) -> Check:
    """Turn a function of (before, run) into a check; its name is the sentence that must hold.

    It asserts, or returns False:

        @packetrig.check
        def a_dropped_packet_is_left_as_it_was(before, run):
            return run.verdict is not XDP.DROP or run.data == before

        a_dropped_packet_is_left_as_it_was(frame, firewall.run(frame))
    """
    return Check(function)
