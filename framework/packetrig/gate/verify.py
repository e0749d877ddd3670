"""Evidence held to an object again: what can be recomputed is, and the rest is named."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from ..errors import CompileError, Error, VerifierError
from ..spec import Spec, build
from . import begun, captures, policy, rules
from .evidence import Evidence, tools
from .outcome import RULES, Answer, Candidate

_COUNTS = ("instructions", "states", "stack")


class Found(Enum):
    """Say what came of recomputing one thing."""

    SAME = "same"
    DIFFERS = "differs"
    CANNOT_TELL = "cannot tell"
    NOT_RECOMPUTED = "not recomputed"


@dataclass(frozen=True, slots=True)
class Checked:
    """Tell of one thing in the evidence: what came of recomputing it, and in words."""

    what: str
    found: Found
    said: str


def verify(evidence: Evidence, given: str | Path) -> Iterator[Checked]:
    """Recompute what evidence says about an object file, and yield it thing by thing.

    Raises:
        Error: The object cannot be read.
    """
    spec = Spec.read(given)
    yield _compared("object", evidence.object_sha256, spec.sha256, str(given))
    yield _file("source", evidence.document["source"])
    yield _policy(evidence)
    yield from _captures(evidence)
    yield from _begun(evidence)
    yield from (
        Checked("waiver", Found.DIFFERS, f"it has ended: {each}") for each in evidence.expired
    )
    here = tools()
    is_same_kernel = evidence.kernel == here["kernel"]
    said = here["kernel"] if is_same_kernel else f"{evidence.kernel}, this one is {here['kernel']}"
    yield Checked("kernel", Found.SAME if is_same_kernel else Found.CANNOT_TELL, said)
    yield _built(evidence, spec, here)
    if spec.sha256 == evidence.object_sha256:
        yield from _loaded(evidence, spec, is_same_kernel=is_same_kernel)
    asked = evidence.document["rules"]
    for rule in [name for name in RULES if name in asked] + sorted(asked.keys() - set(RULES)):
        found = asked[rule]
        answer = found.get("answer")
        if rule in ("build", "verifier") or answer in (Answer.OFF.value, Answer.NOT_REACHED.value):
            continue
        said = f"{answer} ({found.get('shown')}): packetrig gate asks again"
        yield Checked(rule, Found.NOT_RECOMPUTED, said)


def _compared(what: str, recorded: str, now: str, name: str) -> Checked:
    if recorded == now:
        return Checked(what, Found.SAME, f"{name} (sha256 {now[:12]}...)")
    return Checked(
        what, Found.DIFFERS, f"{name} has sha256 {now[:12]}..., recorded is {recorded[:12]}..."
    )


def _file(what: str, recorded: dict[str, Any]) -> Checked:
    path, digest = recorded.get("path"), recorded.get("sha256")
    if not path or not digest:
        return Checked(what, Found.NOT_RECOMPUTED, "the evidence names none")
    try:
        now = begun.digest(path)
    except OSError as e:
        return Checked(what, Found.CANNOT_TELL, f"{path}: {(e.strerror or str(e)).lower()}")
    return _compared(what, digest, now, path)


def _policy(evidence: Evidence) -> Checked:
    """Compare the policy's file; and, when it is the one, what the evidence says that it says."""
    recorded = evidence.document["policy"]
    found = _file("policy", recorded)
    if found.found is not Found.SAME:
        return found
    try:
        # As of no day at all: a waiver that has ended is told on a line of its own.
        found_rules = policy.read(recorded["path"], day=datetime.date.min).rules
    except Error as e:
        return Checked("policy", Found.CANNOT_TELL, str(e))
    now = found_rules.model_dump(mode="json", by_alias=True, exclude_none=True)
    then = recorded["rules"]
    names = [name for name in sorted(now.keys() | then.keys()) if now.get(name) != then.get(name)]
    if not names:
        return found
    # Another packetrig may have keys more, which say how they were left out.
    is_same = evidence.document["tools"].get("packetrig") == tools()["packetrig"]
    answer = Found.DIFFERS if is_same else Found.CANNOT_TELL
    return Checked("policy", answer, f"{recorded['path']} says otherwise of: {', '.join(names)}")


def _captures(evidence: Evidence) -> Iterator[Checked]:
    measured = evidence.document["rules"]["replay"].get("measured") or {}
    yield from _files("capture", measured.get("captures") or {})


def _begun(evidence: Evidence) -> Iterator[Checked]:
    measured = evidence.document["rules"]["fuzz"].get("measured") or {}
    programs = (measured.get("programs") or {}).values()
    yield from _files(
        "seed", {path: sha for each in programs for path, sha in each.get("begun-with", {}).items()}
    )


def _files(what: str, recorded: Mapping[str, str]) -> Iterator[Checked]:
    found = [_file(what, {"path": path, "sha256": sha}) for path, sha in sorted(recorded.items())]
    yield from (each for each in found if each.found is not Found.SAME)
    if found and all(each.found is Found.SAME for each in found):
        yield Checked(f"{what}s", Found.SAME, f"{len(found)}, each as it was")


def _built(evidence: Evidence, spec: Spec, here: dict[str, str]) -> Checked:
    """Build the source again: it must give this very object, by the same compiler."""
    path = evidence.document["source"].get("path")
    if not path:
        return Checked("build", Found.NOT_RECOMPUTED, "the object was given as it is")
    clang = evidence.document["tools"].get("clang")
    if clang != here["clang"]:
        return Checked("build", Found.CANNOT_TELL, f"built by {clang}, here is {here['clang']}")
    try:
        again = build(path)
    except (CompileError, Error) as e:
        return Checked("build", Found.CANNOT_TELL, str(e))
    if again.sha256 == spec.sha256:
        return Checked("build", Found.SAME, f"{path} gives this object again")
    # Paths of the folder are in the debug information: elsewhere, the same source differs.
    said = f"{path} gives another object here (sha256 {again.sha256[:12]}...)"
    return Checked("build", Found.CANNOT_TELL, said)


def _loaded(evidence: Evidence, spec: Spec, *, is_same_kernel: bool) -> Iterator[Checked]:
    recorded = evidence.document["programs"]
    kinds = {each.get("kind") for each in recorded.values()}
    kind = kinds.pop() if len(kinds) == 1 else None
    candidate = Candidate(evidence.document["name"], Path(spec.name), spec.path, spec, kind=kind)
    replayed = evidence.document["policy"]["rules"].get("replay") or {}
    candidate = captures.sized(candidate, replayed.get("setup"))
    try:
        programs = rules.loaded_programs(candidate)
    except VerifierError as e:
        found = Found.DIFFERS if is_same_kernel else Found.CANNOT_TELL
        yield Checked("verifier", found, str(e))
        return
    except Error as e:
        yield Checked("verifier", Found.CANNOT_TELL, str(e))
        return
    for name in sorted(recorded.keys() | programs.keys()):
        old, new = recorded.get(name), programs.get(name)
        if old is None or new is None:
            yield Checked(f"{name}", Found.DIFFERS, f"is {'not ' if new is None else ''}loaded now")
            continue
        yield _facts(f"{name}: tag", ("tag",), old, new, is_same_kernel=is_same_kernel)
        yield _facts(f"{name}: verifier", _COUNTS, old, new, is_same_kernel=is_same_kernel)
    yield from _limits(evidence, programs, is_same_kernel=is_same_kernel)


def _limits(
    evidence: Evidence, programs: dict[str, dict[str, Any]], *, is_same_kernel: bool
) -> Iterator[Checked]:
    """Hold what is counted now to the policy's limits, when the evidence says that they held."""
    if evidence.document["rules"]["verifier"]["answer"] != Answer.HELD.value:
        return
    limits = evidence.document["policy"]["rules"].get("verifier") or {}
    for reason in rules.beyond(programs, limits):
        found = Found.DIFFERS if is_same_kernel else Found.CANNOT_TELL
        yield Checked("verifier", found, reason)


def _facts(
    what: str,
    names: tuple[str, ...],
    old: dict[str, Any],
    new: dict[str, Any],
    *,
    is_same_kernel: bool,
) -> Checked:
    told = ", ".join(str(new[n]) if n == "tag" else f"{new[n]} {n}" for n in names)
    if all(old.get(name) == new[name] for name in names):
        return Checked(what, Found.SAME, told)
    was = ", ".join(f"{n} {old.get(n)} -> {new[n]}" for n in names if old.get(n) != new[n])
    if not is_same_kernel:
        return Checked(what, Found.CANNOT_TELL, f"{was}: kernels differ in this")
    return Checked(what, Found.DIFFERS, was)
