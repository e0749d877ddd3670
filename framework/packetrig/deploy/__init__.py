"""Attach programs to real interfaces, with a way back.

An interface that filters never stops filtering: a program takes the place of another in one step
of the kernel, what stood there before is kept, and a journal on the disk says at each moment what
was begun, so that a process that is killed leaves nothing that cannot be finished.

- `attach(request)` attaches what its evidence permits, watches it, and puts back what was there
  when it does not hold;
- `detach()` puts back what was there before;
- `status()` tells what is attached where, and what is unfinished;
- `recover_all()` finishes or undoes it;
- `sample()` and `compare()` tell what a new program would have done with live traffic.

attaching.py   attach, step by step; detaching.py: take it off again
permit.py      why it may be attached: a reason, or what the gate wrote (evidence.py)
preflight.py   what is looked at before anything is changed
places.py      where a program can stand, and where files and pins about it are
journal.py     what stands there, what stood there before, what is being done
carry.py       one program in the place of another: kernel.py by links and pins
reuse.py       with the maps of the one before
watch.py       is it well? stopping.py: signals that end the watch
guardian.py    a second process that puts back what was there
recovery.py    what was begun, undone or completed; recovering.py: for all spots of the machine
orphans.py     pins that no journal speaks of
owners.py      who keeps a stranger's link alive
status.py      what is attached where
shadow.py      live traffic, told to a program that is not attached
"""

from __future__ import annotations

from .attaching import Attached, Checked, Event, Request, Settled, attach
from .detaching import Detached, detach
from .guardian import Guardian
from .journal import Busy, Generation, Journal
from .permit import Permit, force
from .places import HOOKS, MODES, Spot, hook_of
from .preflight import ALLOWABLE, Answer, Finding
from .recovering import Recovered, forget, recover_all
from .shadow import Reference, Sample, Shadow, attached, compare, sample
from .status import State, Status, status
from .stopping import Stop, Stopped, noted
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
    "Reference",
    "Request",
    "Sample",
    "Settled",
    "Shadow",
    "Spot",
    "State",
    "Status",
    "Stop",
    "Stopped",
    "Unhealthy",
    "Watch",
    "attach",
    "attached",
    "compare",
    "detach",
    "force",
    "forget",
    "hook_of",
    "noted",
    "recover_all",
    "sample",
    "status",
]
