"""Who keeps a link alive besides us: a process that has it open, or a pin somewhere else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import Error
from . import kernel

_LINK = ("anon_inode:bpf_link", "anon_inode:bpf-link")


def is_anybodys(link: Path) -> bool:
    """Tell whether somebody else keeps the link of a pin alive.

    What cannot be seen, as a pin in a container's own bpffs, counts as nobody.
    """
    with kernel.pinned(link) as fd:
        number = _number(f"/proc/self/fdinfo/{fd}")
    return any(each == number for each in _open()) or any(each == number for each in _pinned(link))


def _number(fdinfo: str | Path) -> str:
    lines = Path(fdinfo).read_text(encoding="ascii").splitlines()
    return next((line.split()[1] for line in lines if line.startswith("link_id:")), "")


def _open() -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        with contextlib.suppress(OSError):  # it ends while it is looked at
            for fd in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(fd.readlink()) in _LINK:
                        yield _number(process / "fdinfo" / fd.name)


def _pinned(but: Path) -> Iterator[str]:
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, root, kind, *_ = line.split()
        for folder, _, names in os.walk(root) if kind == "bpf" else ():
            for path in (Path(folder, name) for name in names):
                if path == but:
                    continue
                with contextlib.suppress(Error, OSError), kernel.pinned(path) as fd:
                    if str(Path(f"/proc/self/fd/{fd}").readlink()) in _LINK:
                        yield _number(f"/proc/self/fdinfo/{fd}")
