"""Files that people name: read with a word for what is wrong, written whole or not at all."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from .errors import Error, NotFound


def is_object(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is compiled already: by its name, .o, or by how it begins.

    Rust's have no ending, and those that Go packages carry often end in .elf.
    """
    path = Path(path)
    if path.suffix == ".o":
        return True
    try:
        if not path.is_file():
            return False  # reading a FIFO would take what it holds
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


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
        raise Error(f"{path}: cannot be written: {reason(e)}") from e


def encoded(text: str) -> bytes:
    """Encode a report, of JSON, XML or HTML; what is no text in a file's name is `?` there."""
    return text.encode(errors="replace")


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file, whole or not at all, as `writing` does; its folders are made.

    Raises:
        Error: It cannot be written.
    """
    check(path, makes_folders=True)
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise Error(f"{path}: cannot be written: {reason(e)}") from e
    with writing(path) as file:
        file.write(data)


def read(path: str | os.PathLike[str], what: str) -> bytes:
    """Read a file; `what` is how errors call it.

    Raises:
        NotFound: There is no such file.
        Error: It cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as e:
        raise NotFound(f"{path}: there is no such {what}") from e
    except OSError as e:
        raise Error(f"{path}: cannot be read: {reason(e)}") from e


def toml(path: str | os.PathLike[str], what: str) -> dict[str, Any]:
    """Read a TOML file; `what` is how errors call it.

    Raises:
        NotFound: There is no such file.
        Error: It cannot be read, or is not TOML.
    """
    return parsed(read(path, what), path)


def parsed(data: bytes, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Parse what was read of a TOML file.

    Raises:
        Error: It is not TOML.
    """
    try:
        return tomllib.loads(data.decode("utf-8-sig"))  # some editors put a mark in front
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise Error(f"{path}: is not TOML: {str(e)[:1].lower()}{str(e)[1:]}") from e


def reason(e: OSError) -> str:
    """Say why a file was refused, in the system's words."""
    return (e.strerror or str(e)).lower()


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
