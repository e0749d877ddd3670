"""Why an object may be attached: evidence, or a reason that somebody gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import Error


@dataclass(frozen=True, slots=True)
class Permit:
    """Say why an object may be attached: the evidence in short, or the reason that was given."""

    evidence: Mapping[str, Any] = field(default_factory=dict)
    forced: str = ""


def force(reason: str) -> Permit:
    """Attach without evidence, for a reason that is written down.

    Raises:
        Error: There is no reason.
    """
    if not reason.strip():
        raise Error("--force needs a reason: it is written into the journal")
    return Permit(forced=" ".join(reason.split()))
