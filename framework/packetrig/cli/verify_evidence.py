"""`packetrig verify-evidence`: does what the gate wrote hold for this object, here and now?"""

from __future__ import annotations

import click

from .. import gate
from ..gate.verify import Checked, Found, verify
from . import console
from .main import Exit

_EXITS = {
    gate.Decision.DEPLOY: Exit.HELD,
    gate.Decision.REFUSED: Exit.REFUSED,
    gate.Decision.UNDECIDED: Exit.UNDECIDED,
}


@click.command("verify-evidence")
@click.argument("evidence", metavar="EVIDENCE")
@click.argument("object_", metavar="OBJECT")
@click.option(
    "--public-key", metavar="KEY", help="The key of whoever must have signed it (ed25519, PEM)."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(evidence: str, object_: str, public_key: str | None, as_json: bool) -> int:
    """Recompute what evidence says about an object: hashes, tags, what the verifier counted.

    What cannot be recomputed without gating again is named. The kernel, the source and the policy
    are those of this machine and folder.

    Exit codes: 0 it holds and says DEPLOY, 1 something differs or it says REFUSED, 2 it cannot be
    told (another kernel, a source that is gone) or it says UNDECIDED; also for evidence that was
    changed, is of a newer format, or is not signed by that key.
    """
    found = gate.evidence.read(evidence)
    checked: list[Checked] = [Checked("digest", Found.SAME, "it is as the gate wrote it")]
    if public_key:
        gate.evidence.check_signature(found, public_key)
        checked.append(Checked("signature", Found.SAME, f"by {public_key}"))
    elif found.is_signed:
        said = "it is signed: --public-key KEY checks by whom"
        checked.append(Checked("signature", Found.NOT_RECOMPUTED, said))
    checked += verify(found, object_)
    answers = {each.found for each in checked}
    if as_json:
        console.document(
            {
                "format": 1,
                "decision": found.decision.value,
                "checked": [
                    {"what": each.what, "found": each.found.value, "said": each.said}
                    for each in checked
                ],
            }
        )
    else:
        rows = [(each.what, each.found.value, each.said) for each in checked]
        console.table(("what", "found", "in words"), rows)
        console.say()
        console.say(_sentence(found, answers))
    if Found.DIFFERS in answers:
        return Exit.REFUSED
    code = _EXITS[found.decision]
    return Exit.UNDECIDED if code is Exit.HELD and Found.CANNOT_TELL in answers else code


def _sentence(found: gate.evidence.Evidence, answers: set[Found]) -> str:
    decision = found.decision.value
    if Found.DIFFERS in answers:
        return "the evidence does not hold for this object"
    if Found.CANNOT_TELL in answers:
        return f"whether the evidence ({decision}) holds here cannot be told"
    return f"the evidence holds: {decision}"
