"""Decide whether an object may be deployed: by a policy, on the very file that ships.

policy.py      what must hold (gate.toml)
candidates.py  from a source or object to the file that ships: the rule `build`
suite.py       the rule `tests`; recorder.py is its plugin inside pytest
captures.py    the rule `replay`
rules.py       the rules `verifier` and `live`
covered.py     the rule `coverage`; counter.py is its plugin inside pytest
fuzzed.py      the rule `fuzz`; begun.py is what its campaigns begin with
speed.py       the rule `speed`
elsewhere.py   the rule `kernels`; inside.py is what runs on each of them
waivers.py     what is let through for a while all the same
outcome.py     of a rule an outcome, of an object a decision
judge.py       all rules on all objects, as events
evidence.py    what was measured, as JSON: written, read again, held to a signature
consistency.py what evidence says twice must agree
verify.py      evidence held to an object again
signing.py     ed25519
report.py      what was decided, as rows, words and JUnit's XML
html.py        the same as a page; services.py as SARIF and for GitHub
"""

from __future__ import annotations

from . import evidence, html, services, signing
from .captures import Deployed
from .evidence import places, write, write_text
from .judge import Asking, judge
from .outcome import Answer, Decision, Judged, Outcome, Reason
from .policy import Policy, read
from .report import columns, decision_of_all, junit, reasons, rows

__all__ = [
    "Answer",
    "Asking",
    "Decision",
    "Deployed",
    "Judged",
    "Outcome",
    "Policy",
    "Reason",
    "columns",
    "decision_of_all",
    "evidence",
    "html",
    "judge",
    "junit",
    "places",
    "read",
    "reasons",
    "rows",
    "services",
    "signing",
    "write",
    "write_text",
]
