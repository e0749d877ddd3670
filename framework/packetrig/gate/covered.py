"""The coverage rule: how much of the source the policy's tests execute, counted on twins.

A twin is the same source compiled once more, with counters. It is never what ships, and decides
nothing else: the rule `tests` judges what the tests say of the object that ships.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import coverage
from ..coverage import FileMeasure, Measured
from ..coverage.gathered import plus
from . import counter, policy, suite
from .outcome import Answer, Candidate, Outcome, Reason

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Counts:
    """Hold what the tests counted: of each object, by its hash; and of which there is no twin."""

    counters: Mapping[str, bytes]
    plain: Mapping[str, str]
    failed: tuple[str, ...]
    command: str


def run(paths: Sequence[str], *, seed: int, wanted: Mapping[str, str]) -> Counts:
    """Run the tests once more, with twins of the objects of those hashes, by their sources.

    Raises:
        Error: pytest did not get as far as running the tests.
    """
    counters: dict[str, bytes] = {}
    plain: dict[str, str] = {}
    failed: set[str] = set()
    with suite.folder() as folder:
        variables = {counter.FOLDER: folder, counter.OBJECTS: json.dumps(wanted)}
        suite.run_pytest("packetrig.gate.counter", paths, seed=seed, variables=variables)
        for file in sorted(Path(folder).glob("*.json")):
            told = json.loads(file.read_text(encoding="utf-8"))
            plain |= told["plain"]
            failed |= set(told["failed"])
            for digest, each in told["counters"].items():
                found = bytes.fromhex(each)
                counters[digest] = plus(counters[digest], found) if digest in counters else found
    return Counts(counters, plain, tuple(sorted(failed)), suite.command(paths, seed))


def judge(
    candidate: Candidate, counts: Counts, rule: policy.Coverage, *, is_unclear: bool = False
) -> Outcome:
    """Hold what was counted of one object to the least shares.

    When the rule `tests` could not be told, too little is no fault of the program: tests that did
    not get as far might have executed the rest.
    """
    assert candidate.spec is not None
    digest = candidate.spec.sha256
    if digest in counts.plain:
        return _undecided(f"no tests could be counted: {counts.plain[digest]}")
    if candidate.built is None:
        given = candidate.given
        return _undecided(f"{given}: coverage needs the C source: gate that, not the object")
    twin = coverage.twin(candidate.built)
    assert twin.profile is not None
    taken = [counts.counters[digest]] if digest in counts.counters else []
    found = coverage.measure(twin.profile, taken)
    shares = {"lines": found.lines, "branches": found.branches, "functions": found.functions}
    measured: dict[str, Any] = {
        name: {"covered": share.covered, "of": share.total} for name, share in shares.items()
    }
    measured |= {
        "instrumented": twin.sha256,
        "missing": list(_missing(found)),
        "unreachable": [
            {"file": _short(each.file), "line": each.line, "reason": each.reason}
            for each in found.excluded
        ],
        "failed-instrumented": list(counts.failed),
    }
    too_little = list(_too_little(candidate, shares, rule, found, counts))
    reached = list(_reached(found))
    asked = [name for name in shares if getattr(rule, f"min_{name}") is not None]
    shown = " ".join(f"{_percent(shares[name])} {name}" for name in asked)
    answer = Answer.REFUSED if too_little or reached else Answer.HELD
    if too_little and is_unclear and not reached:
        answer = Answer.UNDECIDED
    sources = [_source(each) for each in found.files.values()]
    reasons = (*too_little, *reached)
    return Outcome("coverage", answer, shown, reasons, measured, shows={"sources": sources})


def _undecided(why: str) -> Outcome:
    return Outcome("coverage", Answer.UNDECIDED, "cannot tell", (Reason(why),))


def _percent(share: coverage.Share) -> str:
    # Never rounded up to what it is not.
    return f"{int(share.percent * 10) / 10:g}%"


def _too_little(
    candidate: Candidate,
    shares: Mapping[str, coverage.Share],
    rule: policy.Coverage,
    found: Measured,
    counts: Counts,
) -> Iterator[Reason]:
    details = "never executed:\n" + "\n".join(f"  {line}" for line in _missing(found))
    for name, share in shares.items():
        least = getattr(rule, f"min_{name}")
        if least is None or share.covered >= least * share.total:
            continue
        text = (
            f"{candidate.name}: the tests reach {share.covered} of {share.total} {name} "
            f"({_percent(share)}); min-{name} is {least:g}"
        )
        which = shlex.quote(f"--bpf-cov={candidate.source}")
        command = f"{counts.command} {which} --bpf-cov-branch --bpf-cov-report=term-missing"
        yield Reason(text, command, details)


def _missing(found: Measured) -> Iterator[str]:
    """Name the lines and the sides of branches that were never executed."""
    count = 0
    for path, each in found.files.items():
        where = _short(path)
        for line in [*each.missing_lines, *each.missing_branches]:
            count += 1
            if count <= _SHOWN:
                yield f"{where}:{line}"
    if count > _SHOWN:
        yield f"and {count - _SHOWN} more"


def _reached(found: Measured) -> Iterator[Reason]:
    for each in found.excluded:
        if each.is_reached:
            yield Reason(
                f"{_short(each.file)}:{each.line}: is marked unreachable ({each.reason}), and was "
                "reached"
            )


def _short(path: str) -> str:
    # As a person names it who stands where the gate runs.
    below = os.path.relpath(path)
    return path if below.startswith("..") else below


def _source(found: FileMeasure) -> dict[str, Any]:
    """Give a file line by line, as a page shows it."""
    try:
        texts = Path(found.path).read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        texts = []
    half: dict[int, list[str]] = {}
    for branch in found.branch_list:
        for side in branch.missing:
            half.setdefault(branch.line, []).append(f"never {side.rpartition('->')[2]}")
    marked = {each.line: f"unreachable: {each.reason}" for each in found.excluded}
    lines = []
    for number, text in enumerate(texts, 1):
        count = found.line_counts.get(number)
        style = "missed" if count == 0 else "half" if number in half else ""
        note = ", ".join([*half.get(number, ()), *filter(None, [marked.get(number)])])
        shown = "" if count is None else str(count)
        lines.append({"number": number, "count": shown, "text": text, "style": style, "note": note})
    told = f"{_percent(found.lines)} of lines, {_percent(found.branches)} of branches"
    return {"path": _short(found.path), "told": told, "lines": lines}
