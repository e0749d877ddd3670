"""Campaigns: inputs that a program handles wrongly, searched for with its coverage as a guide.

target.py      one program, twice loaded: counting in the loop, plain to confirm on; its recipe
campaigns.py   the way in: one process, several, or a cluster
engine.py      the campaign: story after story, judged, told as events
workers.py     several processes: processes.py holds them, hands.py is what each does, merging.py
               makes one campaign of theirs; travel.py: checks and objects on their way
fleet.py       the workers of a dask scheduler: cluster.py holds them, slices.py is what each does
events.py      what it tells
loop.py        the loop in C (_bpf/fuzz.c), and its stories as Python sees them
judging.py     every check on every run of a story
dictionary.py  words: what the program compares with, its constants, its maps' keys, its set-up
words.py       what a set-up speaks of
seeds.py       where it begins
corpus.py      what it keeps
given.py       frames from files; named.py: checks and models from files
report.py      from a failure to a finding: minimise.py and plainer.py make it small, place.py finds
               the line of C, finding.py is what it is
crashfile.py   findings as files, with what repeats them (repeat.py); again.py runs them again
sums.py        what no counter counts
"""

from __future__ import annotations

from .campaigns import campaign
from .corpus import Corpus
from .engine import Campaign, Limits
from .events import (
    Ended,
    Event,
    Found,
    NewEntry,
    Progress,
    Started,
    StopReason,
    Unrepeated,
    WorkerJoined,
    WorkerLeftOut,
    WorkerLost,
)
from .finding import Finding, Place
from .target import Recipe, Target

__all__ = [
    "Campaign",
    "Corpus",
    "Ended",
    "Event",
    "Finding",
    "Found",
    "Limits",
    "NewEntry",
    "Place",
    "Progress",
    "Recipe",
    "Started",
    "StopReason",
    "Target",
    "Unrepeated",
    "WorkerJoined",
    "WorkerLeftOut",
    "WorkerLost",
    "campaign",
]
