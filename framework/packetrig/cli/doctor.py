"""`packetrig doctor`: what this machine and kernel can do."""

from __future__ import annotations

import click

from .._bpf.probes import Answer
from . import console, machine
from .main import Exit


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(as_json: bool) -> int:
    """Say what this machine and kernel can do: yes, no, or cannot tell, and what to do about it.

    Exit codes: 0 the main job works here (build, run, attach XDP and TC), 2 it does not.
    """
    with console.progress() as show:
        found = []
        for feature in machine.answers():
            found.append(feature)
            show(feature.name)
    lacking = [f.name for f in found if f.name in machine.MAIN_JOB and f.answer is not Answer.YES]
    if as_json:
        console.document(
            {
                "format": 1,
                "works": not lacking,
                "answers": [
                    {
                        "name": each.name,
                        "answer": each.answer.value,
                        "reason": each.reason,
                        "advice": each.advice,
                        "is-needed": each.name in machine.MAIN_JOB,
                    }
                    for each in found
                ],
            }
        )
    else:
        rows = ((f.name, f.answer.value, f.reason, f.advice) for f in found)
        console.table(("what", "answer", "found", "to do"), rows)
        console.say()
        console.say(
            f"the main job does not work here: {', '.join(lacking)}"
            if lacking
            else "the main job works here: build, run, attach"
        )
    return Exit.UNDECIDED if lacking else Exit.HELD
