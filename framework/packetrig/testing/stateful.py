"""`stateful()`: packets, and a control plane that changes the maps between them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, cast

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from hypothesis.strategies import SearchStrategy

from .._bpf.kinds import ARRAYS
from ..checks import Check
from ..errors import Error, InputRefused
from ..models import Model
from ..objects import Object
from ..packets import strategies

Test = Callable[..., None]
Update = Any  # a strategy of keys, (keys, values), or a function of the object


def stateful(
    *,
    packets: SearchStrategy[bytes] | None = None,
    updates: Mapping[str, Update] | None = None,
    model: Model | None = None,
    checks: Collection[Check] = (),
    without: Collection[Check | str] = (),
    steps: int = 20,
    examples: int | None = None,
) -> Callable[[Test], Test]:
    """Make a test of a whole story: packets, each judged, and updates of the maps in between.

        @packetrig.stateful(
            packets=net.ipv4_packets(source=addresses),
            updates={"blocked": addresses, "prefixes": (networks, st.just(0))},
            model=xdp_firewall,
        )
        def test_it_holds_while_the_lists_change(firewall):
            firewall.maps.blocked["10.0.0.66"] = 0

    The function names the fixture, as every test does; its body is the beginning of each story,
    after the object was renewed. Hypothesis then chooses steps: a packet goes through
    `object.judge(packet, *checks, model=model)`, an entry is set, an entry is deleted. The story
    that is shown is the shortest that fails, step by step.

    A packet that the kernel does not take is a step that did not happen; InputRefused if none is
    taken at all.

    Args:
        packets: By default frames of every kind.
        updates: For each map the keys that the control plane uses, or (keys, values): strategies,
            or plain values; without values, zeros. Under any other name a function of the object,
            for what is no such update: {"flush": lambda router: router.maps.flows.clear()}.
        model: A reference model that must agree at each packet.
        checks: Further checks, as in `judge`; `without` leaves built-in ones out.
        steps: The length of a story, at most.
        examples: The number of stories; by default as many as Hypothesis makes examples.
    """

    def decorate(test: Test) -> Test:
        chosen = packets if packets is not None else strategies.frames()
        seen = _Seen()
        rules = {"packet": _packet_rule(chosen, seen, model, tuple(checks), tuple(without))}
        for name, update in (updates or {}).items():
            rules |= _update_rules(name, update)

        @functools.wraps(test)
        def story(**fixtures: Any) -> None:
            __tracebackhide__ = True
            found = [value for value in fixtures.values() if isinstance(value, Object)]
            if not found:
                raise Error(f"{test.__name__}: it names no fixture of a program")
            _check_maps(found[0], updates or {})
            seen.clear()
            count = settings.default.max_examples if settings.default else 100
            run_state_machine_as_test(  # it takes a class, and all that it does is to call it
                cast("Any", functools.partial(_machine(test, rules), found, fixtures)),
                settings=settings(
                    max_examples=count if examples is None else examples,
                    deadline=None,
                    stateful_step_count=steps,
                    suppress_health_check=list(HealthCheck),
                    # Explaining traces every line, and would tell lines of packetrig.
                    phases=[phase for phase in settings().phases if phase is not Phase.explain],
                ),
            )

            if seen.refusal is not None and not seen.judged:
                raise InputRefused(f"no packet was judged: {seen.refusal}") from seen.refusal

        story.__signature__ = inspect.signature(test)  # type: ignore[attr-defined] # as pytest asks
        return story

    return decorate


class _Seen:
    # How many packets the program was given, and why it was not given the last one that it was not.
    judged = 0
    refusal: InputRefused | None = None

    def clear(self) -> None:
        self.judged, self.refusal = 0, None


def _machine(test: Test, rules: Mapping[str, Any]) -> Any:
    def begin(self: Any, found: list[Object], fixtures: dict[str, Any]) -> None:
        RuleBasedStateMachine.__init__(self)
        for each in found:
            each.renew()
        self.object = found[0]
        test(**fixtures)

    # The steps that are shown begin with the name that the test gives the object.
    return type(test.__name__, (RuleBasedStateMachine,), {"__init__": begin, **rules})


def _packet_rule(
    packets: SearchStrategy[bytes],
    seen: _Seen,
    model: Model | None,
    checks: tuple[Check, ...],
    without: tuple[Check | str, ...],
) -> Any:
    def judge(self: Any, packet: bytes) -> None:
        __tracebackhide__ = True
        try:
            self.object.judge(packet, *checks, model=model, without=without)
        except InputRefused as e:  # a step that did not happen
            seen.refusal = e
        else:
            seen.judged += 1

    judge.__name__ = "packet"
    return rule(packet=packets)(judge)


def _update_rules(name: str, update: Update) -> dict[str, Any]:
    if callable(update) and not isinstance(update, SearchStrategy):

        def act(self: Any) -> None:
            update(self.object)

        act.__name__ = name
        return {name: rule()(act)}
    keys, values = update if isinstance(update, tuple) else (update, None)

    def put(self: Any, key: Any, value: Any) -> None:
        found = self.object.maps[name]
        found[key] = bytes(found.spec.value_size) if value is None else value

    def delete(self: Any, key: Any) -> None:
        found = self.object.maps[name]
        if found.kind in ARRAYS:  # whose entries are always there: what is let go is zero
            found[key] = bytes(found.spec.value_size)
            return
        with suppress(KeyError):  # what is not there need not go
            del found[key]

    put.__name__, delete.__name__ = f"set_{name}", f"delete_{name}"
    return {
        put.__name__: rule(key=_strategy(keys), value=_strategy(values))(put),
        delete.__name__: rule(key=_strategy(keys))(delete),
    }


def _strategy(given: Any) -> SearchStrategy[Any]:
    return given if isinstance(given, SearchStrategy) else st.just(given)


def _check_maps(found: Object, updates: Mapping[str, Update]) -> None:
    for name, update in updates.items():
        if isinstance(update, SearchStrategy | tuple):
            found.maps[name]  # a wrong name is told before the first story, with the right ones
