"""Waivers: a refusal that is known, and let through until a day that is written down."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PolicyError
from .outcome import Answer, Outcome, Waiver

if TYPE_CHECKING:
    from . import policy


def today() -> datetime.date:
    """Return the day, in UTC: a waiver ends everywhere at once."""
    return datetime.datetime.now(tz=datetime.UTC).date()


def check(
    path: Path, waivers: Sequence[policy.Waiver], on: Sequence[str], *, day: datetime.date
) -> None:
    """Hold the waivers of a policy to what a waiver is; `on` are the rules that are.

    Raises:
        PolicyError: One has ended, is for a rule that is off, or is the second for a rule.
    """
    seen: set[str] = set()
    for waiver in waivers:
        if waiver.expires < day:
            said = f"the waiver of {waiver.rule} ended on {waiver.expires}"
            raise _wrong(path, "expires", said, f"a day from {day} on")
        if waiver.rule not in on:
            said = f"'{waiver.rule}' is no rule that is on"
            raise _wrong(path, "rule", said, ", ".join(on))
        if waiver.rule in seen:
            raise _wrong(path, "rule", f"'{waiver.rule}' is waived twice", "one waiver a rule")
        seen.add(waiver.rule)


def _wrong(path: Path, key: str, said: str, allowed: str) -> PolicyError:
    key = f"[[waiver]] {key}"
    return PolicyError(
        f"{path}: {key}: {said}; allowed: {allowed}", file=str(path), key=key, allowed=allowed
    )


def waived(outcome: Outcome, waivers: Sequence[policy.Waiver]) -> Outcome:
    """Let a refusal through when a waiver speaks of it. What is not known is waived by nothing."""
    found = next((each for each in waivers if each.rule == outcome.rule), None)
    if found is None or outcome.answer is not Answer.REFUSED:
        return outcome
    waiver = Waiver(found.reason, found.expires)
    shown = f"{outcome.shown} (waived to {found.expires})"
    return replace(outcome, answer=Answer.WAIVED, shown=shown, waiver=waiver)
