"""`engines()`: the same test by the test run, by live frames, and on a wire."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from ..errors import Error
from ..live.engines import ENGINES, Bench, CannotTell, Difference, Seen
from ..live.wire import Wire
from ..objects import Object
from ..program import Program
from ..run import Run
from .skips import Skipped

FIXTURE = "packetrig_engine"
# In a report's user_properties, where the plugin looks: they come through pytest-xdist.
_DIFFERENCES = "packetrig_differences"
_SHOWN = 3
# What run() takes beside the packet, as it is when nothing is asked for.
_PLAIN = {
    "ctx": None,
    "meta": b"",
    "repeat": 1,
    "checksum_complete": False,
    "redirect": False,
    "linear": None,
    "cpu": None,
}
Test = TypeVar("Test", bound=Callable[..., Any])


def engines(*names: str) -> Callable[[Test], Test]:
    """Run a test once an engine: what decides, the kernel's test run or where a frame ended.

        @packetrig.engines("testrun", "live-frames", "wire")
        def test_a_blocked_source_is_dropped(firewall):
            firewall.maps.blocked[BAD] = 0
            assert firewall.run(Ether() / IP(src=BAD, dst=GOOD) / UDP()).verdict is XDP.DROP

    Each object that the test names is given to it so that `run(packet)` goes through the engine:

    - testrun: BPF_PROG_TEST_RUN, as everywhere else.
    - live-frames: the test run hands the frame on, as a driver would (XDP alone, Linux 5.18).
    - wire: a real frame on a veth pair, with the program attached (native XDP, TC ingress, or
      egress by its name). `wire:generic`, `wire:tcx-ingress` ... name another hook.

    The last two tell the verdict by where the frame ended. Verdicts that end alike are told apart
    by the test run of the same frame from the same state; what an engine cannot tell at all is a
    skip that says why. Where an engine saw something else than the test run says, the end of the
    session lists it, with the known differences of the hook that may explain it.

    Without names, all three. A test that asks for the fixture `wire` has its frames on that one.

    Raises:
        Error: There is no engine of that name.
    """
    chosen = names or ENGINES
    for name in chosen:
        Bench(name).close()  # an Error here is one at the decorator's line
    if len(set(chosen)) != len(chosen):
        raise Error(f"engines: one is named twice: {', '.join(chosen)}")

    def marked(test: Test) -> Test:
        # parametrize() wants the argument in the signature, or a fixture that the test uses.
        once_each = pytest.mark.parametrize(FIXTURE, chosen, indirect=True)
        marked_test: Test = pytest.mark.usefixtures(FIXTURE)(once_each(test))
        return marked_test

    return marked


class Engined:
    """Be an object, or one of its programs, whose packets go through an engine."""

    def __init__(self, owner: Object | Program, bench: Bench, found: list[Difference]) -> None:
        self._owner, self._bench, self._found = owner, bench, found

    def run(self, packet: Any, **options: Any) -> Run:
        """Run the program on a packet; what the engine cannot tell is a skip."""
        __tracebackhide__ = True
        program = self._owner.program if isinstance(self._owner, Object) else self._owner
        if asked := [name for name, value in options.items() if value != _PLAIN.get(name, ...)]:
            self._leave(f"run({', '.join(asked)}=)")
        try:
            seen = self._bench.run(program, packet)
        except CannotTell as e:
            raise Skipped(f"engine {self._bench.name}: {e}") from e
        if isinstance(seen, Seen) and seen.difference:
            self._found.append(seen.difference)
        return seen

    def run_many(self, packets: Any) -> list[Run]:
        """Run the program on many packets, one by one."""
        return [self.run(packet) for packet in packets]

    def judge(self, *_: Any, **__: Any) -> None:
        """Skip: checks need the test run."""
        self._leave("judge()")

    def transition(self, *_: Any, **__: Any) -> None:
        """Skip: steps are the test run's."""
        self._leave("transition()")

    def _leave(self, what: str) -> None:
        __tracebackhide__ = True
        raise Skipped(f"engine {self._bench.name}: {what} is the test run's alone")

    @property
    def attachable(self) -> Object | Program:
        """Return what `attach()` takes."""
        return self._owner

    @property
    def program(self) -> Any:
        """Skip: what asks for the program itself (a belt) hands on what no engine can see."""
        self._leave("what runs a program itself (a belt)")

    @property
    def programs(self) -> Any:
        """Return the programs by name, each on this engine."""
        return _Programs(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._owner, name)

    def __repr__(self) -> str:
        return f"<{self._owner!r} on the engine {self._bench.name}>"


class _Programs:
    def __init__(self, engined: Engined) -> None:
        self._engined = engined

    def __getattr__(self, name: str) -> Engined:
        whole = self._engined
        owner: Any = whole._owner
        return Engined(getattr(owner.programs, name), whole._bench, whole._found)

    __getitem__ = __getattr__


@contextmanager
def running(item: pytest.Item, name: str) -> Generator[None, None, None]:
    """Give a test its objects on an engine while it runs, and note what differed."""
    arguments: dict[str, Any] = item.funcargs  # type: ignore[attr-defined]  # a function has them
    found: list[Difference] = []
    given = {key: value for key, value in arguments.items() if isinstance(value, Object)}
    if not given:
        raise Error(
            f"{item.name}: packetrig.engines gives a test its objects on an engine, and this one "
            "names none: take a packetrig.fixture as an argument"
        )
    wire = next((value for value in arguments.values() if isinstance(value, Wire)), None)
    benches = []
    for key, value in given.items() if name != "testrun" else ():
        benches.append(Bench(name, wire=wire))
        arguments[key] = Engined(value, benches[-1], found)
    try:
        yield
    except CannotTell as e:
        raise Skipped(f"engine {name}: {e}") from e
    finally:
        for bench in benches:
            bench.close()
        arguments.update(given)
        if found:
            count = f"{len(found)} differ" + ("s" if len(found) == 1 else "")
            more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
            told = [count, *map(str, found[:_SHOWN]), *more]
            item.user_properties.append((_DIFFERENCES, told))
