"""A machine to attach on: interfaces, journals and pins of its own, and the command line in it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from packetrig.live import Wire

_WRITE_LOCK = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
SERVER = Path(__file__).with_name("server.py")


@dataclass(frozen=True, slots=True)
class Ended:
    """Hold how a command ended, and what it said."""

    code: int
    out: str
    err: str


class Running:
    """Be a command that runs."""

    def __init__(self, rig: Rig, pid: int, out: IO[str], err: IO[str]) -> None:
        self._rig = rig
        self.pid = pid
        self.out = out
        self.err = err

    def line(self, word: str) -> str:
        """Wait for a line of its output that has a word in it; fails when it ends before."""
        said = []
        for line in self.out:
            said.append(line)
            if word in line:
                return line
        raise AssertionError(f"never said {word!r}: {said} {self.err.read()}")

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def is_over(self) -> bool:
        """Tell whether it has closed its output."""
        return bool(select.select([self.out], [], [], 0)[0])

    def end(self) -> Ended:
        """Wait until it has ended."""
        code = self._rig.ask({"wait": self.pid})
        with contextlib.closing(self.out), self.err:
            return Ended(code, "" if self.out.closed else self.out.read(), self.err.read())


class Rig:
    """Run packetrig as a user of the machine would."""

    def __init__(self, wire: Wire, state: Path, commands: socket.socket, pid: int) -> None:
        self.wire = wire
        self.pid = pid
        self.lost_its_journal = False  # then nobody but the test can tell what to take off
        self.state = state
        self._commands = commands

    def ask(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> int:
        socket.send_fds(self._commands, [json.dumps(message).encode()], fds)
        return int(json.loads(self._commands.recv(1 << 16)))

    def start(self, *words: object, **how: object) -> Running:
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        message = {
            "words": [str(word) for word in words],
            "environment": {"PACKETRIG_STATE": str(self.state)},
            **how,
        }
        pid = self.ask(message, (out_end, err_end))
        os.close(out_end)
        os.close(err_end)
        return Running(
            self, pid, os.fdopen(out, encoding="utf-8"), os.fdopen(err, encoding="utf-8")
        )

    def __call__(self, *words: object, **how: object) -> Ended:
        return self.start(*words, **how).end()

    def pins(self) -> list[str]:
        """List what is pinned on the machine, whose bpffs nobody else sees."""
        listed = subprocess.run(
            ["find", f"/proc/{self.pid}/root/sys/fs/bpf", "-type", "f", "-path", "*/packetrig/*"],
            capture_output=True,
            text=True,
            check=True,
        )
        return listed.stdout.splitlines()

    def guardians(self, *, but: int = -1) -> list[int]:
        """Find the guardians of the machine, as descriptors; wait for a new one if one is named."""
        known = _pid(but) if but >= 0 else 0
        while True:
            found = []
            for process in Path("/proc").glob("[0-9]*/comm"):
                with contextlib.suppress(OSError):
                    pid = int(process.parent.name)
                    is_one = process.read_text() == "packetrig-guard\n" and pid != known
                    # One that ends has nothing open any more.
                    is_one = is_one and any(process.with_name("fd").iterdir())
                    if is_one and _mounts(pid) == _mounts(self.pid):
                        found.append(os.pidfd_open(pid))
            if found or but < 0:
                return found

    def settled(self) -> None:
        """Wait until nobody is at work any more, a guardian neither."""
        for path in self.state.glob("attached/*/lock"):
            with path.open("r+b") as file:
                fcntl.fcntl(file, fcntl.F_OFD_SETLKW, _WRITE_LOCK)

    def status(self) -> list[dict[str, Any]]:
        ended = self("status", "--json")
        assert ended.err == ""
        spots: list[dict[str, Any]] = json.loads(ended.out)["spots"]
        return spots


def _mounts(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/mnt").readlink())


def _pid(fd: int) -> int:
    text = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii")
    return int(next(line for line in text.splitlines() if line.startswith("Pid:")).split()[1])


@contextmanager
def rig(state: Path, **options: Any) -> Iterator[Rig]:
    """Make a wire, and a process beside its right end that runs the commands."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with Wire(**options) as wire, ours:
        with theirs, wire.right.namespace.inside():
            command = ["unshare", "--mount", "--propagation", "private", sys.executable]
            server = subprocess.Popen(
                [*command, str(SERVER), str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )
        with server:
            try:
                assert ours.recv(16) == b"0"
                yield Rig(wire, state, ours, server.pid)
            finally:
                ours.close()
                server.wait()
