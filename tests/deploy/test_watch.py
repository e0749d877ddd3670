"""While a program is watched: what sends it back, and who puts back what was there."""

from __future__ import annotations

import os
import select
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from packetrig import Spec

from .kills import sending
from .rig import Ended, Rig, Running

pytestmark = [pytest.mark.live, pytest.mark.slow]

Attach = Callable[..., Ended]


@pytest.fixture
def watched(machine: Rig, path: Path) -> Callable[..., Running]:
    """Attach a program that is watched for longer than the test runs, and wait until it stands."""

    def begin(program: str = "new_xdp", *words: object, **how: object) -> Running:
        common = ("--iface", "right", "--force", "a test", "--program", program, "--for", "10m")
        running = machine.start("attach", path, *common, *words, **how)
        running.line("is attached, watched for 600 s")
        return running

    return begin


def top(machine: Rig) -> tuple[str, str]:
    """Tell the state of the only spot, and the program that should stand there."""
    (spot,) = machine.status()
    (name,) = [g["program"] for g in spot["generations"] if g["id"] == spot["program_id"]]
    return spot["state"], name


def test_a_program_that_holds_stays(machine: Rig, attach: Attach) -> None:
    attach("old_xdp")

    held = attach("new_xdp", "--for", "50ms", "--every", "10ms", "--watch", "true")

    assert held.code == 0
    assert held.out.endswith("stays\n")
    assert top(machine) == ("attached", "new_xdp")


def test_a_health_command_that_fails_brings_the_old_program_back(
    machine: Rig, attach: Attach, tmp_path: Path
) -> None:
    attach("old_xdp")
    command = (
        f"test ! -e {tmp_path}/twice || {{ echo it is sick; exit 3; }}; touch {tmp_path}/twice"
    )

    ended = attach("new_xdp", "--for", "10m", "--watch", command)

    assert ended.code == 1
    assert "the health command failed with exit code 3: " in ended.err
    assert "(it is sick)" in ended.err
    assert "old_xdp (id " in ended.err
    assert "stands there again, as before" in ended.err
    assert top(machine) == ("attached", "old_xdp")


def test_a_health_command_that_fails_before_anything_says_nothing(
    machine: Rig, attach: Attach
) -> None:
    attach("old_xdp")

    ended = attach("new_xdp", "--for", "10m", "--watch", "exit 3")

    assert ended.code == 2
    assert ended.err.startswith("packetrig: before anything was changed: the health command failed")
    assert top(machine) == ("attached", "old_xdp")


def test_a_health_command_that_hangs_is_named_and_killed(
    machine: Rig, attach: Attach, tmp_path: Path
) -> None:
    attach("old_xdp")
    # A reader of a FIFO that nobody writes to; the first time there is none.
    command = f"test ! -p {tmp_path}/fifo && mkfifo {tmp_path}/fifo || cat {tmp_path}/fifo"

    watch = ("--watch", command, "--watch-timeout", "100ms")
    ended = attach("new_xdp", "--for", "10m", *watch, patient_once=True)

    assert ended.code == 1
    assert "the health command did not end within 0.1 s and was killed: " in ended.err
    assert top(machine) == ("attached", "old_xdp")


def test_what_a_health_command_leaves_in_the_background_ends_with_it(
    machine: Rig, attach: Attach, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "alive")
    reader = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    command = f"exec 9> {tmp_path}/alive; sleep 60 & exit 0"

    held = attach("new_xdp", "--for", "20ms", "--every", "10ms", "--watch", command)

    with os.fdopen(reader, "rb") as ends:
        # Readable when nobody has it open for writing any more.
        assert select.select([ends], [], [], 10)[0]
    assert held.code == 0


def test_a_health_command_that_was_killed_is_named(
    machine: Rig, attach: Attach, tmp_path: Path
) -> None:
    attach("old_xdp")
    command = f"test -e {tmp_path}/twice && kill -9 $$; touch {tmp_path}/twice"

    ended = attach("new_xdp", "--for", "10m", "--every", "10ms", "--watch", command)

    assert ended.code == 1
    assert "the health command was killed by signal 9: " in ended.err
    assert top(machine) == ("attached", "old_xdp")


def test_a_counter_over_its_limit_brings_the_old_program_back(machine: Rig, attach: Attach) -> None:
    attach("old_xdp")
    with sending(machine):
        ended = attach("new_xdp", "--for", "10m", "--every", "10ms", "--counter", "dropped[0]<=20")

    assert ended.code == 1
    assert "counter dropped[0]<=20 does not hold: it is " in ended.err
    assert top(machine) == ("attached", "old_xdp")


def test_a_counter_that_must_be_reached_has_until_the_end(
    machine: Rig, attach: Attach, path: Path, tmp_path: Path
) -> None:
    attach("old_xdp")
    words = ("--for", "1ms", "--counter", "dropped[0]>0")
    without = attach("new_xdp", *words)
    fifo = tmp_path / "fifo"
    command = f"test ! -p {fifo} && mkfifo {fifo} || cat {fifo}"
    common = ("--iface", "right", "--force", "a test", "--program", "new_xdp")
    held = ("--watch", command, "--watch-timeout", "1h")
    running = machine.start("attach", path, *common, *words, *held)
    running.line("is attached, watched")
    with fifo.open("wb"):  # the command has opened it: the counter was looked at, and is nothing
        assert machine.wire.send(bytes.fromhex("020000000002 020000000001 88b6") + bytes(46)) == []
    reached = running.end()

    assert (without.code, reached.code) == (1, 0)
    assert "counter dropped[0]>0 does not hold: it is 0: old_xdp (id " in without.err


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("dropped<=", "write a map with a key, or a global, and a limit"),
        ("droped[0]<=1", "no map named 'droped', did you mean 'dropped'?"),
        ("pased>=1", "no global named 'pased', did you mean 'passed'?"),
        ("dropped<=1", "--counter dropped<=1: dropped is a map: write a key of it"),
    ],
)
def test_a_counter_that_is_not_there_is_named_before_anything(
    machine: Rig, attach: Attach, limit: str, said: str
) -> None:
    ended = attach("new_xdp", "--for", "1s", "--counter", limit)

    assert (ended.code, ended.out.count("is attached")) == (2, 0)
    assert said in ended.err
    assert machine.status() == []


def test_traffic_that_falls_brings_the_old_program_back(
    machine: Rig, attach: Attach, path: Path
) -> None:
    attach("old_xdp")
    words = ("--min-traffic", "0.5", "--baseline", "300ms", "--every", "20ms", "--for", "1h")
    common = ("--iface", "right", "--force", "a test", "--program", "new_xdp")
    with sending(machine):
        running = machine.start("attach", path, *common, *words, slow_traffic=True)
        running.line("is attached")
    ended = running.end()

    assert ended.code == 1
    assert "right: traffic fell to " in ended.err
    assert "rx_packets" in ended.err
    assert top(machine) == ("attached", "old_xdp")


def test_without_traffic_there_is_no_share_of_it(machine: Rig, attach: Attach) -> None:
    ended = attach("new_xdp", "--for", "1s", "--min-traffic", "0.5", "--baseline", "10ms")

    assert ended.code == 2
    assert "right: under 10 packets in 0.01 s" in ended.err
    assert machine.status() == []


def test_what_the_interface_drops_brings_the_old_program_back(machine: Rig, attach: Attach) -> None:
    attach("old_tc", mode="tc-ingress")
    nobody = 0x88B7  # passes the filter, and has no handler
    with sending(machine, nobody):
        words = ("--for", "10m", "--every", "20ms", "--max-drops", "20")
        ended = attach("new_tc", *words, mode="tc-ingress")

    assert ended.code == 1
    assert "right dropped more than 20 packets since: rx_dropped " in ended.err
    assert top(machine) == ("attached", "old_tc")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_brings_the_old_program_back(
    machine: Rig, attach: Attach, watched: Callable[..., Running], number: signal.Signals
) -> None:
    attach("old_xdp")
    running = watched()
    assert top(machine) == ("being watched", "new_xdp")

    running.send(number)
    ended = running.end()

    assert ended.code == 2
    assert f"stopped by {number.name}: old_xdp (id" in ended.err
    assert top(machine) == ("attached", "old_xdp")


def test_a_signal_ends_a_health_command_too(
    machine: Rig, attach: Attach, watched: Callable[..., Running], tmp_path: Path
) -> None:
    attach("old_xdp")
    fifo = tmp_path / "fifo"
    command = f"test ! -p {fifo} && mkfifo {fifo} || cat {fifo}"
    running = watched("new_xdp", "--watch", command, "--watch-timeout", "1h")
    with fifo.open("wb"):  # the command has opened it: it runs
        running.send(signal.SIGTERM)
        ended = running.end()

    assert "stopped by SIGTERM" in ended.err
    assert top(machine) == ("attached", "old_xdp")


def test_the_guardian_puts_it_back_when_the_watcher_is_killed(
    machine: Rig, attach: Attach, watched: Callable[..., Running]
) -> None:
    attach("old_xdp")
    running = watched()

    running.send(signal.SIGKILL)
    running.end()
    machine.settled()

    (spot,) = machine.status()
    assert top(machine) == ("attached", "old_xdp")
    assert "was taken back: the process that watched it died" in spot["last"]
    assert "was taken back: the process that watched it died" in machine("status").out


def test_a_watcher_that_is_stopped_counts_as_dead(
    machine: Rig, attach: Attach, tmp_path: Path
) -> None:
    attach("old_xdp")
    # The second time, the watcher is stopped by its own child: whenever that is, it is watching.
    command = f"test ! -e {tmp_path}/twice && touch {tmp_path}/twice || kill -STOP $PPID"

    ended = attach("new_xdp", "--for", "10m", "--watch", command, beat=0.02)
    machine.settled()

    (spot,) = machine.status()
    assert ended.code == -signal.SIGKILL
    assert top(machine) == ("attached", "old_xdp")
    assert "was taken back: the process that watched it was stopped, or hung" in spot["last"]


@pytest.mark.parametrize("when", ["before", "watching"])
def test_what_a_health_command_started_ends_with_a_watcher_that_is_killed(
    machine: Rig, attach: Attach, path: Path, tmp_path: Path, when: str
) -> None:
    attach("old_xdp")
    fifo = tmp_path / "fifo"
    if when == "before":
        os.mkfifo(fifo)
    command = f"test ! -p {fifo} && mkfifo {fifo} || {{ sleep 1000 > {fifo} & wait; }}"
    words = ("--for", "10m", "--watch", command, "--watch-timeout", "1h")
    common = ("--iface", "right", "--force", "a test", "--program", "new_xdp")
    running = machine.start("attach", path, *common, *words)
    if when == "watching":
        running.line("is attached")

    with fifo.open("rb") as alive:  # the child of the shell has opened it
        running.send(signal.SIGKILL)
        running.end()

        assert select.select([alive], [], [], 10)[0]
    machine.settled()
    assert top(machine) == ("attached", "old_xdp")


def test_a_guardian_that_was_stopped_keeps_nobody_waiting_for_ever(
    machine: Rig, attach: Attach, watched: Callable[..., Running]
) -> None:
    attach("old_xdp")
    running = watched(soon_released=True)
    (guardian,) = machine.guardians()

    signal.pidfd_send_signal(guardian, signal.SIGSTOP)
    running.send(signal.SIGTERM)
    ended = running.end()

    assert "stopped by SIGTERM" in ended.err
    assert top(machine) == ("attached", "old_xdp")
    assert select.select([guardian], [], [], 10)[0]


def test_a_guardian_that_is_killed_is_replaced(
    machine: Rig, attach: Attach, watched: Callable[..., Running]
) -> None:
    attach("old_xdp")
    running = watched()
    (first,) = machine.guardians()

    signal.pidfd_send_signal(first, signal.SIGKILL)
    (second,) = machine.guardians(but=first)
    running.send(signal.SIGKILL)
    running.end()
    machine.settled()

    assert second != first
    assert top(machine) == ("attached", "old_xdp")


def test_a_guardian_is_ended_by_no_signal_that_asks_it_to(
    machine: Rig, attach: Attach, watched: Callable[..., Running]
) -> None:
    attach("old_xdp")
    running = watched()
    (guardian,) = machine.guardians()
    running.send(signal.SIGSTOP)  # it starts no other one

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # a service that is stopped
        signal.pidfd_send_signal(guardian, number)
    running.send(signal.SIGKILL)
    running.end()
    machine.settled()

    assert top(machine) == ("attached", "old_xdp")


def test_when_both_are_killed_the_journal_knows_the_way_back(
    machine: Rig, attach: Attach, watched: Callable[..., Running]
) -> None:
    attach("old_xdp")
    running = watched()
    (guardian,) = machine.guardians()
    signal.pidfd_send_signal(guardian, signal.SIGSTOP)

    running.send(signal.SIGKILL)
    running.end()
    signal.pidfd_send_signal(guardian, signal.SIGKILL)
    machine.settled()
    said = machine("status")
    again = attach("new_xdp")
    recovered = machine("attach", "--recover")

    assert said.code == 2
    assert "attach, watching, process" in said.out
    assert "packetrig attach --recover" in said.out
    assert again.code == 2
    assert "was not finished: `packetrig attach --recover` completes or undoes it" in again.err
    assert recovered.code == 0
    assert "undone: old_xdp (id" in recovered.out
    assert top(machine) == ("attached", "old_xdp")


def test_the_first_program_of_all_goes_when_it_does_not_hold(machine: Rig, attach: Attach) -> None:
    ended = attach("new_xdp", "--for", "1s", "--counter", "passed>0")

    assert ended.code == 1
    assert "nothing stands there again, as before" in ended.err
    assert machine.status() == []
    assert machine.pins() == []


def test_a_reader_of_the_output_that_goes_away_brings_the_old_program_back(
    machine: Rig, attach: Attach, path: Path
) -> None:
    attach("old_xdp")
    common = ("--iface", "right", "--force", "a test", "--program", "new_xdp", "--for", "10m")
    running = machine.start("attach", path, *common)
    running.line("note: ")
    running.out.close()  # before the line that says that it is attached, or just after

    running.send(signal.SIGTERM)
    running.end()

    assert top(machine) == ("attached", "old_xdp")


def test_who_may_not_read_the_journals_is_told(machine: Rig, attach: Attach, filters: Spec) -> None:
    with tempfile.TemporaryDirectory() as folder:  # tmp_path itself is root's alone
        Path(folder).chmod(0o755)
        path = Path(folder, "filters.o")
        path.write_bytes(filters.data)
        machine.state = Path(folder, "state")
        attach("old_xdp")

        ended = machine("status", uid=65534)
        detached = machine("detach", "--iface", "right", "--mode", "native", uid=65534)
        sampled = machine("shadow", path, "--iface", "right", "--program", "new_xdp", uid=65534)
        machine("detach", "--iface", "right")

    assert (ended.code, detached.code, sampled.code) == (2, 2, 2)
    assert "journal.json: not permitted; run it as root" in sampled.err
    assert "run it as root" in ended.err
    assert "run it as root" in detached.err
