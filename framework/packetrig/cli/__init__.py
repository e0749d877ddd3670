"""The `packetrig` command. Subcommands are imported when they are called: `--help` is quick.

console.py  the only place that prints
doctor.py   what this machine and kernel can do (machine.py asks)
run.py      a program on packets: the table of verdicts (inputs.py reads what was given)
gate.py     may these objects be deployed?
"""

from __future__ import annotations

from .main import main as main

__all__ = ["main"]
