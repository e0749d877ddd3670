"""Keep compiled objects, and find them again by everything that went into them.

Two steps. A *manifest* is found by the source's content, the command and the compiler. It lists the
headers that this compilation read, each with the hash of its content, and the places where a new
file would be found before one of them. When all are as they were, the manifest names the object, by
the hash of its content. Every file is read again each time: no clock and no time stamp is trusted.

What it cannot see: a `__has_include()` that was false and would now be true.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import Error

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """List what one compilation read, and what came out.

    `headers` maps each path to the hash of its content, `absent` are paths that must not exist.
    """

    source: str
    object: str
    sha256: str
    warnings: str
    headers: Mapping[str, str]
    absent: tuple[str, ...]
    format: int = FORMAT


class Cache:
    """Keep manifests and objects in a folder; several processes may use it at once."""

    __slots__ = ("root",)

    def __init__(self, root: Path) -> None:
        self.root = root

    def look_up(self, key: str) -> tuple[Manifest, Path] | None:
        """Find what was compiled from exactly the same; None when it must be compiled again."""
        manifest = _read_manifest(self._manifest_path(key))
        if manifest is None or any(os.path.lexists(path) for path in manifest.absent):
            return None
        path = self._object_path(manifest)
        if digest_of(path) != manifest.sha256:
            return None
        if any(digest_of(Path(p)) != sha256 for p, sha256 in manifest.headers.items()):
            return None
        return manifest, path

    def store(self, key: str, manifest: Manifest, content: bytes, *, is_final: bool = True) -> Path:
        """Keep an object; without `is_final` it is not found again, only used this once."""
        path = self._object_path(manifest)
        with self._explained():
            if digest_of(path) != manifest.sha256:
                _write(path, content)
            if is_final:
                text = json.dumps(asdict(manifest), indent=1, sort_keys=True)
                _write(self._manifest_path(key), text.encode())
        return path

    def recall(self, name: str) -> Any:
        """Read a small note that `remember` wrote; None when there is none."""
        try:
            return json.loads((self.root / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            return None

    def remember(self, name: str, note: object) -> None:
        """Write a small note that is only there to save time."""
        with self._explained():
            _write(self.root / f"{name}.json", json.dumps(note, indent=1, sort_keys=True).encode())

    def header(self, text: str) -> Path:
        """Keep a C header that was made here; the same text is the same file."""
        content = text.encode()
        path = self.root / "headers" / f"{hashlib.sha256(content).hexdigest()}.h"
        with self._explained():
            if digest_of(path) != path.stem:
                _write(path, content)
        return path

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Wait until no other process compiles the same; 256 locks are enough for all keys."""
        with self._explained():
            path = self.root / "locks" / key[:2]
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a")
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)  # closing it unlocks
            yield

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a folder for one compilation; it is gone afterwards."""
        with self._explained():
            (self.root / "scratch").mkdir(parents=True, exist_ok=True)
            place = tempfile.TemporaryDirectory(dir=self.root / "scratch")
        with place as path:
            yield Path(path)

    def _manifest_path(self, key: str) -> Path:
        return self.root / "manifests" / key[:2] / f"{key}.json"

    def _object_path(self, manifest: Manifest) -> Path:
        # The file keeps its name: libbpf calls an object, and its maps of globals, after it.
        return self.root / "objects" / manifest.sha256[:2] / manifest.sha256 / manifest.object

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            raise Error(
                f"the cache folder {self.root} cannot be written: {e.strerror or e}; "
                "set PACKETRIG_CACHE= to a folder that can"
            ) from e


def folder(environment: Mapping[str, str]) -> Path:
    """Tell where compiled objects are kept: PACKETRIG_CACHE, else XDG_CACHE_HOME, else ~/.cache.

    Where the last two cannot be written, it is a folder of this user alone among the temporary
    ones; `elsewhere` says so.

    Raises:
        Error: That one is not this user's alone: what is loaded must be nobody else's.
    """
    if own := environment.get("PACKETRIG_CACHE"):
        return Path(own).absolute()
    wanted = _usual(environment)
    return wanted if wanted and _can_be_written(wanted) else _private()


def elsewhere(environment: Mapping[str, str]) -> str:
    """Say that compiled objects are not kept where they usually are, and why; else ""."""
    if environment.get("PACKETRIG_CACHE"):
        return ""
    wanted = _usual(environment)
    if wanted and _can_be_written(wanted):
        return ""
    why = f"{wanted} cannot be written" if wanted else "there is no home folder"
    where = f"compiled objects are kept in {folder(environment)}"
    return f"{why}: {where} (PACKETRIG_CACHE= names another)"


def _usual(environment: Mapping[str, str]) -> Path | None:
    # The XDG specification says that a relative path is to be ignored.
    if (shared := environment.get("XDG_CACHE_HOME", "")) and Path(shared).is_absolute():
        return Path(shared) / "packetrig"
    if home := environment.get("HOME"):
        return Path(home).absolute() / ".cache" / "packetrig"
    try:
        return Path.home() / ".cache" / "packetrig"
    except RuntimeError:
        return None


def _can_be_written(path: Path) -> bool:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(path, os.W_OK | os.X_OK)


def _private() -> Path:
    name = "there is no folder to keep compiled objects in"
    try:
        path = Path(tempfile.gettempdir()) / f"packetrig-{os.geteuid()}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()  # a link may lead anywhere
    except OSError as e:
        raise Error(f"{name}: {e.strerror or e}; set PACKETRIG_CACHE= to one") from e
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if not is_ours or found.st_mode & 0o077:
        raise Error(
            f"{name}: {path} is not a folder that this user alone can use; remove it, or set "
            "PACKETRIG_CACHE= to one"
        )
    return path


def digest_of(path: Path) -> str | None:
    """Hash the content of a file; None when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _read_manifest(path: Path) -> Manifest | None:
    # Anything but what we wrote ourselves is as good as no manifest: it is written again.
    try:
        fields = json.loads(path.read_bytes())
        manifest = Manifest(**{**fields, "absent": tuple(fields["absent"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    names = (manifest.object, manifest.sha256, manifest.warnings)
    is_sound = all(isinstance(name, str) for name in names) and isinstance(manifest.headers, dict)
    return manifest if is_sound and manifest.format == FORMAT else None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Containers that share the folder have equal process ids.
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
