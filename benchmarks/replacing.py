"""Replacing a program under load: what `packetrig attach` loses beyond what the kernel loses."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import packetrig
from figures import HERE, Figure

sys.path.insert(0, str(HERE.parent))
from tests.deploy.replacing import bare, ours
from tests.deploy.rig import rig

ROUNDS = 5
TIMES = 20


def figures() -> Iterator[Figure]:
    spec = packetrig.build(HERE.parent / "tests" / "deploy" / "filters.bpf.c")
    samples = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "filters.o")
        path.write_bytes(spec.data)
        with rig(Path(folder, "state")) as machine:
            for _ in range(ROUNDS):
                least = bare(machine, spec, TIMES).lost
                samples.append(float(ours(machine, path, TIMES).lost - least))
    name = f"frames lost in {TIMES} replacements, beyond bpf_link update"
    yield Figure(name, "", 0, tuple(samples))
