"""Other kernels: find their images, boot them, and run commands there as if it were here.

images.py   which file a name like "6.1" means; apt.py fetches one from the distribution
guest.py    a virtual machine of an image that sees this machine's files, and one command in it
cells.py    one command on many kernels, with many compilers
results.py  what pytest told on each kernel, and which tests tell kernels apart
"""

from __future__ import annotations

from .cells import HOST, RESULTS, Answer, Cell, Result, cells, run
from .guest import missing
from .results import Tested, differing, joined

__all__ = [
    "HOST",
    "RESULTS",
    "Answer",
    "Cell",
    "Result",
    "Tested",
    "cells",
    "differing",
    "joined",
    "missing",
    "run",
]
