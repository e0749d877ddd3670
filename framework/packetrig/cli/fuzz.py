"""`packetrig fuzz`: a campaign, told as it goes."""

from __future__ import annotations

import contextlib
import random
import re
import signal
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from .. import files, sarif
from ..errors import Error, InputRefused
from ..fuzz import corpus as corpora
from ..fuzz import (
    crashfile,
    given,
    named,
    repeat,
)
from ..fuzz.again import make_room, recipe_of
from ..fuzz.campaigns import campaign
from ..fuzz.engine import default_seeds
from ..fuzz.events import Ended, Event, Found, Progress, Started, Unrepeated
from ..fuzz.finding import Finding, Made, rules
from ..fuzz.target import Recipe
from ..fuzz.words import Words
from ..loaded import choose
from ..replay import Setup
from . import console, inputs, telling
from .main import Exit

_UNITS = {"h": 3600, "m": 60, "s": 1}


class _Duration(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks alone
    name = "TIME"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        text = str(value)
        parts = re.findall(r"(\d+)([hms])", text)
        if re.fullmatch(r"\d+(\.\d+)?", text):
            seconds = float(text)
        elif parts and "".join(f"{n}{unit}" for n, unit in parts) == text:
            seconds = float(sum(int(n) * _UNITS[unit] for n, unit in parts))
        else:
            self.fail(f"'{text}' is no time: write 90, 30s, 10m or 1h30m", param, ctx)
        if not seconds:
            self.fail(f"'{text}' is no time: nothing could be run in it", param, ctx)
        return seconds


@click.command("fuzz")
@click.argument("source", metavar="SOURCE")
@click.option("--time", "seconds", type=_Duration(), help="End after so long: 90, 10m, 1h30m.")
@click.option("--runs", type=click.IntRange(1), metavar="N", help="End after so many runs.")
@click.option("--until-covered", is_flag=True, help="End when all that can be reached was.")
@click.option(
    "--findings", "most", type=click.IntRange(1), metavar="N", help="End after so many findings."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    metavar="N",
    help="What all random choices come from; random if left out, and always told.",
)
@click.option(
    "--corpus", metavar="DIR", help="Keep frames that reach something new, and begin with them."
)
@click.option(
    "--crashes",
    metavar="DIR",
    default=str(crashfile.FOLDER),
    show_default=True,
    help="Where findings are written.",
)
@click.option("--setup", metavar="FILE", help="Maps and globals before each story, as TOML.")
@click.option("--set", "assignments", metavar="GLOBAL=VALUE", multiple=True, help="Set a global.")
@click.option(
    "--check",
    "checks",
    metavar="FILE.py[:NAME]",
    multiple=True,
    help="Your own checks; one of a built-in check's name takes its place.",
)
@click.option("--without", metavar="CHECK", multiple=True, help="Leave a built-in check out.")
@click.option("--model", metavar="FILE.py[:NAME]", help="A reference model that must agree.")
@click.option("--against", metavar="OBJECT", help="Another program that must do the same.")
@click.option("--program", metavar="NAME", help="Which program, where there are several.")
@click.option("--kind", metavar="KIND", help="What a section without a known name holds: xdp, tc.")
@click.option("--define", metavar="NAME[=VALUE]", multiple=True, help="Define a macro for clang.")
@click.option("--include", metavar="DIR", multiple=True, help="A further folder for #include.")
@click.option(
    "--seeds",
    "--pcap",
    "files",
    metavar="PATH",
    multiple=True,
    help="Begin with these frames too: captures, golden files, crash files, or folders of them.",
)
@click.option("--blind", is_flag=True, help="Search without coverage where it cannot be had.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Use so many processes.")
@click.option("--scheduler", metavar="ADDRESS", help="Use a dask.distributed cluster.")
@click.option("--json", "as_json", is_flag=True, help="Print each event as a line of JSON.")
@click.option("--sarif", "report", metavar="FILE", help="Write the findings as SARIF.")
@click.option("--github", is_flag=True, help="Print the findings as GitHub's annotations too.")
def command(**options: Any) -> int:
    """Search for packets that a program handles wrongly, guided by what they execute of it.

    Each run is judged: by the built-in checks, your own, a model, another program. What fails is
    made as small as it can be and written down; `packetrig replay ID` shows it again. Without
    --time, --runs or --until-covered it goes on until Ctrl-C.

    Exit codes: 0 nothing found, 1 findings, 2 undecided: what looked wrong did not repeat.
    """
    try:
        return _fuzz(**options)
    except Error as e:
        if options["report"]:
            sarif.write(options["report"], (), undecided=[str(e)])
        raise


def _fuzz(
    *,
    source: str,
    seed: int | None,
    corpus: str | None,
    crashes: str,
    as_json: bool,
    report: str | None,
    github: bool,
    **options: Any,
) -> int:
    if as_json and github:
        raise click.UsageError("--json and --github both speak on stdout: choose one")
    for folder in filter(None, (corpus, crashes)):
        corpora.check(folder)
    recipe, made = _recipe(source, options)
    program = made.program or ""
    crashfile.check(Path(crashes) / program)
    if not options["blind"]:
        _guided(source, recipe.why_plain)
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    events = campaign(
        recipe,
        seconds=options["seconds"],
        runs=options["runs"],
        until_covered=options["until_covered"],
        findings=options["most"],
        seed=seed,
        seeds=_seeds(recipe, options["files"]),
        corpus=corpus,
        **_workers(options),
    )
    show: telling.Teller = telling.Lines() if as_json else telling.People(recipe, corpus)
    with contextlib.ExitStack() as stack:
        if isinstance(events, Generator):
            stack.callback(events.close)
        found, doubts = _told(events, show, crashes, github=github, is_blind=options["blind"])
    if report:
        results = [each.result(repeat.replay(each, crashes)) for each in found]
        sarif.write(report, results, rules=rules(found), undecided=doubts)
    if found:
        return Exit.REFUSED
    return Exit.UNDECIDED if doubts else Exit.HELD


def _workers(options: dict[str, Any]) -> dict[str, Any]:
    wanted = {name: options[name] for name in ("workers", "scheduler")}
    return {name: value for name, value in wanted.items() if value is not None}


def _recipe(source: str, options: dict[str, Any]) -> tuple[Recipe, Made]:
    setup = Setup.read(options["setup"]) if options["setup"] else Setup()
    checks = [name for each in options["checks"] for name in named.checks_of(each)]
    if files.is_object(source) and (options["define"] or options["include"]):
        raise Error(f"{source}: is compiled already: --define and --include need the C file")
    made = Made(
        source=source,
        program=options["program"] or "",
        kind=options["kind"],
        define=inputs.definitions(options["define"]),
        include=tuple(options["include"]),
        maps=setup.maps,
        globals={**setup.globals, **inputs.values(options["assignments"])},
        max_entries=setup.max_entries,
        checks=tuple(dict.fromkeys(checks)),
        without=tuple(options["without"]),
        model=named.model_of(options["model"])[0] if options["model"] else "",
        against=options["against"] or "",
    )
    recipe = recipe_of(made)
    # Errors about it name the file that it came from.
    recipe = replace(recipe, setup=replace(recipe.setup, path=setup.path))
    spec = recipe.plain
    if spec.source is None and not {".BTF", ".BTF.ext"} <= set(spec.sections):
        raise Error(
            f"{source}: holds no debug information, so no line of C is known for what would be "
            "found: compile it with -g, or name the C source"
        )
    if made.program:
        return recipe, made
    # Those that would be loaded: one that traces the kernel beside it makes no choice.
    names = list(choose(spec, None, made.kind))
    if len(names) > 1:
        told = ", ".join(names)
        raise Error(f"{spec.name} holds several programs: {told}; choose one with --program")
    return recipe, replace(made, program=names[0])


def _seeds(recipe: Recipe, files: tuple[str, ...]) -> tuple[bytes, ...] | None:
    if not files:
        return None
    words = Words.of(recipe.setup.maps, recipe.setup.globals)
    return default_seeds(words, [frame for each in files for frame in given.frames_of(each)])


def _told(
    events: Iterator[Event], show: telling.Teller, crashes: str, *, github: bool, is_blind: bool
) -> tuple[list[Finding], list[str]]:
    """Tell what happens, write what is found; return it, and what looked wrong and is not known."""
    found: list[Finding] = []
    doubts: list[str] = []
    with console.ticker() as tick:
        for event in _until_interrupted(events):
            if isinstance(event, Progress):
                tick(telling.progress(event))
                show.hear(event)
                continue
            tick("")
            if isinstance(event, Found) and event.finding is not None:
                found.append(event.finding)
                show.found(event, crashfile.path_of(event.finding, crashes))
                if github:
                    command = repeat.replay(event.finding, crashes)
                    console.say(sarif.annotation(event.finding.result(command)))
                make_room(event.finding, crashes)
                crashfile.write(event.finding, crashes)  # told before: the disk may be full
                continue
            if isinstance(event, Started) and not is_blind:
                _guided(event.program, event.why_plain)
            if isinstance(event, Unrepeated):
                doubts.append(event.told)
            show.hear(event)
            if isinstance(event, Ended) and not event.runs - event.refused:
                why = "the kernel took none of the frames" if event.runs else "it ended too soon"
                raise InputRefused(f"nothing was tested: {why}")
    return found, doubts


def _guided(program: str, why_plain: str) -> None:
    """Refuse to search blindly unasked: that nothing was found would mean little."""
    if why_plain:
        raise Error(
            f"{program}: there is no coverage to be guided by: {why_plain}; --blind searches "
            "without"
        )


def _until_interrupted(events: Iterator[Event]) -> Iterator[Event]:
    """Hand the events on; Ctrl-C or SIGTERM ends it with its summary, a second one ends all."""
    # Asked for between two events alone: a finding that is being written is written.
    asked = False

    def stop(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    was = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        while (event := next(events, None)) is not None:
            yield event
            if asked and isinstance(events, Generator):
                yield from _ended(events)
                return
    finally:
        for each, handler in was.items():
            signal.signal(each, handler)


def _ended(events: Generator[Event, None, None]) -> Iterator[Event]:
    event: Event | None = events.throw(KeyboardInterrupt())
    while event is not None:
        yield event
        event = next(events, None)
