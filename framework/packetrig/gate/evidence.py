"""Evidence: what was measured about one object, as JSON that can be compared and checked later.

It holds no time, and no duration but what the rule `speed` measured: the same object, judged again
in the same way, gives the same bytes.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import files
from .._bpf import lib
from ..errors import Error
from ..toolchain import find_clang
from . import consistency, signing
from .outcome import Decision, Judged, Outcome
from .policy import Policy

FORMAT = 1

# What evidence surely has, and of which type.
_SHAPE: dict[str, type] = {
    "decision": str,
    "name": str,
    "object": dict,
    "source": dict,
    "programs": dict,
    "policy": dict,
    "rules": dict,
    "tools": dict,
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Hold evidence that was read again; `document` is all of it, as JSON has it."""

    path: Path
    document: Mapping[str, Any]

    @property
    def decision(self) -> Decision:
        """Return what the gate decided."""
        return Decision(self.document["decision"])

    @property
    def object_sha256(self) -> str:
        """Return the hash of the exact object file; "" when there was none."""
        return str(self.document["object"].get("sha256") or "")

    @property
    def policy_sha256(self) -> str:
        """Return the hash of the policy file."""
        return str(self.document["policy"].get("sha256") or "")

    @property
    def kernel(self) -> str:
        """Return the release of the kernel on which it was judged, as `uname -r` says it."""
        return str(self.document["tools"].get("kernel") or "")

    @property
    def driver(self) -> str:
        """Return the driver of the interface that the gate was told of; "" when of none."""
        return str((self.document.get("interface") or {}).get("driver") or "")

    @property
    def tags(self) -> dict[str, str]:
        """Return the kernel's tag of each program, by name."""
        return {name: str(each.get("tag")) for name, each in self.document["programs"].items()}

    @property
    def callees(self) -> frozenset[str]:
        """Return the programs that were run through those that tail-call them, and no other way."""
        found = self.document["rules"].get("verifier") or {}
        return frozenset((found.get("measured") or {}).get("callees") or ())

    @property
    def is_signed(self) -> bool:
        """Tell whether it says that it is signed; `check_signature` tells whether that is true."""
        return bool(self.document.get("signature"))

    @property
    def expired(self) -> tuple[str, ...]:
        """Name the waivers that it rests on and that have ended since: rule and date."""
        today = datetime.now(tz=UTC).date().isoformat()
        return tuple(
            f"{rule} ({found['waiver'].get('expires')})"
            for rule, found in self.document["rules"].items()
            if found.get("waiver") and str(found["waiver"].get("expires", "")) < today
        )


def read(path: str | Path) -> Evidence:
    """Read evidence that the gate wrote.

        found = gate.evidence.read("build/evidence/xdp_http.json")
        gate.evidence.check_signature(found, "key.pub")

    Raises:
        NotFound: There is no such file.
        Error: It cannot be read, is no evidence, is of a newer format, was changed since, or
            contradicts itself.
    """
    path = Path(path)
    try:
        found = json.loads(files.read(path, "evidence"))
    except (ValueError, RecursionError) as e:
        raise Error(f"{path}: is no evidence of the gate: {e}") from e
    number = found.get("format") if isinstance(found, dict) else None
    if type(number) is not int:
        raise Error(f"{path}: is no evidence of the gate: it names no format")
    if number != FORMAT:
        newer = f", newer than this packetrig, which reads {FORMAT}" if number > FORMAT else ""
        raise Error(f"{path}: evidence of format {number} is not known{newer}")
    for name, kind in _SHAPE.items():
        if not isinstance(found.get(name), kind):
            raise Error(f"{path}: is no whole evidence: it lacks '{name}'")
    for rule, each in found["rules"].items():
        if not isinstance(each, dict):
            raise Error(f"{path}: is no whole evidence: what came of '{rule}' is missing")
        if not isinstance(each.get("waiver", {}), dict | None):
            raise Error(f"{path}: is no whole evidence: the waiver of '{rule}' is none")
    for name, each in found["programs"].items():
        if not isinstance(each, dict):
            raise Error(f"{path}: is no whole evidence: program '{name}' is not described")
    if trouble := consistency.misshapen(found):
        raise Error(f"{path}: is no whole evidence: {trouble}")
    if found.get("digest") != signing.digest(found):
        raise Error(f"{path}: was changed after the gate wrote it: its digest does not fit")
    if found["decision"] not in [each.value for each in Decision]:
        raise Error(f"{path}: {found['decision']!r} is no decision of the gate")
    if trouble := consistency.contradiction(found):
        raise Error(f"{path}: contradicts itself: {trouble}")
    return Evidence(path, found)


def check_signature(found: Evidence, public_key: str | Path) -> None:
    """Hold evidence to the public key (ed25519, a file in PEM) of whoever may sign it.

    Raises:
        ToolMissing: The package `cryptography` is not installed.
        Error: The key cannot be read; the evidence is not signed, is signed by another key, or was
            changed after it was signed.
    """
    signing.check(found.document, signing.public_key(public_key), name=str(found.path))


def document(
    judged: Judged, policy: Policy, *, seed: int, interface: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Tell everything about one decision; `digest` is the hash of all the rest.

    `interface` is the name and the driver of the one that the object is meant for.
    """
    candidate = judged.candidate
    found: dict[str, Any] = {
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
            "rules": policy.rules.model_dump(mode="json", by_alias=True, exclude_none=True),
        },
        "rules": {outcome.rule: _rule(outcome) for outcome in judged.outcomes},
        "interface": dict(interface) if interface else None,
        "seeds": _seeds(policy, seed),
        "tools": tools(),
    }
    found = json.loads(json.dumps(found))  # as it will be read: keys are texts, tuples are lists
    return {**found, "digest": signing.digest(found)}


def _seeds(policy: Policy, seed: int) -> dict[str, int]:
    found = {"hypothesis": seed}
    if rule := policy.rules.fuzz:
        found["fuzz"] = seed if rule.seed is None else rule.seed
    return found


def _rule(outcome: Outcome) -> dict[str, Any]:
    return {
        "answer": outcome.answer.value,
        "shown": outcome.shown,
        "measured": dict(outcome.measured),
        "waiver": _waiver(outcome),
        "reasons": [
            {"text": reason.text, "repeat": reason.repeat, "details": reason.details}
            for reason in outcome.reasons
        ],
    }


def _waiver(outcome: Outcome) -> dict[str, str] | None:
    found = outcome.waiver
    return {"reason": found.reason, "expires": found.expires.isoformat()} if found else None


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
    files.write(path, files.encoded(text))
