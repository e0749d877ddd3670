"""The journal of a spot: what stands there, what stood there before, and what is being done.

It is written before each step and after it, whole or not at all, and is on the disk before the
step is taken: whoever finds it after a SIGKILL or a crash knows what may have happened since.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import struct
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import Error, PermissionDenied
from .places import HOOKS, Spot, boot, started

FORMAT = 1
NOTHING, STRANGER, OURS = "nothing", "stranger", "ours"
# In this order; `undoing` may follow each of them but the last.
PREPARING, CHANGING, WATCHING, KEEPING, UNDOING = (
    "preparing",
    "changing",
    "watching",
    "keeping",
    "undoing",
)
_TYPES = {"int": int, "str": str, "Mapping[str, Any]": dict}
_UNKNOWN = (
    "what is attached is not known; `packetrig detach --forget --mode ...` gives the journal up, "
    "and touches nothing else"
)
_FLOCK = struct.Struct("hhqqi4x")


class Busy(Error):
    """Say that another command is at work on the same spot."""


@dataclass(frozen=True, slots=True)
class Generation:
    """Describe one program that stood at a spot; number 0 is what was there before packetrig."""

    number: int
    what: str
    program: str = ""
    id: int = 0
    tag: str = ""
    object: str = ""  # the path that was given
    sha256: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    globals: Mapping[str, Any] = field(default_factory=dict)  # what they were set to
    forced: str = ""
    user: str = ""
    at: str = ""

    @property
    def told(self) -> str:
        """Name it in a sentence."""
        if self.what == NOTHING:
            return "nothing"
        name = self.program or "a program"
        return f"{name} (id {self.id}{', not ours' if self.what == STRANGER else ''})"


@dataclass(frozen=True, slots=True)
class Work:
    """Say what is being done: from which generation to which, how far, and by which process."""

    kind: str
    origin: int
    goal: int
    phase: str
    pid: int
    started: int

    @property
    def is_alive(self) -> bool:
        """Tell whether the process that does it is still there."""
        return bool(self.started) and started(self.pid) == self.started


@dataclass(frozen=True, slots=True)
class Journal:
    """Hold everything that is known about a spot."""

    interface: str
    index: int
    netns: int
    hook: str
    mode: str
    carrier: Mapping[str, Any]
    generations: tuple[Generation, ...]
    boot: str
    work: Work | None = None
    last: str = ""
    cookie: int = 0  # of the network namespace; 0 when it is not known

    @property
    def spot(self) -> Spot:
        """Return the spot that it is about."""
        return Spot(self.interface, self.hook, self.netns)

    @property
    def pins(self) -> Path:
        """Return where its pins are."""
        return self.spot.pins(self.index)

    @property
    def top(self) -> Generation:
        """Return what should be attached, when nothing is unfinished."""
        return self.generations[-1]

    @property
    def is_of_this_boot(self) -> bool:
        """Tell whether what it speaks of can still be there."""
        return self.boot == boot()

    def generation(self, number: int) -> Generation:
        """Return a generation by its number.

        Raises:
            Error: The journal does not have it: somebody changed the file.
        """
        for each in self.generations:
            if each.number == number:
                return each
        raise Error(f"{self.spot.folder}/journal.json: speaks of a generation {number} it has not")

    def to(self, phase: str) -> Journal:
        """Return it with the work one phase further."""
        assert self.work is not None
        return dataclasses.replace(self, work=dataclasses.replace(self.work, phase=phase))


def begin(kind: str, origin: int, goal: int, *, phase: str) -> Work:
    """Make the entry of a work that this process begins."""
    return Work(kind, origin, goal, phase, os.getpid(), started(os.getpid()))


def path_of(spot: Spot) -> Path:
    """Return the file of a spot's journal."""
    return spot.folder / "journal.json"


def is_known(spot: Spot) -> bool:
    """Tell whether there may be a journal of a spot; who may not look is told so by the lock."""
    try:
        return path_of(spot).exists()
    except OSError:
        return True


def read(spot: Spot) -> Journal | None:
    """Read the journal of a spot; None when there is none.

    Raises:
        Error: It cannot be read, is broken, or is of a newer format.
    """
    return read_file(path_of(spot))


def read_file(path: Path) -> Journal | None:
    """Read a journal from its file; None when there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except PermissionError as e:
        raise PermissionDenied(f"{path}: not permitted; run it as root") from e
    except (OSError, UnicodeDecodeError) as e:
        raise Error(f"{path}: cannot be read: {e}") from e
    try:
        found = json.loads(text)
        number = found["format"]
    except (ValueError, KeyError, TypeError) as e:
        raise Error(f"{path}: is no journal of packetrig; {_UNKNOWN}") from e
    if number != FORMAT:
        raise Error(f"{path}: format {number!r} is not known; this packetrig reads {FORMAT}")
    try:
        journal = _journal(found)
    except (KeyError, TypeError, ValueError) as e:
        raise Error(f"{path}: is broken ({e}); {_UNKNOWN}") from e
    if journal.spot.folder.name != path.parent.name:
        raise Error(f"{path}: is about {journal.spot.name}, another spot; {_UNKNOWN}")
    return journal


def _journal(found: Mapping[str, Any]) -> Journal:
    parts = {key: value for key, value in found.items() if key != "format"}
    work = parts.pop("work")
    generations = tuple(Generation(**each) for each in parts.pop("generations"))
    journal = Journal(**parts, generations=generations, work=None if work is None else Work(**work))
    _check_types(journal)
    for each in generations:
        _check_types(each)
    if journal.work is not None:
        _check_types(journal.work)
    if not generations:
        raise ValueError("it has no generations")
    if not 0 < journal.index < 1 << 31:
        raise ValueError(f"index {journal.index}")
    if journal.mode not in HOOKS.get(journal.hook, ()):
        raise ValueError(f"mode {journal.mode} of hook {journal.hook}")
    _check_carrier(journal.carrier)
    return journal


def _check_types(part: Journal | Generation | Work) -> None:
    for each in dataclasses.fields(part):
        wanted = _TYPES.get(str(each.type))
        value = getattr(part, each.name)
        if wanted and type(value) is not wanted:
            raise TypeError(f"{each.name} is {value!r}")


def _check_carrier(carrier: Mapping[str, Any]) -> None:
    names = ("priority", "handle", "protocol") if carrier["by"] == "filter" else ()
    for name in names:
        if type(carrier[name]) is not int:
            raise TypeError(f"{name} is {carrier[name]!r}")


def write(journal: Journal) -> None:
    """Write a journal; it is on the disk when this returns.

    Raises:
        Error: It cannot be written.
    """
    path = path_of(journal.spot)
    text = json.dumps(
        {"format": FORMAT, **dataclasses.asdict(journal)}, indent=1, sort_keys=True, default=dict
    )
    durable(path, f"{text}\n".encode())


def durable(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, and wait until the disk has it.

    Raises:
        Error: It cannot be written.
    """
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as e:
        raise Error(f"{path}: cannot be written: {(e.strerror or str(e)).lower()}") from e


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def forget(spot: Spot) -> None:
    """Remove a journal: nothing of packetrig is left at the spot. The lock stays."""
    path_of(spot).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        _sync_folder(spot.folder)


def all_files() -> list[Path]:
    """List the journals of this machine.

    Raises:
        PermissionDenied: They are not for everybody to read.
    """
    folder = Spot("", "", 0).folder.parent
    try:
        # A glob would keep silent about what it may not read.
        paths = [each / "journal.json" for each in folder.iterdir()]
        return sorted(path for path in paths if path.exists())
    except FileNotFoundError:
        return []
    except PermissionError as e:
        raise PermissionDenied(f"{folder}: not permitted; run it as root") from e
    except OSError as e:
        raise Error(f"{folder}: cannot be read: {(e.strerror or str(e)).lower()}") from e


@contextmanager
def locked(spot: Spot) -> Iterator[int]:
    """Own a spot for the length of a with block; yields the descriptor that holds it.

    The lock is the open file's: a child that inherits the descriptor holds it as well.

    Raises:
        Busy: Another command is at work there.
    """
    with owned(spot.folder, spot.name) as fd:
        yield fd


@contextmanager
def owned(folder: Path, name: str) -> Iterator[int]:
    """Own the folder of a spot, whose name is told, for the length of a with block."""
    path = folder / "lock"
    while True:
        fd = _lock_file(path)
        try:
            try:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, 0, 0, 0, 0))
            except BlockingIOError as e:
                who = os.pread(fd, 64, 0).decode(errors="replace").strip() or "unknown"
                raise Busy(
                    f"{name}: another packetrig is at work there (process {who}): wait for it, or "
                    "look with `packetrig status`"
                ) from e
            if not os.fstat(fd).st_nlink:
                continue  # swept away between the two: it keeps nobody out
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
            for half in folder.glob(".*"):  # of somebody who was killed while he wrote
                half.unlink(missing_ok=True)
            yield fd
            return
        finally:
            os.close(fd)


def _lock_file(path: Path) -> int:
    try:
        while True:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.suppress(FileNotFoundError):  # the folder was swept away just now
                return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as e:
        raise PermissionDenied(f"{path}: not permitted; run it as root") from e
    except OSError as e:
        raise Error(f"{path}: cannot be opened: {(e.strerror or str(e)).lower()}") from e


def is_locked(folder: Path) -> bool:
    """Tell whether a command is at work on the spot of a folder, without getting in its way."""
    try:
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, 0, 0, 0, 0))
        return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
    finally:
        os.close(fd)


def sweep(journal: Journal) -> None:
    """Take away the pins of generations that the journal does not have."""
    unpin(journal.pins, keeping={f"generation-{each.number}" for each in journal.generations})


def unpin(pins: Path, *, keeping: Collection[str] = ()) -> None:
    """Take away the generations that are pinned at a spot; a link is nobody's to take away here."""
    for folder in pins.glob("generation-*"):
        if folder.name not in keeping:
            shutil.rmtree(folder, ignore_errors=True)


def unpin_all(journal: Journal) -> None:
    """Take away every pin of a spot, but a link that was there before us."""
    unpin(journal.pins)
    if not journal.carrier.get("kept"):
        (journal.pins / "link").unlink(missing_ok=True)
    # The last one closes the door.
    for folder in (journal.pins, journal.pins.parent):
        with contextlib.suppress(OSError):
            folder.rmdir()
