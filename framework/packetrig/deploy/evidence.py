"""May this object be attached here: what the gate wrote about it, held to what is here.

Not imported with the package: the gate is half of packetrig, and putting a program back needs none
of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from .. import files
from ..errors import Error
from ..gate.evidence import Evidence, check_signature, read
from ..gate.outcome import Decision
from ..spec import Spec
from .permit import Permit

_AGAIN = "gate the object again: packetrig gate"


def permit(
    path: str | Path,
    spec: Spec,
    *,
    program: str,
    driver: str,
    policy: str | Path | None = None,
    key: str | Path | None = None,
) -> Permit:
    """Hold evidence to this object, kernel and driver, and to a public key if one is given.

    Raises:
        Error: It is about something else, does not say DEPLOY, or is not signed by that key.
    """
    found = read(path)
    if key is not None:
        check_signature(found, key)
    for trouble in _troubles(found, spec, program, driver, policy):
        raise Error(f"{path}: {trouble}")
    return Permit(
        {
            "path": str(Path(path).resolve()),
            "digest": found.document["digest"],
            "policy": found.policy_sha256,
            "signed": key is not None,
        }
    )


def _troubles(
    found: Evidence, spec: Spec, program: str, driver: str, policy: str | Path | None
) -> Iterator[str]:
    if found.decision is not Decision.DEPLOY:
        yield f"the gate says {found.decision.value}, not DEPLOY"
    if found.object_sha256 != spec.sha256:
        yield (
            f"is about another object (sha256 {found.object_sha256[:12]}..., {spec.name} is "
            f"{spec.sha256[:12]}...); {_AGAIN}"
        )
    if program not in found.tags:
        yield f"says nothing of the program {program}; {_AGAIN}"
    if program in found.callees:
        yield f"has judged {program} by tail calls alone: attach the program that calls it"
    running = Path("/proc/sys/kernel/osrelease").read_text(encoding="utf-8").strip()
    if found.kernel != running:
        yield f"is for the kernel {found.kernel}, this one is {running}; {_AGAIN}"
    if found.driver and found.driver != driver:
        here = driver or "unknown"
        yield f"is for the driver {found.driver}, that of the interface is {here}; {_AGAIN}"
    if found.expired:
        yield f"rests on a waiver that has ended: {', '.join(found.expired)}; {_AGAIN}"
    if policy is not None and found.policy_sha256 != _sha256(Path(policy)):
        yield f"was decided by another policy than {policy}; {_AGAIN}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(files.read(path, "policy")).hexdigest()
