"""`packetrig status`: what is attached where, by whom, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import deploy
from . import console
from .main import Exit

_COLUMNS = ["interface", "hook", "state", "program", "by", "permit", "way back", "reason"]


@click.command("status")
@click.option("--iface", metavar="NAME", help="Of this interface alone.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(iface: str | None, as_json: bool) -> int:
    """Say what is attached where, by whom, on what evidence, and what would be put back.

    The kernel is asked: where it and the journal differ, that is said.

    Exit codes: 0 nothing is left to do, 2 something is unfinished or not as it was left.
    """
    found = deploy.status(iface)
    if as_json:
        console.document({"format": 1, "spots": [_document(each) for each in found]})
    elif found:
        console.table(_COLUMNS, [_row(each) for each in found])
    else:
        console.say("no program is attached")
    return Exit.HELD if all(each.is_settled for each in found) else Exit.UNDECIDED


def _row(each: deploy.Status) -> list[str]:
    top = each.journal.top if each.journal else None
    return [
        each.interface,
        each.hook,
        each.state.value,
        _program(each),
        f"{top.user} {top.at}" if top else "-",
        _permit(top),
        _way_back(each),
        each.reason or _happened(each),
    ]


def _happened(each: deploy.Status) -> str:
    # That what was asked for was done is seen; that it was taken back is not.
    last = each.journal.last if each.journal else ""
    return last if "back" in last else ""


def _program(each: deploy.Status) -> str:
    if not each.there:
        return "none" if each.state in _KNOWN else "?"
    known = each.journal.generations if each.journal else ()
    name = next((g.program for g in known if g.id == each.there and g.program), "")
    return f"{name} (id {each.there})".strip()


# Where the kernel was asked, and nothing stood there.
_KNOWN = (
    deploy.State.UNFINISHED,
    deploy.State.TAKEN_OFF,
    deploy.State.AT_WORK,
    deploy.State.WATCHED,
    deploy.State.GONE,
    deploy.State.OTHER_BOOT,
    deploy.State.LEFTOVER,
)


def _permit(top: deploy.Generation | None) -> str:
    if top is None or top.what != "ours":
        return "-"
    if top.forced:
        return f"forced: {top.forced}"
    signed = ", signed" if top.evidence.get("signed") else ""
    return f"{Path(str(top.evidence.get('path'))).name}{signed}"


def _way_back(each: deploy.Status) -> str:
    if each.journal is None:
        return "-"
    if each.state is deploy.State.UNFINISHED:
        return "packetrig attach --recover"
    known = each.journal.generations
    return known[-2].told if len(known) > 1 else "-"


def _document(each: deploy.Status) -> dict[str, Any]:
    journal = each.journal
    found: dict[str, Any] = {
        "interface": each.interface,
        "hook": each.hook,
        "state": each.state.value,
        "program_id": each.there,
        "reason": each.reason,
    }
    if journal is None:
        return found
    work = journal.work
    return {
        **found,
        "mode": journal.mode,
        "carrier": dict(journal.carrier),
        "pins": str(journal.pins),
        "last": journal.last,
        "unfinished": None
        if work is None
        else {"kind": work.kind, "phase": work.phase, "pid": work.pid},
        "generations": [
            {
                "what": g.what,
                "program": g.program,
                "id": g.id,
                "tag": g.tag,
                "object": g.object,
                "sha256": g.sha256,
                "evidence": dict(g.evidence),
                "forced": g.forced,
                "user": g.user,
                "at": g.at,
            }
            for g in journal.generations
        ],
    }
