"""`packetrig attach`: a program on a real interface, with a way back."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import click

from .. import deploy
from ..errors import Error
from ..replay import Setup
from ..spec import Spec
from . import console, inputs
from .main import Exit

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_LONGEST = 8760  # hours: select() refuses what no watch needs
_MODES = click.Choice(deploy.MODES)


def seconds_of(context: click.Context, parameter: click.Parameter, value: str) -> float:
    """Read a time as people write it: 30s, 500ms, 5m, 1h."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", value)
    if not found:
        raise click.BadParameter(
            f"'{value}' is no time: write 30s, 500ms, 5m or 1h", ctx=context, param=parameter
        )
    seconds = float(found[1]) * _UNITS[found[2] or "s"]
    if seconds > _LONGEST * 3600:
        raise click.BadParameter(f"'{value}' is more than a year", ctx=context, param=parameter)
    return seconds


@click.command("attach")
@click.argument("path", metavar="OBJECT", required=False)
@click.option("--iface", metavar="NAME", help="The interface.")
@click.option("--mode", type=_MODES, default="native", show_default=True, help="Which hook of it.")
@click.option("--evidence", metavar="FILE", help="What the gate wrote about this very object.")
@click.option("--policy", metavar="FILE", help="The evidence must be by this policy.")
@click.option("--require-signature", metavar="KEY", help="And signed; KEY is the public half.")
@click.option("--force", metavar="REASON", help="Attach without evidence; the reason is recorded.")
@click.option("--program", metavar="NAME", help="Which program, where there are several.")
@click.option("--kind", metavar="KIND", help="What a section without a known name holds: xdp, tc.")
@click.option("--setup", metavar="FILE", help="TOML: what maps and globals hold before it runs.")
@click.option("--set", "settings", metavar="GLOBAL=VALUE", multiple=True, help="Set a global.")
@click.option("--keep-maps", is_flag=True, help="Go on with the maps of what is attached now.")
@click.option(
    "--replace-foreign", metavar="ID", type=int, default=0, help="Take this program's place."
)
@click.option(
    "--allow",
    type=click.Choice(deploy.ALLOWABLE),
    multiple=True,
    help="Attach although this was found on the interface.",
)
@click.option(
    "--for", "seconds", metavar="TIME", callback=seconds_of, default="0s", help="Watch so long."
)
@click.option("--watch", metavar="CMD", default="", help="Must exit with 0, again and again.")
@click.option(
    "--watch-timeout",
    metavar="TIME",
    callback=seconds_of,
    default="5s",
    show_default=True,
    help="A health command that takes longer has failed.",
)
@click.option(
    "--every",
    metavar="TIME",
    callback=seconds_of,
    default="1s",
    show_default=True,
    help="How often it is looked at.",
)
@click.option(
    "--counter",
    "counters",
    metavar="LIMIT",
    multiple=True,
    help="A counter of the program and its limit: 'drops[0]<=100'.",
)
@click.option("--max-drops", metavar="N", type=click.IntRange(0), help="Of the interface, since.")
@click.option(
    "--min-traffic",
    metavar="SHARE",
    type=click.FloatRange(0, 1),
    help="What passes must not fall below this share of what passed before.",
)
@click.option(
    "--baseline",
    metavar="TIME",
    callback=seconds_of,
    default="2s",
    show_default=True,
    help="How long traffic is measured, before and each time after.",
)
@click.option("--dry-run", is_flag=True, help="Look at everything, load it, and change nothing.")
@click.option("--recover", is_flag=True, help="Complete or undo what was not finished.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(path: str | None, iface: str | None, recover: bool, as_json: bool, **given: Any) -> int:
    """Attach a program to a real interface, watch it, and put back what was there if it fails.

    The evidence that `packetrig gate` wrote must be about this very object and kernel. Whatever
    happens, the interface has the old program or the new one.

    Exit codes: 0 it is attached and held, 1 it did not hold: what was there before is back, 2 it
    was not attached, or could not be watched.
    """
    if recover:
        return _recover(iface, as_json)
    if path is None or iface is None:
        raise Error("attach needs an OBJECT and --iface; or --recover")
    plan = deploy.Watch(
        seconds=given["seconds"],
        command=given["watch"],
        command_seconds=given["watch_timeout"],
        every=given["every"],
        counters=tuple(deploy.Limit.read(each) for each in given["counters"]),
        max_drops=given["max_drops"],
        min_traffic=given["min_traffic"],
        baseline=given["baseline"],
    )
    why = given["evidence"], given["force"], given["require_signature"], given["policy"]
    _check(plan, *why)
    spec = Spec.read(path)
    request = deploy.Request(
        spec=spec,
        interface=iface,
        mode=given["mode"],
        permit=_permit(spec, *why),
        program=given["program"],
        kind=given["kind"],
        setup=_setup(given["setup"], given["settings"]),
        keeps_maps=given["keep_maps"],
        is_dry=given["dry_run"],
        replaces=given["replace_foreign"],
        allowed=frozenset(given["allow"]),
        plan=plan,
    )
    return _run(request, as_json)


def _check(
    plan: deploy.Watch,
    evidence: str | None,
    force: str | None,
    key: str | None,
    policy: str | None,
) -> None:
    if (evidence is None) == (force is None):
        raise Error(
            "say why this object may be attached: --evidence FILE (of `packetrig gate`), or "
            "--force REASON"
        )
    if evidence is None and (key or policy):
        raise Error("--require-signature and --policy are about --evidence")
    asked = plan.command or plan.counters or plan.max_drops is not None
    if not plan.seconds and (asked or plan.min_traffic is not None):
        raise Error("nothing would be watched: say for how long with --for")
    if plan.min_traffic is not None and math.isnan(plan.min_traffic):
        raise Error("--min-traffic nan: write a share from 0 to 1")
    if plan.min_traffic is not None and plan.seconds < plan.baseline:
        raise Error("--min-traffic compares spans of --baseline: --for must be at least as long")
    if plan.seconds and plan.every <= 0:
        raise Error("--every must be more than nothing")


def _setup(path: str | None, settings: tuple[str, ...]) -> Setup:
    found = Setup.read(path) if path else Setup()
    return replace(found, globals={**found.globals, **inputs.values(settings)})


def _permit(
    spec: Spec, evidence: str | None, force: str | None, key: str | None, policy: str | None
) -> Callable[[str, str], deploy.Permit]:
    if evidence is None:
        forced = deploy.force(force or "")
        return lambda *_: forced
    from ..deploy.evidence import permit

    path = evidence
    return lambda program, driver: permit(
        path, spec, program=program, driver=driver, policy=policy, key=key
    )


def _run(request: deploy.Request, as_json: bool) -> int:
    told: dict[str, object] = {"format": 1}
    # Closed at once when there is nobody to tell any more: that takes the program off again.
    with contextlib.closing(deploy.attach(request)) as events:
        for event in events:
            told |= _document(event)
            for line in [] if as_json else _lines(event):
                console.say(line, at_once=True)
    if request.is_dry and not as_json:
        console.say(f"{request.interface} ({request.mode}): nothing stands in the way")
    if as_json:
        console.document(told)
    return Exit.HELD


def _lines(event: deploy.Event) -> Iterator[str]:
    if isinstance(event, deploy.Checked):
        for finding in event.findings:
            if finding.answer is not deploy.Answer.OK:
                yield f"{finding.answer.value}: {finding.reason}"
        return
    where = f"{event.spot.name}: {event.program.told}"
    if isinstance(event, deploy.Settled):
        yield f"{where} stays"
        return
    watched = f", watched for {event.seconds:g} s" if event.seconds else ""
    yield f"{where} is attached{watched}; before: {event.before.told}"


def _document(event: deploy.Event) -> dict[str, object]:
    if isinstance(event, deploy.Checked):
        found = [
            {"what": f.what, "answer": f.answer.value, "reason": f.reason} for f in event.findings
        ]
        return {"findings": found}
    if isinstance(event, deploy.Settled):
        return {}
    return {
        "interface": event.spot.interface,
        "hook": event.spot.hook,
        "program": event.program.program,
        "id": event.program.id,
        "before": event.before.told,
    }


def _recover(iface: str | None, as_json: bool) -> int:
    found = deploy.recover_all(iface)
    if as_json:
        rows = [
            {"interface": r.spot.interface, "hook": r.spot.hook, "said": r.said, "well": r.is_well}
            for r in found
        ]
        console.document({"format": 1, "recovered": rows})
    else:
        for each in found:
            console.say(f"{each.spot.name}: {each.said}")
        if not found:
            console.say("nothing is attached by packetrig, and nothing is unfinished")
    return Exit.HELD if all(each.is_well for each in found) else Exit.UNDECIDED
