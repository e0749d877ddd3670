"""llvm-cov's own reports: pages, JSON, and the conditions of MC/DC, which only it knows."""

from __future__ import annotations

import html as _html
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ... import files
from ..._bpf import covmap
from ..._bpf.covmap import RegionKind
from ...toolchain import llvm
from ..gathered import Counted, Gathered, names
from ..measured import Share
from .report import Report
from .table import percent, shown, table

FORMAT = 1


@contextmanager
def _given(counted: Counted) -> Iterator[tuple[Path, Path]]:
    """Write an object and its profile for llvm-cov: (object, profile)."""
    with tempfile.TemporaryDirectory(prefix="packetrig-") as folder:
        elf = Path(folder) / counted.name
        elf.write_bytes(counted.profile.for_llvm_cov())
        text = counted.profile.proftext(counted.counters, counted.bitmap)
        yield elf, llvm.merge([text], Path(folder) / "counted.profdata")


def conditions(gathered: Gathered, wanted: Callable[[str], bool]) -> dict[str, Share]:
    """Count the conditions that were shown to decide on their own (MC/DC), per file.

    Raises:
        ToolMissing: There is no llvm-cov of clang's version.
    """
    found: dict[str, dict[tuple[int, ...], list[bool]]] = {}
    for counted in gathered.objects:
        with _given(counted) as (elf, profdata):
            export = llvm.export(elf, profdata)
        decisions = _decisions(counted)
        for each in export["data"][0]["files"]:
            path = os.path.normpath(each["filename"])
            for record in each.get("mcdc_records", []) if wanted(path) else []:
                place = tuple(record[:4])
                if (path, place) in decisions:
                    # LLVM 22 writes behind it with which values the decision was reached.
                    (shown,) = (e for e in record if isinstance(e, list) and _are_bools(e))
                    _join(found.setdefault(path, {}), place, shown)
    every = {path: [c for each in places.values() for c in each] for path, places in found.items()}
    return {path: Share(sum(each), len(each)) for path, each in sorted(every.items())}


def _are_bools(values: list[object]) -> bool:
    return bool(values) and all(isinstance(each, bool) for each in values)


def _decisions(counted: Counted) -> set[tuple[str, tuple[int, ...]]]:
    return {
        (mapped.files[r.file], (r.line, r.column, r.end_line, r.end_column))
        for mapped in covmap.read(counted.profile, name=counted.name)
        for r in mapped.regions
        if r.kind is RegionKind.DECISION
    }


def _join(
    places: dict[tuple[int, ...], list[bool]], place: tuple[int, ...], conditions: list[bool]
) -> None:
    were = places.get(place)
    is_same = were is not None and len(were) == len(conditions)
    pairs = zip(were or [], conditions, strict=False)
    places[place] = [a or b for a, b in pairs] if is_same else list(conditions)


def json_report(report: Report) -> str:
    """Write llvm-cov's JSON, one entry of `data` an object, and beside it what packetrig knows."""
    merged: dict[str, Any] = {"data": [], "type": "llvm.coverage.json.export", "version": ""}
    for name, counted, sources in _objects(report):
        with _given(counted) as (elf, profdata):
            found = llvm.export(elf, profdata, sources=sources)
        merged["version"] = found["version"]
        merged["data"] += [{"object": name, **each} for each in found["data"]]
    merged["packetrig"] = _own(report)
    return json.dumps(merged, indent=1, sort_keys=True) + "\n"


def _own(report: Report) -> dict[str, Any]:
    measured = report.measured
    return {
        "format": FORMAT,
        "totals": _shares(measured),
        "percent": round(report.percent, 4),
        "files": {
            report.name(path): {
                **_shares(each),
                "missing_lines": each.missing_lines,
                "missing_branches": each.missing_branches,
                "conditions": list(report.conditions.get(path, Share(0, 0)))
                if report.conditions is not None
                else None,
            }
            for path, each in measured.files.items()
        },
        "unreachable": [
            {
                "file": report.name(each.file),
                "line": each.line,
                "lines": list(each.lines),
                "reason": each.reason,
                "reached": each.is_reached,
            }
            for each in measured.excluded
        ],
        "not_measured": {report.name(s): reason for s, reason in report.gathered.plain.items()},
        "lost": list(report.gathered.lost),
        "not_loaded": report.unloaded,
        "tests": _tests(report),
        "contexts": {
            report.name(path): {str(line): numbers for line, numbers in lines.items()}
            for path, lines in _numbered(report).items()
        },
    }


def _shares(of: Any) -> dict[str, list[int]]:
    return {kind: list(getattr(of, kind)) for kind in ("lines", "branches", "functions", "regions")}


def _sources(report: Report, counted: Counted) -> list[str]:
    """Name the sources that are to be reported and are still there, as llvm-cov knows them."""
    own = covmap.file_names(counted.profile, name=counted.name)
    return [
        path
        for path in own
        if os.path.normpath(path) in report.measured.files and os.path.isfile(path)  # noqa: PTH113
    ]


def _objects(report: Report) -> Iterator[tuple[str, Counted, list[str]]]:
    """Give each object that holds something of what is to be reported."""
    for name, counted in names(report.gathered.objects):
        if sources := _sources(report, counted):
            yield name, counted, sources


def html(report: Report, folder: Path) -> None:
    """Write llvm-cov's pages of each object into a folder of its own, and a page that names them.

    Raises:
        ToolMissing: There is no llvm-cov of clang's version.
        Error: The folder cannot be written.
    """
    rows = []
    for name, counted, sources in _objects(report):
        files.write(folder / name / "index.html", b"")  # says what is wrong with the folder
        with _given(counted) as (elf, profdata):
            has_mcdc = report.conditions is not None
            llvm.show_html(elf, profdata, folder / name, sources=sources, mcdc=has_mcdc)
        rows.append(f'<li><a href="{_html.escape(name)}/index.html">{_html.escape(name)}</a></li>')
    text = _html.escape("\n".join(table(report, missing=True)))
    parts = [f"<ul>\n{chr(10).join(rows)}\n</ul>", f"<pre>\n{text}\n</pre>", *_contexts(report)]
    whole = percent(report.total) if report.measured.files else "nothing was measured"
    title = f"Coverage of BPF programs: {whole}"
    page = f'<!doctype html>\n<meta charset="utf-8">\n<title>{title}</title>\n<h1>{title}</h1>\n'
    files.write(folder / "index.html", (page + "\n".join(parts) + "\n").encode())


def _tests(report: Report) -> list[str]:
    every = report.contexts.values()
    return sorted({test for lines in every for tests in lines.values() for test in tests})


def _numbered(report: Report) -> dict[str, dict[int, list[int]]]:
    """Name tests by their place in the list: hundreds may reach one line."""
    number = {test: index for index, test in enumerate(_tests(report))}
    return {
        path: {line: [number[test] for test in tests] for line, tests in lines.items()}
        for path, lines in report.contexts.items()
    }


def _contexts(report: Report) -> Iterator[str]:
    """Write the tests, and for each line which of them reached it."""
    if not report.contexts:
        return
    tests = (f"{number:>5}  {test}" for number, test in enumerate(_tests(report)))
    yield f"<h2>Tests</h2>\n<pre>\n{_html.escape(chr(10).join(tests))}\n</pre>"
    for path, lines in _numbered(report).items():
        yield f"<h2>Which of them reached {_html.escape(report.name(path))}</h2>"
        told = (f"{line:>5}  {shown(numbers)}" for line, numbers in lines.items())
        yield f"<pre>\n{chr(10).join(told)}\n</pre>"
