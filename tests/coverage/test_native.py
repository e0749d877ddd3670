"""Proven right: the same source, compiled for this machine, counts and answers the same."""

from __future__ import annotations

import hashlib
import random
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from packetrig import Object, coverage, toolchain
from packetrig.toolchain import llvm
from tests.progs import http

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NATIVE = Path(__file__).parent / "native"
SOURCE = ROOT / "progs/xdp_http.bpf.c"
COUNT = 20_000


def mutated(count: int, *, seed: int) -> list[bytes]:
    """Change bytes, lengths and ends of frames that reach every rule."""
    random_ = random.Random(seed)
    rows = [row.frame for row in http.ROWS]
    words = [b"\x08\x00", b"\x86\xdd", b"\x81\x00", b"\x88\xa8", b"\x06", b"\x50", b"GET /", b"\0P"]
    frames = []
    for _ in range(count):
        frame = bytearray(random_.choice(rows))
        for _ in range(random_.randrange(6)):
            at = random_.randrange(len(frame))
            match random_.randrange(5):
                case 0:
                    frame[at] = random_.randrange(256)
                case 1:
                    frame[at] ^= 1 << random_.randrange(8)
                case 2:
                    word = random_.choice(words)
                    frame[at : at + len(word)] = word
                case 3:
                    del frame[max(at, 14) :]
                case 4:
                    other = random_.choice(rows)
                    frame[at:] = other[at:]
        frames.append(bytes(frame).ljust(14, b"\0"))
    return frames


@dataclass(frozen=True, slots=True)
class Native:
    """What the native build answered, and where it counted what."""

    verdicts: list[int]
    frames: list[bytes]
    data: tuple[int, bytes]
    counters: tuple[int, bytes]
    bits: tuple[int, bytes]

    def of(self, name: str, field: int, size: int) -> bytes:
        """Find a function's record by its name, and what field 2 or 3 of it points to."""
        key = hashlib.md5(name.encode()).digest()[:8]
        at = self.data[1].index(key)
        distance = struct.unpack_from("=q", self.data[1], at + 8 * field)[0]
        where, content = self.counters if field == 2 else self.bits
        start = self.data[0] + at + distance - where  # pointers in a record are relative to it
        return content[start : start + size]


def compiled(folder: Path, *, mcdc: bool) -> Path:
    clang = str(toolchain.find_clang().path)
    count = ["-fprofile-instr-generate", "-fcoverage-mapping", *([llvm.MCDC] if mcdc else [])]
    place = ["-I", str(SOURCE.parent / "include"), "-include", str(NATIVE / "shim.h")]
    program, main = folder / "program.o", folder / "main.o"
    for command in (
        [*count, *place, "-O1", "-g", "-c", str(SOURCE), "-o", str(program)],
        ["-O1", "-c", str(NATIVE / "main.c"), "-o", str(main)],
        [str(main), str(program), "-o", str(folder / "native")],
    ):
        subprocess.run([clang, *command], check=True, cwd=SOURCE.parent)
    return folder / "native"


def answered(program: Path, frames: list[bytes]) -> Native:
    given = b"".join(struct.pack("=I", len(frame)) + frame for frame in frames)
    out = subprocess.run([str(program)], input=given, capture_output=True, check=True).stdout
    verdicts, after, at = [], [], 0
    for frame in frames:
        verdicts.append(struct.unpack_from("=I", out, at)[0])
        after.append(out[at + 4 : at + 4 + len(frame)])
        at += 4 + len(frame)
    parts = []
    for _ in range(3):
        address, size = struct.unpack_from("=2Q", out, at)
        parts.append((address, out[at + 16 : at + 16 + size]))
        at += 16 + size
    return Native(verdicts, after, *parts)


def of_kernel(found: Object, frames: list[bytes]) -> tuple[list[int], list[bytes]]:
    runs = found.run_many(frames)
    return [int(run.verdict) for run in runs], [run.data for run in runs]


@pytest.mark.parametrize("mcdc", [False, True], ids=["branches", "mcdc"])
def test_the_kernel_and_the_native_build_count_and_answer_alike(tmp_path: Path, mcdc: bool) -> None:
    spec = coverage.instrument(SOURCE, mcdc=mcdc)
    frames = mutated(COUNT, seed=7 + mcdc)
    native = answered(compiled(tmp_path, mcdc=mcdc), frames)
    assert spec.profile is not None

    with spec.load() as found:
        http.set_up(found)
        counters = coverage.Counters(found)
        verdicts, after = of_kernel(found, frames)
        taken, bits = counters.take(), counters.take_bitmap()

    assert verdicts == native.verdicts
    assert after == native.frames
    assert sum(struct.unpack(f"={len(taken) // 8}Q", taken)) > 10 * COUNT
    for function in spec.profile.functions:
        size = function.counters * 8
        ours = taken[function.offset : function.offset + size]
        assert ours == native.of(function.name, 2, size), function.name
        if mcdc and function.bitmap:
            at = function.bitmap_offset
            ours = bits[at : at + function.bitmap]
            theirs = native.of(function.name, 3, function.bitmap)
            assert ours == theirs, function.name


@pytest.mark.parametrize("seed", [1, 2])
def test_the_plain_object_answers_as_the_instrumented_one(seed: int) -> None:
    frames = mutated(COUNT, seed=seed)
    answers = []
    for spec in (coverage.instrument(SOURCE), coverage.instrument(SOURCE).plain):
        assert spec is not None
        with spec.load() as found:
            http.set_up(found)
            answers.append((of_kernel(found, frames), http.counted(found)))

    assert answers[0] == answers[1]
