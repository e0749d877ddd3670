"""Which image of a kernel is meant: a file, an unpacked package, or a release like 6.1."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from ..errors import Error, NotFound
from ..toolchain import cache
from . import apt

_BOOT = Path("/boot")
_VERSION = re.compile(r"\d+(\.\d+)*([-.+~]\w+)*")
# How images begin, and where: x86's bzImage, arm64's Image, a compressed one, an ELF file.
_MAGIC = ((0x202, b"HdrS"), (0x38, b"ARM\x64"), (0, b"\x1f\x8b"), (0, b"\x7fELF"))
_IMAGES = ("boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz", "lib/modules/*/vmlinuz")


def find(wanted: str, *, tell: Callable[[str], None] = lambda _: None) -> Path:
    """Find the image of a kernel; what is downloaded stays in the cache.

        find("6.1")                         the newest 6.1 of /boot, the cache, or apt
        find("build/vmlinuz-6.9.0")         an image; its modules where distributions put them
        find("linux-image-6.12...deb")      a package, unpacked into the cache

    Args:
        wanted: A release or its beginning, or the path of an image, of a package (.deb), or of a
            folder that holds an unpacked one.
        tell: Is told what takes long.

    Raises:
        NotFound: There is no such file, or no kernel of that release is known here.
        Error: A package cannot be fetched or unpacked.
    """
    path = Path(wanted)
    if "/" in wanted or path.exists():
        return _given(path)
    if not _VERSION.fullmatch(wanted):
        raise Error(
            f"kernel '{wanted}': is neither a release (6.1, 6.12.100) nor a path; "
            "name an image (vmlinuz), a package (.deb), or 'host'"
        )
    kept = _kept()
    images = [*_BOOT.glob("vmlinuz-*"), *(image for each in _folders(kept) for image in _in(each))]
    here = {_release(image): image for image in images if os.access(image, os.R_OK)}
    if found := _newest(wanted, here):
        return here[found]
    offered = apt.offered()
    release = _newest(wanted, offered)
    if release is None:
        raise NotFound(_unknown(wanted, [*here, *offered]))
    tell(f"{release}: fetching it")
    apt.fetch(release, kept / release)
    return _one(kept / release)


def _given(path: Path) -> Path:
    if path.is_dir():
        return _one(path)
    if not path.exists():
        raise NotFound(f"{path}: there is no such image of a kernel")
    if path.suffix != ".deb":
        # QEMU would run what is none, and wait for ever.
        with path.open("rb") as file:
            head = file.read(0x300)
        if not any(head[at:].startswith(magic) for at, magic in _MAGIC):
            raise Error(f"{path}: is no image of a kernel")
        return path.resolve()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    into = _kept() / f"{path.stem}-{digest[:12]}"
    if not into.is_dir():
        into.parent.mkdir(parents=True, exist_ok=True)
        apt.unpack([path], into)
    return _one(into)


def _kept() -> Path:
    return cache.folder(os.environ) / "kernels"


def _folders(folder: Path) -> list[Path]:
    return [each for each in folder.glob("[!.]*") if each.is_dir()] if folder.is_dir() else []


def _in(folder: Path) -> list[Path]:
    return sorted(image for pattern in _IMAGES for image in folder.glob(pattern))


def _one(folder: Path) -> Path:
    images = _in(folder)
    if not images:
        raise NotFound(f"{folder}: holds no image of a kernel: {', '.join(_IMAGES)}")
    return images[-1].resolve()


def _release(image: Path) -> str:
    name = image.name.removeprefix("vmlinuz-")
    return image.parent.name if name == "vmlinuz" else name


def _newest(wanted: str, releases: Iterable[str]) -> str | None:
    # "6.1" is not the beginning of 6.12.
    fitting = [r for r in releases if r == wanted or re.match(rf"{re.escape(wanted)}[-.+~]", r)]
    return max(fitting, key=apt.numbers, default=None)


def _unknown(wanted: str, known: Iterable[str]) -> str:
    pairs = sorted({apt.numbers(each)[:2] for each in known})
    series = [".".join(map(str, pair)) for pair in pairs]
    there = f"there are: {', '.join(series)}" if series else "none is known here"
    return f"kernel {wanted}: {there}; try apt-get update, or name an image (vmlinuz) or a package"
