"""`packetrig replay`: a finding again, and what became of it."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import Error
from ..fuzz import crashfile
from ..fuzz.again import Again, Status, again
from ..packets import pcap
from . import console
from .main import Exit

_EXITS = {
    Status.FIXED: Exit.HELD,
    Status.FAILS: Exit.REFUSED,
    Status.ERROR: Exit.UNDECIDED,
}


@click.command("replay")
@click.argument("ids", metavar="ID...", nargs=-1)
@click.option(
    "--crashes",
    metavar="DIR",
    default=str(crashfile.FOLDER),
    show_default=True,
    help="Where findings are.",
)
@click.option("--all", "is_all", is_flag=True, help="Every finding that there is.")
@click.option("--keep", is_flag=True, help="Make it a test: every later pytest run replays it.")
@click.option("--pcap", "capture", metavar="FILE", help="Write its frames as a capture.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    ids: tuple[str, ...],
    crashes: str,
    is_all: bool,
    keep: bool,
    capture: str | None,
    as_json: bool,
) -> int:
    """Run findings again: FIXED, FAILS, or ERROR where it cannot be told.

    ID is a finding's, the beginning of one, or the path of its crash file; run it where `packetrig
    fuzz` ran.

    Exit codes: 0 FIXED, 1 FAILS, 2 ERROR; of several the worst, where FAILS goes before ERROR.
    """
    paths = [crashfile.find(each, crashes) for each in ids]
    paths += crashfile.listed(crashes) if is_all else []
    if not paths:
        raise Error(
            f"{crashes} holds no finding" if is_all else "name a finding, or --all for every one"
        )
    if capture and len(paths) > 1:
        raise Error(f"--pcap {capture}: one file for {len(paths)} findings")
    told, codes = [], []
    for path in dict.fromkeys(paths):
        try:
            done = again(crashfile.read(path))
        except Error as e:
            if len(paths) == 1:
                raise
            console.complain(str(e))  # the others are replayed all the same
            codes.append(Exit.UNDECIDED)
            continue
        told.append((path, done))
        codes.append(_EXITS[done.status])
        if keep:
            crashfile.keep(path)
        if capture:
            pcap.write(capture, done.finding.frames)
        if not as_json:
            _show(done, path, keep=keep)
    if as_json:
        console.document({"format": 1, "findings": [_document(*each) for each in told]})
    return max(codes, key=_severity)


def _severity(code: Exit) -> int:
    return (Exit.HELD, Exit.UNDECIDED, Exit.REFUSED).index(code)


def _show(done: Again, path: Path, *, keep: bool) -> None:
    finding = done.finding
    console.say(f"{done.status.value}  {finding.id}  {finding.program}: {finding.expected}")
    console.say(f"  place     {finding.place} {finding.place.code}".rstrip())
    for line in finding.told_frames():
        console.say(f"  frame     {line}")
    console.say(f"  seen      {finding.seen} (when it was found)")
    if done.status is Status.ERROR:
        console.complain(f"{finding.id}: {done.reason}")
    elif done.failure is not None:
        other = ", which is another check than the one it was found by" if done.is_another else ""
        console.say(f"  now       {str(done.failure).partition(chr(10))[0]}{other}")
        for line in str(done.failure).split("\n")[1:]:
            if not line.startswith("  repeat "):  # it knows neither the set-up nor the story
                console.say(f"  {line}")
    elif done.is_same_object:
        console.say(
            "  now       it does what is expected, and the object is, to the byte, the one that "
            "failed: something beside it changed (kernel, checks, model)"
        )
    else:
        console.say("  now       it does what is expected")
    if keep:
        console.say(f"  kept      every later pytest run replays {path}")


def _document(path: Path, done: Again) -> dict[str, object]:
    finding = done.finding
    return {
        "id": finding.id,
        "status": done.status.value,
        "file": str(path),
        "program": finding.program,
        "check": finding.check,
        "place": str(finding.place),
        "frames": [frame.hex() for frame in finding.frames],
        "kept": crashfile.is_kept(path.read_text(encoding="utf-8")),
        "reason": done.reason or None,
        "failure": str(done.failure).partition("\n")[0] if done.failure else None,
        "object": done.object_sha256 or None,
        "found_in": finding.object_sha256,
    }
