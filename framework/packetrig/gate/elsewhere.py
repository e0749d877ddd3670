"""The rule `kernels`: the same policy on the same object files, on other kernels.

Each kernel is booted once, for all objects; what is asked there is `inside.py`, which judges as the
gate does here. A kernel that does not boot has answered nothing.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import kernels
from ..errors import Error
from . import policy
from .outcome import Answer, Candidate, Outcome, Reason

# Costs of a packet mean nothing in a virtual machine, and coverage is the same everywhere.
ASKED = ("verifier", "tests", "replay", "fuzz", "live")
RESULT = "outcomes.json"


@dataclass(frozen=True, slots=True)
class Told:
    """Hold what one kernel answered: `objects` by name, each with its rules; else why it did not.

    `wanted` is the kernel as the policy names it, `release` what it calls itself.
    """

    wanted: str
    release: str
    objects: Mapping[str, Sequence[Mapping[str, Any]]]
    why: str = ""


def asked(written: policy.Rules) -> list[str]:
    """List the rules that are asked of other kernels: those that are on, or that were chosen."""
    assert written.kernels is not None
    chosen = written.kernels.rules or ASKED
    return [rule for rule in chosen if rule == "verifier" or getattr(written, rule) is not None]


def ask(
    found: policy.Policy, candidates: Sequence[Candidate], *, seed: int, kind: str | None
) -> Iterator[str | Told]:
    """Boot each kernel and let it judge the objects; yield what is begun, and what was told.

    Raises:
        Error: There is no such kernel here, or no means to boot one.
    """
    rule = found.rules.kernels
    assert rule is not None
    request = {
        "policy": str(found.path.absolute()),
        "rules": asked(found.rules),
        "objects": [str(each.path.absolute()) for each in candidates if each.path],
        "kind": kind,
        "seed": seed,
    }
    cells = kernels.cells(rule.releases)
    with tempfile.TemporaryDirectory(prefix="packetrig-kernels-") as place:
        file = Path(place, "request.json")
        file.write_text(json.dumps(request), encoding="utf-8")
        words = [sys.executable, "-m", "packetrig.gate.inside", str(file)]
        for cell in cells:
            yield cell.name
            results = kernels.run([cell], words, timeout=rule.seconds, memory=rule.memory)
            yield from (_told(result) for result in results)


def _told(result: kernels.Result) -> Told:
    ended = result.ended
    try:
        found = json.loads((result.folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        last = ended.output.strip().splitlines()[-1:] or ["nothing was said"]
        why = result.said or "it told nothing"
        return Told(result.cell.kernel, ended.release, {}, f"{why}: {last[0]}")
    return Told(result.cell.kernel, ended.release, found["objects"], found["why"])


def judge(candidate: Candidate, told: Sequence[Told] | Error | None) -> Outcome:
    """Hold an object to what the kernels answered about it."""
    if told is None or isinstance(told, Error):
        raise told or Error("no kernel was asked")
    refused: list[Reason] = []
    unknown: list[Reason] = []
    measured: dict[str, Any] = {}
    for kernel in told:
        rules = kernel.objects.get(candidate.name, [])
        if not rules:
            unknown.append(Reason(f"{kernel.wanted}: {kernel.why or 'it said nothing of it'}"))
        for each in rules:
            answer = Answer(each["answer"])
            if answer in (Answer.REFUSED, Answer.UNDECIDED):
                (refused if answer is Answer.REFUSED else unknown).extend(_reasons(kernel, each))
        measured[kernel.wanted] = {
            "kernel": kernel.release,
            "rules": {each["rule"]: {k: each[k] for k in ("answer", "shown")} for each in rules},
        }
    answer = Answer.REFUSED if refused else Answer.UNDECIDED if unknown else Answer.HELD
    shown = {Answer.REFUSED: "refused", Answer.UNDECIDED: "cannot tell"}.get(answer)
    names = " ".join(each.wanted for each in told)
    return Outcome("kernels", answer, shown or names, (*refused, *unknown), {"kernels": measured})


def _reasons(kernel: Told, each: Mapping[str, Any]) -> Iterator[Reason]:
    for reason in each["reasons"] or [{"text": each["shown"]}]:
        repeat = reason.get("repeat", "")
        if repeat:
            words = ["packetrig", "matrix", "--kernel", kernel.wanted, "--", *shlex.split(repeat)]
            repeat = shlex.join(words)
        text = f"{kernel.release or kernel.wanted}: {each['rule']}: {reason['text']}"
        yield Reason(text, repeat, reason.get("details", ""))
