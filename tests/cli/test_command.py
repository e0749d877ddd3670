"""The command itself: help, start-up, interruption, pipes, faults of its own, colours."""

from __future__ import annotations

import errno
import os
import pty
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import click
import pytest

from packetrig.cli import console
from packetrig.cli.main import COMMANDS, Exit
from packetrig.errors import Failure

from .given import GOOD, SOURCES, Ended

Command = Callable[..., Ended]

MIX = str(SOURCES / "xdp_mix.bpf.c")

HEAVY = {"rich", "scapy", "pydantic", "hypothesis", "pyroute2", "packetrig._bpf"}
HELP = f"""
import sys
from packetrig.cli import main
main(["--help"])
print(sorted({HEAVY} & set(sys.modules)))
"""


def started(*words: str, **options: object) -> subprocess.Popen[str]:
    """Start the command as a process of its own."""
    code = "import sys; from packetrig.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


def test_help_loads_nothing_heavy_and_lists_every_command() -> None:
    run = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)

    assert run.stdout.endswith("\n[]\n")
    assert all(f"\n  {name} " in run.stdout for name in COMMANDS)


def test_a_home_that_cannot_be_written_is_told_once_and_harms_nothing(
    packetrig: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PACKETRIG_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.setattr(tempfile, "tempdir", str(place))

    ended = packetrig("run", MIX, "--frame", GOOD.hex())

    assert ended.code == 0
    assert ended.err.startswith("packetrig: /dev/null/.cache/packetrig cannot be written: ")
    assert ended.err.count("\n") == 1
    assert list(place.glob("packetrig-*/objects/*/*/xdp_mix.bpf.o"))


def test_every_listed_command_is_there_with_help_of_its_own(packetrig: Command) -> None:
    for name in COMMANDS:
        ended = packetrig(name, "--help")

        assert ended.code == 0
        assert ended.out.startswith(f"Usage: packetrig {name} ")


def test_no_arguments_show_the_help_and_decide_nothing(packetrig: Command) -> None:
    ended = packetrig()

    assert ended.code == 2
    assert ended.err.startswith("Usage: packetrig ")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("rum",), "packetrig: no such command 'rum'"),
        (("run",), "packetrig: missing argument 'SOURCE'; see `packetrig run --help`\n"),
        (("run", "x.o", "--pcp", "y"), "packetrig: no such option '--pcp'"),
        (("gate", "x.o"), "packetrig: missing option '--policy'; see `packetrig gate --help`\n"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    packetrig: Command, words: tuple[str, ...], error: str
) -> None:
    ended = packetrig(*words)

    assert ended.err.startswith(error)
    assert (ended.code, ended.err.count("\n")) == (2, 1)


def falls(packetrig: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> Ended:
    """Run a command that raises."""

    @click.command()
    def command() -> None:
        raise error

    monkeypatch.setattr("packetrig.cli.run.command", command)
    return packetrig("run")


def test_a_fault_of_our_own_is_no_verdict_and_asks_to_be_reported(
    packetrig: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = falls(packetrig, monkeypatch, ZeroDivisionError("by zero"))

    assert ended == Ended(
        2,
        "",
        "packetrig: ZeroDivisionError: by zero "
        "(this is a fault of packetrig: please report this)\n",
    )


def test_debug_shows_where_it_came_from(
    packetrig: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACKETRIG_DEBUG", "1")

    ended = falls(packetrig, monkeypatch, ZeroDivisionError("by zero"))

    assert ended.err.startswith("Traceback (most recent call last):\n")
    assert ended.code == 2


def test_a_failure_is_exit_1(packetrig: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = falls(packetrig, monkeypatch, Failure("it forwards a dead packet\n  frame  00"))

    assert ended == Ended(1, "", "packetrig: it forwards a dead packet\n  frame  00\n")


def test_ctrl_c_is_exit_130_without_a_traceback(
    packetrig: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = falls(packetrig, monkeypatch, KeyboardInterrupt())

    assert ended == Ended(130, "", "packetrig: interrupted\n")


@pytest.mark.slow
def test_a_reader_that_leaves_is_not_complained_about(place: Path) -> None:
    words = [word for _ in range(4000) for word in ("--frame", GOOD.hex())]
    process = started("run", "progs/xdp_mix.bpf.c", *words)
    assert process.stdout is not None
    assert process.stderr is not None

    with process:
        process.stdout.readline()
        process.stdout.close()

        assert process.stderr.read() == ""
    assert process.returncode == Exit.BROKEN_PIPE


def when_read(pipe: Path, reader: subprocess.Popen[str]) -> IO[bytes]:
    """Open a pipe for writing as soon as somebody reads it; fails when the reader has ended."""
    while reader.poll() is None:
        try:
            return os.fdopen(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK), "wb")
        except OSError as e:
            if e.errno != errno.ENXIO:  # that one: nobody reads yet
                raise
    raise AssertionError(f"it ended before it read: {reader.communicate()}")


@pytest.mark.slow
def test_a_signal_in_the_middle_ends_it_quietly(place: Path) -> None:
    # It waits for a capture that nobody writes.
    os.mkfifo(place / "never.pcap")
    process = started("run", "progs/xdp_mix.bpf.c", "--pcap", "never.pcap")

    with process, when_read(place / "never.pcap", process):
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()

    assert (process.returncode, said) == (130, "packetrig: interrupted\n")


def test_a_table_in_a_pipe_is_plain_and_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(("name", "n"), [("a", 1), ("longer", 200)], right="n")

    assert capsys.readouterr().out == "name      n\na         1\nlonger  200\n"


def test_a_long_table_is_printed_as_it_comes(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(("n",), ((n,) for n in range(1200)), right="n")

    lines = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in lines] == ["n", *map(str, range(1200))]


def test_what_a_terminal_would_obey_is_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("a\x1b[2Jb\x9b\u202ec")
    console.complain("two\nlines \x07")

    said = capsys.readouterr()
    assert said.out == "a\\x1b[2Jb\\x9b\\u202ec\n"
    assert said.err == "packetrig: two lines \\x07\n"


@pytest.mark.slow
def test_colours_are_for_terminals_only(place: Path) -> None:
    words = ("run", "progs/xdp_mix.bpf.c", "--frame", GOOD.hex())
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    environment.pop("NO_COLOR", None)
    code = "import sys; from packetrig.cli import main; sys.exit(main())"
    ours, its = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *words], stdout=its, env=environment
        )
        os.close(its)
        shown = b""
        while True:
            try:
                part = terminal.read(65536)
            except OSError:  # a terminal ends with EIO when its last writer has gone
                break
            if not part:
                break
            shown += part
        code = process.wait()

    assert (code, b"\x1b[32mPASS" in shown) == (0, True)
    with started(*words, env=environment) as piped:
        assert "\x1b" not in piped.communicate()[0]


@pytest.mark.parametrize("words", [["run", "--frame", GOOD.hex(), MIX], ["--help"]])
def test_a_full_disk_behind_stdout_is_one_line_and_exit_2(words: list[str]) -> None:
    code = "import sys; from packetrig.cli import main; sys.exit(main())"
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-c", code, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert ended.returncode == Exit.UNDECIDED
    assert ended.stderr == "packetrig: stdout: cannot be written: no space left on device\n"


def test_a_name_that_no_file_has_is_named(packetrig: Command) -> None:
    ended = packetrig("run", "a" * 300, "--pcap", "a.pcap")

    assert ended.code == Exit.UNDECIDED
    assert ended.err == f"packetrig: {'a' * 40}...: is too long for the name of a file\n"


def test_an_error_that_nobody_can_read_is_still_exit_2() -> None:
    code = "import sys; from packetrig.cli import main; sys.exit(main())"
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-c", code, "run", "absent.o"], stderr=full, check=False
        )

    assert ended.returncode == Exit.UNDECIDED
