"""Coverage as people and machines read it.

report.py      what all of them tell: the measurement, names of files, the total
table.py       a table for a terminal
cobertura.py   XML for CI servers
lcov.py        for genhtml and editors
llvm.py        llvm-cov's own pages and JSON, and MC/DC, which only llvm-cov knows
"""

from __future__ import annotations

from .cobertura import cobertura
from .lcov import lcov
from .llvm import conditions, html, json_report
from .report import Report
from .table import table

__all__ = ["Report", "cobertura", "conditions", "html", "json_report", "lcov", "table"]
