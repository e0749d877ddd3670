"""`packetrig shadow`: what a new program would have done with live traffic."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from .. import deploy, files, packets
from ..errors import Error
from ..packets import pcap
from ..replay import Replayed, Setup, name_of
from ..spec import Spec
from . import console, inputs
from .attach import seconds_of
from .main import Exit

_COLUMNS = ["number", "packet", "now", "new", "differs in"]
_MOST_NAMES = 4
_A_SIZE = re.compile(r"^an? (?:\w+ )?frame of \d+ bytes")  # told once for all of them
_TAGGED = "its VLAN tag stands beside it (skb->vlan_tci), and a test run has it in the frame"


@click.command("shadow")
@click.argument("path", metavar="OBJECT")
@click.option("--iface", metavar="NAME", required=True, help="The interface to listen on.")
@click.option(
    "--for",
    "seconds",
    metavar="TIME",
    callback=seconds_of,
    default="60s",
    show_default=True,
    help="Listen so long.",
)
@click.option(
    "--mode",
    type=click.Choice(deploy.MODES),
    default="native",
    show_default=True,
    help="Where the object is to be attached: it says which direction is sampled.",
)
@click.option(
    "--against",
    metavar="OBJECT",
    default="attached",
    show_default=True,
    help="What it is held to: an object file, or what is attached there now.",
)
@click.option("--program", metavar="NAME", help="Which program, where there are several.")
@click.option("--kind", metavar="KIND", help="What a section without a known name holds: xdp, tc.")
@click.option("--setup", metavar="FILE", help="TOML: what maps and globals hold at the beginning.")
@click.option("--set", "settings", metavar="GLOBAL=VALUE", multiple=True, help="Set a global.")
@click.option("--out", metavar="FILE", help="Write the frames that differ, as a pcap.")
@click.option(
    "--frames",
    metavar="N",
    type=click.IntRange(1),
    default=200_000,
    show_default=True,
    help="Stop listening after so many frames.",
)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="Show N frames that differ at most; all are counted, and written to --out.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    path: str,
    iface: str,
    seconds: float,
    mode: str,
    against: str,
    program: str | None,
    kind: str | None,
    setup: str | None,
    settings: tuple[str, ...],
    out: str | None,
    frames: int,
    limit: int,
    as_json: bool,
) -> int:
    """Sample live traffic, and say which frames a new program would treat in another way.

    Nothing is attached. The frames are run afterwards through the new object and through the one
    that is attached now, loaded afresh with what its maps hold.

    Exit codes: 0 they treat every frame alike, 1 some differ, 2 it could not be told.
    """
    if out:
        files.check(out)
    hook = deploy.hook_of(mode)
    reference = _reference(iface, hook, against, program)
    state = Setup.read(setup) if setup else Setup()
    state = replace(state, globals={**state.globals, **inputs.values(settings)})
    shadow = deploy.Shadow(Spec.read(path), reference, program, kind, state)
    with console.progress() as show, deploy.noted() as stop:
        show(f"{iface}: listening for {seconds:g} s")
        sampled = deploy.sample(iface, hook, seconds=seconds, limit=frames, stop=stop)
    return _Told(sampled, limit, as_json).tell(shadow, out)


def _reference(iface: str, hook: str, against: str, program: str | None) -> deploy.Reference:
    if against == "attached":
        return deploy.attached(iface, hook)
    spec = Spec.read(against)
    return deploy.Reference(spec, program if program in spec.programs else None, Setup())


class _Told:
    """Count what is replayed, keep what differs, and print it."""

    def __init__(self, sampled: deploy.Sample, limit: int, as_json: bool) -> None:
        self._sampled = sampled
        self._passed = len(sampled.frames) + sampled.tagged
        self._limit = limit
        self._as_json = as_json
        self._tested = 0
        self._refused = Counter({_TAGGED: sampled.tagged} if sampled.tagged else {})
        self._verdicts: Counter[tuple[str, str]] = Counter()
        self._differing: list[Replayed] = []
        self._copied: tuple[str, ...] = ()

    def tell(self, shadow: deploy.Shadow, out: str | None) -> int:
        for event in deploy.compare(shadow, self._sampled.frames):
            if isinstance(event, tuple):
                self._copied = event
                continue
            self._take(event)
        self._print()
        if not self._tested:
            raise Error(
                f"no frame was tested: {self._passed} passed in {self._sampled.seconds:.1f} s, and "
                f"{sum(self._refused.values())} of them no test run takes"
            )
        if out:
            pcap.write(Path(out), [event.record for event in self._differing])
        return Exit.REFUSED if self._differing else Exit.HELD

    def _take(self, event: Replayed) -> None:
        if event.run is None or event.other is None:
            refusal = event.refusal or event.other_refusal
            self._refused[_A_SIZE.sub("its size", refusal)] += 1
            return
        self._tested += 1
        if event.differs:
            self._verdicts[name_of(event.other.verdict), name_of(event.run.verdict)] += 1
            self._differing.append(event)

    def _print(self) -> None:
        sampled = self._sampled
        if self._as_json:
            console.document(self._document())
            return
        shown = self._differing[: self._limit]
        if shown:
            console.table(_COLUMNS, [_row(event) for event in shown], right="number")
            console.say()
        if len(self._differing) > len(shown):
            console.say(f"... {len(self._differing) - len(shown)} more, not shown (--limit)")
        for reason, count in self._refused.most_common():
            console.say(f"{count} not tested: {reason}")
        for note in self._notes():
            console.say(f"note: {note}")
        pairs = ", ".join(f"{n} {a} -> {b}" for (a, b), n in self._verdicts.most_common())
        console.say(
            f"{self._tested} frames of {sampled.seconds:.1f} s: "
            f"{len(self._differing) or 'none'} differ{'' if len(self._differing) != 1 else 's'}"
            + (f": {pairs}" if pairs else "")
        )

    def _notes(self) -> list[str]:
        sampled = self._sampled
        notes = [sampled.caveat] if sampled.caveat else []
        if sampled.lost:
            notes.append(f"{sampled.lost} frames came too fast, and are not in the sample")
        if self._copied:
            notes.append(f"maps as they are on the interface: {', '.join(self._copied)}")
        return notes

    def _document(self) -> dict[str, Any]:
        return {
            "format": 1,
            "frames": self._passed,
            "lost": self._sampled.lost,
            "tested": self._tested,
            "refused": dict(self._refused),
            "differing": len(self._differing),
            "verdicts": {f"{a} -> {b}": n for (a, b), n in self._verdicts.items()},
            "copied-maps": list(self._copied),
            "notes": self._notes(),
            "packets": [
                {
                    "number": event.number,
                    "packet": packets.explain.summary(event.record.data),
                    "frame": event.record.data.hex(),
                    "now": _row(event)[2],
                    "new": _row(event)[3],
                }
                for event in self._differing[: self._limit]
            ],
        }


def _row(event: Replayed) -> list[str]:
    assert event.run is not None
    assert event.other is not None
    names = list(event.differences)
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return [
        str(event.number),
        packets.explain.summary(event.record.data),
        name_of(event.other.verdict),
        name_of(event.run.verdict),
        ", ".join(names[:_MOST_NAMES]) + more,
    ]
