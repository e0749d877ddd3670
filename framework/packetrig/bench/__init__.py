"""Measure what a packet costs: nanoseconds with their spread, and two objects pair by pair.

frames.py   the packets that it is measured on
measure.py  one sample of a program
speed.py    many of them, in turn with those of another

empty.bpf.c does nothing: what it costs is taken off where a packet is run once.
"""

from __future__ import annotations

from .measure import Method, Subject, is_measurable
from .speed import ROUNDS, Compared, Speed, compare, speed

__all__ = ["ROUNDS", "Compared", "Method", "Speed", "Subject", "compare", "is_measurable", "speed"]
