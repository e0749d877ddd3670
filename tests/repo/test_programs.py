"""Compile every program of the project with every clang that is here: no warning, ever."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from packetrig import toolchain

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted([*(ROOT / "progs").rglob("*.bpf.c"), *(ROOT / "benchmarks").glob("*.bpf.c")])


def clangs() -> Iterator[str]:
    """Name the clang that is used, and every other clang-N from 14 up on PATH."""
    newest = toolchain.find_clang()
    yield str(newest.path)
    for major in range(14, 31):
        found = shutil.which(f"clang-{major}")
        if found and major != newest.major and "CLANG" not in os.environ:
            yield found


@pytest.mark.parametrize("clang", list(clangs()), ids=lambda path: Path(path).name)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_program_compiles_without_a_warning(
    program: Path, clang: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLANG", clang)

    built = toolchain.compile(program, include=[ROOT / "progs"])

    assert built.warnings == ""
    assert {"-Wall", "-Wextra", "-O2", "-g"} <= set(built.command)


def test_the_project_has_programs_of_each_sort() -> None:
    folders = {path.parent.name for path in PROGRAMS}

    assert {"progs", "faulty", "rejected"} <= folders
    assert all(re.fullmatch(r"[a-z0-9_]+\.bpf\.c", path.name) for path in PROGRAMS)
