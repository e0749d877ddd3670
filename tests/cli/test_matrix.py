"""`packetrig matrix`: a command on several kernels and compilers, and what tells them apart."""

from __future__ import annotations

import json
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from .given import Ended, other_kernel

Command = Callable[..., Ended]

RELEASE = platform.release()
TESTS = """
import os
import pytest

def test_everywhere():
    pass

def test_one_compiler():
    assert os.environ["CLANG"].endswith("first")

def test_the_same_compiler():
    assert os.environ["CLANG"].endswith("first")

def test_old():
    if os.environ["CLANG"].endswith("second"):
        pytest.skip("too new")

if os.environ["CLANG"].endswith("first"):
    def test_only_there():
        pass
"""
PYTEST = ("--", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py")


@pytest.fixture
def compilers(place: Path) -> list[str]:
    """Put one clang under two names, as if they were two."""
    (place / "test_it.py").write_text(TESTS)
    clang = shutil.which("clang-19") or shutil.which("clang")
    names = [place / "first", place / "second"]
    for name in names:
        name.symlink_to(str(clang))
    return [word for name in names for word in ("--clang", str(name))]


@pytest.mark.parametrize(
    ("code", "answer", "ends"), [(0, "held", 0), (1, "FAILED", 1), (3, "undecided", 2)]
)
def test_the_exit_code_of_a_command_is_the_answer(
    code: int, answer: str, ends: int, packetrig: Command
) -> None:
    ended = packetrig("matrix", "--", "sh", "-c", f"echo some words; exit {code}")

    head, row, *rest = ended.out.splitlines()
    assert head.split() == (
        ["kernel", "clang", "passed", "failed", "errors", "skipped", "seconds", "answer"]
    )
    assert row.split() == ["host", f"({RELEASE})", "-", "-", "-", "-", "-", "0", answer]
    said = ["", f"host: exit code {code}; its last lines:", "  some words"] if code else []
    assert (ended.code, ended.err, rest) == (ends, "", said)


@pytest.mark.slow
def test_tests_that_end_otherwise_with_another_compiler_are_listed(
    packetrig: Command, compilers: list[str]
) -> None:
    ended = packetrig("matrix", *compilers, *PYTEST)

    assert ended.code == 1
    rows = [line.split() for line in ended.out.splitlines()[1:3]]
    assert [(row[3:7], row[8]) for row in rows] == [
        (["5", "0", "0", "0"], "held"),
        (["1", "2", "0", "1"], "FAILED"),
    ]
    assert "\n".join(ended.out.splitlines()[4:14]) == (
        "tests that do not end alike: 4\n"
        "  host-first: passed\n"
        "  host-second: failed: AssertionError: assert False\n"
        "    test_it.py::test_one_compiler\n"
        "    test_it.py::test_the_same_compiler\n"
        "  host-first: passed\n"
        "  host-second: skipped: too new\n"
        "    test_it.py::test_old\n"
        "  host-first: passed\n"
        "  host-second: was not collected"
    )
    assert ended.out.splitlines()[14] == "    test_it.py::test_only_there"


@pytest.mark.slow
def test_reports_and_logs_are_kept_where_they_are_asked_for(
    packetrig: Command, compilers: list[str], place: Path
) -> None:
    words = ("--logs", "logs", "--junit", "all.xml", "--json")

    ended = packetrig("matrix", *compilers, *words, *PYTEST)

    found = json.loads(ended.out)
    assert (ended.code, found["format"]) == (1, 1)
    assert [(c["name"], c["kernel"], c["exit-code"], c["answer"]) for c in found["cells"]] == [
        ("host-first", RELEASE, 0, "held"),
        ("host-second", RELEASE, 1, "FAILED"),
    ]
    assert found["cells"][1]["tests"]["test_it.py::test_old"] == (
        {"outcome": "skipped", "why": "too new"}
    )
    suites = Xml.parse(place / "all.xml").getroot()
    assert [(suite.get("name"), suite.get("tests")) for suite in suites] == [
        ("host-first", "5"),
        ("host-second", "4"),
    ]
    for name in ("host-first", "host-second"):
        assert "passed" in (place / "logs" / name / "output").read_text()
        assert (place / "logs" / name / "junit.xml").exists()


def test_files_that_a_command_leaves_for_it_are_kept(packetrig: Command, place: Path) -> None:
    ended = packetrig(
        "matrix", "--logs", "logs", "--", "sh", "-c", 'echo mine > "$PACKETRIG_RESULTS/file"'
    )

    assert ended.code == 0
    assert (place / "logs" / "host" / "file").read_text() == "mine\n"


def test_a_command_that_does_not_end_is_undecided(packetrig: Command) -> None:
    ended = packetrig("matrix", "--timeout", "50ms", "--", "sleep", "1000")

    assert ended.code == 2
    assert "host: its command did not end within 0.05 s" in ended.out


def test_a_command_that_a_signal_ends_is_undecided(packetrig: Command) -> None:
    ended = packetrig("matrix", "--", "sh", "-c", "kill -9 $$")

    assert ended.code == 2
    assert "host: its command was ended by signal 9" in ended.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--", "no-such-thing"), "no-such-thing: there is no such command; name one on PATH, "),
        (("--kernel", "./vmlinuz", "--", "true"), "vmlinuz: there is no such image of a kernel"),
        (("--kernel", "./noise", "--", "true"), "noise: is no image of a kernel"),
        (("--kernel", "host", "--kernel", "host", "--", "true"), "'host' is named twice"),
        (("--clang", "1", "--clang", "clang-1", "--", "true"), "'host-clang-1' is named twice"),
        (("--timeout", "soon", "--", "true"), "'soon' is no time"),
        (("--junit", "no/", "--", "true"), "no: is a folder"),
        ((), "missing argument '-- COMMAND...'"),
    ],
)
def test_what_is_wrong_with_the_words_is_said_in_one_line(
    words: tuple[str, ...], said: str, packetrig: Command, place: Path
) -> None:
    (place / "no").mkdir()
    (place / "noise").write_bytes(bytes(4096))

    ended = packetrig("matrix", *words)

    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1


@pytest.fixture
def other() -> str:
    """Name a kernel that can be booted here."""
    return other_kernel()


OBJECT = """
import platform
import packetrig

mix = packetrig.fixture("progs/xdp_mix.bpf.c")

def test_it_runs(mix):
    assert mix.run(bytes(60)).verdict is packetrig.XDP.PASS

def test_the_kernel():
    assert platform.release() == {release!r}
"""


@pytest.mark.slow
def test_another_kernel_runs_the_command_on_the_same_files(
    packetrig: Command, place: Path, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARK", 'it\'s "here"')
    (place / "test_it.py").write_text(OBJECT.format(release=RELEASE))
    script = (
        'uname -r; pwd; echo "$MARK"; ip -br link show lo; ip link add type veth && echo veth\n'
        "echo gone > packetrig-gone; echo kept > $PACKETRIG_RESULTS/kept\n"
        f"{sys.executable} -m pytest -q -p no:cacheprovider test_it.py"
    )
    words = ("--kernel", other, "--timeout", "10m", "--logs", "logs", "--json")

    ended = packetrig("matrix", *words, "--", "sh", "-c", script)

    (cell,) = json.loads(ended.out)["cells"]
    lines = cell["output"].splitlines()
    assert lines[0].startswith(f"{other}.") and lines[0] != RELEASE, cell
    assert lines[1:3] == [str(place), 'it\'s "here"']
    assert lines[3].split()[0] == "lo" and lines[4] == "veth"
    assert (cell["kernel"], cell["exit-code"], cell["answer"]) == (lines[0], 1, "FAILED")
    assert {name: each["outcome"] for name, each in cell["tests"].items()} == {
        "test_it.py::test_it_runs": "passed",
        "test_it.py::test_the_kernel": "failed",
    }
    assert (ended.code, ended.err) == (1, "")
    assert (place / "logs" / other / "kept").read_text() == "kept\n"
    assert not (place / "packetrig-gone").exists()
