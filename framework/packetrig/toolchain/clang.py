"""Find clang, from version 14 up, and the LLVM tools that belong to it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import Error, ToolMissing
from .cache import Cache, folder

OLDEST = 14
# Releases come twice a year: this is good until about 2038. A newer one is found as plain clang.
NEWEST = 45
_ADVICE = (
    f"clang {OLDEST} or newer is needed (apt-get install clang-19 llvm-19, or clang llvm); "
    "CLANG= names one that is not on PATH"
)


@dataclass(frozen=True, slots=True)
class Clang:
    """Name one clang: `version` is its own first line, `search` where it looks for headers.

    `stamp` is the program's size and time: with the version it tells whether it was replaced.
    """

    path: Path
    major: int
    version: str
    search: tuple[str, ...] = ()
    stamp: tuple[int, int] = (0, 0)


def find_clang() -> Clang:
    """Find the clang that CLANG names, else the newest clang-N or clang on PATH.

    Raises:
        ToolMissing: there is none, or it is too old; the message says how to get one.
    """
    cache = Cache(folder(os.environ))
    if named := os.environ.get("CLANG"):
        return _named(cache, named)
    numbered = _first_that_runs(cache, range(NEWEST, OLDEST - 1, -1))
    plain = _plain(cache)
    found = [clang for clang in (numbered, plain) if clang and clang.major >= OLDEST]
    if found:
        return max(found, key=lambda clang: clang.major)  # the first of equals: the numbered one
    old = plain or _first_that_runs(cache, range(OLDEST - 1, 8, -1))
    have = f"{old.path} is version {old.major}" if old else "no clang found"
    raise ToolMissing(f"{have}: {_ADVICE}")


def tool(name: str) -> Path:
    """Find an LLVM tool (llvm-cov, llvm-profdata, llvm-objdump) of the same version as clang.

    Raises:
        ToolMissing: there is none of that version.
    """
    clang = find_clang()
    for beside in (clang.path.resolve().parent / name, clang.path.parent / name):
        # /usr/bin/llvm-cov may be of any version: asked below.
        if beside.parent != Path("/usr/bin") and os.access(beside, os.X_OK):
            return beside
    if numbered := shutil.which(f"{name}-{clang.major}"):
        return Path(numbered)
    plain = shutil.which(name)
    if plain and re.search(rf"LLVM version {clang.major}\b", run([plain, "--version"]).stdout):
        return Path(plain)
    raise ToolMissing(
        f"no {name} of LLVM {clang.major}, the version of {clang.path}: "
        f"apt-get install llvm-{clang.major}"
    )


def run(command: Sequence[str], *, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a compiler or tool, with messages in English and nothing to read from.

    Raises:
        ToolMissing: the program does not start.
    """
    try:
        return subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            check=False,
        )
    except OSError as e:
        raise ToolMissing(f"{command[0]} does not start: {e.strerror or e}; {_ADVICE}") from e


def _named(cache: Cache, named: str) -> Clang:
    found = shutil.which(named)
    if found is None:
        raise ToolMissing(f"CLANG={named}: there is no such program; {_ADVICE}")
    try:
        clang = _examine(cache, Path(found).absolute())
    except ToolMissing as e:
        raise ToolMissing(f"CLANG={named}: {e}") from e
    if clang.major < OLDEST:
        raise ToolMissing(f"CLANG={named} is version {clang.major}; {_ADVICE}")
    return clang


def _first_that_runs(cache: Cache, versions: Iterable[int]) -> Clang | None:
    for version in versions:
        if path := _on_path(f"clang-{version}"):
            try:
                return _examine(cache, path)
            except ToolMissing:
                continue  # broken, or no clang at all: as good as absent
    return None


def _plain(cache: Cache) -> Clang | None:
    try:
        return _examine(cache, path) if (path := _on_path("clang")) else None
    except ToolMissing:
        return None


def _on_path(name: str) -> Path | None:
    # shutil.which() asks three times as much of the file system, and most answers are no.
    for place in os.get_exec_path():
        path = f"{place}/{name}"
        if place and os.access(path, os.X_OK) and Path(path).is_file():
            return Path(path).absolute()
    return None


def _examine(cache: Cache, path: Path) -> Clang:
    # To ask clang takes 20 ms, so the answer is kept, with what would show that it is another now.
    real = path.resolve()
    try:
        status = real.stat()
    except OSError as e:
        raise ToolMissing(f"{path}: {e.strerror or e}") from e
    stamp = (status.st_size, status.st_mtime_ns)
    notes = cache.recall("compilers")
    notes = notes if isinstance(notes, dict) else {}
    match notes.get(str(real)):
        case {"stamp": [size, time], "version": str(version), "search": [*search]} if stamp == (
            size,
            time,
        ):
            return Clang(path, _major_of(path, version), version, tuple(search), stamp)
    version, found = _ask(path)
    clang = Clang(path, _major_of(path, version), version, found, stamp)
    note = {"stamp": list(stamp), "version": version, "search": list(found)}
    with contextlib.suppress(Error):  # to find clang needs no cache; whoever compiles hears of it
        cache.remember("compilers", {**notes, str(real): note})
    return clang


def _major_of(path: Path, version: str) -> int:
    if number := re.search(r"clang version (\d+)", version):
        return int(number[1])
    raise ToolMissing(f"{path} is no clang, it answers '{version}'")


def _ask(path: Path) -> tuple[str, tuple[str, ...]]:
    # One call tells both the version and where it looks for headers.
    answer = run([str(path), "-target", "bpf", "-E", "-v", "-x", "c", "/dev/null"])
    text = answer.stderr
    version = text.partition("\n")[0].strip()
    listed = re.search(
        r"#include <\.\.\.> search starts here:\n(.*?)End of search", text, re.DOTALL
    )
    return version, tuple(listed[1].split() if listed else ())
