"""The only place that knows bpf(2) and libbpf.

The C is compiled by cffi (build.py) into `_kernel`:

kernel.c       one test run, many of them, live frames, calls for maps
link.c         links and pins, and tracefs
called.c       programs that call a loaded program, and what the kernel notes of a redirect
fuzz.c         the loop of a campaign: fuzz_mutate.c makes frames, fuzz_frames.c knows headers

and Python stands before it. What reads files needs no kernel:

libbpf.py      an object in libbpf's hands
kinds.py       kinds of programs and maps, by name and number
contexts.py    what may be set in a context, and its bytes
probes.py      what this kernel can do: yes, no, or cannot tell
printing.py    what programs print with bpf_printk
processors.py  stay on one processor
elf.py         sections and symbols of an object file
btf.py         its types; codec.py makes values of their bytes (scalars.py, structs.py), layout.py
               is what codecs are made of, values.py what values look like
profile.py     an object that clang instrumented, made loadable; covmap.py: what its counters count
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import Error, PermissionDenied, ToolMissing

try:
    from . import _kernel  # type: ignore[attr-defined, unused-ignore]  # built at install
except ImportError as e:
    raise ToolMissing(
        f"packetrig's kernel extension cannot be loaded: {e}; "
        "install libbpf (Debian: apt-get install libbpf1 libbpf-dev) and install packetrig again"
    ) from e

# cffi's objects have no useful static types: Any is their narrow door into the typed code.
ffi: Any = _kernel.ffi
lib: Any = _kernel.lib

lib.pr_init()

# errno 524 is the kernel's own ENOTSUPP, which libc does not know.
ENOTSUPP = 524

# A program's output may be larger than its input: every fragment page plus the linear part.
OUTPUT_ROOM = 20 * os.sysconf("SC_PAGE_SIZE") + 65536


def strerror(error: int) -> str:
    """Name an errno, the kernel's own 524 included."""
    return "operation not supported (524)" if error == ENOTSUPP else os.strerror(error)


def messages() -> str:
    """Take what libbpf said since the last time, and forget it."""
    text = ffi.string(lib.pr_messages()).decode(errors="replace")
    lib.pr_messages_clear()
    return str(text)


CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF = 12, 21, 38, 39


def _capabilities() -> int:
    """Return the effective capabilities as a bit mask; all of them where they cannot be read."""
    try:
        rows = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        line = next(row for row in rows if row.startswith("CapEff"))
    except (OSError, StopIteration):
        return -1
    return int(line.split()[1], 16)


def is_capable(capability: int) -> bool:
    """Tell whether this process has a capability of bpf(2); CAP_SYS_ADMIN contains most of them."""
    have = _capabilities()
    stands_for = CAP_NET_ADMIN if capability == CAP_NET_ADMIN else CAP_SYS_ADMIN
    return bool(have & (1 << capability | 1 << stands_for))


def capability_missing() -> str:
    """Name the first capability that loading network programs needs and this process lacks."""
    wanted = (("CAP_BPF", CAP_BPF), ("CAP_NET_ADMIN", CAP_NET_ADMIN))
    return next((name for name, capability in wanted if not is_capable(capability)), "")


def denied(what: str, *, traces: bool = False) -> PermissionDenied:
    """Build the error for an EPERM: the missing capability, or what else forbids bpf(2).

    What `traces`, or reads, the kernel wants CAP_PERFMON as well.
    """
    missing = capability_missing()
    if not missing and traces and not is_capable(CAP_PERFMON):
        missing = "CAP_PERFMON"
    if missing:
        return PermissionDenied(
            f"{what}: not permitted, this process lacks {missing}; run it as root or grant "
            f"{missing}",
            capability=missing,
        )
    return PermissionDenied(
        f"{what}: not permitted although no capability is missing; a seccomp filter, a locked-down "
        "kernel or RLIMIT_MEMLOCK forbids it (`packetrig doctor` tells which)"
    )


class Namespace:
    """Own a network namespace without a name: it is gone when the last descriptor is closed.

    Its loopback is up. `with namespace.entered():` runs the calling thread inside it.
    """

    def __init__(self) -> None:
        fd = lib.pr_netns_new()
        if fd < 0:
            if -fd in (1, 13):
                raise denied("making a network namespace")
            raise Error(f"making a network namespace: {strerror(-fd)}")
        self.fd: int = fd

    def fileno(self) -> int:
        """Return the descriptor, so that the namespace can be passed where a file can."""
        return self.fd

    def close(self) -> None:
        """Give the namespace back; does nothing the second time."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def entered(self) -> Entered:
        """Enter the namespace with the calling thread, for the length of a with block."""
        return Entered(self.fd)


class Entered:
    """Hold the calling thread in a namespace; the way back is never skipped."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._homes: list[int] = []

    def __enter__(self) -> None:
        home = lib.pr_netns_enter(self._fd)
        if home < 0:
            raise Error(f"entering a network namespace: {strerror(-home)}")
        self._homes.append(home)

    def __exit__(self, *_: object) -> None:
        error = lib.pr_netns_leave(self._homes.pop())
        if error:
            raise Error(f"leaving a network namespace: {strerror(-error)}")
