"""What a decision looks like: the table's rows, the reasons in words, and JUnit's XML."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as Xml

from .outcome import ALWAYS_SHOWN, RULES, Answer, Decision, Judged, Reason


def columns(judged: Sequence[Judged]) -> tuple[str, ...]:
    """Name the columns of the table: the rules in their order, but those that are off."""
    return ("object", "kind", *_rules(judged), "decision")


def _rules(judged: Sequence[Judged]) -> list[str]:
    on = {o.rule for each in judged for o in each.outcomes if o.answer is not Answer.OFF}
    return [rule for rule in RULES if rule in on or rule in ALWAYS_SHOWN]


def rows(judged: Sequence[Judged]) -> Iterator[tuple[str, ...]]:
    """Yield one row an object."""
    rules = _rules(judged)
    for each in judged:
        shown = {outcome.rule: outcome.shown for outcome in each.outcomes}
        yield (
            each.candidate.name,
            each.candidate.kinds,
            *(shown[rule] for rule in rules),
            each.decision.value,
        )


def reasons(judged: Judged, *, policy: str) -> Iterator[str]:
    """Tell, line by line, what did not hold, and how to see it again; what is waived too."""
    told = (Answer.REFUSED, Answer.UNDECIDED, Answer.WAIVED)
    if not any(outcome.answer in told for outcome in judged.outcomes):
        return
    yield f"{judged.candidate.name}: {judged.decision.value}"
    otherwise = shlex.join(["packetrig", "gate", str(judged.candidate.given), "--policy", policy])
    for outcome in judged.outcomes:
        if outcome.answer not in told:
            continue
        if outcome.waiver:
            until = outcome.waiver.expires
            yield f"  {outcome.rule}: waived until {until}: {outcome.waiver.reason}"
        # Packets of one capture are repeated with one command.
        for repeat, group in itertools.groupby(outcome.reasons, key=lambda reason: reason.repeat):
            for reason in group:
                yield f"  {outcome.rule}: {reason.text}"
            yield f"    repeat: {repeat or otherwise}"


def decision_of_all(judged: Sequence[Judged]) -> Decision:
    """Sum up: any refusal refuses the whole; without one, any doubt leaves it undecided."""
    decisions = {each.decision for each in judged}
    for decision in (Decision.REFUSED, Decision.UNDECIDED):
        if decision in decisions:
            return decision
    return Decision.DEPLOY


def _whole(found: Sequence[Reason]) -> Iterator[str]:
    for reason in found:
        yield reason.text
        yield from (part for part in (reason.details, reason.repeat) if part)


def _safe(text: str) -> str:
    # XML has no way at all to write most control characters.
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def junit(judged: Sequence[Judged]) -> str:
    """Write the decisions as JUnit's XML: a suite an object, a case a rule."""
    root = Xml.Element("testsuites", name="packetrig gate")
    for each in judged:
        suite = Xml.SubElement(root, "testsuite", name=each.candidate.name)
        tally = {"failures": Answer.REFUSED, "errors": Answer.UNDECIDED}
        answers = [outcome.answer for outcome in each.outcomes]
        counts = {name: answers.count(answer) for name, answer in tally.items()}
        counts["tests"] = len(answers)
        for outcome in each.outcomes:
            case = Xml.SubElement(
                suite, "testcase", classname=each.candidate.name, name=outcome.rule
            )
            text = "\n".join(_whole(outcome.reasons))
            message = outcome.reasons[0].text if outcome.reasons else outcome.shown
            if outcome.answer is Answer.REFUSED:
                Xml.SubElement(case, "failure", message=_safe(message)).text = _safe(text)
            elif outcome.answer is Answer.UNDECIDED:
                Xml.SubElement(case, "error", message=_safe(message)).text = _safe(text)
            elif outcome.waiver:
                said = f"waived until {outcome.waiver.expires}: {outcome.waiver.reason}"
                Xml.SubElement(case, "system-out").text = _safe(f"{said}\n{text}")
            elif outcome.answer is not Answer.HELD:
                Xml.SubElement(case, "skipped", message=outcome.answer.value)
        counts["skipped"] = len(suite.findall("testcase/skipped"))
        for name, count in sorted(counts.items()):
            suite.set(name, str(count))
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
