"""The decisions as one page for a browser: nothing is fetched, no script runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from .evidence import tools
from .outcome import Answer, Judged, Outcome
from .policy import Policy
from .report import columns, decision_of_all

_OPEN = (Answer.REFUSED, Answer.WAIVED, Answer.UNDECIDED)
_OFF = (Answer.OFF, Answer.NOT_REACHED, Answer.DOES_NOT_APPLY)
# A figure's inner part, in its own units.
_LEFT, _TOP, _WIDTH, _HEIGHT = 70, 10, 520, 190
_MOST_POINTS = 400
_LONGEST = 400


def page(judged: Sequence[Judged], policy: Policy, *, seed: int) -> str:
    """Make the page: rules, reasons with their packets, sources, curves, and how to repeat each."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    text = Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8")
    names = columns(judged)
    return environment.from_string(text).render(
        decision=decision_of_all(judged).value,
        sentence=_sentence(judged),
        policy=policy,
        made=f"Hypothesis seeded with {seed}",
        columns=("object", "decision", *names[1:-1]),
        objects=[_object(each, names, policy, seed) for each in judged],
        tools=sorted(tools().items()),
    )


def _sentence(judged: Sequence[Judged]) -> str:
    counts: dict[str, int] = {}
    for each in judged:
        counts[each.decision.value] = counts.get(each.decision.value, 0) + 1
    said = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return f"{len(judged)} object{'' if len(judged) == 1 else 's'}: {said}."


def _object(judged: Judged, names: Sequence[str], policy: Policy, seed: int) -> dict[str, Any]:
    candidate = judged.candidate
    by_rule = {outcome.rule: outcome for outcome in judged.outcomes}
    cells = [(candidate.kinds, "")]
    cells += [(by_rule[name].shown, _style(by_rule[name])) for name in names[2:-1]]
    words = ["packetrig", "gate", str(candidate.given), "--policy", str(policy.path)]
    words += ["--seed", str(seed)]
    return {
        "id": re.sub(r"[^\w-]", "-", f"object-{candidate.name}"),
        "name": candidate.name,
        "decision": judged.decision.value,
        "cells": cells,
        "facts": list(_facts(judged)),
        "rules": [_rule(outcome) for outcome in judged.outcomes],
        "again": shlex.join(words),
    }


def _facts(judged: Judged) -> Iterator[tuple[str, str]]:
    candidate = judged.candidate
    if candidate.path and candidate.spec:
        yield "object", f"{candidate.path}, {len(candidate.spec.data)} bytes"
        yield "sha256", candidate.spec.sha256
    if candidate.source:
        yield "source", str(candidate.source)
    for name, found in judged.programs.items():
        yield "program", f"{name} ({found.get('kind')}), tag {found.get('tag')}"


def _style(outcome: Outcome) -> str:
    return "off" if outcome.answer in _OFF else outcome.answer.value


def _rule(outcome: Outcome) -> dict[str, Any]:
    shows = outcome.shows
    return {
        "name": outcome.rule,
        "answer": outcome.answer.value,
        "style": _style(outcome),
        "shown": outcome.shown,
        "is_open": outcome.answer in _OPEN,
        "waiver": outcome.waiver,
        "reasons": outcome.reasons,
        "measured": list(_flat(outcome.measured)),
        "sources": shows.get("sources", ()),
        "curves": [_curve(each) for each in shows.get("curves", ())],
    }


def _flat(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, each in value.items():
        path = f"{before}{name}"
        if isinstance(each, Mapping):
            yield from _flat(each, f"{path} / ")
        elif isinstance(each, Sequence) and not isinstance(each, str):
            parts = [dict(_flat(e)) if isinstance(e, Mapping) else e for e in each]
            if parts:
                yield path, _short(", ".join(map(str, parts)))
        elif each not in (None, ""):
            yield path, _short(str(each))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _curve(found: Mapping[str, Any]) -> dict[str, Any]:
    """Scale a curve's points into the figure: the first is at 0, the last one at the right."""
    points: list[tuple[float, float]] = list(found["points"])
    step = max(1, len(points) // _MOST_POINTS)
    kept = points[::step] + points[-1:]
    last = max(x for x, _ in kept) or 1
    most = max(y for _, y in kept) or 1
    placed = (
        f"{_LEFT + _WIDTH * x / last:.1f},{_TOP + _HEIGHT * (1 - y / most):.1f}" for x, y in kept
    )
    return {
        "points": " ".join(placed),
        "most": f"{most:g}",
        "last": f"{last:g}",
        "axes": f"{found['y']} by {found['x']}",
        "told": found["told"],
    }
