"""What was found, for machines that show it on the line of C: SARIF 2.1.0, GitHub's annotations.

It takes plain values: a campaign's findings and a gate's reasons are told the same way.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import quote

from . import files

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
VERSION = "2.1.0"
# What a result is recognised by from one analysis to the next: never the line, which moves.
FINGERPRINT = "packetrig/v1"
_ROOT = "%SRCROOT%"


class Level(StrEnum):
    """Name how bad a result is, in SARIF's words; GitHub calls a note a notice."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Result:
    """Hold one thing that was found: the rule that it breaks, what is to be said, and where.

    `path` is of the C source (or of what there is instead of one), `line` and `column` count from
    1; 0 says that only the file is known. `fingerprint` stays the same as long as it is the same
    finding; without one, rule and message are it.
    """

    rule: str
    message: str
    path: str
    line: int = 0
    column: int = 0
    level: Level = Level.ERROR
    fingerprint: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)


def document(
    results: Iterable[Result],
    *,
    rules: Mapping[str, str] | None = None,
    undecided: Sequence[str] = (),
    root: str | Path | None = None,
) -> dict[str, Any]:
    """Make the SARIF document of one run of packetrig.

    Args:
        results: What was found; none is a document too: it says that nothing was found.
        rules: A sentence for each rule, by its name; those without one are called by their name.
        undecided: What could not be told, a line each: the run is marked as not successful then.
        root: The folder that paths are relative to; else the present one.
    """
    results = list(results)
    told = dict.fromkeys([*(rules or {}), *(each.rule for each in results)])
    index = {name: at for at, name in enumerate(told)}
    driver = {
        "name": "packetrig",
        "semanticVersion": importlib.metadata.version("packetrig"),
        "rules": [_rule(name, (rules or {}).get(name, "")) for name in told],
    }
    invocation: dict[str, Any] = {"executionSuccessful": not undecided}
    if undecided:
        invocation["toolExecutionNotifications"] = [
            {"level": "error", "message": {"text": line}} for line in undecided
        ]
    folder = Path(root or Path.cwd())
    return {
        "$schema": SCHEMA,
        "version": VERSION,
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "utf16CodeUnits",
                "invocations": [invocation],
                "results": [_result(each, index[each.rule], folder) for each in results],
            }
        ],
    }


def text(
    results: Iterable[Result],
    *,
    rules: Mapping[str, str] | None = None,
    undecided: Sequence[str] = (),
    root: str | Path | None = None,
) -> str:
    """Write the SARIF document as JSON, the same for the same results; see `document`."""
    made = document(results, rules=rules, undecided=undecided, root=root)
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def write(
    path: str | os.PathLike[str],
    results: Iterable[Result],
    *,
    rules: Mapping[str, str] | None = None,
    undecided: Sequence[str] = (),
    root: str | Path | None = None,
) -> None:
    """Write the SARIF document to a file, whole or not at all; see `document`."""
    made = text(results, rules=rules, undecided=undecided, root=root)
    files.write(path, files.encoded(made))


def annotation(result: Result, *, root: str | Path | None = None) -> str:
    """Say a result as a GitHub workflow command: `::error file=...,line=...,title=...::...`."""
    name = "notice" if result.level is Level.NOTE else result.level.value
    given: dict[str, object] = {"file": _below(result.path, Path(root or Path.cwd()))}
    if result.line:
        given["line"] = result.line
        if result.column:
            given["col"] = result.column
    given["title"] = sentence(result.rule)
    shown = ",".join(f"{key}={_property(str(value))}" for key, value in given.items())
    return f"::{name} {shown}::{_data(result.message)}"


def sentence(rule: str) -> str:
    """Say a rule's name as people read it: the name of a check is a sentence with underscores."""
    return rule if " " in rule else rule.replace("_", " ")


def _rule(name: str, told: str) -> dict[str, Any]:
    return {
        "id": name,
        "name": "".join(word[:1].upper() + word[1:] for word in sentence(name).split()),
        "shortDescription": {"text": told or sentence(name)},
        "defaultConfiguration": {"level": Level.ERROR.value},
    }


def _result(result: Result, index: int, root: Path) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": _artifact(result.path, root)}
    if result.line:
        # A region has no column that is not known: from the line's beginning to its end.
        place["region"] = {"startLine": result.line}
        if result.column:
            place["region"]["startColumn"] = result.column
    made: dict[str, Any] = {
        "ruleId": result.rule,
        "ruleIndex": index,
        "level": result.level.value,
        "message": {"text": result.message},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {
            FINGERPRINT: result.fingerprint or f"{result.rule}: {result.message}"
        },
    }
    if result.properties:
        made["properties"] = dict(result.properties)
    return made


def _artifact(path: str, root: Path) -> dict[str, str]:
    below = Path(_below(path, root))
    if below.is_absolute():
        return {"uri": below.as_uri()}
    return {"uri": quote(os.fsencode(below.as_posix())), "uriBaseId": _ROOT}


def _below(path: str, root: Path) -> str:
    # As the repository names it: services find the file by that.
    whole = Path(os.path.normpath(root / path))
    return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else str(whole)


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")
