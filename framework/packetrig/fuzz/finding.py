"""A finding: what a program does wrong, where, and the smallest story that shows it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import Failure
from ..packets import explain
from ..run import Run
from ..sarif import Level, Result, sentence

_DIGITS = 12
_DIFFERENCE = re.compile(r"^  (verdict|metadata|context|map) +(.*)$", re.MULTILINE)
_NAMES = re.compile(r"^- (.+): \d+ bytes\n\+ (.+): \d+ bytes$", re.MULTILINE)
_LAYER = re.compile(r"^([-+]) (\S.*)$", re.MULTILINE)
_MOST_DETAILS = 20
_MODEL, _AGAINST = "the model ", "the same as "


@dataclass(frozen=True, slots=True)
class Place:
    """Tell where in the C source it is decided: `progs/xdp_http.bpf.c:48`; line 0: not known."""

    path: str
    line: int = 0
    column: int = 0
    function: str = ""
    code: str = ""

    @property
    def identity(self) -> str:
        """Name the place as an id takes it in: the same from whatever folder it is looked at."""
        return f"{Path(self.path).name}:{self.line}" if self.line else Path(self.path).name

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path


@dataclass(frozen=True, slots=True)
class Made:
    """Tell how a program is made, set up and judged, in words that a file can hold.

    Checks and the model are `FILE.py:name`, paths are relative to the folder of the project.
    """

    source: str
    program: str
    kind: str | None = None
    define: Mapping[str, Any] = field(default_factory=dict)
    include: tuple[str, ...] = ()
    maps: Mapping[str, Any] = field(default_factory=dict)
    globals: Mapping[str, Any] = field(default_factory=dict)
    max_entries: Mapping[str, int] = field(default_factory=dict)
    checks: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    model: str = ""
    against: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold one finding; the same check that fails at the same place is the same finding.

    `frames` are run in their order from the state that `made` describes; the last one is judged
    wrong: `expected` and `seen` say how, `details` what differs from a model or another program,
    `after` is the frame that came out.
    """

    check: str
    place: Place
    frames: tuple[bytes, ...]
    made: Made
    expected: str
    seen: str
    said: str = ""
    details: tuple[str, ...] = ()
    after: bytes = b""
    seed: int | None = None
    object_sha256: str = ""
    kernel: str = ""
    version: str = ""
    is_kept: bool = False

    @property
    def program(self) -> str:
        """Return the name of the program."""
        return self.made.program

    @property
    def id(self) -> str:
        """Return the name of the finding: a hash of program, check and place, never of the input.

        Another program to compare with may be called otherwise on each machine, so the check of
        comparing goes in without it.
        """
        check = _AGAINST if self.is_of_comparing else self.check
        words = f"{self.program}\0{check}\0{self.place.identity}"
        return hashlib.sha256(words.encode()).hexdigest()[:_DIGITS]

    @property
    def is_of_comparing(self) -> bool:
        """Tell whether it is about another program that does something else."""
        return self.check.startswith(_AGAINST)

    @property
    def rule(self) -> str:
        """Name the rule that it breaks, for reports: the check's name, without blanks."""
        if self.is_of_comparing:
            return "does_the_same"
        return self.check.replace(" ", "_")

    @property
    def summary(self) -> str:
        """Say the finding in a line."""
        return f"{self.place}: {self.said or sentence(self.check)}"

    @property
    def rows(self) -> list[tuple[bytes, int]]:
        """Give the frames with how often each comes in a row."""
        return [(frame, len(list(row))) for frame, row in itertools.groupby(self.frames)]

    def told_frames(self, most: int = 8) -> list[str]:
        """Say the frames in a line each, those in a row in one; of many the first and the last."""
        told = [
            f"{f'{times} times ' if times > 1 else ''}{explain.summary(frame)} ({len(frame)} bytes)"
            for frame, times in self.rows
        ]
        if len(told) <= most:
            return told
        return [*told[: most - 2], f"... and {len(told) - most + 1} more ...", told[-1]]

    def result(self, replay: str = "") -> Result:
        """Give it as reports for machines take it, with the command that replays it."""
        frames = f"{len(self.frames)} frames" if len(self.frames) > 1 else "one frame"
        return Result(
            self.rule,
            f"{self.said} (shown by {frames}; {replay or f'packetrig replay {self.id}'})",
            self.place.path,
            self.place.line,
            self.place.column,
            Level.ERROR,
            self.id,
        )


def of(
    failure: Failure,
    frames: Sequence[bytes],
    *,
    place: Place,
    made: Made,
    object_sha256: str,
    seed: int | None = None,
) -> Finding:
    """Make a finding of a failure and the story that led to it."""
    run = failure.run if isinstance(failure.run, Run) else None
    said, _, rest = str(failure).partition("\n")
    details = [f"{each[1]}: {each[2]}" for each in _DIFFERENCE.finditer(rest)]
    if failure.check.startswith((_MODEL, _AGAINST)):
        details += _layers(rest)
    details = details[:_MOST_DETAILS]
    expected, seen = _expected(failure.check), _seen(said, run)
    after = run.data if run is not None and run.is_rewritten else b""
    if failure.check.startswith(_AGAINST):
        # The run is the other program's, and so is what came out of it.
        said = f"{made.program}: it does not do the same as {made.against}"
        expected, seen = f"the program does the same as {made.against}", "something else"
        details = [each.replace(", and ", f", and in {made.against} ") for each in details]
        if details and details[0].startswith("verdict: "):
            seen = details[0].removeprefix("verdict: ").partition(", and ")[0]
        after = b""
    return Finding(
        check=failure.check,
        place=place,
        frames=tuple(bytes(frame) for frame in frames),
        made=made,
        expected=expected,
        seen=seen,
        said=said,
        details=tuple(details),
        after=after,
        seed=seed,
        object_sha256=object_sha256,
        kernel=Path("/proc/sys/kernel/osrelease").read_text(encoding="utf-8").strip(),
        version=importlib.metadata.version("packetrig"),
    )


def _layers(rest: str) -> list[str]:
    """Take out of a failure's text the layers that differ, each by whose it is."""
    names = _NAMES.search(rest)
    if names is None:
        return []
    block = rest[names.end() :].partition(" bytes differ:")[0]
    whose = {"-": names[1], "+": names[2]}
    return [f"{whose[each[1]]}: {' '.join(each[2].split())}" for each in _LAYER.finditer(block)]


def rules(findings: Sequence[Finding]) -> dict[str, str]:
    """Tell the rules that findings break, each in a sentence."""
    return {each.rule: each.expected for each in findings}


def _expected(check: str) -> str:
    if check.startswith(_MODEL):
        return f"the program does what {check} says"
    return sentence(check)


def _seen(said: str, run: Run | None) -> str:
    why = said.partition(" does not hold: ")[2]
    verdict = repr(run.verdict) if run is not None else ""
    return "; ".join(filter(None, (verdict, why))) or said
