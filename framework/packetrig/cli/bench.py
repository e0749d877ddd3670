"""`packetrig bench`: what a packet costs, and what the verifier made of the program."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import click

from .. import bench, files
from ..bench import frames as measured_on
from ..errors import Error
from ..objects import Object
from ..program import Program
from ..replay import Setup
from ..verifier import Statistics
from . import console, inputs
from .main import Exit


@click.command("bench")
@click.argument("source")
@click.option("--program", metavar="NAME", help="Which program, where there are several.")
@click.option("--kind", metavar="KIND", help="What a section without a known name holds: xdp, tc.")
@click.option(
    "--packet",
    "packet",
    metavar="FILE",
    help="A packet (.toml) or a capture (.pcap) to measure on; else the smallest UDP packet.",
)
@click.option("--frame", metavar="HEX", help="A single packet to measure on.")
@click.option("--against", metavar="OTHER", help="Measure another program in turn, and the ratio.")
@click.option("--setup", metavar="FILE", help="TOML: what maps and globals hold at the beginning.")
@click.option("--set", "settings", metavar="GLOBAL=VALUE", multiple=True, help="Set a global.")
@click.option("--define", metavar="NAME[=VALUE]", multiple=True, help="Define a macro for clang.")
@click.option("--include", metavar="DIR", multiple=True, help="A further folder for #include.")
@click.option(
    "--rounds",
    metavar="N",
    type=click.IntRange(3, 10_000),
    default=bench.ROUNDS,
    show_default=True,
    help="How many samples are taken of each program.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    source: str,
    program: str | None,
    kind: str | None,
    packet: str | None,
    frame: str | None,
    against: str | None,
    setup: str | None,
    settings: tuple[str, ...],
    define: tuple[str, ...],
    include: tuple[str, ...],
    rounds: int,
    as_json: bool,
) -> int:
    """Measure what a packet costs in a program: nanoseconds, by the kernel's own clock.

    SOURCE is a C file or an object. A program that rewrites the packet, or meets a capture, is
    measured packet by packet, less what a program that does nothing costs; any other one many
    times in one call. The spread is that of the middle half of the samples.
    """
    if packet and frame:
        raise Error("--packet and --frame: give one of them")
    frames = _frames(packet, frame)
    state = Setup.read(setup) if setup else Setup()
    values = inputs.values(settings)
    with ExitStack() as stack:
        loaded = [
            stack.enter_context(each)
            for each in _load((source, against), state, define, include, program, kind, values)
        ]
        put = partial(_put, state)
        subjects = [bench.Subject(each, frames, put=put) for each in loaded]
        with console.progress() as show:
            show(f"{subjects[0].name}: {rounds} rounds")
            if len(subjects) == 1:
                compared, found = None, [bench.speed(subjects[0], rounds=rounds)]
            else:
                compared = bench.compare(subjects[0], subjects[1], rounds=rounds)
                found = [compared.new, compared.old]
        programs = [each.program for each in loaded]
        if as_json:
            console.document(_document(programs, found, compared))
        else:
            _show(programs, found, compared)
    return Exit.HELD


def _frames(packet: str | None, frame: str | None) -> list[bytes]:
    if packet:
        return measured_on.read(packet)
    if frame:
        return [record.data for record in inputs.records((), (frame,))]
    return [measured_on.smallest()]


def _put(state: Setup, loaded: Object) -> None:
    state.put(loaded)


def _load(
    sources: Sequence[str | None],
    state: Setup,
    define: tuple[str, ...],
    include: tuple[str, ...],
    program: str | None,
    kind: str | None,
    values: dict[str, Any],
) -> list[Object]:
    found: list[Object] = []
    try:
        for source in filter(None, sources):
            is_built = files.is_object(source) and bool(found)
            spec = inputs.spec_of(source, () if is_built else define, () if is_built else include)
            wanted = program
            if found and found[0].program.name in spec.programs:
                wanted = found[0].program.name
            found.append(inputs.load(spec, state, program=wanted, kind=kind, values=values))
    except BaseException:
        for each in found:
            each.close()
        raise
    return found


def _show(
    programs: Sequence[Program], found: Sequence[bench.Speed], compared: bench.Compared | None
) -> None:
    speed = found[0]
    packets = "1 packet" if speed.packets == 1 else f"{speed.packets} packets"
    left = f", {speed.refused} refused" if speed.refused else ""
    console.say(f"{packets}{left}, {speed.method.value}, {len(speed.samples)} samples each")
    columns = ("program", "of", "ns/packet", "spread", "insns", "states", "stack", "jited")
    console.table(
        [*columns, "verdicts"],
        [_row(program, each) for program, each in zip(programs, found, strict=True)],
        right="ns/packet insns states stack jited",
    )
    if compared:
        console.say()
        console.say(
            f"ratio pair by pair: {compared.ratio:.3f} ({compared.low:.3f} to {compared.high:.3f})"
        )


def _row(program: Program, found: bench.Speed) -> tuple[str, ...]:
    costs = program.statistics
    spec = program.owner.spec
    numbers = (costs.instructions, costs.states, _stack(costs), costs.jited)
    return (
        program.name,
        str(spec.source or spec.path),
        f"{found.nanoseconds:.1f}",
        f"{found.low:.1f} to {found.high:.1f}",
        *("?" if number is None else str(number) for number in numbers),
        " ".join(found.verdicts),
    )


def _stack(costs: Statistics) -> int | None:
    return max(costs.stack) if costs.stack else None


def _document(
    programs: Sequence[Program], found: Sequence[bench.Speed], compared: bench.Compared | None
) -> dict[str, Any]:
    ratio = None
    if compared:
        ratio = {"median": compared.ratio, "low": compared.low, "high": compared.high}
    return {
        "format": 1,
        "programs": [_told(p, each) for p, each in zip(programs, found, strict=True)],
        "ratio": ratio,
    }


def _told(program: Program, found: bench.Speed) -> dict[str, Any]:
    costs = program.statistics
    return {
        "program": program.name,
        "kind": program.kind,
        "object": program.owner.spec.sha256,
        "nanoseconds": found.nanoseconds,
        "low": found.low,
        "high": found.high,
        "samples": list(found.samples),
        "method": found.method.value,
        "verdicts": list(found.verdicts),
        "packets": found.packets,
        "refused": found.refused,
        "verifier": {
            "instructions": costs.instructions,
            "states": costs.states,
            "stack": _stack(costs),
            "xlated": costs.xlated,
            "jited": costs.jited,
        },
    }
