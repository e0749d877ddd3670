"""Which lines, branches and conditions of a program were executed.

twins.py         a program compiled once more, so that it counts
counting.py      the counters of a loaded object
measuring.py     how much was executed, file by file
lines.py         from counted pieces of source to lines, as llvm-cov does it
"""

from __future__ import annotations

from .._bpf.profile import Profile
from .counting import Counters
from .measuring import (
    Branch,
    Excluded,
    FileMeasure,
    FunctionCount,
    Measured,
    Share,
    measure,
    measure_all,
)
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
