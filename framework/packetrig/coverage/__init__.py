"""Which lines, branches and conditions of a program were executed.

twins.py         a program compiled once more, so that it counts
counting.py      the counters of a loaded object
measuring.py     from counters to what was executed
measured.py      lines, branches and functions, file by file
texts.py         sources that came along from elsewhere
marks.py         what its author says cannot be reached
gathered.py      the counters of a whole run, of several processes
appended.py      those of earlier runs, in a file
watching.py      twins in place of what a test run loads
reports/         as people and machines read it
lines.py         from counted pieces of source to lines, as llvm-cov does it
"""

from __future__ import annotations

from .._bpf.profile import Profile
from .counting import Counters
from .measured import Branch, Excluded, FileMeasure, FunctionCount, Measured, Share
from .measuring import measure, measure_all
from .twins import instrument, twin

__all__ = [
    "Branch",
    "Counters",
    "Excluded",
    "FileMeasure",
    "FunctionCount",
    "Measured",
    "Profile",
    "Share",
    "instrument",
    "measure",
    "measure_all",
    "twin",
]
