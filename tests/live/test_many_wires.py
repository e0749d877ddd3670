"""Many wires leave nothing, several at once do not meet, and a test that leaves something fails."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from packetrig import XDP, _bpf
from packetrig.live import Wire, finish

pytest_plugins = ["pytester"]
pytestmark = [pytest.mark.live, pytest.mark.slow]

ANSWERS = Path(__file__).parent / "answers.bpf.c"
MODES = ("native", "generic", "tc-ingress", "tcx-ingress")
HEAD = f"""
import pytest
import packetrig

frame = bytes.fromhex("020000000002 020000000001 0800") + bytes([1]).ljust(50)
xdp = packetrig.fixture({str(ANSWERS)!r}, program="answer_xdp")
"""


def loaded(programs: set[int]) -> set[int]:
    there = set()
    for number in programs:
        fd = _bpf.lib.bpf_prog_get_fd_by_id(number)
        if fd >= 0:
            there.add(number)
            os.close(fd)
    return there


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_two_hundred_wires_leave_no_program_link_interface_pin_or_descriptor(answers, frame):
    finish()
    gc.collect()  # what tests before this one have left to do
    interfaces, open_before = socket.if_nameindex(), descriptors()
    programs: set[int] = set()

    for number in range(200):
        mode = MODES[number % len(MODES)]
        name = "answer_tc" if mode.startswith("tc") else "answer_xdp"
        with answers.load(program=name) as one, Wire() as wire:
            with wire.right.attach(one, mode=mode) as attached:
                programs.add(attached.program_id)
                wire.send(frame(XDP.DROP))
            if number % 10 == 0:  # one more, which the end of the wire takes with it
                wire.right.attach(one, mode=mode).__enter__()
                assert len(wire.leftovers()) == 1
    finish()

    assert len(programs) == 200
    # The kernel takes namespaces down in its own time. A link or a pin would keep its program: that
    # none is left shows in the programs, and no other test's links have to be opened for it.
    while loaded(programs):
        os.sched_yield()
    assert socket.if_nameindex() == interfaces
    assert descriptors() == open_before


# A user namespace of its own counts its network namespaces: with room for a few, 200 wires can only
# be made if the earlier ones are gone. (Programs cannot be loaded there.)
COUNTED = """
import time
from pathlib import Path
from packetrig.live import Wire, finish
Path("/proc/sys/user/max_net_namespaces").write_text("40")
made = 0
while made < 200:
    try:
        with Wire() as wire:
            assert wire.send(bytes(60)) == [bytes(60)]
            made += 1
    except packetrig.Error as e:
        assert "space" in str(e)  # ENOSPC: the kernel has not taken the last ones down yet
        finish()
print(made)
"""


def test_two_hundred_wires_leave_no_namespace():
    code = f"import packetrig{COUNTED}"
    inside = ["unshare", "--user", "--map-root-user"]
    asked = subprocess.run([*inside, "true"], capture_output=True, text=True, check=False)
    if asked.returncode:
        pytest.skip(f"no user namespaces here: {asked.stderr.strip()}")

    command = [*inside, sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr


def test_several_wires_at_once_do_not_meet(pytester):
    pytester.makepyfile(
        HEAD
        + """
@pytest.mark.parametrize("number", range(20))
def test_it(wire, xdp, number):
    mine = frame[:15] + bytes([number + 1]) + frame[16:]
    assert wire.send(mine) == [mine]
    with wire.right.attach(xdp, mode="generic" if number % 2 else "native"):
        assert wire.send(mine) == []
"""
    )

    result = pytester.runpytest_subprocess("-n", "2", "-p", "no:cacheprovider", "--bpf-require")

    result.assert_outcomes(passed=20)


def test_a_test_that_leaves_a_program_attached_has_an_error(pytester):
    pytester.makepyfile(
        HEAD
        + """
def test_it(wire, xdp):
    wire.right.attach(xdp).__enter__()

def test_the_next_one(wire):
    assert wire.send(frame) == [frame]
"""
    )

    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-W", "ignore")

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.re_match_lines(
        [r"the test left something behind on the wire: right: XDP program \d+ \(native\)"]
    )


def test_a_test_that_leaves_a_process_inside_has_an_error(pytester):
    pytester.makepyfile(
        HEAD
        + """
import subprocess, sys
started = []

def test_it(wire):
    with wire.right.namespace.inside():
        cat = subprocess.Popen(["cat", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    started.append(cat)
    cat.stdin.write(b"up\\n")  # Popen returns before the command line can be read
    cat.stdin.flush()
    assert cat.stdout.readline() == b"up\\n"

def test_it_is_ended():
    started[0].kill()
    started[0].communicate()
"""
    )

    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.re_match_lines([r".*behind on the wire: process \d+ \(cat -\) still runs"])


def test_a_test_that_leaves_a_wire_open_has_an_error(pytester):
    pytester.makepyfile(
        HEAD
        + """
from packetrig.live import Wire

left = []

@pytest.fixture(scope="module")
def wide():
    with Wire() as made:
        yield made

def test_it():
    left.append(Wire().__enter__())

def test_it_is_closed_by_now():
    assert not left[0].is_open

def test_a_fixtures_stays(request):
    request.getfixturevalue("wide")

def test_it_stayed(wide):
    assert wide.send(frame) == [frame]
"""
    )

    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")

    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(["the test left a wire open: with Wire() as wire*"])
