"""Attach programs to real interfaces, with a way back.

An interface that filters never stops filtering: a program takes the place of another in one step
of the kernel, what stood there before is kept, and a journal on the disk says at each moment what
was begun, so that a process that is killed leaves nothing that cannot be finished.

- `attach(request)` attaches what its evidence permits, watches it, and puts back what was there
  when it does not hold;
- `detach()` puts back what was there before;
- `status()` tells what is attached where, and what is unfinished;
- `recover_all()` finishes or undoes it.
"""

from __future__ import annotations

from .attaching import Attached, Checked, Detached, Event, Request, Settled, attach, detach
from .evidence import Permit, force, permit
from .guardian import Guardian
from .journal import Busy, Generation, Journal
from .places import HOOKS, MODES, Spot, hook_of
from .preflight import ALLOWABLE, Answer, Finding
from .recovering import Recovered, recover_all
from .status import State, Status, status
from .stopping import Stopped
from .watch import Limit, Unhealthy, Watch

__all__ = [
    "ALLOWABLE",
    "HOOKS",
    "MODES",
    "Answer",
    "Attached",
    "Busy",
    "Checked",
    "Detached",
    "Event",
    "Finding",
    "Generation",
    "Guardian",
    "Journal",
    "Limit",
    "Permit",
    "Recovered",
    "Request",
    "Settled",
    "Spot",
    "State",
    "Status",
    "Stopped",
    "Unhealthy",
    "Watch",
    "attach",
    "detach",
    "force",
    "hook_of",
    "permit",
    "recover_all",
    "status",
]
