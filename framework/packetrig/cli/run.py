"""`packetrig run`: a program on packets, and what became of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click

from .. import files, packets
from ..checks.builtin import made_wrong
from ..errors import Error
from ..packets import pcap
from ..packets.pcap import Record
from ..program import Program
from ..replay import Replayed, Setup, name_of, replay
from ..run import Run
from ..verdicts import CGROUP, LWT, NF, SK, TC, XDP
from . import console, inputs
from .main import Exit

# After these the packet goes on, towards the stack or out of the interface it was sent to.
_PASSED = frozenset(
    {
        *(XDP.PASS, TC.OK, TC.UNSPEC, TC.PIPE, TC.RECLASSIFY, SK.PASS, NF.ACCEPT),
        *(CGROUP.PASS, CGROUP.PASS_CN, LWT.OK, LWT.CONTINUE),
    }
)
# What a TC program leaves with the packet for those after it; all begin as 0.
_LEFT_BEHIND = ("mark", "priority", "tc_classid")
_MOST_CHANGES = 6
_LONGEST_VALUE = 24


class _Tally:
    """Count what passes by, and keep what is to be written."""

    def __init__(self, *, keeps: bool) -> None:
        self.keeps = keeps
        self.verdicts: Counter[str] = Counter()
        self.refused = 0
        self.failed = 0
        self.differing = 0
        self.passed: list[Record] = []
        self.began_ns = -1

    @property
    def tested(self) -> int:
        return sum(self.verdicts.values()) + self.failed

    def watched(self, events: Iterable[Replayed]) -> Iterator[Replayed]:
        """Hand the events on, counted."""
        for event in events:
            if self.began_ns < 0:
                self.began_ns = event.record.time_ns
            self.differing += event.differs
            if event.failure:
                self.failed += 1
            elif event.run is None:
                self.refused += 1
            else:
                self.verdicts[name_of(event.run.verdict)] += 1
                if self.keeps and has_passed(event.run):
                    self.passed.append(_rewritten(event.record, event.run))
            yield event

    def sentence(self, *, is_compared: bool) -> str:
        """Sum up, as the last line of the table."""
        counts = [*self.verdicts.most_common(), *([("FAILS", self.failed)] if self.failed else [])]
        said = ", ".join(f"{count} {name}" for name, count in counts)
        text = f"{_packets(self.tested)}: {said}" if said else "no packet tested"
        if self.refused:
            text += f"; {self.refused} refused, not tested"
        if is_compared:
            text += f"; {self.differing or 'none'} differ{'s' if self.differing == 1 else ''}"
        return text


def has_passed(run: Run) -> bool:
    """Tell whether the packet went on towards where it was going."""
    return any(run.verdict is verdict for verdict in _PASSED)


def _rewritten(record: Record, run: Run) -> Record:
    return Record(record.number, record.time_ns, run.data, len(run.data))


@click.command("run")
@click.argument("source")
@click.option("--program", metavar="NAME", help="Which program, where there are several.")
@click.option("--kind", metavar="KIND", help="What a section without a known name holds: xdp, tc.")
@click.option("--pcap", "captures", metavar="FILE", multiple=True, help="Packets of a capture.")
@click.option("--frame", "frames", metavar="HEX", multiple=True, help="A single packet.")
@click.option("--out", metavar="FILE", help="Write what passed, as the program left it, as a pcap.")
@click.option(
    "--against",
    metavar="OTHER",
    help="Show only packets that another program does not treat the same; exit 1 if there are any.",
)
@click.option("--setup", metavar="FILE", help="TOML: what maps and globals hold at the beginning.")
@click.option("--set", "settings", metavar="GLOBAL=VALUE", multiple=True, help="Set a global.")
@click.option("--define", metavar="NAME[=VALUE]", multiple=True, help="Define a macro for clang.")
@click.option("--include", metavar="DIR", multiple=True, help="A further folder for #include.")
@click.option(
    "--checksum-complete",
    is_flag=True,
    help="Give a TC program each packet with the sum of a device; exit 1 if one leaves it stale.",
)
@click.option("--renew", is_flag=True, help="Empty maps and fresh globals before each packet.")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(0),
    help="Show N packets at most; all are run and counted.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    source: str,
    program: str | None,
    kind: str | None,
    captures: tuple[str, ...],
    frames: tuple[str, ...],
    out: str | None,
    against: str | None,
    setup: str | None,
    settings: tuple[str, ...],
    define: tuple[str, ...],
    include: tuple[str, ...],
    checksum_complete: bool,
    renew: bool,
    limit: int | None,
    as_json: bool,
) -> int:
    """Run a program on packets, in the kernel, and print the verdict of each.

    SOURCE is a C file or an object. Maps keep their state from packet to packet, as they do on an
    interface. A frame that the kernel's test run does not take is shown with the reason and is not
    counted as tested.
    """
    given = inputs.records(captures, frames)
    if against and checksum_complete:
        raise Error("--checksum-complete is for one program: leave --against out")
    if out:
        files.check(out)
    state = Setup.read(setup) if setup else Setup()
    values = inputs.values(settings)
    build = partial(inputs.spec_of, define=define, include=include)
    load = partial(inputs.load, setup=state, kind=kind, values=values)
    with ExitStack() as stack:
        loaded = stack.enter_context(load(build(source), program=program))
        other = None
        if against:
            spec = inputs.spec_of(against) if files.is_object(against) else build(against)
            same = loaded.program.name if loaded.program.name in spec.programs else None
            other = stack.enter_context(load(spec, program=same)).program
        events = replay(
            loaded.program,
            given,
            against=other,
            renew=renew,
            setup=state,
            checksum_complete=checksum_complete,
        )
        tally = _Tally(keeps=out is not None)
        show = _show_json if as_json else _show_table
        show(loaded.program, tally, events, other, limit)
    if not tally.tested:
        raise Error(f"{loaded.program.name}: no packet was tested, {tally.refused} refused")
    if out:
        pcap.write(Path(out), tally.passed)
    return Exit.REFUSED if tally.differing or tally.failed else Exit.HELD


def _show_table(
    program: Program,
    tally: _Tally,
    events: Iterable[Replayed],
    other: Program | None,
    limit: int | None,
) -> None:
    wanted = (e for e in tally.watched(events) if other is None or e.differs)
    shown = _Limited(wanted, limit)
    console.table(
        ["number", "time", "packet", "verdict", "differs in" if other else "change"],
        _rows(shown, tally, is_compared=other is not None),
        right="number time",
        title=_heading(program, other),
    )
    console.say()
    if shown.left_out:
        console.say(f"... {shown.left_out} more, not shown (--limit)")
    console.say(tally.sentence(is_compared=other is not None))


def _heading(program: Program, other: Program | None) -> str:
    spec = program.owner.spec
    text = f"{program.name} ({program.kind}) of {spec.source or spec.path}"
    if other:
        text += f" against {other.name} of {other.owner.spec.source or other.owner.spec.path}"
    return text


class _Limited(Iterator[Replayed]):
    """Let the first ones through and only count the others, which are run all the same."""

    def __init__(self, events: Iterator[Replayed], limit: int | None) -> None:
        self._events = events
        self._rest = limit
        self.left_out = 0

    def __next__(self) -> Replayed:
        if self._rest is None:
            return next(self._events)
        if not self._rest:
            self.left_out += sum(1 for _ in self._events)
            raise StopIteration
        self._rest -= 1
        return next(self._events)


def _rows(
    events: Iterable[Replayed], tally: _Tally, *, is_compared: bool
) -> Iterator[tuple[str, ...]]:
    for event in events:
        since = event.record.time_ns - tally.began_ns
        yield (
            str(event.number),
            f"{'-' if since < 0 else ''}{abs(since) / 1e9:.6f}",
            packets.explain.summary(event.record.data),
            _answered(event),
            _listed(event.differences) if is_compared else _change(event),
        )


def _answered(event: Replayed) -> str:
    if event.failure:
        return "FAILS"
    return name_of(event.run.verdict) if event.run else "refused"


def _change(event: Replayed) -> str:
    if event.failure:
        return str(event.failure).partition(": ")[2]
    if event.run is None:
        return event.refusal
    said = [_listed(event.run.changes)] if event.run.is_rewritten else []
    if event.run.is_rewritten and (wrong := _made_wrong(event)):
        said.append(f"wrong {', '.join(wrong)}")
    context = event.run.context
    if isinstance(context, Mapping):
        said += [f"{name} {context[name]}" for name in _LEFT_BEHIND if context.get(name)]
    if event.run.metadata:
        said.append(f"metadata {event.run.metadata.hex()}")
    return ", ".join(said)


def _made_wrong(event: Replayed) -> list[str]:
    return made_wrong(event.run.frame, event.run.data) if event.run else []


def _listed(changes: dict[str, tuple[Any, Any]]) -> str:
    said = [f"{name} {_short(a, name)} -> {_short(b, name)}" for name, (a, b) in changes.items()]
    more = len(said) - _MOST_CHANGES
    return ", ".join(said[:_MOST_CHANGES]) + (f" and {more} more" if more > 0 else "")


def _short(value: Any, name: str = "") -> str:
    if name.endswith("sum") and isinstance(value, int):
        text = f"0x{value:04x}"
    elif isinstance(value, bytes):
        text = value.hex() or "nothing"
    elif isinstance(value, dict):
        text = "there"
    else:
        text = "absent" if value is None else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def _show_json(
    program: Program,
    tally: _Tally,
    events: Iterable[Replayed],
    other: Program | None,
    limit: int | None,
) -> None:
    wanted = (e for e in tally.watched(events) if other is None or e.differs)
    shown = _Limited(wanted, limit)
    listed = [_as_json(event, is_compared=other is not None) for event in shown]
    console.document(
        {
            "format": 1,
            "program": program.name,
            "kind": program.kind,
            "object": program.owner.spec.sha256,
            "against": other.owner.spec.sha256 if other else None,
            "packets": listed,
            "tested": tally.tested,
            "verdicts": dict(tally.verdicts),
            "refused": tally.refused,
            "failed": tally.failed,
            "differing": tally.differing if other else None,
        }
    )


def _as_json(event: Replayed, *, is_compared: bool) -> dict[str, Any]:
    run = event.run
    found: dict[str, Any] = {
        "number": event.number,
        "time_ns": event.record.time_ns,
        "packet": packets.explain.summary(event.record.data),
        "frame": event.record.data.hex(),
        "verdict": name_of(run.verdict) if run else None,
        "refused": event.refusal or None,
        "failure": str(event.failure) if event.failure else None,
        "data": run.data.hex() if run else None,
        "metadata": run.metadata.hex() if run else None,
    }
    if is_compared:
        found["differences"] = {
            name: [_short(a, name), _short(b, name)] for name, (a, b) in event.differences.items()
        }
    return found


def _packets(count: int) -> str:
    return f"{count} packet{'' if count == 1 else 's'}"
