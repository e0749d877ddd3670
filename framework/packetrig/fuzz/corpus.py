"""The frames that a campaign keeps: one file each, named by what is in it.

A file appears whole or not at all, and is never changed: its name is the hash of its bytes, so that
processes and machines may write into one folder, and any of them may be killed at any moment. What
else lies in the folder is named and left as it is.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import Error

SUFFIX = ".frame"
# Longer ones are no frames that any test run takes, and not what this wrote.
_MOST = 1 << 20
_NAME = re.compile(rf"[0-9a-f]{{32}}{re.escape(SUFFIX)}")
# What a process that was killed may leave where the file system cannot do without; see _put.
_TEMPORARY = ".packetrig-"
_SHOWN = 3
_NO_UNNAMED = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)


@dataclass(frozen=True, slots=True)
class Minimised:
    """Tell what minimising did: entries kept and removed, and how much the kept ones cover."""

    kept: int
    removed: int
    covered: int


class Corpus:
    """Hold the frames of a folder; without one, hold them in memory.

        corpus = Corpus("fixtures/corpus/xdp_http")
        for frame in corpus.load(): ...
        corpus.add(frame)

    The folder is made when the first frame is added.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self._known: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self._known.values()))

    def __contains__(self, frame: object) -> bool:
        return isinstance(frame, bytes) and name_of(frame) in self._known

    def load(self) -> list[bytes]:
        """Read all frames, in the order of their names: the same on every machine.

        Raises:
            Error: The folder is none, or holds what is no entry of a corpus, or an entry that
                cannot be read or is not what it was. All are named, and nothing is changed.
        """
        self._known = dict(self._read(self._names()))
        return list(self)

    def add(self, frame: bytes) -> bool:
        """Keep a frame; tell whether it is new here.

        Raises:
            Error: It cannot be written: the disk is full, the folder is a file.
        """
        name = name_of(frame)
        if name in self._known:
            return False
        if self.folder is not None:
            _put(self.folder, name, frame)
        self._known[name] = bytes(frame)
        return True

    def merge(self, other: Corpus) -> int:
        """Take over what another corpus holds; return how many frames were new here."""
        return sum(self.add(frame) for frame in other)

    def minimise(self, covering: Callable[[bytes], frozenset[int]]) -> Minimised:
        """Keep the fewest and smallest frames that cover all that the frames cover together.

        `covering` tells the things that a frame covers, as numbers. The rest is removed when all
        that stays is known, one after the other: whoever is killed in between has lost nothing.

        Raises:
            Error: Nothing covers anything, so nobody could tell what to keep; or a file cannot be
                removed.
        """
        found = [(name, frame, covering(frame)) for name, frame in self._known.items()]
        kept = _fewest({name: covers for name, _, covers in _plainest_first(found)})
        covered = frozenset[int]().union(*(covers for _, _, covers in found))
        if found and not covered:
            raise Error(
                f"{self.folder or 'the corpus'}: none of {len(found)} entries covers anything: is "
                "this the corpus of another program? nothing was removed"
            )
        removed = [name for name, _, _ in found if name not in kept]
        for name in removed:
            self._remove(name)
        return Minimised(len(kept), len(removed), len(covered))

    def _remove(self, name: str) -> None:
        if self.folder is not None:
            path = self.folder / name
            try:
                path.unlink(missing_ok=True)
            except OSError as e:
                raise Error(f"{path}: cannot be removed: {_why(e)}") from e
        del self._known[name]

    def _names(self) -> list[str]:
        if self.folder is None:
            return list(self._known)
        try:
            with os.scandir(self.folder) as found:
                names = sorted(e.name for e in found if not e.name.startswith(_TEMPORARY))
        except FileNotFoundError:
            return []
        except NotADirectoryError as e:
            raise Error(f"{self.folder}: is a file; a corpus is a folder") from e
        except OSError as e:
            raise Error(f"{self.folder}: cannot be read: {_why(e)}") from e
        foreign = [f"{self.folder / name}" for name in names if not _NAME.fullmatch(name)]
        if foreign:
            raise Error(
                f"{_listed(foreign)}: no part of a corpus, which holds {32 * 'x'}{SUFFIX} alone; "
                "move it away, or name another folder (nothing was changed)"
            )
        return names

    def _read(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        if self.folder is None:
            yield from ((name, self._known[name]) for name in names)
            return
        wrong = []
        for name in names:
            path = self.folder / name
            try:
                frame = _bytes_of(path)
            except FileNotFoundError:
                continue  # another process minimises the same folder
            except OSError as e:
                wrong.append(f"{path} cannot be read: {_why(e)}")
                continue
            if name_of(frame) == name:
                yield name, frame
            else:
                wrong.append(f"{path} is not what it was ({len(frame)} bytes): cut short?")
        if wrong:
            raise Error(f"{_listed(wrong)}; move it away: nothing was changed")


def name_of(frame: bytes) -> str:
    """Name the file of a frame: the first half of its SHA-256."""
    return hashlib.sha256(frame).hexdigest()[:32] + SUFFIX


def entry(path: Path) -> bytes:
    """Read one frame of a file; one that is named as entries of a corpus are must be what it was.

    Raises:
        Error: It cannot be read, or was cut short.
    """
    try:
        frame = _bytes_of(path)
    except OSError as e:
        raise Error(f"{path} cannot be read: {_why(e)}") from e
    if _NAME.fullmatch(path.name) and name_of(frame) != path.name:
        raise Error(f"{path} is not what it was ({len(frame)} bytes): cut short? move it away")
    return frame


def check(folder: str | os.PathLike[str]) -> None:
    """Say what is wrong with the folder of a corpus, before the work is done.

    Raises:
        Error: It, or what it would be made in, is a file, or cannot be written to.
    """
    path = Path(folder)
    while not path.exists() and path != path.parent:
        path = path.parent
    if not path.is_dir():
        raise Error(
            f"{folder}: {'' if path == Path(folder) else f'{path} '}is a file; name a folder"
        )
    if not os.access(path, os.W_OK | os.X_OK):
        raise Error(f"{folder}: cannot be written: permission denied")


def _bytes_of(path: Path) -> bytes:
    # A folder or a FIFO of that name is no entry, and must not be waited for.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(fd, "rb") as file:  # noqa: PTH123  # of a descriptor
        return file.read(_MOST)


def _put(folder: Path, name: str, frame: bytes) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _link_whole(folder, name, frame)
        except OSError as e:
            if e.errno not in _NO_UNNAMED:
                raise
            _rename_whole(folder, name, frame)
    except (FileExistsError, NotADirectoryError) as e:
        raise Error(f"{folder}: is a file; a corpus is a folder") from e
    except OSError as e:
        raise Error(f"{folder / name}: cannot be written: {_why(e)}") from e


def _link_whole(folder: Path, name: str, frame: bytes) -> None:
    # A file without a name, which gets one when all of it is there: whoever is killed before has
    # left nothing. Not every file system can (overlayfs since Linux 6.3).
    fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o644)
    try:
        _write_all(fd, frame)
        folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=folder_fd, follow_symlinks=True)
        except FileExistsError:
            pass  # the same frame, from another process
        finally:
            os.close(folder_fd)
    finally:
        os.close(fd)


def _rename_whole(folder: Path, name: str, frame: bytes) -> None:
    temporary = folder / f"{_TEMPORARY}{os.getpid()}-{os.urandom(4).hex()}"
    fd = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)
    try:
        try:
            _write_all(fd, frame)
        finally:
            os.close(fd)
        temporary.replace(folder / name)
    finally:
        temporary.unlink(missing_ok=True)


def _write_all(fd: int, frame: bytes) -> None:
    rest = memoryview(frame)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _plainest_first(
    found: Iterable[tuple[str, bytes, frozenset[int]]],
) -> list[tuple[str, bytes, frozenset[int]]]:
    return sorted(found, key=lambda entry: (len(entry[1]), entry[1]))


def _fewest(covers: dict[str, frozenset[int]]) -> set[str]:
    # Those that alone cover something cannot be left out; then, from the smallest on, each that
    # adds something; last, from the largest on, whoever became superfluous goes.
    counts: dict[int, int] = {}
    for each in covers.values():
        for number in each:
            counts[number] = counts.get(number, 0) + 1
    kept = {name for name, each in covers.items() if any(counts[number] == 1 for number in each)}
    seen: set[int] = set().union(*(covers[name] for name in kept))
    for name, each in covers.items():
        if not each <= seen:
            kept.add(name)
            seen |= each
    held: dict[int, int] = {}
    for name in kept:
        for number in covers[name]:
            held[number] = held.get(number, 0) + 1
    for name in reversed(covers):
        if name in kept and all(held[number] > 1 for number in covers[name]):
            kept.remove(name)
            for number in covers[name]:
                held[number] -= 1
    return kept


def _listed(lines: list[str]) -> str:
    more = len(lines) - _SHOWN
    return ", ".join(lines[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _why(e: OSError) -> str:
    return (e.strerror or str(e)).lower()
