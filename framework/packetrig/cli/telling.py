"""What a campaign tells, for people and for machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from .. import coverage
from ..errors import Failure
from ..fuzz import place
from ..fuzz.events import (
    Ended,
    Event,
    Found,
    Progress,
    Started,
    Unrepeated,
    WorkerJoined,
    WorkerLeftOut,
    WorkerLost,
)
from ..fuzz.finding import Finding
from ..fuzz.target import Recipe
from ..sarif import sentence
from . import console

_MOST_BRANCHES = 20
_LONGEST_CODE = 60


class Teller(Protocol):
    """Say what happens."""

    def hear(self, event: Event) -> None:
        """Hear of anything but a finding."""

    def found(self, event: Found, path: Path) -> None:
        """Hear of a finding, and where it was written."""


class Lines:
    """Say each event as a line of JSON."""

    def hear(self, event: Event) -> None:
        """Print it."""
        console.line_of(_document(event))

    def found(self, event: Found, path: Path) -> None:
        """Print it, with its file."""
        console.line_of({**_document(event), "file": str(path)})


def _document(event: Event) -> dict[str, Any]:
    name = type(event).__name__
    words = "".join(f"_{each.lower()}" if each.isupper() else each for each in name)[1:]
    told = {each.name: getattr(event, each.name) for each in dataclasses.fields(event)}
    found = told.pop("finding", None)
    told.pop("totals", None)
    told = {key: _plain(value) for key, value in told.items()}
    if isinstance(found, Finding):
        told |= {
            "id": found.id,
            "place": str(found.place),
            "line": found.place.line,
            "path": found.place.path,
            "said": found.said,
            "seen": found.seen,
            "expected": found.expected,
        }
    first = {"format": 1} if isinstance(event, Started) else {}
    return {"event": words, **first, **told}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Failure):
        return str(value).partition("\n")[0]
    if isinstance(value, float):
        return round(value, 3)
    if hasattr(value, "items"):
        return {str(key): _plain(each) for key, each in value.items()}
    return value


class People:
    """Say findings as they come, and at the end what was done and what was left."""

    def __init__(self, recipe: Recipe, corpus: str | None) -> None:
        self._recipe = recipe
        self._corpus = corpus
        self._started: Started | None = None
        self._found: list[tuple[Finding, Path]] = []
        self._unrepeated: list[Unrepeated] = []

    def hear(self, event: Event) -> None:
        """Print what people want to hear of it."""
        if isinstance(event, Started):
            self._started = event
            console.say(
                f"{event.program} ({event.kind}): seed {event.seed}, {event.seeds} frames to begin "
                f"with, {_counted(len(event.checks), 'judge')}"
            )
            if event.why_plain:
                console.say(f"without coverage, so blindly: {event.why_plain}")
        elif isinstance(event, Unrepeated):
            self._unrepeated.append(event)
        elif isinstance(event, WorkerJoined | WorkerLost | WorkerLeftOut):
            console.say(_of_worker(event))
        elif isinstance(event, Ended):
            for line in self._summary(event):
                console.say(line)

    def found(self, event: Found, path: Path) -> None:
        """Print a finding: where, what, by which packet, and how to see it again."""
        finding = event.finding
        assert finding is not None
        self._found.append((finding, path))
        console.say(f"found {finding.id} at {finding.place}: {finding.place.code}".rstrip(": "))
        details = "; ".join(finding.details) or finding.seen.partition(";")[0]
        console.say(f"  {finding.said}{f' ({details})' if details else ''}")
        for line in finding.told_frames():
            console.say(f"  {line}")
        console.say(f"  {path}")

    def _summary(self, ended: Ended) -> Iterator[str]:
        started = self._started
        if started is None:
            return
        rate = ended.runs / ended.seconds if ended.seconds else 0
        yield (
            f"{started.program} ({started.kind}): {ended.runs} runs in {ended.seconds:.1f} s "
            f"({rate:.0f} a second), ended by {ended.reason.value}, seed {started.seed}"
        )
        if ended.refused:
            yield f"{ended.refused} of them refused by the kernel, not tested"
        where = f" in {self._corpus}" if self._corpus else ""
        yield f"corpus: {ended.corpus} frames{where}"
        yield "judged by:"
        tested = ended.runs - ended.refused
        for check, saw in ended.shares.items():
            yield f"  {sentence(check)}: {_share(saw, tested, ended.runs)}"
        for check, why in started.left_out.items():
            yield f"  {sentence(check)}: not at all: {why}"
        yield from self._coverage(ended)
        for each in self._unrepeated:
            yield f"not repeated: {each.told}"
        if self._found:
            yield _counted(len(self._found), "finding")
        else:
            yield f"nothing found{' that repeats: undecided' if self._unrepeated else ''}"

    def _coverage(self, ended: Ended) -> Iterator[str]:
        counting = self._recipe.counting
        if counting is None or counting.profile is None or not ended.totals:
            return
        measured = coverage.measure(counting.profile, [ended.totals])
        covered, total = measured.branches
        left = [
            f"  {self._name(branch.file)}:{side.replace('->', ' is never ')}{_code(branch)}"
            for branch in measured.branch_list
            for side in branch.missing
        ]
        yield f"branches: {covered} of {total}{', left are:' if left else ''}"
        yield from left[:_MOST_BRANCHES]
        if len(left) > _MOST_BRANCHES:
            yield f"  and {len(left) - _MOST_BRANCHES} more"
        for each in measured.excluded:
            how = "REACHED, though said to be" if each.is_reached else "not counted, said to be"
            yield f"  {self._name(each.file)}:{each.line} {how} unreachable: {each.reason}"

    def _name(self, file: str) -> str:
        return place.shown(file, str(self._recipe.plain.source or ""))


def progress(event: Progress) -> str:
    """Say how far a campaign is, on one line."""
    covered = f"{event.branches} of {event.of_branches} branches, " if event.of_branches else ""
    return (
        f"{event.runs} runs ({event.rate:.0f} a second), {covered}{event.corpus} frames, "
        f"{event.since_new:.0f} s since the last new, {_counted(event.findings, 'finding')}"
    )


def _of_worker(event: WorkerJoined | WorkerLost | WorkerLeftOut) -> str:
    if isinstance(event, WorkerJoined):
        return f"{event.worker} joined ({event.where})"
    if isinstance(event, WorkerLeftOut):
        return f"{event.worker} is left out: {event.why}"
    follows = "; another takes its place" if event.is_replaced else ""
    return f"{event.worker} is lost: {event.why}{follows}"


def _share(saw: int, tested: int, runs: int) -> str:
    if saw >= tested or saw >= runs:
        return "every run"
    return f"{saw} of {tested} runs ({100 * saw / tested:.1f} %)" if tested else "no run"


def _code(branch: coverage.Branch) -> str:
    try:
        lines = Path(branch.file).read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    if branch.line > len(lines) or branch.line != branch.end_line:
        return ""
    code = lines[branch.line - 1][branch.column - 1 : branch.end_column - 1]
    return f": {code if len(code) <= _LONGEST_CODE else f'{code[: _LONGEST_CODE - 3]}...'}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
