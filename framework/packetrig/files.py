"""Files that people ask for: written whole or not at all, and only where a file belongs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import Error


def check(path: str | os.PathLike[str], *, makes_folders: bool = False) -> None:
    """Say what is wrong with the name of a file to be written, before the work is done.

    Raises:
        Error: It is a folder, or its folder is not there (unless it will be made) or is no folder.
    """
    path = Path(path)
    if path.is_dir():
        raise Error(f"{path}: is a folder; name a file")
    folder = Path(os.path.realpath(path)).parent
    while makes_folders and not os.path.lexists(folder):
        folder = folder.parent
    if not folder.exists():
        raise Error(f"{path}: cannot be written: there is no folder {folder}")
    if not folder.is_dir():
        raise Error(f"{path}: cannot be written: {folder} is not a folder")


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file to be written; it appears, or is replaced, when all of it is there.

    A link stays: the file behind it is written. What exists and is no regular file (a device, a
    FIFO) is written straight to, never replaced.

    Raises:
        Error: It cannot be written.
    """
    path = Path(path)
    try:
        if _is_special(path):
            with path.open("wb") as file:
                yield file
            return
        check(path)
        # The folder of the file itself: a rename does not cross file systems.
        goal = Path(os.path.realpath(path))
        temporary = goal.with_name(f".packetrig-{os.getpid()}-{os.urandom(4).hex()}")
        try:
            with temporary.open("xb") as file:
                yield file
            temporary.replace(goal)
        finally:
            temporary.unlink(missing_ok=True)
    except (Error, BrokenPipeError):
        raise
    except OSError as e:
        raise Error(f"{path}: cannot be written: {(e.strerror or str(e)).lower()}") from e


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file, whole or not at all, as `writing` does; its folders are made.

    Raises:
        Error: It cannot be written.
    """
    check(path, makes_folders=True)
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise Error(f"{path}: cannot be written: {(e.strerror or str(e)).lower()}") from e
    with writing(path) as file:
        file.write(data)


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
