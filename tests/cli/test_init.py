"""`packetrig init`: a project that passes its own tests and its own gate, and harms no other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .given import Ended

Command = Callable[..., Ended]

FILES = [
    ".github/workflows/packetrig.yml",
    ".gitignore",
    "Makefile",
    "fixtures/pcap/first.pcap",
    "fixtures/pcap/first.toml",
    "fixtures/policy/xdp_blocklist.toml",
    "gate.toml",
    "progs/xdp_blocklist.bpf.c",
    "pytest.ini",
    "tests/test_xdp_blocklist.py",
]


def tree(folder: Path) -> dict[str, bytes]:
    """Read every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Call make as a user does who has packetrig on the path."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "PYTEST_", "GITHUB_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["make", *words],
        cwd=folder,
        env=kept | {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_files_of_a_project_are_written_and_named(packetrig: Command, place: Path) -> None:
    ended = packetrig("init", "new/project")

    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[:-3] == [f"new/project/{name}" for name in FILES]
    assert lines[-2] == "next, as root: make -C new/project test, then make -C new/project gate"
    assert lines[-1] == (f"in CI: PACKETRIG in new/project/{FILES[0]} says what pip installs there")
    assert sorted(tree(place / "new" / "project")) == FILES


def test_two_projects_are_the_same(packetrig: Command, place: Path) -> None:
    packetrig("init", "one")
    packetrig("init", "two")

    assert tree(place / "one") == tree(place / "two")


@pytest.mark.slow
def test_a_new_project_passes_its_tests_and_its_gate(packetrig: Command, place: Path) -> None:
    (place / "pytest.ini").write_text("[pytest]\n")  # of a project that it is made below
    packetrig("init", "project")
    # A model beside the programs, where the documentation has them.
    model = place / "project" / "progs" / "models" / "blocklist.py"
    model.parent.mkdir()
    model.write_text("ANSWER = 42\n")
    imports = "from progs.models.blocklist import ANSWER\n\n\ndef test_it():\n    assert ANSWER\n"
    (place / "project" / "tests" / "test_model.py").write_text(imports)

    tested = make(place / "project", "test")
    gated = make(place / "project", "gate")
    cleaned = make(place / "project", "clean")

    assert tested.returncode == 0, tested.stdout
    assert " passed" in tested.stdout and "skipped" not in tested.stdout
    assert gated.returncode == 0, gated.stdout
    assert gated.stdout.splitlines()[1].split()[:3] == ["xdp_blocklist", "xdp", "ok"]
    assert "native generic  DEPLOY" in gated.stdout
    assert "87.5% branches  5 frames  20000 runs" in gated.stdout
    assert cleaned.returncode == 0
    mine = ["progs/models/blocklist.py", "tests/test_model.py"]
    assert sorted(tree(place / "project")) == sorted(FILES + mine)


def test_a_new_project_has_a_makefile_that_explains_itself(packetrig: Command, place: Path) -> None:
    packetrig("init", "project")

    told = make(place / "project").stdout

    assert [line.split()[1] for line in told.splitlines()] == ["help", "test", "gate", "clean"]


def test_what_is_there_is_never_overwritten(packetrig: Command, place: Path) -> None:
    (place / "mine").mkdir()
    (place / "mine" / "gate.toml").write_text("mine")
    (place / "mine" / "Makefile").symlink_to("nowhere")

    ended = packetrig("init", "mine")

    assert ended.err == (
        "packetrig: mine/Makefile: is there already (and 1 more); nothing was written\n"
    )
    assert (ended.code, ended.out) == (2, "")
    assert tree(place / "mine") == {"gate.toml": b"mine"}


def test_a_project_is_made_beside_files_of_other_names(
    packetrig: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "mine").mkdir()
    (place / "mine" / "README.md").write_text("mine")
    monkeypatch.chdir(place / "mine")

    ended = packetrig("init")

    assert ended.code == 0
    assert tree(place / "mine")["README.md"] == b"mine"


def test_settings_of_pytest_that_are_there_stay_those_that_are_read(
    packetrig: Command, place: Path
) -> None:
    (place / "mine").mkdir()
    (place / "mine" / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")

    ended = packetrig("init", "mine")

    assert ended.code == 0
    assert sorted(tree(place / "mine").keys() & {"pytest.ini", "pyproject.toml"}) == [
        "pyproject.toml"
    ]


def test_a_place_that_is_no_folder_is_named(packetrig: Command) -> None:
    ended = packetrig("init", "state.toml")

    assert ended.err.startswith("packetrig: state.toml/")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
