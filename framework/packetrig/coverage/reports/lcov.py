"""lcov's tracefile, which genhtml and editors read."""

from __future__ import annotations

from collections.abc import Iterator

from ..measured import FileMeasure
from .report import Report


def lcov(report: Report) -> str:
    """Write each file with its functions, branches and lines."""
    lines = ["TN:"]
    for path, found in report.measured.files.items():
        lines += [f"SF:{report.name(path)}", *_of(found), "end_of_record"]
    return "\n".join(lines) + "\n"


def _of(found: FileMeasure) -> Iterator[str]:
    functions = found.function_list
    yield from (f"FN:{each.line},{each.name}" for each in functions)
    yield from (f"FNDA:{each.count},{each.name}" for each in functions)
    yield f"FNF:{found.functions.total}"
    yield f"FNH:{found.functions.covered}"
    at: dict[int, int] = {}
    for each in found.branch_list:
        block = at[each.line] = at.get(each.line, -1) + 1
        # As geninfo has it: "-" where the condition was never asked.
        is_asked = each.true_count or each.false_count
        for side, count in enumerate((each.true_count, each.false_count)):
            yield f"BRDA:{each.line},{block},{side},{count if is_asked else '-'}"
    yield f"BRF:{found.branches.total}"
    yield f"BRH:{found.branches.covered}"
    yield from (f"DA:{line},{count}" for line, count in found.line_counts.items())
    yield f"LF:{found.lines.total}"
    yield f"LH:{found.lines.covered}"
