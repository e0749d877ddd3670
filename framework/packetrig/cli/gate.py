"""`packetrig gate`: may these objects be deployed?"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from .. import deploy, files, gate
from ..errors import Error
from ..live import hooks
from ..live.offloads import offloads
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
@click.option("--html", metavar="FILE", help="Write the decisions as one page for a browser.")
@click.option("--sarif", metavar="FILE", help="Write what is refused as SARIF 2.1.0.")
@click.option(
    "--github",
    is_flag=True,
    help="Print GitHub's annotations, and write its step summary; without being asked where "
    "GITHUB_ACTIONS=true.",
)
@click.option(
    "--iface",
    metavar="NAME",
    help="The interface that the objects are meant for: its driver goes into the evidence, and "
    "[replay] against = 'deployed' is what is attached there.",
)
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
    html: str | None,
    sarif: str | None,
    github: bool,
    iface: str | None,
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
    reports = _Reports(evidence, junit, html, sarif)
    reports.check([policy, *given])
    iface = iface or (rules.rules.replay.iface if rules.rules.replay else None)
    meant = _meant(iface) if iface else None
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    paths = [Path(each) for each in given]
    asked = partial(_attached, iface) if iface else None
    events = gate.judge(rules, paths, into=Path(build_dir), seed=seed, kind=kind, deployed=asked)
    judged = _shown(events)
    found = [gate.evidence.document(e, rules, seed=seed, interface=meant) for e in judged]
    if key:
        found = [gate.signing.signed(each, key) for each in found]
    decision = gate.decision_of_all(judged)
    # First: what was found out is not lost when a file cannot be written after all.
    if as_json:
        console.document({"format": 1, "decision": decision.value, "objects": found})
    else:
        _show(judged, policy)
    reports.write(judged, found, rules, seed)
    if github or os.environ.get("GITHUB_ACTIONS") == "true":
        _tell_github(judged, policy)
    if evidence and not as_json:
        console.say()
        console.say(f"evidence: {evidence}")
    return _EXITS[decision]


@dataclass(frozen=True, slots=True)
class _Reports:
    """Name the files that are to be written; None is one that nobody asked for."""

    evidence: str | None
    junit: str | None
    html: str | None
    sarif: str | None

    def check(self, read: Sequence[str]) -> None:
        """Say which cannot be written, before the work is done; `read` is not written over."""
        reports = {"--junit": self.junit, "--html": self.html, "--sarif": self.sarif}
        if self.evidence:
            is_file = self.evidence.endswith(".json") and not Path(self.evidence).is_dir()
            reports["--evidence"] = self.evidence if is_file else f"{self.evidence}/NAME.json"
        taken = {os.path.realpath(name): "what is gated, or its policy" for name in read}
        for option, name in reports.items():
            if not name:
                continue
            files.check(name, makes_folders=True)
            place = os.path.realpath(name)
            if place in taken and (Path(place).is_file() or not Path(place).exists()):
                raise Error(f"{option} {name}: is {taken[place]} already; name another file")
            taken[place] = f"the file of {option}"

    def write(
        self,
        judged: list[gate.Judged],
        found: list[dict[str, Any]],
        policy: gate.Policy,
        seed: int,
    ) -> None:
        """Write them."""
        if self.evidence:
            for path, each in zip(gate.places(self.evidence, judged), found, strict=True):
                gate.write(path, each)
        if self.junit:
            gate.write_text(Path(self.junit), gate.junit(judged))
        if self.html:
            gate.write_text(Path(self.html), gate.html.page(judged, policy, seed=seed))
        if self.sarif:
            gate.write_text(Path(self.sarif), gate.services.sarif_text(judged))


def _shown(events: Iterator[gate.Asking | gate.Judged]) -> list[gate.Judged]:
    # What is asked now is shown while it is; what came of it is returned.
    judged: list[gate.Judged] = []
    with console.progress() as show:
        for event in events:
            if isinstance(event, gate.Judged):
                judged.append(event)
            else:
                show(f"{event.name}: {event.rule}")
    return judged


def _meant(iface: str) -> dict[str, str]:
    hooks.interface(iface)  # says so when there is none
    return {"name": iface, "driver": offloads(iface).driver}


def _attached(iface: str, kind: str, direction: str) -> gate.Deployed:
    """Tell what packetrig attached to an interface, for programs of a kind and a direction."""
    hooks = ["xdp"] if kind == "xdp" else [f"tc-{direction}", f"tcx-{direction}"]
    why: Error | None = None
    for hook in hooks:
        try:
            found = deploy.attached(iface, hook)
        except Error as e:
            why = why or e
            continue
        return gate.Deployed(found.spec, found.program, found.setup.globals)
    raise Error(f"[replay] against = 'deployed': {why}")


def _tell_github(judged: list[gate.Judged], policy: str) -> None:
    # On stderr, which GitHub reads as well: stdout may be a JSON document.
    for line in gate.services.github_lines(judged):
        console.detail(line)
    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if not place:
        return
    try:
        with Path(place).open("ab") as file:  # other steps write there too
            file.write(files.encoded(gate.services.summary(judged, policy=policy)))
    except OSError as e:
        raise Error(f"{place}: cannot be written: {files.reason(e)}") from e


def _show(judged: list[gate.Judged], policy: str) -> None:
    console.table(gate.columns(judged), gate.rows(judged))
    for each in judged:
        lines = list(gate.reasons(each, policy=policy))
        if lines:
            console.say()
        for line in lines:
            console.say(line)
