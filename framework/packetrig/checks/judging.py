"""Run a packet and judge the run: the built-in checks, those that were given, and the model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..errors import Error, no_such
from ..models import Model
from ..packets import to_bytes
from ..state import Again, Changes, Grown, Transition
from .builtin import BUILTIN
from .rules import Check

if TYPE_CHECKING:
    from ..program import Program
    from ..run import Run


def judge(
    program: Program,
    packet: Any,
    checks: tuple[Check, ...] = (),
    *,
    model: Model | None = None,
    without: Collection[Check | str] | Check = (),
    builtin: tuple[Check, ...] = BUILTIN,
    ctx: Mapping[str, Any] | None = None,
    meta: bytes = b"",
) -> Run:
    """Run a packet and judge the run; see Program.judge."""
    frame = packet if type(packet) is bytes else to_bytes(packet)
    rules = [
        rule
        for rule in selected(builtin, checks, _several(without))
        if rule.applies is None or rule.applies(program)
    ]
    asked = {name for rule in rules for name in rule.asks}
    owner, state = program.owner, program.owner.state
    answer = None
    if model is not None:
        if not isinstance(model, Model):
            raise Error(f"judge() takes a model, made by @packetrig.model, not {model!r}")
        answer = model.answer(frame, program, ctx=ctx, meta=meta)
        if answer.changes is not None:
            asked.add("maps")
    with state.on_one_cpu() if "again" in asked else nullcontext():
        before = state.take() if "maps" in asked or "again" in asked else None
        keys = state.keys() if "grown" in asked else {}
        run = program.run(frame, ctx=ctx, meta=meta)
        given: dict[str, Any] = {}
        if "grown" in asked:
            given["grown"] = Grown(owner, keys)
        if before is not None:
            given["maps"] = Changes(state, before)
            given["again"] = Again(program, run, before, {"ctx": ctx, "meta": meta})
        # What needs no further run comes first, a check before the model: it says more.
        for rule in rules:
            if "again" not in rule.asks:
                rule(frame, run, **given)
        if answer is not None and model is not None:
            model.compare(answer, run, given.get("maps", {}))
        for rule in rules:
            if "again" in rule.asks:
                rule(frame, run, **given)
    return run


@lru_cache(maxsize=256)
def selected(
    builtin: tuple[Check, ...], checks: tuple[Check, ...], without: tuple[Check | str, ...]
) -> tuple[Check, ...]:
    """Choose the checks: one that is given takes the place of the built-in one of its name.

    Raises:
        NoSuchName: `without` names a check that there is not.
        Error: Something that was given is no check.
    """
    rules = {rule.name: rule for rule in builtin}
    for rule in checks:
        if not isinstance(rule, Check):
            raise Error(f"judge() takes checks, made by @packetrig.check, not {rule!r}")
        rules[rule.name] = rule
    for name in _names(without):
        if name not in rules:
            raise no_such("check", name, rules, owner="judge()")
        del rules[name]
    return tuple(rules.values())


def _several(without: Collection[Check | str] | Check) -> tuple[Check | str, ...]:
    return (without,) if isinstance(without, (Check, str)) else tuple(without)


def _names(checks: Iterable[Check | str]) -> list[str]:
    return [each.name if isinstance(each, Check) else each for each in checks]


def transition(
    program: Program,
    packet: Any,
    *,
    maps: Mapping[str, Mapping[Any, Any]] | None = None,
    ctx: Mapping[str, Any] | None = None,
    meta: bytes = b"",
) -> Transition:
    """Make one step from a state to the next; see Program.transition."""
    owner = program.owner
    owner.put({"maps": maps or {}})
    before = owner.state.take()
    run = program.run(packet, ctx=ctx, meta=meta)
    changes = Changes(owner.state, before)
    len(changes)  # worked out now: the next run goes on from here
    return Transition(run.verdict, run.data, changes)
