"""What evidence says about itself: its parts must agree, whoever computed its digest.

A digest can be made by anybody. These are the places where the gate writes one thing twice, or one
thing that follows from another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any

from .outcome import RULES, Answer, Decision, decided

_ALWAYS_ASKED = ("build", "verifier")

# Where it is there, it is of one of these types; * is any name.
_TYPES: dict[str, tuple[type, ...]] = {
    "object *": (str, int, NoneType),
    "source path": (str, NoneType),
    "source sha256": (str, NoneType),
    "programs * kind": (str, NoneType),
    "policy path": (str,),
    "policy sha256": (str,),
    "policy rules": (dict,),
    "policy rules verifier": (dict,),
    "policy rules verifier *": (int,),
    "policy rules waiver": (list,),
    "rules * answer": (str,),
    "rules * measured": (dict,),
    "rules replay measured captures": (dict,),
    "rules replay measured captures *": (str,),
    "rules fuzz measured programs": (dict,),
    "rules fuzz measured programs *": (dict,),
    "rules fuzz measured programs * begun-with": (dict,),
    "rules fuzz measured programs * begun-with *": (str,),
    "interface": (dict, NoneType),
    "tools *": (str,),
}


def misshapen(found: Mapping[str, Any]) -> str:
    """Name what is there and is of another type than the gate writes; "" when nothing is."""
    for path, types in _TYPES.items():
        for where, value in _at(found, path.split()):
            if not isinstance(value, types):
                return f"'{where}' is {value!r:.40}"
    return ""


def _at(value: object, names: list[str], where: str = "") -> Iterator[tuple[str, object]]:
    if not names:
        yield where, value
    elif isinstance(value, dict):
        for name in value if names[0] == "*" else value.keys() & {names[0]}:
            yield from _at(value[name], names[1:], f"{where}.{name}".lstrip("."))


def contradiction(found: Mapping[str, Any]) -> str:
    """Say which two parts of whole evidence do not agree; "" when all do."""
    rules, written = found["rules"], found["policy"].get("rules")
    if not isinstance(written, dict):
        return "it lacks the rules of its policy"
    missing = [rule for rule in RULES if rule not in rules]
    if missing:
        return f"nothing is said of the rule {missing[0]}"
    known = {answer.value for answer in Answer}
    for rule, each in rules.items():
        if each.get("answer") not in known:
            return f"{each.get('answer')!r} is no answer of the rule {rule}"
        if trouble := _of_policy(rule, each, written):
            return trouble
    answers = {Answer(each["answer"]) for each in rules.values()}
    decision = Decision(found["decision"])
    if decision is not decided(answers):
        return f"its rules come to {decided(answers).value}, and it says {decision.value}"
    if decision is Decision.DEPLOY and Answer.NOT_REACHED in answers:
        return "it says DEPLOY, and not every rule was reached"
    return ""


def _of_policy(rule: str, each: Mapping[str, Any], written: Mapping[str, Any]) -> str:
    is_on = rule in written or rule in _ALWAYS_ASKED
    is_off = each["answer"] == Answer.OFF.value
    if is_on and is_off and rule in written:
        return f"the rule {rule} is on in the policy, and off here"
    if not is_on and not is_off:
        return f"the rule {rule} is off in the policy, and '{each['answer']}' here"
    waiver = each.get("waiver")
    if bool(waiver) != (each["answer"] == Answer.WAIVED.value):
        return f"the rule {rule} is '{each['answer']}', which does not go with its waiver"
    if waiver and {"rule": rule, **waiver} not in written.get("waiver", ()):
        return f"the waiver of {rule} does not stand in the policy"
    return ""
