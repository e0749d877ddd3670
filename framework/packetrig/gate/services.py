"""The decisions for services that show them: SARIF, GitHub's annotations and step summary."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence

from .. import files, sarif
from ..sarif import Level, Result
from .outcome import Answer, Judged, Outcome, Reason
from .report import columns, decision_of_all, reasons, rows

_LINE = r":(?P<line>\d+)(?::(?P<column>\d+))?"
_PLACE = re.compile(rf"(?P<path>[^\s():]+\.[ch]){_LINE}")
_LEVELS = {Answer.REFUSED: Level.ERROR, Answer.WAIVED: Level.NOTE}

# What each rule says, for who reads a result without the policy.
RULES = {
    "build": "the source compiles, and clang has nothing to say",
    "verifier": "the kernel takes every program, within the limits",
    "tests": "the tests that used this object passed",
    "coverage": "the tests reach enough of the source",
    "replay": "recorded packets get the verdicts and bytes that are expected",
    "fuzz": "a campaign finds nothing",
    "speed": "a packet costs no more than is allowed",
    "live": "frames on a wire end where the test run says",
    "kernels": "other kernels answer the same rules alike",
}


def results(judged: Sequence[Judged]) -> Iterator[Result]:
    """Yield each reason for a refusal as a result; a waived one is a note."""
    for each in judged:
        for outcome in each.outcomes:
            if outcome.answer in _LEVELS:
                for reason in outcome.reasons:
                    yield _result(each, outcome, reason)


def undecided(judged: Sequence[Judged]) -> list[str]:
    """List what could not be told, a line each."""
    return [
        f"{each.candidate.name}: {outcome.rule}: {reason.text}"
        for each in judged
        for outcome in each.outcomes
        if outcome.answer is Answer.UNDECIDED
        for reason in outcome.reasons
    ]


def _result(judged: Judged, outcome: Outcome, reason: Reason) -> Result:
    candidate = judged.candidate
    path, line, column = str(candidate.source or candidate.given), 0, 0
    # The source by its own name, which may have spaces; else whichever file is named.
    own = re.search(rf"(?P<path>{re.escape(path)}){_LINE}", reason.text)
    if found := own or _PLACE.search(reason.text):
        path, line, column = found["path"], int(found["line"]), int(found["column"] or 0)
    text = f"{candidate.name}: {reason.text.removeprefix(f'{candidate.name}: ')}"
    if outcome.waiver:
        text += f" (waived until {outcome.waiver.expires}: {outcome.waiver.reason})"
    # Counts and nanoseconds differ from run to run; it is the same finding all the same.
    same = re.sub(r"\d+(\.\d+)?", "N", reason.text)
    digest = hashlib.sha256(files.encoded(f"{candidate.name} {outcome.rule} {same}")).hexdigest()
    properties = {"repeat": reason.repeat} if reason.repeat else {}
    return Result(
        outcome.rule,
        text,
        path,
        line,
        column,
        level=_LEVELS[outcome.answer],
        fingerprint=digest[:16],
        properties=properties,
    )


def sarif_text(judged: Sequence[Judged]) -> str:
    """Write the decisions as SARIF 2.1.0."""
    return sarif.text(results(judged), rules=RULES, undecided=undecided(judged))


def github_lines(judged: Sequence[Judged]) -> Iterator[str]:
    """Yield GitHub's workflow commands: errors for refusals, warnings for doubt, notices."""
    yield from (sarif.annotation(result) for result in results(judged))
    for each in judged:
        for outcome in each.outcomes:
            if outcome.answer is Answer.UNDECIDED:
                path = str(each.candidate.source or each.candidate.given)
                for reason in outcome.reasons:
                    text = f"{each.candidate.name}: could not be told: {reason.text}"
                    yield sarif.annotation(Result(outcome.rule, text, path, level=Level.WARNING))


def summary(judged: Sequence[Judged], *, policy: str) -> str:
    """Write the decisions in Markdown, as GitHub's step summary takes it."""
    lines = [f"## packetrig gate: {decision_of_all(judged).value}", ""]
    names = columns(judged)
    lines += [_line(names), _line(["---"] * len(names)), *(_line(row) for row in rows(judged))]
    for each in judged:
        told = list(reasons(each, policy=policy))
        if told:
            fence = "````"
            lines += ["", f"<details><summary>{_plain(told[0])}</summary>", "", f"{fence}text"]
            lines += [line.replace(fence, "'''") for line in told[1:]]
            lines += [fence, "", "</details>"]
    return "\n".join([*lines, "", ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_plain(cell) for cell in cells)} |"


def _plain(text: str) -> str:
    for character, written in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("\n", " ")):
        text = text.replace(character, written)
    return text
