"""Judge objects, one after the other; what happens is yielded as it happens."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Error, Failure, PolicyError
from ..packets import pcap
from ..replay import expectations
from . import captures, rules, speed, suite
from .candidates import check_names, prepare
from .captures import Capture
from .outcome import RULES, Answer, Candidate, Judged, Outcome, Reason
from .policy import Policy, Tests
from .waivers import waived


@dataclass(frozen=True, slots=True)
class Asking:
    """Tell what is being looked at now, for whoever shows progress."""

    name: str
    rule: str


def judge(
    policy: Policy, given: Sequence[Path], *, into: Path, seed: int, kind: str | None = None
) -> Iterator[Asking | Judged]:
    """Hold objects to a policy, and yield each with its outcomes, in the order given.

    Args:
        policy: What must hold.
        given: C sources, which are built into the folder `into`, and object files.
        into: Where the objects that ship are written.
        seed: What Hypothesis starts from, so that the tests can be repeated.
        kind: What programs in sections without a known name are.

    Raises:
        Error: Something that concerns all objects: the policy's own files, a broken capture.
    """
    check_names(given)
    wanted = policy.rules
    if wanted.tests:
        suite.check_paths(wanted.tests.paths, policy.path)
    recorded = _captures(policy)
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
    told: suite.Suite | Error | None = None
    if wanted.tests and any(candidate.spec for candidate, _ in prepared):
        yield Asking("all objects", "tests")
        told = _run_tests(wanted.tests.paths, seed)
    for candidate, built in prepared:
        yield from _judge_one(policy, candidate, built, recorded, told)


def _judge_one(
    policy: Policy,
    candidate: Candidate,
    built: Outcome,
    recorded: Sequence[Capture],
    told: suite.Suite | Error | None,
) -> Iterator[Asking | Judged]:
    wanted = policy.rules
    outcomes = [built]
    programs: dict[str, dict[str, Any]] = {}
    if candidate.spec is not None:
        yield Asking(candidate.name, "verifier")
        loaded, programs = rules.verifier(candidate, wanted.verifier)
        outcomes.append(loaded)
    if programs:
        if wanted.tests and told is not None:
            outcomes.append(_tested(candidate, told, wanted.tests))
        if wanted.replay:
            yield Asking(candidate.name, "replay")
            replay_rule = wanted.replay
            outcomes.append(
                _told("replay", lambda: captures.replayed(candidate, replay_rule, recorded))
            )
        if wanted.speed:
            yield Asking(candidate.name, "speed")
            speed_rule = wanted.speed
            setup = wanted.replay.setup if wanted.replay else None
            outcomes.append(_told("speed", lambda: speed.measured(candidate, speed_rule, setup)))
        if wanted.live:
            yield Asking(candidate.name, "live")
            live_rule = wanted.live
            outcomes.append(
                _told(
                    "live",
                    lambda: rules.on_a_wire(candidate, live_rule, wanted.replay, recorded),
                )
            )
    if programs:  # what does not compile or does not load is waived by nobody
        outcomes = [waived(outcome, wanted.waiver) for outcome in outcomes]
    yield Judged(candidate, _complete(policy, outcomes), programs)


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


def _run_tests(paths: Sequence[str], seed: int) -> suite.Suite | Error:
    try:
        return suite.run(paths, seed=seed)
    except Error as e:
        return e


def _tested(candidate: Candidate, told: suite.Suite | Error, rule: Tests) -> Outcome:
    if isinstance(told, Error):
        return Outcome("tests", Answer.UNDECIDED, "cannot tell", (Reason(str(told)),))
    return suite.judge(candidate, told, max_skipped=rule.max_skipped, min_tests=rule.min_tests)


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
