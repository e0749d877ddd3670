"""`packetrig matrix`: the same command on other kernels and with other compilers, in one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from .. import files, kernels
from . import console
from .attach import seconds_of
from .main import Exit

_COLUMNS = ("kernel", "clang", "passed", "failed", "errors", "skipped", "seconds", "answer")
_COUNTED = ("passed", "failed", "error", "skipped")
_LAST_LINES = 12
_MOST_SHOWN = 5


@click.command("matrix", context_settings={"ignore_unknown_options": True})
@click.option(
    "--kernel",
    "wanted",
    metavar="KERNEL",
    multiple=True,
    help="A release (6.1), an image, a package (.deb), or 'host': the kernel that runs. May be "
    "given many times; 'host' if left out.",
)
@click.option(
    "--clang",
    "clangs",
    metavar="CLANG",
    multiple=True,
    help="A version (16) or a program, for the environment's CLANG. May be given many times.",
)
@click.option(
    "--timeout",
    metavar="TIME",
    callback=seconds_of,
    default="30m",
    show_default=True,
    help="For each kernel, its boot included.",
)
@click.option(
    "--memory", metavar="SIZE", default="2G", show_default=True, help="Of a virtual machine."
)
@click.option("--logs", metavar="DIR", help="Keep what each printed, and pytest's reports, there.")
@click.option("--junit", metavar="FILE", help="Write all of pytest's reports as one.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.argument("words", metavar="-- COMMAND...", nargs=-1, type=click.UNPROCESSED, required=True)
def command(
    wanted: tuple[str, ...],
    clangs: tuple[str, ...],
    timeout: float,
    memory: str,
    logs: str | None,
    junit: str | None,
    as_json: bool,
    words: tuple[str, ...],
) -> int:
    """Run a command on other kernels and with other compilers: pytest, the gate, anything.

    Each kernel is booted in a virtual machine that sees this machine's files; what the command
    writes there is gone afterwards. Which tests tell the kernels apart is listed below the table.

    Exit codes: 0 it ended with 0 everywhere, 1 it ended with 1 somewhere, 2 somewhere it could not
    be told: no boot, no end in time, another exit code.
    """
    if junit:
        files.check(junit, makes_folders=True)
    results: list[kernels.Result] = []
    with console.progress() as show:
        cells = kernels.cells(wanted or (kernels.HOST,), clangs, tell=show)
        keep = Path(logs) if logs else None
        asked = kernels.run(cells, words, timeout=timeout, memory=memory, keep=keep, tell=show)
        for result in asked:
            results.append(result)
            if junit and len(results) == len(cells):  # the folders are still there
                reports = {each.cell.name: each.report for each in results}
                files.write(junit, kernels.joined(reports).encode())
    if as_json:
        console.document(_document(results, words))
    else:
        _show(results)
    return _exit(results)


def _exit(results: Sequence[kernels.Result]) -> int:
    answers = {each.answer for each in results}
    if kernels.Answer.FAILED in answers:
        return Exit.REFUSED
    return Exit.UNDECIDED if kernels.Answer.UNDECIDED in answers else Exit.HELD


def _show(results: Sequence[kernels.Result]) -> None:
    console.table(
        _COLUMNS, [_row(each) for each in results], right="passed failed errors skipped seconds"
    )
    told = {each.cell.name: each.tests for each in results}
    # A cell without a report has no tests to compare: its line and its last words say enough.
    differing = list(kernels.differing({name: tests for name, tests in told.items() if tests}))
    if differing:
        console.say()
        console.say(f"tests that do not end alike: {len(differing)}")
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, found in differing:
        groups.setdefault(tuple(_ends(told, found)), []).append(name)
    for ends, names in groups.items():
        for line in (*ends, *(f"  {name}" for name in names[:_MOST_SHOWN])):
            console.say(f"  {line}")
        if len(names) > _MOST_SHOWN:
            console.say(f"    and {len(names) - _MOST_SHOWN} more; --json tells all")
    for each in results:
        if each.answer is not kernels.Answer.HELD:
            lines = each.ended.output.rstrip().splitlines()[-_LAST_LINES:]
            console.say()
            console.say(f"{each.cell.name}: {each.said}{'; its last lines:' if lines else ''}")
            for line in lines:
                console.say(f"  {line}")


def _row(result: kernels.Result) -> tuple[str, ...]:
    counts = Counter(each.outcome for each in result.tests.values())
    shown = [str(counts[name]) if result.tests else "-" for name in _COUNTED]
    release, wanted = result.ended.release, result.cell.kernel
    kernel = f"{wanted} ({release})" if wanted == kernels.HOST else release or result.cell.name
    seconds = f"{result.ended.seconds:.0f}"
    return (kernel, result.cell.clang or "-", *shown, seconds, result.answer.value)


def _ends(told: dict[str, Any], found: dict[str, kernels.Tested]) -> Iterator[str]:
    """Say how a test ended: a line for the cells that agree."""
    said: dict[str, list[str]] = {}
    for cell, tests in told.items():
        if cell in found:
            each = found[cell]
            words = f"{each.outcome}: {each.why}" if each.why else each.outcome
            said.setdefault(words, []).append(cell)
        elif tests:
            said.setdefault("was not collected", []).append(cell)
    yield from (f"{', '.join(cells)}: {words}" for words, cells in said.items())


def _document(results: Sequence[kernels.Result], words: Sequence[str]) -> dict[str, Any]:
    return {
        "format": 1,
        "command": list(words),
        "cells": [
            {
                "name": each.cell.name,
                "kernel": each.ended.release,
                "clang": each.cell.clang or None,
                "answer": each.answer.value,
                "exit-code": each.ended.code,
                "why": each.said,
                "seconds": round(each.ended.seconds, 1),
                "tests": {
                    name: {"outcome": test.outcome, "why": test.why}
                    for name, test in each.tests.items()
                },
                "output": each.ended.output,
            }
            for each in results
        ],
    }
