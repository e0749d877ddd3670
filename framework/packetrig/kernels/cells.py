"""One command on many kernels and compilers: each pair is a cell of the matrix."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from itertools import product
from pathlib import Path

from ..errors import Error
from . import guest, images
from .guest import Ended
from .results import OPTIONS, Tested, read

HOST = "host"
# In the environment of the command: where it may leave files, which --logs keeps.
RESULTS = "PACKETRIG_RESULTS"
_PLAIN_NUMBER = re.compile(r"\d+")


class Answer(Enum):
    """Say what came of a cell."""

    HELD = "held"
    FAILED = "FAILED"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Cell:
    """Name a cell: `kernel` as the user wrote it, `image` that it means (None: the one that runs).

    `clang` is what CLANG will be, "" for the one that is found.
    """

    kernel: str
    image: Path | None
    clang: str = ""

    @property
    def name(self) -> str:
        """Name it for people and files."""
        kernel = self.kernel.rstrip("/").rpartition("/")[2]
        return f"{kernel}-{Path(self.clang).name}" if self.clang else kernel


@dataclass(frozen=True, slots=True)
class Result:
    """Tell what came of a cell: how the command ended, and what each test said if it was pytest."""

    cell: Cell
    ended: Ended
    folder: Path
    tests: Mapping[str, Tested] = field(default_factory=dict)

    @property
    def answer(self) -> Answer:
        """Decide by the exit code alone: 0 held, 1 the programs are wrong, others tell nothing."""
        if self.ended.code not in (0, 1):
            return Answer.UNDECIDED
        return Answer.FAILED if self.ended.code else Answer.HELD

    @property
    def said(self) -> str:
        """Say in a few words how the command ended, where it did not hold."""
        if self.ended.code is None:
            return self.ended.why
        return "" if self.ended.code == 0 else f"exit code {self.ended.code}"

    @property
    def report(self) -> Path:
        """Return where pytest's own report is, if it wrote one."""
        return self.folder / "junit.xml"


def cells(
    kernels: Sequence[str],
    clangs: Sequence[str] = (),
    *,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Cell]:
    """Pair each kernel with each compiler, and find the images.

    Raises:
        Error: An image is not to be had, or a cell is named twice.
        ToolMissing: What boots other kernels is not installed.
    """
    found = {each: None if each == HOST else images.find(each, tell=tell) for each in kernels}
    if any(found.values()) and (lacking := guest.missing()) is not None:
        raise lacking
    compilers = [f"clang-{c}" if _PLAIN_NUMBER.fullmatch(c) else c for c in clangs] or [""]
    made = [Cell(kernel, found[kernel], clang) for kernel, clang in product(kernels, compilers)]
    names = [each.name for each in made]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise Error(f"'{twice}' is named twice")
    return made


def run(
    wanted: Sequence[Cell],
    words: Sequence[str],
    *,
    timeout: float,
    memory: str,
    keep: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Result]:
    """Run a command in each cell, one after the other, and yield what came of each.

    Args:
        wanted: The cells.
        words: The command; where it is pytest, or starts it, its report is read as well.
        timeout: Seconds for one cell.
        memory: Of a machine, as QEMU takes it.
        keep: A folder for what each printed and reported; else it is gone after the last.
        tell: Is told which cell is next.

    Raises:
        Error: There is no such command; a folder cannot be written.
    """
    if not shutil.which(words[0]):
        raise Error(f"{words[0]}: there is no such command; name one on PATH, or its path")
    with _folder(keep) as base:
        for cell in wanted:
            tell(f"{cell.name}: {shlex.join(words)}")
            yield _one(cell, words, base / cell.name, timeout, memory)


def _one(cell: Cell, words: Sequence[str], folder: Path, timeout: float, memory: str) -> Result:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise Error(f"{folder}: cannot be made: {e.strerror or e}") from e
    report = folder / "junit.xml"
    for stale in (report, folder / "code", folder / "output", folder / "release"):
        stale.unlink(missing_ok=True)
    options = OPTIONS.format(path=shlex.quote(str(report)))
    options = f"{os.environ.get('PYTEST_ADDOPTS', '')} {options}".strip()
    variables = {"PYTEST_ADDOPTS": options, RESULTS: str(folder)}
    variables |= {"CLANG": cell.clang} if cell.clang else {}
    if cell.image is None:
        ended = _here(words, variables, folder, timeout)
    else:
        ended = guest.run(
            cell.image, words, results=folder, timeout=timeout, memory=memory, variables=variables
        )
    return Result(cell, ended, folder, read(report))


def _here(
    words: Sequence[str], variables: Mapping[str, str], folder: Path, timeout: float
) -> Ended:
    began = time.monotonic()
    code: int | None = None
    why = ""
    with (folder / "output").open("wb") as output:
        try:
            code = subprocess.run(
                words,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            why = f"its command did not end within {timeout:g} s"
        except OSError as e:
            raise Error(f"{words[0]}: does not start: {e.strerror or e}") from e
    if code is not None and code < 0:
        why = f"its command was ended by signal {-code}"
        code = None
    said = (folder / "output").read_text(encoding="utf-8", errors="replace")
    return Ended(platform.release(), code, time.monotonic() - began, said, why)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="packetrig-matrix-") as made:
        yield Path(made)
