"""Evidence: what was measured about one object, as JSON that can be compared and checked later.

It holds no time and no duration: the same object, judged again in the same way, gives the same
bytes.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import files
from .._bpf import lib
from ..errors import Error
from ..toolchain import find_clang
from .outcome import Judged, Outcome
from .policy import Policy

FORMAT = 1


def evidence(judged: Judged, policy: Policy, *, seed: int) -> dict[str, Any]:
    """Tell everything about one decision."""
    candidate = judged.candidate
    return {
        "format": FORMAT,
        "decision": judged.decision.value,
        "name": candidate.name,
        "object": {
            "path": str(candidate.path) if candidate.path else None,
            "sha256": candidate.spec.sha256 if candidate.spec else None,
            "size": len(candidate.spec.data) if candidate.spec else None,
        },
        "source": {
            "path": str(candidate.source) if candidate.source else None,
            "sha256": candidate.source_sha256 or None,
            "command": list(candidate.command),
        },
        "programs": {name: dict(found) for name, found in judged.programs.items()},
        "policy": {
            "path": str(policy.path),
            "sha256": policy.sha256,
            "rules": policy.rules.model_dump(by_alias=True, exclude_none=True),
        },
        "rules": {outcome.rule: _rule(outcome) for outcome in judged.outcomes},
        "seeds": {"hypothesis": seed},
        "tools": tools(),
    }


def _rule(outcome: Outcome) -> dict[str, Any]:
    return {
        "answer": outcome.answer.value,
        "shown": outcome.shown,
        "measured": dict(outcome.measured),
        "reasons": [
            {"text": reason.text, "repeat": reason.repeat, "details": reason.details}
            for reason in outcome.reasons
        ],
    }


def tools() -> dict[str, str]:
    """Name what took part in the decision, with versions."""
    try:
        clang = find_clang().version
    except Error as e:
        clang = f"none: {e}"
    try:
        own = metadata.version("packetrig")
    except metadata.PackageNotFoundError:
        own = "not installed"
    return {
        "clang": clang,
        "kernel": Path("/proc/sys/kernel/osrelease").read_text(encoding="utf-8").strip(),
        "libbpf": f"{lib.libbpf_major_version()}.{lib.libbpf_minor_version()}",
        "machine": platform.machine(),
        "packetrig": own,
        "python": sys.version.split()[0],
    }


def places(target: str, judged: Sequence[Judged]) -> list[Path]:
    """Say where the evidence of each object goes: into a folder, or one file for one object.

    Raises:
        Error: One file is named for several objects.
    """
    path = Path(target)
    if path.suffix != ".json" or path.is_dir():
        return [path / f"{each.candidate.name}.json" for each in judged]
    if len(judged) != 1:
        raise Error(f"--evidence {target}: one file for {len(judged)} objects; name a folder")
    return [path]


def write(path: Path, found: Mapping[str, Any]) -> None:
    """Write one object's evidence, whole or not at all.

    Raises:
        Error: The file cannot be written.
    """
    write_text(path, json.dumps(found, indent=1, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a report, whole or not at all.

    Raises:
        Error: The file cannot be written.
    """
    files.write(path, text.encode())
