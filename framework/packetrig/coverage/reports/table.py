"""A table for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .. import lines as _lines
from ..measured import FileMeasure, Measured, Share
from .report import Report

_NAMED_AT_MOST = 5


def table(report: Report, *, missing: bool = False) -> list[str]:
    """Write one line per file, a total, and in words what was not measured."""
    if not report.measured.files:
        return list(_words(report, missing=missing))
    heads = ["Name", "Lines", "Miss", "Branches", "Miss", "Functions", "Miss"]
    heads += ["Conditions", "Miss"] if report.conditions is not None else []
    heads += ["Cover", *(["Missing"] if missing else [])]
    rows = [_row(report, path, missing=missing) for path in report.measured.files]
    total = _cells(report, "TOTAL", report.measured, report.total)
    rows_and_total = [*rows, [*total, *([""] if missing else [])]]
    widths = [max(map(len, column)) for column in zip(heads, *rows_and_total, strict=True)]
    rule = "-" * (sum(widths[: 8 + 2 * (report.conditions is not None)]) + 2 * 7)
    written = [_line(row, widths, missing=missing) for row in [heads, *rows_and_total]]
    return [written[0], rule, *written[1:-1], rule, written[-1], *_words(report, missing=missing)]


def _row(report: Report, path: str, *, missing: bool) -> list[str]:
    found = report.measured.files[path]
    cells = _cells(report, report.name(path), found, report.share(found), path)
    return [*cells, ", ".join(_missing(report, found))] if missing else cells


def _cells(
    report: Report, name: str, of: FileMeasure | Measured, share: Share, path: str | None = None
) -> list[str]:
    shares = [of.lines, of.branches, of.functions]
    if report.conditions is not None:
        every = report.conditions
        shares.append(
            sum(every.values(), Share(0, 0)) if path is None else every.get(path, Share(0, 0))
        )
    counts = [str(n) for each in shares for n in (each.total, each.total - each.covered)]
    return [name, *counts, percent(share)]


def percent(share: Share) -> str:
    """Write a share so that 100% means all of it, and 0% nothing."""
    whole = share.percent
    if share.covered < share.total:
        whole = min(whole, 99.9)
    return f"{max(whole, 0.1) if share.covered else whole:.1f}%".replace(".0%", "%")


def _missing(report: Report, found: FileMeasure) -> Iterator[str]:
    never = found.missing_lines
    if never:
        yield shown(_joined(never, found))
    if report.has_branches:
        gone = set(never)
        # Of a line that never ran, each side is missing; it is said once.
        yield from (
            side for each in found.branch_list if each.line not in gone for side in each.missing
        )


def shown(numbers: Iterable[int]) -> str:
    """Write numbers so that those that follow each other are one range."""
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in _lines.ranges(numbers))


def _joined(never: list[int], found: FileMeasure) -> Iterator[int]:
    """Let lines without code join what they stand between, as coverage.py does."""
    for index, line in enumerate(never):
        yield line
        after = never[index + 1] if index + 1 < len(never) else line
        if not any(each in found.line_counts for each in range(line + 1, after)):
            yield from range(line + 1, after)


def _line(row: list[str], widths: list[int], *, missing: bool) -> str:
    numbers = zip(row[1 : len(row) - missing], widths[1:], strict=False)
    cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in numbers)]
    return "  ".join([*cells, *(row[-1:] if missing else [])]).rstrip()


def _words(report: Report, *, missing: bool) -> Iterator[str]:
    excluded = report.measured.excluded
    for each in excluded:
        if each.is_reached:
            name = f"{report.name(each.file)}:{each.line}"
            yield f"REACHED all the same: {name} is marked unreachable: {each.reason}"
    kept = [each for each in excluded if not each.is_reached]
    for each in kept if missing else ():
        yield f"unreachable: {report.name(each.file)}:{shown(each.lines)}: {each.reason}"
    if kept and not missing:
        count = sum(len(each.lines) for each in kept)
        yield f"lines marked unreachable, not counted: {count} (term-missing lists them)"
    for source, reason in sorted(report.gathered.plain.items()):
        yield f"not measured: {report.name(source)}: {reason}"
    yield from (f"lost: {each}" for each in report.gathered.lost)
    if unloaded := report.unloaded:
        few = unloaded if missing else unloaded[:_NAMED_AT_MOST]
        more = f" and {len(unloaded) - len(few)} more" if len(few) < len(unloaded) else ""
        yield f"loaded by no test, not counted: {', '.join(few)}{more}"
