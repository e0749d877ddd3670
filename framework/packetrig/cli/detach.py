"""`packetrig detach`: put back what was there before."""

from __future__ import annotations

import click

from .. import deploy
from ..errors import Error
from . import console
from .main import Exit


@click.command("detach")
@click.option("--iface", metavar="NAME", required=True, help="The interface.")
@click.option(
    "--mode", type=click.Choice(deploy.MODES), help="Which hook, where there are several."
)
@click.option("--all", "all_of_them", is_flag=True, help="Go back to before the first attach.")
@click.option("--forget", is_flag=True, help="Touch nothing, and give up what is known of it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(iface: str, mode: str | None, all_of_them: bool, forget: bool, as_json: bool) -> int:
    """Put back the program that was there before the last attach, or nothing if there was none.

    Exit codes: 0 it is done, 2 it could not be done.
    """
    hook = deploy.hook_of(mode) if mode else _only(iface)
    if forget:
        said = deploy.forget(iface, hook)
        if as_json:
            console.document({"format": 1, "interface": iface, "hook": hook, "forgotten": said})
        else:
            console.say(said)
        return Exit.HELD
    done = deploy.detach(iface, hook, all_of_them=all_of_them)
    if as_json:
        console.document(
            {
                "format": 1,
                "interface": iface,
                "hook": hook,
                "detached": done.program.told,
                "now": done.now.told,
            }
        )
    else:
        console.say(f"{done.spot.name}: {done.program.told} is off; now: {done.now.told}")
    return Exit.HELD


def _only(iface: str) -> str:
    # A journal that cannot be read is one all the same: detach() says what is wrong with it.
    known = [s for s in deploy.status(iface) if s.journal or s.state is deploy.State.BROKEN]
    ours = {each.hook: each for each in known if each.hook in deploy.HOOKS}
    if not ours:
        raise Error(f"{iface}: packetrig has attached nothing there")
    if len(ours) > 1:
        modes = " or ".join(map(_mode, ours.values()))
        raise Error(f"{iface}: several hooks of it have a program: --mode {modes}")
    return next(iter(ours))


def _mode(known: deploy.Status) -> str:
    # The word that --mode takes: XDP is named by how it is attached.
    if known.hook != "xdp":
        return known.hook
    return known.journal.mode if known.journal else "native"
