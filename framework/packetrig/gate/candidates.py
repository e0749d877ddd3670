"""From what was named on the command line to the very files that ship."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .. import files
from .._bpf.kinds import MapKind
from ..errors import CompileError, Error
from ..program import Program
from ..spec import Spec, build
from .captures import read_setup
from .outcome import Answer, Candidate, Outcome, Reason

# clang cannot find a header: whether the program is wrong or the machine incomplete is not known.
_NO_HEADER = re.compile(r"'[^']+' file not found")


def name_of(given: Path) -> str:
    """Name an object after its file: xdp_http for progs/xdp_http.bpf.c and build/xdp_http.bpf.o."""
    return given.name.removesuffix(given.suffix).removesuffix(".bpf")


def check_names(given: Sequence[Path]) -> None:
    """Say which two would be written to one file.

    Raises:
        Error: Two objects have one name.
    """
    seen: dict[str, Path] = {}
    for path in given:
        name = name_of(path)
        if name in seen:
            raise Error(f"{seen[name]} and {path} are both named {name}: gate them one by one")
        seen[name] = path


def prepare(
    given: Path, *, into: Path, warnings: str | None, kind: str | None
) -> tuple[Candidate, Outcome]:
    """Build a source to the file that ships, or take an object as it is; the rule is `build`.

    `warnings` is the policy's word, None when it says nothing about them.
    """
    name = name_of(given)
    if files.is_object(given):
        try:
            spec = Spec.read(given)
        except Error as e:
            return Candidate(name, given, kind=kind), _undecided(e)
        if spec.is_test_build:
            return Candidate(name, given, given, kind=kind), _test_build(spec)
        if spec.is_instrumented:
            return Candidate(name, given, given, kind=kind), _instrumented(spec)
        outcome = Outcome("build", Answer.HELD, "as given", measured={"built": False})
        return Candidate(name, given, given, spec, kind=kind), outcome
    try:
        built = build(given)
        path = _ship(built.data, into / built.name)
        spec = Spec.read(path)
        source_sha256 = hashlib.sha256(given.read_bytes()).hexdigest()
    except CompileError as e:
        return Candidate(name, given, source=given, kind=kind), _refused(e)
    except (Error, OSError) as e:
        return Candidate(name, given, source=given, kind=kind), _undecided(e)
    candidate = Candidate(name, given, path, spec, given, source_sha256, built.command, kind, built)
    return candidate, _warned(built.warnings, warnings)


def without_callees(candidate: Candidate, pattern: str | None) -> Candidate:
    """Take down which programs stand in program arrays, by the source or by set-up files.

    They rely on what their callers did. Where all of them call each other, all are entries. What
    cannot be loaded is told of by the rule that needs it.
    """
    spec = candidate.spec
    kinds = {table.kind for table in spec.maps.values()} if spec else set()
    if spec is None or len(spec.programs) < 2 or MapKind.PROG_ARRAY not in kinds:
        return candidate
    held: set[str] = set()
    for name in spec.programs:
        with (
            contextlib.suppress(Error),
            read_setup(pattern, candidate, name).load(spec, kind=candidate.kind) as loaded,
        ):
            for table in loaded.maps.values():
                if table.kind is MapKind.PROG_ARRAY:
                    held |= {each.name for each in table.values() if isinstance(each, Program)}
    callees = tuple(name for name in spec.programs if name in held)
    return replace(candidate, callees=callees if len(callees) < len(spec.programs) else ())


def _ship(data: bytes, path: Path) -> Path:
    # Whole or not at all: somebody may be about to attach the file that was there.
    files.write(path, data)
    return path


def _warned(text: str, rule: str | None) -> Outcome:
    count = len(re.findall(r"\bwarning: ", text))
    measured = {"built": True, "warnings": text}
    if not count:
        return Outcome("build", Answer.HELD, "ok", measured=measured)
    shown = f"{count} warning{'' if count == 1 else 's'}"
    if rule != "error":
        return Outcome("build", Answer.HELD, shown, measured=measured)
    first = next(line for line in text.splitlines() if "warning: " in line)
    reason = Reason(f"clang warns: {first}", details=text)
    return Outcome("build", Answer.REFUSED, shown, (reason,), measured)


def _test_build(spec: Spec) -> Outcome:
    # Its helpers answer what a test once said: whatever held for it, holds for nothing that ships.
    reason = Reason(
        f"{spec.name} is a test build, {', '.join(spec.faked)} faked: gate the object that ships"
    )
    return Outcome("build", Answer.REFUSED, "a test build", (reason,))


def _instrumented(spec: Spec) -> Outcome:
    # Its instructions are others, and so is its cost.
    reason = Reason(
        f"{spec.name} was compiled to count what it executes (-fprofile-instr-generate): "
        "gate the object that ships"
    )
    return Outcome("build", Answer.REFUSED, "instrumented", (reason,))


def _refused(e: CompileError) -> Outcome:
    # Without clang's words it is no source at all: empty, or a folder.
    if not e.diagnostics or _NO_HEADER.search(str(e)):
        return _undecided(e)
    reason = Reason(str(e), details=e.diagnostics)
    return Outcome("build", Answer.REFUSED, "does not compile", (reason,))


def _undecided(e: Exception) -> Outcome:
    return Outcome("build", Answer.UNDECIDED, "cannot tell", (Reason(str(e)),))
