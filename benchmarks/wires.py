"""Measure what a test on a wire costs over an empty one, in one pytest run each way."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from figures import SMALL, Figure

TESTS = 60
# In turn, so that what slows the machine down slows every kind; each kind has its own program.
PROJECT = f"""
import socket

import pytest
from pyroute2 import IPRoute

import packetrig
from packetrig.live import namespace

FRAME = bytes.fromhex("020000000002 020000000001 0800").ljust(60, b"\\0")
small = packetrig.fixture({str(SMALL)!r})


@pytest.mark.parametrize("number", range({TESTS}))
class TestInTurn:
    def test_empty(self, number):
        pass

    def test_wire(self, number, wire):
        wire.send(FRAME)

    def test_native(self, number, wire, small):
        with wire.right.attach(small, mode="native"):
            wire.send(FRAME)

    def test_by_hand(self, number, small):
        # What a rig of one's own does: the same calls, each waited for.
        with namespace() as there, there.inside():
            with IPRoute() as route:
                route.link("add", ifname="a", kind="veth", peer="b")
                for name in "ab":
                    route.link("set", ifname=name, state="up")
                index = socket.if_nametoindex("b")
                xdp = [("IFLA_XDP_FD", small.program.fd), ("IFLA_XDP_FLAGS", 4)]
                route.link("set", index=index, IFLA_XDP={{"attrs": xdp}})
                with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3) as left:
                    left.bind(("a", 3))
                    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3) as right:
                        right.bind(("b", 3))
                        left.send(FRAME)
                off = [("IFLA_XDP_FD", -1), ("IFLA_XDP_FLAGS", 4)]
                route.link("set", index=index, IFLA_XDP={{"attrs": off}})

    def test_generic(self, number, wire, small):
        with wire.right.attach(small, mode="generic"):
            wire.send(FRAME)
"""
KINDS = {"native": "with native XDP", "generic": "with generic XDP", "wire": "without a program"}


def seconds(folder: Path) -> dict[str, list[float]]:
    """Run the project once and return what each test took, by its kind: set-up and end included."""
    (folder / "test_it.py").write_text(PROJECT)
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    done = subprocess.run(
        [*command, "--bpf-require", f"--junit-xml={report}", "-o", "junit_duration_report=total"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the tests failed:\n{done.stdout}{done.stderr}")
    found: dict[str, list[float]] = {}
    for case in ET.parse(report).iter("testcase"):
        kind = case.attrib["name"].split("[")[0].removeprefix("test_")
        found.setdefault(kind, []).append(float(case.attrib["time"]))
    return found


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        found = seconds(Path(folder))
    for kind, told in KINDS.items():
        pairs = zip(found[kind], found["empty"], strict=True)
        over = tuple(1e3 * (wire - empty) for wire, empty in pairs)
        yield Figure(f"a wire test {told}, over an empty one", " ms", 30, over)
    both = zip(found["native"], found["by_hand"], strict=True)
    yield Figure("a wire test with native XDP / by hand", "x", 1.0, tuple(w / h for w, h in both))
