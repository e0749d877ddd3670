"""The tests rule: pytest runs once for all objects, and tells which test used which."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import Error, PolicyError, ToolMissing
from ..fuzz import crashfile
from .outcome import Answer, Candidate, Outcome, Reason
from .recorder import FOLDER

_SHOWN = 3
_PREFIX = "packetrig-gate-"
# pytest's exit codes: all passed, some failed, none collected. Others mean that it did not work.
_RAN = (0, 1, 5)
_CAUSE = re.compile(r"(?:E|INTERNALERROR>) +(\w*(?:Error|Exception|Exit|Failed)\b.*)")


@dataclass(frozen=True, slots=True)
class Tested:
    """Tell of one test: the hashes of the objects that it used, and how it ended."""

    name: str
    objects: frozenset[str]
    sources: frozenset[str]
    outcome: str
    why: str


@dataclass(frozen=True, slots=True)
class Suite:
    """Hold what one run of pytest told."""

    tests: tuple[Tested, ...]
    command: str
    seed: int

    def repeat(self, test: Tested) -> str:
        """Return the command that runs one test again, on the examples that it had here."""
        return command([test.name], self.seed)

    def with_outcome(self, outcome: str) -> list[Tested]:
        """List the tests that ended so."""
        return [test for test in self.tests if test.outcome == outcome]


def check_paths(paths: Sequence[str], file: Path) -> None:
    """Say which path of the policy is not there, before anything runs.

    Raises:
        PolicyError: There is no such file or folder.
    """
    for path in paths:
        if not Path(path.partition("::")[0]).exists():
            raise PolicyError(
                f"{file}: [tests] paths: there is no {path} in {Path.cwd()}",
                file=str(file),
                key="[tests] paths",
                allowed="paths that exist, from the folder where the gate runs",
            )


def run(paths: Sequence[str], *, seed: int) -> Suite:
    """Run pytest on the paths, with Hypothesis seeded, and read what the recorder wrote.

    Findings that were kept are tests of any paths: what was fixed once is not deployed again.

    Raises:
        Error: pytest did not get as far as running the tests; its own words are in the message.
    """
    paths = [*paths, *_kept()]
    with folder() as place:
        ended = run_pytest("packetrig.gate.recorder", paths, seed=seed, variables={FOLDER: place})
        tests = tuple(_read(Path(place)))
    if not tests and ended.returncode == 1:
        raise Error(f"pytest failed and told nothing: {_last_words(ended.stdout)}")
    return Suite(tests, command(paths, seed), seed)


def _kept() -> Iterator[str]:
    for path in crashfile.listed():
        with suppress(OSError):
            if crashfile.is_kept(path.read_text(encoding="utf-8", errors="replace")):
                yield str(path)


def command(paths: Sequence[str], seed: int) -> str:
    """Return the command that runs the tests as the gate does."""
    return shlex.join(["pytest", f"--hypothesis-seed={seed}", *paths])


def run_pytest(
    plugin: str, paths: Sequence[str], *, seed: int, variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run pytest with a plugin of the gate's, which is told by variables where to write.

    Raises:
        Error: pytest did not get as far as running the tests; its own words are in the message.
    """
    words = ["pytest", "-q", "-p", plugin, f"--hypothesis-seed={seed}", *paths]
    # stdin is closed to it and its output kept: a person reads the gate's table.
    try:
        ended = subprocess.run(
            [sys.executable, "-m", *words],
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="backslashreplace",
            check=False,
        )
    except OSError as e:
        raise ToolMissing(f"pytest does not start: {e.strerror or e}") from e
    if ended.returncode not in _RAN:
        raise Error(
            f"pytest could not run the tests (exit {ended.returncode}): "
            f"{_last_words(ended.stdout)}; see: {shlex.join(['pytest', *paths])}"
        )
    return ended


@contextmanager
def folder() -> Iterator[str]:
    """Make a plugin's folder; and remove those of gates that were killed, by their lock."""
    for stale in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        _remove_stale(stale)
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-") as made:
        lock = os.open(made, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield made
        finally:
            os.close(lock)


def _remove_stale(folder: Path) -> None:
    pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
    # Between making and locking it the owner shows by its pid; in another container by the lock.
    if Path("/proc", pid).exists():
        return
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    except OSError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_uid == os.geteuid():
            shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(lock)


def _read(folder: Path) -> list[Tested]:
    found = []
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            fields = json.loads(line)
            found.append(
                Tested(
                    fields["test"],
                    frozenset(fields["objects"]),
                    frozenset(fields["sources"]),
                    fields["outcome"],
                    fields["why"],
                )
            )
    return sorted(found, key=lambda test: test.name)


def _last_words(output: str) -> str:
    """Pick from pytest's output the file that is wrong, and why."""
    lines = [line.strip() for line in output.splitlines() if line.strip("= \t_!")]
    where = next((line for line in lines if line.startswith("ERROR ")), "")
    where = where.partition(" - ")[0].removeprefix("ERROR ").removeprefix("collecting ")
    why = next((found[1] for line in lines if (found := _CAUSE.match(line))), "")
    told = [part for part in (where, why) if part] or lines[-1:] or ["it said nothing"]
    return ": ".join(told)[:300]


def judge(
    candidate: Candidate, suite: Suite, *, max_skipped: int | None, min_tests: int = 1
) -> Outcome:
    """Hold an object to the tests that used exactly it."""
    assert candidate.spec is not None
    digest = candidate.spec.sha256
    source = str(candidate.source.resolve()) if candidate.source else ""
    own = [t for t in suite.tests if digest in t.objects or source in t.sources]
    passed = [test for test in own if test.outcome == "passed"]
    failed = [test for test in own if test.outcome == "failed"]
    skipped = suite.with_outcome("skipped")
    # A test that failed before it used an object may be about any: nothing is known.
    astray = [t for t in suite.with_outcome("failed") if not t.objects and not t.sources]
    measured = {
        "command": suite.command,
        "failed": [test.name for test in failed],
        "passed": len(passed),
        "seed": suite.seed,
        "skipped": [test.name for test in skipped],
        "failed-without-an-object": [test.name for test in astray],
    }
    if failed:
        shown = f"{len(failed)} of {len(own)} failed"
        return Outcome("tests", Answer.REFUSED, shown, _reasons(suite, failed, "failed"), measured)
    if astray:
        said = "failed before it used an object, so it may be about this one"
        why = _reasons(suite, astray, said)
        return Outcome("tests", Answer.UNDECIDED, f"{len(astray)} unclear", why, measured)
    if not passed:
        text = (
            f"no test used this object (sha256 {digest[:12]}...): a test that builds the source "
            "with other macros or flags tests another object"
        )
        reason = Reason(text, suite.command)
        return Outcome("tests", Answer.REFUSED, "none used it", (reason,), measured)
    if len(passed) < min_tests:
        text = f"tests that used this object and passed: {len(passed)}; min-tests is {min_tests}"
        reason = Reason(text, suite.command)
        return Outcome(
            "tests", Answer.REFUSED, f"{len(passed)} of {min_tests}", (reason,), measured
        )
    if max_skipped is not None and len(skipped) > max_skipped:
        why = _reasons(suite, skipped, f"was skipped; max-skipped is {max_skipped}")
        return Outcome("tests", Answer.UNDECIDED, f"{len(skipped)} skipped", why, measured)
    return Outcome("tests", Answer.HELD, f"{len(passed)} passed", (), measured)


def _reasons(suite: Suite, tests: Sequence[Tested], what: str) -> tuple[Reason, ...]:
    reasons = [
        Reason(f"{t.name} {what}: {t.why.strip().partition(chr(10))[0]}", suite.repeat(t), t.why)
        for t in tests[:_SHOWN]
    ]
    more = len(tests) - len(reasons)
    return (*reasons, *([Reason(f"and {more} more tests")] if more else []))
