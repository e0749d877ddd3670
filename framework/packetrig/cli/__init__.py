"""The `packetrig` command. Subcommands are imported when they are called: `--help` is quick.

main.py             the entry point: from a command to an exit code
console.py          the only place that prints
inputs.py           what was given on the command line, read
doctor.py           what this machine and kernel can do (machine.py asks)
run.py              a program on packets: the table of verdicts
bench.py            what a packet costs
fuzz.py             a campaign; telling.py says how it goes
replay.py           a finding again
corpus.py           the frames that campaigns keep
gate.py             may these objects be deployed?
matrix.py           the same command on other kernels and with other compilers
verify_evidence.py  does what the gate wrote still hold?
attach.py           onto a real interface; detach.py and status.py belong to it
shadow.py           what a new program would have done with live traffic
init.py             a new project: project/ holds its files
"""

from __future__ import annotations

from .main import main as main

__all__ = ["main"]
