"""Hold what a newcomer meets first: the Makefile and the set-up, on a machine that has nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = "framework/packetrig/_bpf"
BASICS = ("sh dirname mkdir cat cut tr sed id head tail sort sha256sum").split()  # noqa: SIM905


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make what the set-up looks at, and nothing more."""
    folder = tmp_path / "clone"
    (folder / CORE).mkdir(parents=True)
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    for name in ("build.py", "kernel.c"):
        shutil.copy(ROOT / CORE / name, folder / CORE / name)
    return folder


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """Make a PATH with a shell and the basics: no package manager, no compiler, no ip."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in BASICS:
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return folder


def set_up(checkout: Path, *, path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(checkout / ".ci" / "setup")],
        env={"PATH": str(path)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_machine_that_is_not_debian_is_told_what_is_missing_and_how_to_get_it(
    checkout: Path, bare_path: Path
) -> None:
    told = set_up(checkout, path=bare_path)

    assert told.returncode == 2
    assert told.stderr.startswith(
        "packetrig: this is not Debian or Ubuntu, so nothing was installed"
    )
    assert "\n    clang 14 or newer\n" in told.stderr
    for line in ("sudo apt-get install ", "sudo dnf install ", "sudo pacman -S "):
        assert re.search(rf"{line}.*clang", told.stderr)
    assert not (checkout / ".venv").exists()


def test_a_clang_that_is_named_and_not_there_is_an_error(checkout: Path, bare_path: Path) -> None:
    told = set_up(checkout, path=bare_path, CLANG="clang-99")

    assert told.returncode == 2
    assert told.stderr == "packetrig: CLANG=clang-99 is not a program\n"


def test_a_clang_older_than_14_is_an_error_when_it_is_named(
    checkout: Path, bare_path: Path
) -> None:
    old = bare_path / "clang"
    old.write_text("#!/bin/sh\necho 13\n")
    old.chmod(0o755)

    told = set_up(checkout, path=bare_path, CLANG="clang")

    assert told.returncode == 2
    assert told.stderr == "packetrig: CLANG=clang is not a clang from 14 up\n"


def test_a_checkout_without_its_core_is_named_so(checkout: Path, bare_path: Path) -> None:
    (checkout / CORE / "kernel.c").unlink()

    told = set_up(checkout, path=bare_path)

    assert told.returncode == 2
    assert told.stderr == f"packetrig: this checkout is not whole: no {CORE}/kernel.c\n"


def test_make_alone_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):", text, re.MULTILINE)
    quiet = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}

    shown = subprocess.run(
        ["make"], cwd=ROOT, env=quiet, capture_output=True, text=True, check=True
    ).stdout

    assert [line.split()[1] for line in shown.splitlines() if line.startswith("  make ")] == targets
    assert re.findall(r"^([a-z-]+):.*## \w", text, re.MULTILINE) == targets


def test_ci_runs_make_test_and_nothing_else() -> None:
    assert (ROOT / ".ci" / "run").read_text().endswith("\nexec make test\n")
