"""May this object be attached here: what the gate wrote about it, held to what is here.

The gate (a layer above) writes evidence and signs it; whoever attaches only reads it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import Error, NotFound
from ..spec import Spec

FORMAT = 1
_APART = ("digest", "signature")
_AGAIN = "gate the object again: packetrig gate"


@dataclass(frozen=True, slots=True)
class Permit:
    """Say why an object may be attached: the evidence in short, or the reason that was given."""

    evidence: Mapping[str, Any] = field(default_factory=dict)
    forced: str = ""


def read(path: str | Path) -> dict[str, Any]:
    """Read evidence, and see that it is as it was written.

    Raises:
        NotFound: There is no such file.
        Error: It is no evidence, of a newer format, or was changed since it was written.
    """
    path = Path(path)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as e:
        raise NotFound(f"{path}: there is no such evidence: packetrig gate --evidence") from e
    except OSError as e:
        raise Error(f"{path}: cannot be read: {(e.strerror or str(e)).lower()}") from e
    except ValueError as e:
        raise Error(f"{path}: is no evidence: {e}") from e
    if not isinstance(found, dict) or "format" not in found:
        raise Error(f"{path}: is no evidence: it says no format")
    if found["format"] != FORMAT:
        raise Error(
            f"{path}: evidence of format {found['format']!r} is not known; this packetrig reads "
            f"{FORMAT}"
        )
    if found.get("digest") != _digest(found):
        raise Error(f"{path}: was changed after it was written: its digest does not fit; {_AGAIN}")
    return found


def _digest(found: Mapping[str, Any]) -> str:
    covered = {name: value for name, value in found.items() if name not in _APART}
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def permit(
    path: str | Path, spec: Spec, *, program: str, driver: str, policy: str | Path | None = None
) -> Permit:
    """Hold evidence to this object, kernel and driver.

    Raises:
        Error: It is about something else, or it does not say DEPLOY.
    """
    path = Path(path)
    found = read(path)
    for trouble in _troubles(found, spec, program, driver, policy):
        raise Error(f"{path}: {trouble}")
    return Permit(
        {
            "path": str(path),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "policy": _part(found, "policy").get("sha256"),
            "signed_by": _part(found, "signature").get("key"),
        }
    )


def _troubles(
    found: Mapping[str, Any], spec: Spec, program: str, driver: str, policy: str | Path | None
) -> list[str]:
    told = []
    decision, judged = found.get("decision"), _part(found, "object").get("sha256")
    if decision != "DEPLOY":
        told.append(f"the gate says {decision}, not DEPLOY")
    if judged != spec.sha256:
        told.append(
            f"is about another object (sha256 {str(judged)[:12]}..., this one is "
            f"{spec.sha256[:12]}...); {_AGAIN}"
        )
    if program not in _part(found, "programs"):
        told.append(f"says nothing of the program {program}; {_AGAIN}")
    kernel, running = _part(found, "tools").get("kernel"), _release()
    if kernel != running:
        told.append(f"is for the kernel {kernel}, this one is {running}; {_AGAIN}")
    drivers = found.get("drivers")
    if drivers and driver not in drivers:
        told.append(f"is for the drivers {', '.join(drivers)}, the interface's is {driver}")
    if policy is not None:
        wanted = hashlib.sha256(_policy(Path(policy))).hexdigest()
        if _part(found, "policy").get("sha256") != wanted:
            told.append(f"was decided by another policy than {policy}; {_AGAIN}")
    return told


def _part(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = found.get(name)
    return part if isinstance(part, dict) else {}


def _policy(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as e:
        raise NotFound(f"{path}: there is no such policy") from e
    except OSError as e:
        raise Error(f"{path}: cannot be read: {(e.strerror or str(e)).lower()}") from e


def _release() -> str:
    return Path("/proc/sys/kernel/osrelease").read_text(encoding="utf-8").strip()


def force(reason: str) -> Permit:
    """Attach without evidence, for a reason that is written down.

    Raises:
        Error: There is no reason.
    """
    if not reason.strip():
        raise Error("--force needs a reason: it is written into the journal")
    return Permit(forced=reason.strip())
