"""What a test file uses: `fixture()` for a loaded object, `table()` for rows of packets.

recipes.py      fixture(): compile or read, load, renew, close
tables.py       table()
engines.py      engines(): the same test by the test run, by live frames, on a wire
stateful.py     stateful(): packets, and a control plane that changes the maps in between
golden.py       golden(): a run held to a readable file
current.py      which test runs
renewal.py      every live object as new before each test and each Hypothesis example
covering.py     coverage: --bpf-cov, and coverage_files.py for its reports
skips.py        what this kernel cannot do is a skip that says why, or a failure: --bpf-require
reports.py      what a failed test shows beside its traceback
printing.py     what programs print: the fixture `printed`
comparisons.py  what a failed == shows
kept.py         findings that were kept, as tests
header.py       the line at the top of a pytest run
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .recipes import ClangWarning as ClangWarning
    from .recipes import fixture as fixture
    from .stateful import stateful as stateful
    from .tables import table as table

# The header line needs this package in every pytest run, and none of these.
_HOMES = {
    "ClangWarning": ".recipes",
    "fixture": ".recipes",
    "stateful": ".stateful",
    "table": ".tables",
}

__all__ = ["ClangWarning", "fixture", "stateful", "table"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'packetrig.testing' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name], __name__), name)
