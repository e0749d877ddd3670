"""Kernels that the distribution offers: named, downloaded and unpacked, never installed.

Debian and Ubuntu split a kernel into packages in different ways; whatever carries the release in
its name and holds the image or modules is taken.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import Error

# A release has a third number or an ABI: linux-image-6.12-amd64 is a package that holds nothing.
_RELEASE = re.compile(r"\d+\.\d+(\.\d+[\w.+~]*(-\d+)?|[\w.+~]*-\d+)-(amd64|arm64|generic)")
_IMAGE = "linux-image-"
_PARTS = ("linux-image-", "linux-binary-", "linux-modules-", "linux-modules-extra-")


def offered() -> list[str]:
    """List the releases that apt knows, oldest first; none where there is no apt."""
    if not shutil.which("apt-cache"):
        return []
    names = _said(["apt-cache", "pkgnames", _IMAGE], "list kernels").split()
    found = {name.removeprefix(_IMAGE) for name in names}
    return sorted((each for each in found if _RELEASE.fullmatch(each)), key=numbers)


def numbers(release: str) -> tuple[int, ...]:
    """Return what releases are ordered by."""
    return tuple(int(each) for each in re.findall(r"\d+", release))


def fetch(release: str, into: Path) -> None:
    """Download a kernel's packages, and unpack them into a folder, which appears whole.

    Raises:
        Error: apt could not, in its own words.
    """
    known = set(_said(["apt-cache", "pkgnames", "linux-"], "list kernels").split())
    packages = [name for part in _PARTS if (name := f"{part}{release}") in known]
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into.parent, prefix=".fetching-") as place:
            options = ["-q", "-o", "Acquire::Retries=3"]
            # Without it apt complains that its own user cannot write here.
            options += ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
            _said(["apt-get", *options, "download", *packages], f"fetch {release}", cwd=place)
            unpack(sorted(Path(place).glob("*.deb")), into)
    except OSError as e:
        raise Error(f"the kernel {release} cannot be kept in {into.parent}: {e}") from e


def unpack(packages: Sequence[Path], into: Path) -> None:
    """Unpack packages into a folder, which appears whole, or is there already.

    Raises:
        Error: One is no package of Debian's kind.
    """
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".unpacking-") as place:
        for package in packages:
            _said(["dpkg-deb", "-x", str(package), f"{place}/tree"], f"unpack {package.name}")
        try:
            Path(place, "tree").rename(into)
        except OSError:  # somebody else was faster
            if not into.is_dir():
                raise


def _said(words: Sequence[str], what: str, *, cwd: str | None = None) -> str:
    try:
        ended = subprocess.run(
            words,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as e:
        raise Error(f"{words[0]} does not start: {e.strerror or e}") from e
    if ended.returncode:
        lines = [line for line in ended.stderr.splitlines() if line.startswith("E:")]
        why = (lines or ended.stderr.strip().splitlines() or ["it said nothing"])[0]
        hint = "; try: apt-get update" if words[0] == "apt-get" else ""
        raise Error(f"{words[0]} could not {what}: {why}{hint}")
    return ended.stdout
