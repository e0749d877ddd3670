"""Which lines, branches and conditions of a program were executed.

instrument.py   a program compiled once more, so that it counts
counting.py     the counters of a loaded object
"""

from __future__ import annotations

from .._bpf.profile import Profile
from .counting import Counters
from .instrument import instrument, twin

__all__ = ["Counters", "Profile", "instrument", "twin"]
