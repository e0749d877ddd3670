"""Kill packetrig at random moments of attach, watch and detach, under traffic: `make kills`.

A kill is placed by counting what the victim does: the command is run once to count its calls and
returns (of Python and of C), and is killed with SIGKILL at one of them, drawn from the seed. So
every step is hit, and nothing depends on the clock. `make kills` has kills from outside as well, at
random times: in the middle of system calls. The victim is the watcher, its guardian, or first one
and then the other in the middle of its recovery.

After each: `status` must say what the kernel says; `attach --recover` must end in the old program
or the new one, never none, never both; and none of the marked frames, which both programs drop and
which a sender sends all the time, may have arrived.
"""

from __future__ import annotations

import argparse
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import packetrig
from packetrig.live import hooks

from .rig import Rig, rig
from .sender import MARKED

HERE = Path(__file__).parent
# In the last, the old program is somebody else's, attached without a link.
MODES = ("native", "tc-ingress", "generic", "tcx-ingress", "native, foreign")
COMMANDS = ("attach", "fails", "detach")
VICTIMS = ("watcher", "watcher", "both", "guardian")


@dataclass
class Report:
    """Count what became of each kill."""

    kills: int = 0
    misses: int = 0
    by: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    arrived: int = 0
    wrong: list[str] = field(default_factory=list)


@contextmanager
def sending(machine: Rig, protocol: int = MARKED) -> Iterator[list[int]]:
    """Send frames of one kind all the time; the list has their number when the block has ended."""
    sent: list[int] = []
    with machine.wire.left.namespace.inside():
        process = subprocess.Popen(
            [sys.executable, str(HERE / "sender.py"), "left", str(protocol)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    with process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        try:
            yield sent
        finally:
            process.stdin.close()
            sent.append(int(process.stdout.read()))


class Listener:
    """Count the marked frames that arrive behind every hook."""

    def __init__(self, machine: Rig) -> None:
        with machine.wire.right.namespace.inside():
            # A handler of one protocol stands behind XDP and TC.
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.sock.bind(("right", MARKED))

    def arrived(self) -> int:
        count = 0
        while True:
            try:
                self.sock.recv(64, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return count
            count += 1


class Kills:
    """Carry out kills on one machine, in one mode."""

    def __init__(
        self, machine: Rig, path: Path, mode: str, report: Report, *, timed: bool = False
    ) -> None:
        self.timed = timed
        self._seconds: dict[str, float] = {}
        self.rig = machine
        self.path = path
        self.mode, _, foreign = mode.partition(", ")
        self.is_foreign = bool(foreign)
        mode = self.mode
        self.report = report
        self.kind = "xdp" if mode in ("native", "generic") else "tc"
        self.old: list[int] = []
        self._steps: dict[str, int] = {}

    def words(self, name: str) -> list[object]:
        """Return the command line of a step."""
        if name == "detach":
            return ["detach", "--iface", "right", "--mode", self.mode]
        program = f"{'old' if name == 'old' else 'new'}_{self.kind}"
        words: list[object] = ["attach", self.path, "--iface", "right", "--mode", self.mode]
        words += ["--program", program, "--force", "a kill"]
        if self.is_foreign:
            words += ["--replace-foreign", self.old[0]]
        if name != "old":
            words += ["--for", "60ms", "--every", "20ms"]
        if name == "attach":
            words += ["--watch", "true"]
        if name == "fails":
            # Holds before anything is changed, and no more when it is.
            words += ["--counter", "dropped[0]<=0"]
        return words

    def programs(self) -> list[int]:
        """Ask the kernel itself which programs stand at the hook."""
        with self.rig.wire.right.namespace.inside():
            found = hooks.interface("right")
            if self.kind == "xdp":
                return list(found.xdp.values())
            if self.mode in hooks.PARENT:
                return [each.program_id for each in hooks.filters(found.index, self.mode)]
            from packetrig.deploy import kernel

            return kernel.tcx_programs(found.index, self.mode)

    @contextmanager
    def old_program(self) -> Iterator[None]:
        """Have the old program there."""
        if not self.is_foreign:
            self.rig(*self.words("old"))
            yield
            return
        with packetrig.build(HERE / "filters.bpf.c").load(program="old_xdp") as strange:
            with self.rig.wire.right.namespace.inside():
                index = hooks.interface("right").index
                fd = strange.program.fd
                hooks.set_xdp(index, fd, self.mode, expected=None, doing="somebody else")
            yield

    def begin(self) -> None:
        """Count the steps of each command."""
        self.old = self.programs()
        self.check(len(self.old) == 1, "the old program could not be attached")
        for name in COMMANDS:
            if name == "detach":
                self.rig(*self.words("attach"))
            ended = self.rig(*self.words(name), count=True, steady=True)
            self._steps[name] = int(ended.err.split()[-1])
            self.back()
            if self.timed:
                if name == "detach":
                    self.rig(*self.words("attach"))
                began = time.monotonic()
                self.rig(*self.words(name))
                self._seconds[name] = time.monotonic() - began
                self.back()

    def back(self) -> None:
        """Leave the old program alone there."""
        if self.programs() != self.old:
            self.rig(*self.words("detach"))
        self.check(self.programs() == self.old, f"{self.programs()} and not the old program")

    def check(self, holds: bool, what: str) -> None:
        if not holds:
            self.report.wrong.append(f"{self.mode}, kill {self.report.kills}: {what}")

    def kill(self, chance: random.Random) -> None:
        """Kill one command once, and look at what is left."""
        name = chance.choice(COMMANDS)
        victim = "watcher" if name == "detach" else chance.choice(VICTIMS)
        if name == "detach":
            self.rig(*self.words("attach"))
        steps = self._steps[name]
        at = chance.randrange(steps // 10, steps)
        then = chance.randrange(1, 20_000)
        if self.timed and chance.random() < 0.5:
            # From outside, at a moment of its time: in the middle of a system call, too.
            victim = "watcher, timed"
            running = self.rig.start(*self.words(name))
            select.select([], [], [], chance.uniform(0, self._seconds[name]))
            running.send(signal.SIGKILL)
            ended = running.end()
        else:
            ended = self.rig(*self.words(name), kill=victim, at=at, then=then, steady=True)
        died = ended.code == -9
        self.report.kills += 1
        self.report.misses += victim != "guardian" and not died
        self.report.by[f"{name}, {victim}"] += 1
        self.rig.settled()
        told, before = self.told()
        if told == "unfinished" and chance.random() < 0.5:
            self.rig("attach", "--recover", kill="watcher", at=chance.randrange(1, 20_000), then=0)
            self.report.by["recovery"] += 1
            self.check(self.told()[1] in (before, self.old), "a recovery that was killed")
        recovered = self.rig("attach", "--recover")
        self.check(recovered.code == 0, f"recovery failed: {recovered.out}{recovered.err}")
        after = self.programs()
        left = [each for each in self.rig.status() if each["state"] == "left over"]
        self.check(left == [], f"left over after recovery: {left}")
        halves = [
            path.name
            for path in self.rig.state.glob("attached/*/.*")
            if (path.parent / "journal.json").exists()  # else the next attach there sweeps it
        ]
        self.check(halves == [], f"files that were half written are left: {halves}")
        self.check(len(after) == 1, f"{name} of {victim} at {at}: after recovery {after}")
        state, _ = self.told()
        is_old = self.is_foreign and after == self.old
        wanted = "not ours" if is_old else "attached"
        self.check(state == wanted, f"after recovery: {state}, not {wanted}")
        self.report.ended["old" if after == self.old else "new"] += 1
        self.report.states[told] += 1
        self.check(len(before) == 1, f"{name} of {victim} at {at}: {told}, programs {before}")
        self.back()

    def told(self) -> tuple[str, list[int]]:
        """Hold what status says to what the kernel says."""
        spots = self.rig.status()
        # Of one that was killed with its journal gone and its pins not: the program is off by then.
        left = [each for each in spots if each["state"] == "left over"]
        spots = [each for each in spots if each not in left]
        self.check(len(left) <= self.is_foreign, f"left over: {left}")
        self.report.states["left over"] += len(left)
        there = self.programs()
        self.check(len(spots) == 1, f"status tells of {len(spots)} spots")
        self.check([spots[0]["program_id"]] == there, f"status {spots[0]}, the kernel {there}")
        state: str = spots[0]["state"]
        if state == "not ours":
            self.check(there == self.old, f"not ours, but {there} is there")
        elif state == "attached":
            top = spots[0]["generations"][-1]["id"]
            self.check([top] == there, f"attached, but {there} is there and {top} was meant")
        else:
            self.check(state == "unfinished", f"status says {state}")
        return state, there


def run(count: int, seed: int, modes: tuple[str, ...] = MODES, *, timed: bool = False) -> Report:
    """Kill so often, in turn in each mode; everything is drawn from the seed.

    With `timed`, about half of the kills come from outside, at a moment drawn from the seed: those
    do not repeat.
    """
    report = Report()
    spec = packetrig.build(HERE / "filters.bpf.c")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "filters.o")
        path.write_bytes(spec.data)
        for number, mode in enumerate(modes):
            chance = random.Random(f"{seed} {mode}")
            with rig(Path(folder, mode)) as machine:
                listener = Listener(machine)
                with sending(machine):
                    pass
                report.wrong += [] if listener.arrived() else ["without a program none arrived"]
                kills = Kills(machine, path, mode, report, timed=timed)
                with kills.old_program(), sending(machine) as sent:
                    listener.arrived()
                    kills.begin()
                    for _ in range(len(range(number, count, len(modes)))):
                        kills.kill(chance)
                report.sent += sent[0]
                report.arrived += listener.arrived()
                listener.sock.close()
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--repeatable", action="store_true", help="no kills by the clock")
    options = parser.parse_args()
    report = run(options.kills, options.seed, timed=not options.repeatable)
    print(f"seed {options.seed}: {report.kills} kills ({report.misses} came after the end)")
    for name, counted in (("killed", report.by), ("status", report.states), ("end", report.ended)):
        print(f"{name}: " + ", ".join(f"{what} {n}" for what, n in sorted(counted.items())))
    print(f"marked frames: {report.sent} sent, {report.arrived} arrived")
    for each in report.wrong:
        print(f"WRONG: {each}")
    return 1 if report.wrong or report.arrived else 0


if __name__ == "__main__":
    sys.exit(main())
