"""`packetrig gate`: may these objects be deployed?"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import click

from .. import files, gate
from ..errors import Error
from . import console
from .main import Exit

_EXITS = {
    gate.Decision.DEPLOY: Exit.HELD,
    gate.Decision.REFUSED: Exit.REFUSED,
    gate.Decision.UNDECIDED: Exit.UNDECIDED,
}


@click.command("gate")
@click.argument("given", metavar="OBJECT_OR_SOURCE...", nargs=-1, required=True)
@click.option("--policy", metavar="FILE", required=True, help="What must hold: gate.toml.")
@click.option(
    "--evidence",
    metavar="FILE_OR_DIR",
    help="Write what was measured as JSON: into a folder, a file for each object, or into one "
    "FILE.json for one object.",
)
@click.option(
    "--sign",
    metavar="KEY",
    help="Sign the evidence with an ed25519 key in PEM; needs the extra packetrig[sign].",
)
@click.option("--junit", metavar="FILE", help="Write the decisions as JUnit's XML.")
@click.option("--kind", metavar="KIND", help="What a section without a known name holds: xdp, tc.")
@click.option(
    "--build-dir", metavar="DIR", default="build", show_default=True, help="Where objects go."
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(0, 2**32 - 1),
    help="What Hypothesis starts from in the tests; random if left out, and in the evidence.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    given: tuple[str, ...],
    policy: str,
    evidence: str | None,
    sign: str | None,
    junit: str | None,
    kind: str | None,
    build_dir: str,
    seed: int | None,
    as_json: bool,
) -> int:
    """Decide by a policy whether objects may be deployed: DEPLOY, REFUSED or UNDECIDED.

    C sources are built to build/NAME.bpf.o first, and the rules look at exactly this file.

    Exit codes: 0 all may be deployed, 1 at least one is refused, 2 none is refused and at least one
    could not be decided.
    """
    rules = gate.read(policy)
    if evidence and evidence.endswith(".json") and len(given) > 1:
        raise Error(f"--evidence {evidence}: one file for {len(given)} objects; name a folder")
    key = gate.signing.private_key(sign) if sign else None
    if sign and not (evidence or as_json):
        raise Error(f"--sign {sign}: there is nothing to sign without --evidence")
    for path in _written(evidence, junit):
        files.check(path, makes_folders=True)
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    judged: list[gate.Judged] = []
    with console.progress() as show:
        events = gate.judge(
            rules, [Path(each) for each in given], into=Path(build_dir), seed=seed, kind=kind
        )
        for event in events:
            if isinstance(event, gate.Judged):
                judged.append(event)
            else:
                show(f"{event.name}: {event.rule}")
    found = [gate.evidence.document(each, rules, seed=seed) for each in judged]
    if key:
        found = [gate.signing.signed(each, key) for each in found]
    if evidence:
        for path, each in zip(gate.places(evidence, judged), found, strict=True):
            gate.write(path, each)
    if junit:
        gate.write_text(Path(junit), gate.junit(judged))
    decision = gate.decision_of_all(judged)
    if as_json:
        console.document({"format": 1, "decision": decision.value, "objects": found})
    else:
        _show(judged, policy, evidence)
    return _EXITS[decision]


def _written(evidence: str | None, junit: str | None) -> Iterator[Path]:
    if junit:
        yield Path(junit)
    if evidence:
        is_file = evidence.endswith(".json") and not Path(evidence).is_dir()
        yield Path(evidence) if is_file else Path(evidence, "NAME.json")


def _show(judged: list[gate.Judged], policy: str, evidence: str | None) -> None:
    console.table(gate.columns(judged), gate.rows(judged))
    for each in judged:
        lines = list(gate.reasons(each, policy=policy))
        if lines:
            console.say()
        for line in lines:
            console.say(line)
    if evidence:
        console.say()
        console.say(f"evidence: {evidence}")
