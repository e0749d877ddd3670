"""Campaigns: inputs that a program handles wrongly, searched for with its coverage as a guide.

target.py      one program, twice loaded: counting in the loop, plain to confirm on; its recipe
engine.py      the campaign: story after story, judged, told as events
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

from .corpus import Corpus
from .engine import Campaign, Limits, campaign
from .events import (
    Ended,
    Event,
    Found,
    NewEntry,
    Progress,
    Started,
    StopReason,
    Unrepeated,
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
    "campaign",
]
