"""A finding again: on the object as it is now, from the state that the finding tells."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..errors import Error, Failure
from ..replay import Setup
from ..spec import build
from . import crashfile, named
from .finding import Finding, Made
from .target import Recipe


class Status(StrEnum):
    """Name what became of a finding."""

    FIXED = "FIXED"
    FAILS = "FAILS"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Again:
    """Tell what became of a finding: with FAILS the failure, with ERROR why nobody could tell."""

    finding: Finding
    status: Status
    failure: Failure | None = None
    reason: str = ""
    object_sha256: str = ""

    @property
    def is_another(self) -> bool:
        """Tell whether it fails by another check than the one that found it."""
        return self.failure is not None and self.failure.check != self.finding.check

    @property
    def is_same_object(self) -> bool:
        """Tell whether the program is, to the byte, the one that it was found in."""
        return bool(self.object_sha256) and self.object_sha256 == self.finding.object_sha256


def again(finding: Finding) -> Again:
    """Run a finding again; what could not be told is a status of its own."""
    try:
        failure, digest = check(finding)
    except Error as e:
        return Again(finding, Status.ERROR, reason=_why(e, finding))
    return Again(
        finding, Status.FIXED if failure is None else Status.FAILS, failure, object_sha256=digest
    )


def check(finding: Finding) -> tuple[Failure | None, str]:
    """Run a finding again; return how it fails, if it does, and the object's hash.

    Raises:
        Error: It could not be told: what it needs is not there, or a frame is refused.
    """
    recipe = recipe_of(finding.made, feedback=False)
    with recipe.open() as target:
        failure = target.check(finding.frames)
        if failure is None:
            # A frame that the kernel refuses is passed over in a story; here it is what matters.
            _ = target.plain_program.run(finding.frames[-1])
    return failure, recipe.plain.sha256


def make_room(finding: Finding, folder: str | os.PathLike[str]) -> None:
    """Move away the file of a finding whose packets no longer fail, for those that do.

    A kept one stays a test, as `<id>-1.toml`; another one is overwritten by what `write` writes.
    """
    path = crashfile.path_of(finding, folder)
    if not path.exists():
        return
    known = crashfile.read(path)
    if known.frames == finding.frames or again(known).status is not Status.FIXED:
        return
    if known.is_kept:
        crashfile.move(path)
    else:
        path.unlink()


def recipe_of(made: Made, *, feedback: bool = True) -> Recipe:
    """Make what a campaign is made of from the words of a file or of a command line.

    Raises:
        Error: Something that it names is not there, or cannot be built.
    """
    checks = [
        check for each in made.checks for found in named.checks_of(each).values() for check in found
    ]
    given: dict[str, Any] = {
        "setup": Setup(made.maps, made.globals, max_entries=made.max_entries),
        "program": made.program or None,
        "kind": made.kind,
        "checks": tuple(checks),
        "without": made.without,
        "model": named.model_of(made.model)[1] if made.model else None,
        "against": build(made.against) if made.against else None,
    }
    define = dict(made.define)
    return Recipe.of(made.source, define=define, include=made.include, feedback=feedback, **given)


def _why(e: Error, finding: Finding) -> str:
    if Path(finding.made.source).exists():
        return str(e)
    return f"{e}; paths in a crash file are those of the folder that `packetrig fuzz` ran in"
