"""Run commands of packetrig in processes of their own, forked from one that has it loaded.

It stands in a mount namespace of its own (see rig.py) and mounts a bpffs there: what is pinned is
gone with it. Each message is a JSON document with two descriptors, for stdout and stderr.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from packetrig import deploy, gate, live
from packetrig.cli import main
from packetrig.deploy import guardian as deploy_guardian
from packetrig.deploy import journal as deploy_journal
from packetrig.deploy import kernel as deploy_kernel
from packetrig.deploy import watch as deploy_watch

LOADED = (deploy, gate, live)  # so that no child has to import them
GUARDIANS: list[int] = []


def serve(commands: socket.socket) -> None:
    while True:
        data, fds, _, _ = socket.recv_fds(commands, 1 << 16, 2)
        if not data:
            return
        message = json.loads(data)
        if "run" in message:
            answer = subprocess.run(message["run"], check=True).returncode
        elif "wait" in message:
            answer = os.waitstatus_to_exitcode(os.waitpid(message["wait"], 0)[1])
        else:
            answer = os.fork()
            if not answer:
                commands.close()
                child(message, fds)
            for fd in fds:
                os.close(fd)
        commands.send(json.dumps(answer).encode())


def killer(victim: str, at: int, then: int) -> Callable[..., None]:
    """Return what, called at each call and return, kills with SIGKILL at one of them.

    The guardian's are counted from where it begins to recover.
    """
    watcher = os.getpid()
    count = 0
    recovering = 0

    def step(frame: FrameType, event: str, _: object) -> None:
        nonlocal count, recovering
        if os.getpid() == watcher:
            count += 1
            if count != at:
                return
            if victim == "guardian":
                for pid in GUARDIANS[:1]:
                    os.kill(pid, signal.SIGKILL)
            else:
                os.kill(watcher, signal.SIGKILL)
        elif recovering or (event == "call" and frame.f_code.co_name == "recover"):
            recovering += 1
            if victim == "both" and recovering == then:
                os.kill(os.getpid(), signal.SIGKILL)

    return step


def no_links(*_: object, doing: str, **__: object) -> NoReturn:
    """Be a kernel that has no links for XDP: before Linux 5.9."""
    raise deploy_kernel.NoLinks(doing)


def no_sync(folder: Path) -> None:
    """Be a disk that fails when the last journal of an attach is to be on it."""
    journal = folder / "journal.json"
    if journal.exists() and '"work": null' in journal.read_text():
        raise OSError(errno.EIO, "Input/output error")


class SteadyClock:
    """Be a clock that every look moves on by as much: what is done does not depend on the time."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        self._now += 0.005
        return self._now


def patient_once() -> None:
    """Give the first health command as long as it takes, and the next ones what was asked for."""
    wait = deploy_watch._wait
    seconds = [3600.0]

    def patient(process: Any, asked: float, *others: Any) -> bool:
        return wait(process, seconds.pop() if seconds else asked, *others)

    deploy_watch._wait = patient


def measured_when_some_passed() -> None:
    """Measure what passes before anything is changed for as long as it takes some to pass."""
    pause = deploy_watch.pause
    take = deploy_watch.Sample.take

    def longer(seconds: float, stop: Any, *others: Any) -> None:
        first = take("right")
        pause(seconds, stop, *others)
        while not others and take("right").grown(first, "rx_packets") < deploy_watch._FEW:
            pause(seconds, stop)

    deploy_watch.pause = longer


def soon_released() -> None:
    """Wait a moment for a guardian that is sent away, which it knows nothing of."""
    release = deploy.Guardian.release

    def soon(self: deploy.Guardian) -> None:
        deploy_guardian.BEAT = 0.001
        release(self)

    deploy.Guardian.release = soon  # type: ignore[method-assign]


def note_guardians() -> None:
    """Keep the numbers of guardians: they are to be found by whoever kills them."""
    start = deploy.Guardian.start

    def noted(self: deploy.Guardian) -> None:
        start(self)
        GUARDIANS.append(self.pid)

    deploy.Guardian.start = noted  # type: ignore[method-assign]


def child(message: dict[str, Any], fds: list[int]) -> NoReturn:
    code = 99
    steps: list[int] = []
    try:
        os.setsid()
        for number, fd in enumerate(fds, 1):
            os.dup2(fd, number)
            os.close(fd)
        os.environ.update(message["environment"])
        os.chdir(message.get("folder", "/"))
        if "count" in message:
            sys.setprofile(lambda *_: steps.append(1))
        if "kill" in message:
            sys.setprofile(killer(message["kill"], message["at"], message["then"]))
        if "without_links" in message:
            deploy_kernel.create_link = no_links
        if "without_sync" in message:
            deploy_journal._sync_folder = no_sync
        if "steady" in message:
            deploy_watch.time = SteadyClock()
        if "patient_once" in message:
            patient_once()
        if "slow_traffic" in message:
            measured_when_some_passed()
        if "soon_released" in message:
            soon_released()
        if "beat" in message:
            deploy_guardian.BEAT = deploy_watch.BEAT = message["beat"]
        if "uid" in message:
            os.setuid(message["uid"])
        code = main(message["words"])
        sys.setprofile(None)
        if steps:
            print(len(steps), file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    subprocess.run(["mount", "-t", "bpf", "bpf", "/sys/fs/bpf"], check=True)
    note_guardians()
    own = socket.socket(fileno=int(sys.argv[1]))
    own.send(b"0")
    serve(own)
