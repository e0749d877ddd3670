"""What a failed test shows beside its traceback: the last runs, what is at fault, how to repeat."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import pytest

from .._bpf.kinds import ARRAYS, HASHES, OF_MAPS
from ..errors import CompileError, Error, Failure, InternalError, LoadError, VerifierError
from ..maps import Map
from ..objects import Object
from ..packets import explain
from ..program import Program
from ..run import Run, Runs, told
from . import comparisons, printing, renewal, skips
from .recipes import ClangWarning

_ENTRIES_AT_MOST = 8
_CHANGES_AT_MOST = 12
_BYTES_AT_MOST = 1 << 24
_LINE_AT_MOST = 300
_PRINTED_AT_MOST = 40
# Maps whose reading changes nothing and whose values are plain data.
_PLAIN = (HASHES | ARRAYS) - OF_MAPS


class Told:
    """Stand for a traceback none of whose lines is the user's: what is wrong with which fixture."""

    def __init__(self, error: BaseException) -> None:
        self.place = getattr(error, "__notes__", ["packetrig.fixture(...)"])[0]
        self.message = f"{type(error).__name__}: {error}"

    @property
    def reprcrash(self) -> Told:
        """Give pytest's summary the message."""
        return self

    def toterminal(self, writer: Any) -> None:
        """Write it in pytest's colours."""
        writer.line(self.place)
        writer.line(f"E   {self.message}", red=True, bold=True)

    def __str__(self) -> str:
        return f"{self.place}\nE   {self.message}"


def shorten(caught: pytest.ExceptionInfo[BaseException], config: pytest.Config) -> None:
    """Let the traceback end where the user's code called packetrig, if one line tells the rest."""
    if not _is_told(caught.value) or config.getoption("fulltrace", default=False):
        return
    cause = caught.value.__cause__
    if cause is not None and _is_ours(cause):  # a built-in check's assertion: no line of the user
        caught.value.__cause__ = None
    last: TracebackType | None = None
    entry = caught.value.__traceback__
    while entry is not None:
        last = entry if _owner(entry) != "packetrig" else last
        entry = entry.tb_next
    if last is not None:
        last.tb_next = None


def _is_told(error: BaseException) -> bool:
    ours = isinstance(error, Error | Failure | ClangWarning)
    return ours and not isinstance(error, InternalError)


def _owner(entry: TracebackType) -> str:
    return str(entry.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


def _is_ours(error: BaseException) -> bool:
    entry = error.__traceback__
    while entry is not None and _owner(entry) == "packetrig":
        entry = entry.tb_next
    return entry is None and error.__cause__ is None


def _is_all_machinery(error: BaseException) -> bool:
    entry = error.__traceback__
    while entry is not None:
        if _owner(entry) not in ("packetrig", "_packetrig_plugin", "_pytest", "pluggy"):
            return False
        entry = entry.tb_next
    return True


def complete(
    report: pytest.TestReport, item: pytest.Item, caught: pytest.ExceptionInfo[BaseException]
) -> None:
    """Add the sections of packetrig to the report of a test that failed."""
    error = caught.value
    if report.skipped and isinstance(error, skips.Skipped) and error.place is not None:
        report.longrepr = (error.place.path, error.place.line, f"Skipped: {error.msg}")
    if not report.failed:
        return
    if _is_told(error) and _is_all_machinery(error):
        report.longrepr = Told(error)  # type: ignore[assignment]  # pytest asks for toterminal
    if isinstance(error, Error):
        report.sections.append(("packetrig: an error, not a failure", "\n".join(_fault(error))))
    blocks = list(_last_runs(item)) if report.when in ("setup", "call") else []
    if whole := comparisons.whole(item.config):
        blocks.insert(0, whole)
    if said := printing.lines(item.config):
        blocks.append(
            "\n".join(["printed:", *(f"  {_cut(line)}" for line in said[-_PRINTED_AT_MOST:])])
        )
    if isinstance(error, Failure) and error.repeat:
        blocks.append(f"check: {error.check}\nrepeat: {error.repeat}")
    if blocks:
        blocks.append(f"this test alone: pytest {shlex.quote(item.nodeid)}")
        report.sections.append(("packetrig", "\n".join(blocks)))


def _fault(error: Error) -> Iterator[str]:
    yield "the test, its input or the machine is at fault; of the program nothing is known"
    if isinstance(error, CompileError):
        yield from filter(None, [error.diagnostics.rstrip()])
    elif isinstance(error, VerifierError):
        yield error.explain().rstrip()
    elif isinstance(error, LoadError):
        yield from filter(None, [error.log.rstrip()])


def _last_runs(item: pytest.Item) -> Iterator[str]:
    named = {id(value): name for name, value in getattr(item, "funcargs", {}).items()}
    for found in renewal.live(item.config):
        for program in found.programs.values():
            if program.last is not None and not found.is_closed:
                name = named.get(id(found), found.spec.name)
                yield _safely(name, found, program, program.last)


def _safely(name: str, found: Object, program: Program, last: Run | Runs) -> str:
    try:
        return "\n".join(_told(name, found, program, last))
    except Exception as e:  # a report that fails hides the failure that it reports
        return f"{name}: its last run cannot be told: {type(e).__name__}: {e}"


def _told(name: str, found: Object, program: Program, last: Run | Runs) -> Iterator[str]:
    of = f", number {len(last)} of run_many()" if isinstance(last, Runs) else ""
    if isinstance(last, Runs):
        if not last:
            return
        last = last[-1]
    what = f" ({program.name})" if len(found.programs) > 1 else ""
    is_seen = hasattr(last, "engine")  # on an interface: live.engines.Seen, which costs an import
    if is_seen:
        yield f"{name}{what}: {last!r}"
    else:
        yield f"{name}{what} answered {last.verdict!r} in its last run{of}"
    for line in told(program):
        yield f"  build   {line}"
    yield f"  frame   {explain.summary(last.frame)} ({len(last.frame)} bytes)"
    yield from getattr(last, "notes", ())
    yield from _rewritten(last) if not is_seen else ()
    yield f"  scapy   {explain.expression(last.frame)}"
    state = list(_state(found))
    # As a comment of the shell's, so that the line can be pasted whole.
    caution = "  # its maps begin empty" if any(line.startswith("  map") for line in state) else ""
    yield f"  repeat  {last.repeat}{caution}"
    yield from state


def _rewritten(last: Run) -> Iterator[str]:
    for name, (before, after) in itertools.islice(last.changes.items(), _CHANGES_AT_MOST):
        yield _cut(f"  changed {name}: {before!r} -> {after!r}")
    if bad := last.bad_checksums:
        yield f"  wrong   checksum {', '.join(bad)}"


def _state(found: Object) -> Iterator[str]:
    """Tell what the test, or the program, has put into maps and globals by now."""
    for each in found.maps.values():
        if entries := _entries(each):
            yield _cut(f"  map     {each.name}: {{{entries}}}")
    told = [f"{name}={found.globals[name]!r}" for name in _changed_globals(found)]
    if told:
        yield _cut(f"  globals {', '.join(told)}")


def _changed_globals(found: Object) -> Iterator[str]:
    for name, where in found.spec.globals.items():
        image = found.loaded.images.get(where.section)
        if image is None or where.is_const:
            continue
        part = slice(where.offset, where.offset + where.size)
        if found.loaded.read_section(where.section)[part] != image[part]:
            yield name


def _entries(found: Map) -> str:
    row = found._codec.key_size + found._codec.row
    if found.kind not in _PLAIN or found.max_entries * row > _BYTES_AT_MOST:
        return ""
    raw = {
        key: value
        for key, value in found.raw_items().items()
        if found.kind not in ARRAYS or value.strip(b"\0")
    }
    first = [
        f"{found._codec.decode_key(key)!r}: {found._codec.decode_value(value)!r}"
        for key, value in list(raw.items())[:_ENTRIES_AT_MOST]
    ]
    more = [f"... {len(raw) - len(first)} more"] if len(raw) > len(first) else []
    return ", ".join(first + more)


def _cut(line: str) -> str:
    return line if len(line) <= _LINE_AT_MOST else f"{line[: _LINE_AT_MOST - 3]}..."
