"""Judge objects, one after the other; what happens is yielded as it happens."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..errors import Error, Failure, PolicyError
from ..packets import pcap
from ..replay import expectations
from . import begun, captures, covered, elsewhere, fuzzed, rules, speed, suite
from .candidates import check_names, prepare, without_callees
from .captures import Capture
from .outcome import RULES, Answer, Candidate, Judged, Outcome, Reason
from .policy import Coverage, Policy, Rules, Tests
from .waivers import waived

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Asking:
    """Tell what is being looked at now, for whoever shows progress."""

    name: str
    rule: str


def judge(
    policy: Policy,
    given: Sequence[Path],
    *,
    into: Path,
    seed: int,
    kind: str | None = None,
    deployed: captures.Asked | None = None,
) -> Iterator[Asking | Judged]:
    """Hold objects to a policy, and yield each with its outcomes, in the order given.

    Args:
        policy: What must hold.
        given: C sources, which are built into the folder `into`, and object files.
        into: Where the objects that ship are written.
        seed: What Hypothesis starts from, so that the tests can be repeated.
        kind: What programs in sections without a known name are.
        deployed: Tells what is attached now, for [replay] against = "deployed".

    Raises:
        Error: Something that concerns all objects: the policy's own files, a broken capture.
    """
    check_names(given)
    wanted = policy.rules
    if wanted.tests:
        suite.check_paths(wanted.tests.paths, policy.path)
    recorded = _captures(policy)
    begun.check(policy)
    prepared = []
    for path in given:
        yield Asking(str(path), "build")
        prepared.append(
            prepare(
                path,
                into=into,
                warnings=wanted.build.warnings if wanted.build else None,
                kind=kind,
            )
        )
    built = {c.spec.sha256: str(c.source.resolve()) for c, _ in prepared if c.spec and c.source}
    told = _AtOnce(seed)
    objects = [candidate for candidate, _ in prepared if candidate.spec]
    if wanted.tests and objects:
        yield Asking("all objects", "tests and coverage" if wanted.coverage else "tests")
        told = _run_tests(wanted.tests.paths, seed, built, wanted.coverage)
    if wanted.kernels and objects:
        told = replace(told, kernels=(yield from _ask_kernels(policy, objects, seed, kind)))
    for candidate, outcome in prepared:
        yield from _judge_one(policy, candidate, outcome, recorded, told, deployed)


def _ask_kernels(
    policy: Policy, candidates: Sequence[Candidate], seed: int, kind: str | None
) -> Generator[Asking, None, Sequence[elsewhere.Told] | Error]:
    told: list[elsewhere.Told] = []
    try:
        for event in elsewhere.ask(policy, candidates, seed=seed, kind=kind):
            if isinstance(event, elsewhere.Told):
                told.append(event)
            else:
                yield Asking("all objects", f"kernel {event}")
    except Error as e:
        return e
    return told


def _judge_one(
    policy: Policy,
    candidate: Candidate,
    built: Outcome,
    recorded: Sequence[Capture],
    told: _AtOnce,
    deployed: captures.Asked | None,
) -> Iterator[Asking | Judged]:
    wanted = policy.rules
    pattern = wanted.replay.setup if wanted.replay else None
    candidate = without_callees(captures.sized(candidate, pattern), pattern)
    outcomes = [built]
    programs: dict[str, dict[str, Any]] = {}
    if candidate.spec is not None:
        yield Asking(candidate.name, "verifier")
        loaded, programs = rules.verifier(candidate, wanted.verifier)
        outcomes.append(loaded)
    if programs:
        for rule, ask in _questions(candidate, wanted, recorded, told, deployed).items():
            yield Asking(candidate.name, rule)
            outcomes.append(_told(rule, ask))
    if programs:  # what does not compile or does not load is waived by nobody
        outcomes = [waived(outcome, wanted.waiver) for outcome in outcomes]
    yield Judged(candidate, _complete(policy, outcomes), programs)


def _questions(
    candidate: Candidate,
    wanted: Rules,
    recorded: Sequence[Capture],
    told: _AtOnce,
    deployed: captures.Asked | None,
) -> dict[str, Callable[[], Outcome]]:
    """List what is to be asked of an object that loads, in the order of the table."""
    asked: dict[str, Callable[[], Outcome]] = {}
    setup = wanted.replay.setup if wanted.replay else None
    if tests_ := wanted.tests:
        asked["tests"] = partial(_tested, candidate, told.tests, tests_)
    if (coverage_ := wanted.coverage) and tests_:
        asked["coverage"] = partial(_covered, candidate, told, coverage_, tests_)
    if replay_ := wanted.replay:
        asked["replay"] = partial(captures.replayed, candidate, replay_, recorded, deployed)
    if fuzz_ := wanted.fuzz:
        asked["fuzz"] = partial(fuzzed.searched, candidate, fuzz_, setup, seed=told.seed)
    if speed_ := wanted.speed:
        asked["speed"] = partial(speed.measured, candidate, speed_, setup)
    if live_ := wanted.live:
        asked["live"] = partial(rules.on_a_wire, candidate, live_, wanted.replay, recorded)
    if wanted.kernels:
        asked["kernels"] = partial(elsewhere.judge, candidate, told.kernels)
    return asked


def _complete(policy: Policy, outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
    """Give every rule its place: what was not asked is off, or was never reached."""
    found = {outcome.rule: outcome for outcome in outcomes}
    for rule in RULES:
        is_on = rule == "verifier" or getattr(policy.rules, rule) is not None
        answer = Answer.NOT_REACHED if is_on else Answer.OFF
        found.setdefault(rule, Outcome(rule, answer, "-" if is_on else "off"))
    return tuple(found[rule] for rule in RULES)


def _told(rule: str, ask: Callable[[], Outcome]) -> Outcome:
    # Failure and Error stay apart: the program is wrong, or nothing is known about it.
    try:
        return ask()
    except Failure as e:
        reason = Reason(str(e).partition("\n")[0], e.repeat, str(e))
        return Outcome(rule, Answer.REFUSED, "failed", (reason,))
    except Error as e:
        return Outcome(rule, Answer.UNDECIDED, "cannot tell", (Reason(str(e)),))


@dataclass(frozen=True, slots=True)
class _AtOnce:
    """Hold what tests and other kernels told of all objects; an Error is why they could not."""

    seed: int
    tests: suite.Suite | Error | None = None
    counts: covered.Counts | Error | None = None
    kernels: Sequence[elsewhere.Told] | Error | None = None


def _run_tests(
    paths: Sequence[str], seed: int, built: Mapping[str, str], rule: Coverage | None
) -> _AtOnce:
    """Run the tests; and, when they are to be counted, once more with twins of the objects."""
    tests = partial(_or_error, partial(suite.run, paths, seed=seed))
    counts = partial(_or_error, partial(covered.run, paths, seed=seed, wanted=built))
    if rule is None:
        return _AtOnce(seed, tests())
    if not rule.beside_tests:
        return _AtOnce(seed, tests(), counts())
    with ThreadPoolExecutor(max_workers=1) as other:
        counting = other.submit(counts)
        return _AtOnce(seed, tests(), counting.result())


def _or_error(run: Callable[[], _T]) -> _T | Error:
    try:
        return run()
    except Error as e:
        return e


def _tested(candidate: Candidate, told: suite.Suite | Error | None, rule: Tests) -> Outcome:
    if told is None or isinstance(told, Error):
        raise told or Error("the tests were not run")
    return suite.judge(candidate, told, max_skipped=rule.max_skipped, min_tests=rule.min_tests)


def _covered(candidate: Candidate, told: _AtOnce, rule: Coverage, tests_: Tests) -> Outcome:
    if told.counts is None or isinstance(told.counts, Error):
        raise told.counts or Error("the tests were not counted")
    tested = _told("tests", partial(_tested, candidate, told.tests, tests_))
    is_unclear = tested.answer is Answer.UNDECIDED
    return covered.judge(candidate, told.counts, rule, is_unclear=is_unclear)


def _captures(policy: Policy) -> tuple[Capture, ...]:
    """Read every capture that the policy names, once.

    Raises:
        PolicyError: A pattern matches no file.
        CaptureError: A capture is broken, or holds no packet.
    """
    rule = policy.rules.replay
    if rule is None:
        return ()
    paths: dict[str, None] = {}
    for pattern in rule.pcap:
        found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  # may be absolute
        if not found:
            raise PolicyError(
                f"{policy.path}: [replay] pcap: nothing matches '{pattern}' in {Path.cwd()}",
                file=str(policy.path),
                key="[replay] pcap",
                allowed="patterns that match captures, from the folder where the gate runs",
            )
        paths |= dict.fromkeys(found)
    return tuple(_capture(Path(path)) for path in paths)


def _capture(path: Path) -> Capture:
    records = tuple(pcap.read(path))
    if not records:
        raise Error(f"{path}: holds no packet: nothing can be tested with it")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Capture(path, digest, records, expectations(path))
