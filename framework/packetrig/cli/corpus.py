"""`packetrig corpus`: the frames that campaigns keep."""

from __future__ import annotations

from typing import Any

import click

from ..errors import Error
from ..fuzz import corpus as corpora
from ..fuzz import given
from ..fuzz.again import recipe_of
from ..fuzz.corpus import Corpus
from ..fuzz.finding import Made
from ..replay import Setup
from . import console, inputs
from .main import Exit


@click.group("corpus")
def command() -> None:
    """Merge and minimise the frames that campaigns keep."""


@command.command("merge")
@click.argument("into", metavar="DIR")
@click.argument("sources", metavar="FROM...", nargs=-1, required=True)
def merge(into: str, sources: tuple[str, ...]) -> int:
    """Add to a corpus what is in others, in captures, golden files or crash files.

    Nothing is taken from where it comes from.
    """
    corpora.check(into)
    corpus = Corpus(into)
    before = len(corpus.load())
    frames = [frame for each in sources for frame in given.frames_of(each)]
    new = sum(corpus.add(frame) for frame in frames)
    console.say(f"{into}: {before + new} frames, {new} of them new")
    return Exit.HELD


@command.command("minimise")
@click.argument("source", metavar="SOURCE")
@click.argument("folder", metavar="DIR")
@click.option("--setup", metavar="FILE", help="Maps and globals before each frame, as TOML.")
@click.option("--program", metavar="NAME", help="Which program, where there are several.")
@click.option("--kind", metavar="KIND", help="What a section without a known name holds: xdp, tc.")
@click.option("--define", metavar="NAME[=VALUE]", multiple=True, help="Define a macro for clang.")
@click.option("--include", metavar="DIR", multiple=True, help="A further folder for #include.")
def minimise(source: str, folder: str, **options: Any) -> int:
    """Leave in a corpus the fewest and smallest frames that reach all that it reaches.

    What is superfluous is removed; what is no part of a corpus is named, and left.
    """
    corpus = Corpus(folder)
    if not corpus.load():
        raise Error(f"{folder}: holds no frame: there is nothing to minimise")
    setup = Setup.read(options["setup"]) if options["setup"] else Setup()
    made = Made(
        source,
        options["program"] or "",
        kind=options["kind"],
        define=inputs.definitions(options["define"]),
        include=tuple(options["include"]),
        maps=setup.maps,
        globals=setup.globals,
        max_entries=setup.max_entries,
    )
    with recipe_of(made).open() as target:
        done = corpus.minimise(lambda frame: target.covers([frame]))
    console.say(
        f"{folder}: {done.kept} frames kept, {done.removed} removed; together they reach all that "
        "they reached before"
    )
    return Exit.HELD
