"""Hold `object.run` and `object.run_many` against the same system call in a C loop."""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from figures import FRAME, HERE, SMALL, Figure, pair_by_pair

CALLS = 5_000
PAIRS = 41


def c_loop() -> ctypes._CFuncPtr:
    """Build loop.c with the system's compiler and load it into this process."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "loop.so"
        compiler = shlex.split(os.environ.get("CC", "cc"))
        command = [*compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(HERE / "loop.c")]
        subprocess.run(command, check=True)
        loop = ctypes.CDLL(str(library)).packetrig_bench_loop
    loop.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32, ctypes.c_uint64]
    loop.restype = ctypes.c_int
    return loop


def figures() -> Iterator[Figure]:
    import packetrig

    loop = c_loop()
    frames = [FRAME] * CALLS
    with packetrig.build(SMALL).load() as small:
        descriptor = small.programs["xdp_small"].fd

        # The thread's own time: what another program does meanwhile is not counted.
        def in_c() -> float:
            start = time.thread_time_ns()
            error = loop(descriptor, FRAME, len(FRAME), CALLS)
            if error:
                raise OSError(error, os.strerror(error))
            return float(time.thread_time_ns() - start)

        def one_by_one() -> float:
            start = time.thread_time_ns()
            for frame in frames:
                small.run(frame)
            return float(time.thread_time_ns() - start)

        def all_at_once() -> float:
            start = time.thread_time_ns()
            small.run_many(frames)
            return float(time.thread_time_ns() - start)

        for name, target, work in (
            ("object.run(bytes) / the call in a C loop", 2.5, one_by_one),
            ("object.run_many(frames) / the call in a C loop", 1.1, all_at_once),
        ):
            pairs = pair_by_pair(in_c, work, pairs=PAIRS)
            yield Figure(name, "x", target, tuple(ours / theirs for theirs, ours in pairs))
