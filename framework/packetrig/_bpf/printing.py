"""What programs print with bpf_printk: a trace of this process alone, read without waiting."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path

from ..errors import Error, Unsupported
from . import denied, lib, strerror

_FEATURE = "reading what programs print"
_PREFIX = "packetrig-"
_OURS = re.compile(_PREFIX + r"(\d+)-[0-9a-f]+")
_LINE = re.compile(r"^bpf_trace_printk: ", re.MULTILINE)
_LOST = re.compile(r"^CPU:\d+ \[LOST (\d+) EVENTS\]$", re.MULTILINE)
_AT_ONCE = 1 << 16


class Printing:
    """Hear what programs that this thread runs print, in an instance of tracefs of its own.

    No folder is mounted on, and what others print does not come here. Needs Linux 5.9, where
    bpf_printk became an event that instances have.
    """

    def __init__(self) -> None:
        self._tracefs = lib.pr_tracefs()
        if self._tracefs < 0:
            _refuse(-self._tracefs)
        self._folder = f"instances/{_PREFIX}{os.getpid()}-{os.urandom(3).hex()}"
        self._pipe = -1
        self._of_test: list[str] = []
        try:
            self._sweep()
            os.mkdir(self._folder, dir_fd=self._tracefs)
            self._put("options/context-info", "0")
            self._put("set_event_pid", str(os.getpid()))
            self._put("events/bpf_trace/bpf_trace_printk/enable", "1")
            self._pipe = self._open("trace_pipe", os.O_RDONLY | os.O_NONBLOCK)
        except OSError as e:
            self.close()
            _refuse(e.errno or errno.EIO)

    def __call__(self) -> list[str]:
        """Take what was printed since the last time, a line for each call of bpf_printk."""
        found = self._take()
        self._of_test += found
        return found

    def forget(self) -> None:
        """Leave behind what was printed up to now: another test begins."""
        with contextlib.suppress(Error):
            self._take()
        self._of_test.clear()

    @property
    def of_test(self) -> list[str]:
        """Return all that was printed since the test began, taken or not."""
        with contextlib.suppress(Error):
            self()
        return self._of_test

    def close(self) -> None:
        """Take the instance away; does nothing the second time."""
        if self._tracefs < 0:
            return
        if self._pipe >= 0:
            os.close(self._pipe)
        with contextlib.suppress(OSError):
            os.rmdir(self._folder, dir_fd=self._tracefs)
        os.close(self._tracefs)
        self._tracefs = self._pipe = -1

    def _take(self) -> list[str]:
        parts = []
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._pipe, _AT_ONCE):
                parts.append(part)
        text = b"".join(parts).decode(errors="replace")
        if lost := sum(map(int, _LOST.findall(text))):
            raise Error(
                f"programs printed {lost} lines more than the kernel keeps: take them sooner"
            )
        return [line.rstrip("\n") for line in _LINE.split(text)[1:]]

    def _sweep(self) -> None:
        # Of processes that were killed; one that is in use is busy, and stays.
        folder = os.open("instances", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._tracefs)
        try:
            for name in os.listdir(folder):  # noqa: PTH208  # it has no path
                whose = _OURS.fullmatch(name)
                if whose and not Path("/proc", whose[1]).exists():
                    with contextlib.suppress(OSError):
                        os.rmdir(name, dir_fd=folder)
        finally:
            os.close(folder)

    def _open(self, name: str, flags: int) -> int:
        return os.open(f"{self._folder}/{name}", flags, dir_fd=self._tracefs)

    def _put(self, name: str, text: str) -> None:
        fd = self._open(name, os.O_WRONLY)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def _refuse(error: int) -> None:
    if error in (errno.EPERM, errno.EACCES):
        raise denied(_FEATURE)
    if error in (errno.ENODEV, errno.ENOSYS, errno.ENOENT):
        raise Unsupported(_FEATURE, "this kernel has no tracefs with the event bpf_trace_printk")
    raise Error(f"{_FEATURE}: {strerror(error)}")
