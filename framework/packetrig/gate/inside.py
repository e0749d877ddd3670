"""What the rule `kernels` runs on another kernel: `python -m packetrig.gate.inside REQUEST`.

It judges the objects that the request names, by the rules that it names, and leaves the outcomes in
the folder for results.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from ..errors import Error
from ..kernels import RESULTS
from . import policy
from .elsewhere import ASKED, RESULT
from .judge import judge
from .outcome import Judged


def main(request: str) -> None:
    """Judge, and write what came of it, or what stands in the way of all objects."""
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    try:
        told = {"objects": _judged(asked), "why": ""}
    except Error as e:
        told = {"objects": {}, "why": str(e)}
    Path(os.environ[RESULTS], RESULT).write_text(json.dumps(told), encoding="utf-8")


def _judged(asked: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    written = policy.read(asked["policy"])
    off = [rule for rule in (*ASKED, "coverage", "speed", "kernels") if rule not in asked["rules"]]
    # Waivers are of the rules here: what is refused there is refused by the rule `kernels`.
    rules = written.rules.model_copy(update={**dict.fromkeys(off), "waiver": []})
    here = dataclasses.replace(written, rules=rules)
    given = [Path(path) for path in asked["objects"]]
    with tempfile.TemporaryDirectory() as into:
        events = judge(here, given, into=Path(into), seed=asked["seed"], kind=asked["kind"])
        judged = [event for event in events if isinstance(event, Judged)]
    return {each.candidate.name: _outcomes(each, asked["rules"]) for each in judged}


def _outcomes(judged: Judged, rules: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "rule": outcome.rule,
            "answer": outcome.answer.value,
            "shown": outcome.shown,
            "reasons": [dataclasses.asdict(reason) for reason in outcome.reasons],
        }
        for outcome in judged.outcomes
        if outcome.rule in rules
    ]


if __name__ == "__main__":
    main(sys.argv[1])
