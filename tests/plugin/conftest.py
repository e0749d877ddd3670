"""What the tests of the plugin share: a pytest project of their own, with programs in it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.all import Ether as Ether  # once, here: runs in this process would each load it again

import packetrig.packets.written
import packetrig.testing.comparisons
import packetrig.testing.golden
import packetrig.testing.header
import packetrig.testing.recipes
import packetrig.testing.reports
import packetrig.testing.tables
from packetrig import toolchain

packetrig.packets.written.rebuilt({"Ether": {}})  # loads the rest of scapy, once

SOURCES = Path(__file__).parent / "sources"
CACHE = toolchain.folder(os.environ)

HEAD = """import pytest
from hypothesis import given, settings, strategies as st
import packetrig
from packetrig import XDP

ADDRESSES = bytes.fromhex("0a000042 0a000001")
FRAME = bytes(12) + bytes.fromhex("0800 4500001c0001000040116686") + ADDRESSES + bytes(8)
door = packetrig.fixture("progs/xdp_door.bpf.c")
"""

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with programs in progs/, that finds what was compiled before."""
    monkeypatch.setenv("PACKETRIG_CACHE", str(CACHE))  # pytester moves the home folder
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("CI", "BUILD_NUMBER", "FORCE_COLOR", "PY_COLORS"):  # what shapes the output
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(SOURCES, pytester.path / "progs")
    pytester.makeini("[pytest]\n")
    return pytester


@pytest.fixture
def head() -> str:
    """What every test file of these tests begins with."""
    return HEAD


@pytest.fixture
def run(project: pytest.Pytester) -> Run:
    """Run pytest on one test file, after a head that names a fixture `door`."""

    def run_file(text: str, *args: str, head: str = HEAD) -> pytest.RunResult:
        project.makepyfile(test_it=head + text)
        quiet = ("-p", "no:cacheprovider", "-W", "default")  # what is an error out here
        return project.runpytest_inprocess(*quiet, *args)

    return run_file


@pytest.fixture
def plain() -> Callable[[pytest.RunResult], str]:
    """Take out of a run's output what differs between machines and days."""
    return _plain


def _plain(result: pytest.RunResult) -> str:
    text = "\n".join(line.rstrip() for line in result.outlines)
    text = re.sub(
        r"^(platform|rootdir:|configfile:|plugins:|packetrig \d).*\n", "", text, flags=re.MULTILINE
    )
    text = re.sub(r" in \d+\.\d+s ?=+", " =", text)
    text = re.sub(r"^=+ | =+$", "=", text, flags=re.MULTILINE)
    return text + "\n"
