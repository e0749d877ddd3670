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
finding.py     what it found
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
from .target import Recipe, Target

__all__ = [
    "Campaign",
    "Corpus",
    "Ended",
    "Event",
    "Found",
    "Limits",
    "NewEntry",
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
