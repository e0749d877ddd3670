"""Cgroups of one's own: what processes in them ask of a socket meets what is attached there."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .. import _bpf
from ..errors import Error, PermissionDenied, Unsupported

_KINDS = ("cgroup_sock_addr", "cgroup_sock", "cgroup_skb", "sock_ops")
# The shell is moved, and then becomes the command: not one system call of it is made outside.
_ENTER = 'echo $$ > "$0" && exec "$@"'


class Cgroup:
    """Be a folder of the cgroup2 hierarchy; `cgroup()` makes one and removes it."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = path

    def command(self, words: Sequence[str | Path]) -> list[str]:
        """Return the command that runs another one in this cgroup.

        >>> namespace.run(group.command(["curl", "http://10.0.0.1/"]))
        """
        return ["sh", "-c", _ENTER, str(self.path / "cgroup.procs"), *map(str, words)]

    @contextmanager
    def attach(self, source: Any) -> Iterator[None]:
        """Attach a program, or all that an object has for cgroups, for the length of a with block.

        Needs Linux 5.7 (links to cgroups).

        Raises:
            Error: there is no program for cgroups; the kernel refuses it.
            PermissionDenied: CAP_BPF or CAP_NET_ADMIN is missing.
        """
        programs = list(source.programs.values()) if hasattr(source, "programs") else [source]
        fitting = [program for program in programs if program.kind in _KINDS]
        if not fitting:
            names = ", ".join(f"{program.name} ({program.kind})" for program in programs)
            raise Error(f"no program here is for a cgroup: {names}")
        with ExitStack() as stack:
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, folder)
            for program in fitting:
                stack.callback(os.close, _link(program, folder))
            yield


def _link(program: Any, folder: int) -> int:
    attach_type = program.owner.loaded.attach_types[program.name]
    link: int = _bpf.lib.bpf_link_create(program.fd, folder, attach_type, _bpf.ffi.NULL)
    if link >= 0:
        return link
    what = f"attaching {program.name} to a cgroup"
    if -link == errno.EPERM:
        raise PermissionDenied(
            f"{what}: not permitted; run it as root or grant CAP_BPF and CAP_NET_ADMIN",
            capability="CAP_NET_ADMIN",
        )
    raise Error(f"{what}: {os.strerror(-link).lower()}")


@contextmanager
def cgroup() -> Iterator[Cgroup]:
    """Make a cgroup for the length of a with block; processes in it have to end before.

    Raises:
        Unsupported: no cgroup2 hierarchy is mounted.
        PermissionDenied: it may not be written.
    """
    root = _mounted()
    try:
        path = Path(tempfile.mkdtemp(prefix="packetrig-", dir=root))
    except PermissionError as e:
        raise PermissionDenied(
            f"making a cgroup in {root}: not permitted; run it as root",
            capability="CAP_SYS_ADMIN",
        ) from e
    except OSError as e:
        raise Unsupported("cgroup2", f"{root}: {(e.strerror or str(e)).lower()}") from e
    try:
        yield Cgroup(path)
    finally:
        path.rmdir()


def _mounted() -> Path:
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise Unsupported("cgroup2", "no such hierarchy is mounted (mount -t cgroup2 none DIR)")
