"""Where a program can stand, and where the files and pins about it are.

A spot is one hook of one interface of one network namespace. Its journal lies in
$PACKETRIG_STATE (default /var/lib/packetrig), what the kernel keeps for it is pinned below
/sys/fs/bpf/packetrig; there names have no dots, because bpffs refuses them. Whoever uses another
folder knows nothing of the journals here: he has pins of his own, and leaves these alone.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import Error

BPFFS = Path("/sys/fs/bpf")
_STATE = Path("/var/lib/packetrig")
_SO_NETNS_COOKIE = 71
# By hook, the modes in which a program is put there.
HOOKS: dict[str, tuple[str, ...]] = {
    "xdp": ("native", "generic"),
    "tc-ingress": ("tc-ingress",),
    "tc-egress": ("tc-egress",),
    "tcx-ingress": ("tcx-ingress",),
    "tcx-egress": ("tcx-egress",),
}
MODES = tuple(mode for modes in HOOKS.values() for mode in modes)


def hook_of(mode: str) -> str:
    """Name the hook that a mode attaches to; a wrong name is told the right ones.

    Raises:
        Error: There is no such mode.
    """
    for hook, modes in HOOKS.items():
        if mode in modes:
            return hook
    raise Error(f"no attach mode named '{mode}'; there are: {', '.join(MODES)}")


def kind_of(hook: str) -> str:
    """Name the kind of program that fits a hook."""
    return "xdp" if hook == "xdp" else "tc"


@dataclass(frozen=True, slots=True)
class Spot:
    """Name one hook of one interface: all that is kept about it is found by this."""

    interface: str
    hook: str
    netns: int

    @property
    def name(self) -> str:
        """Say where it is, in words."""
        return f"{self.interface} ({self.hook})"

    @property
    def folder(self) -> Path:
        """Return where its journal and its lock lie."""
        return state_folder() / "attached" / f"{self.netns}-{self.interface}-{self.hook}"

    def pins(self, index: int) -> Path:
        """Return where what the kernel keeps for it is pinned."""
        return BPFFS / "packetrig" / f"{self.netns}-{index}-{self.hook}{mark()}"


def here(interface: str, hook: str) -> Spot:
    """Name a hook of an interface of this very network namespace."""
    return Spot(own_name(interface), hook, netns())


def own_name(interface: str) -> str:
    """Return the name by which the kernel lists an interface; it may be called by others."""
    try:
        return socket.if_indextoname(socket.if_nametoindex(interface))
    except (OSError, ValueError):
        return interface  # there is none: whoever asks for it says so


def mark() -> str:
    """Tell the pins of this state folder from those of others; "" for the usual one."""
    folder = state_folder()
    if folder == _STATE:
        return ""
    return f"-{hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:8]}"


def netns() -> int:
    """Number the network namespace of this thread, as the kernel does."""
    return Path("/proc/thread-self/ns/net").stat().st_ino


def cookie() -> int:
    """Name this very network namespace; 0 where the kernel cannot (before Linux 5.14).

    Numbers of namespaces are used again as soon as one is gone, cookies never are.
    """
    with socket.socket(socket.AF_UNIX) as any_of_it:
        try:
            found = any_of_it.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
        except OSError:
            return 0
    return int.from_bytes(found, sys.byteorder)


def boot() -> str:
    """Name this very boot of the machine: what was pinned in another one is gone."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def state_folder() -> Path:
    """Return the folder of all journals."""
    return Path(os.environ.get("PACKETRIG_STATE") or _STATE)


def kept_object(sha256: str) -> Path:
    """Return where a copy of an attached object is kept."""
    return state_folder() / "objects" / f"{sha256}.o"


def started(pid: int) -> int:
    """Tell when a process started, in the kernel's ticks; 0 when there is no such process.

    Numbers of processes are used again: the number and this together are not.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] == "Z" else int(fields[19])
