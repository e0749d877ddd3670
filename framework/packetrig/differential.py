"""Two programs that should do the same: an old object and a new one, XDP and its TC twin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .entries import Entries
from .errors import Error, Failure
from .objects import Object
from .packets import explain, to_bytes
from .program import Program
from .run import Run
from .verdicts import TC, XDP

Verdicts = Mapping[Any, Any]

# What a TC program answers where its XDP twin answers that. Where several do, any of them will.
# XDP.TX has no twin: at TC a packet is redirected to where it came from.
XDP_TC: Verdicts = {
    XDP.ABORTED: TC.SHOT,
    XDP.DROP: TC.SHOT,
    XDP.PASS: (TC.OK, TC.UNSPEC, TC.PIPE),
    XDP.TX: TC.REDIRECT,
    XDP.REDIRECT: TC.REDIRECT,
}


def same(
    one: Object | Program,
    other: Object | Program,
    packet: Any,
    *,
    verdicts: Verdicts | None = None,
    maps: bool = True,
    ctx: Mapping[str, Any] | None = None,
) -> tuple[Run, Run]:
    """Run a packet through two programs, hold them to doing the same, and return both runs.

        packetrig.same(deployed, rewrite, packet)
        packetrig.same(xdp_http, tc_http, packet, verdicts=packetrig.XDP_TC)

    Compared are the verdict, the frame, between programs of one kind the metadata and the context,
    and what the maps hold that both have. The failure shows the layers that differ.

    Args:
        verdicts: What `other` must answer where `one` answers that: a verdict, or several.
        maps: Whether the maps are compared.

    Raises:
        Failure: They differ; `.run` is the run of `other`.
        InputRefused: The kernel does not take the frame for one of them: nothing was compared.
    """
    first, second = _program(one), _program(other)
    frame = to_bytes(packet)
    # What stands for an object on another engine has the object's state.
    owners: list[Any] = [getattr(each, "owner", each) for each in (first, second)]
    with owners[0].state.on_one_cpu(), owners[1].state.on_one_cpu():
        was, now = first.run(frame, ctx=ctx), second.run(frame, ctx=ctx)
    compare(was, now, verdicts=verdicts, maps=maps)
    return was, now


def compare(was: Run, now: Run, *, verdicts: Verdicts | None = None, maps: bool = True) -> None:
    """Hold two runs of one packet to being the same, as `same()` does.

    Raises:
        Failure: They differ; `.run` is `now`.
    """
    told = list(_differences(was, now, verdicts))
    if maps:
        told += _map_differences(was, now)
    if told or was.data != now.data:
        raise Failure(
            lambda: _told(told, was, now),
            check=f"the same as {_name(was)}",
            packet=was.frame,
            run=now,
            repeat=_repeat(was, now),
        )


def _program(given: Object | Program) -> Program:
    if isinstance(given, Object):
        return given.program
    if not hasattr(given, "run"):
        raise Error(f"same() takes two objects or programs and a packet, not {given!r}")
    return given


def _name(run: Run) -> str:
    owner = run.program.owner
    name = str(owner.spec.source or owner.spec.path or owner.spec.name)
    return name if len(owner.programs) == 1 else f"{name}: {run.program.name}"


def _told(told: list[str], was: Run, now: Run) -> str:
    lines = [
        f"{_name(now)} does not do the same as {_name(was)}",
        f"  frame     {explain.summary(now.frame)} ({len(now.frame)} bytes)",
        *told,
    ]
    if was.data != now.data:
        names = (was.program.name, now.program.name)
        names = names if len(set(names)) == 2 else ("one", "other")
        lines.append(explain.difference(was.data, now.data, names=names))
    lines.append(f"  scapy     {explain.expression(now.frame)}")
    return "\n".join([*lines, f"  repeat    {_repeat(was, now)}"])


def _differences(was: Run, now: Run, verdicts: Verdicts | None) -> Iterator[str]:
    wanted = was.verdict if verdicts is None else verdicts.get(was.verdict, was.verdict)
    if now.verdict not in (wanted if isinstance(wanted, tuple) else (wanted,)):
        yield f"  verdict   {was.verdict!r}, and {now.verdict!r}"
    if was.program.kind != now.program.kind:
        return
    if was.metadata != now.metadata:
        shown = (each.metadata.hex(" ") or "none" for each in (was, now))
        yield f"  metadata  {', and '.join(shown)}"
    if was.raw_context != now.raw_context:
        yield f"  context   {was.context!r}, and {now.context!r}"


def _map_differences(was: Run, now: Run) -> Iterator[str]:
    one, other = was.program.owner.maps, now.program.owner.maps
    if was.program.owner is now.program.owner:
        return
    before, after = one.snapshot(), other.snapshot()
    for name in before:
        if name in after:
            yield from _entry_differences(name, before[name], after[name])


def _entry_differences(name: str, one: Entries, other: Entries) -> Iterator[str]:
    absent = object()
    for key in [*one, *(each for each in other if each not in one)]:
        was = dict.get(one, key, absent)
        now = dict.get(other, key, absent)
        if was is absent or now is absent or was != now:
            shown = ("nothing" if each is absent else repr(each) for each in (was, now))
            yield f"  map       {name}[{key!r}]: {', and '.join(shown)}"


def _repeat(was: Run, now: Run) -> str:
    # --against builds both sources alike, and compares programs of one kind.
    if _built(was) != _built(now):
        return f"{was.repeat}; {now.repeat}"
    spec = was.program.owner.spec
    return f"{now.repeat} --against {spec.source or spec.path or spec.name}"


def _built(run: Run) -> tuple[Any, ...]:
    owner = run.program.owner
    spec = owner.spec
    program = run.program.name if len(spec.programs) > 1 else ""
    return run.program.kind, program, owner.kind, spec.define, spec.include, owner.values
