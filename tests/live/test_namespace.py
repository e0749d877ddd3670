"""Network namespaces without a name."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from packetrig.errors import Error, ToolMissing
from packetrig.live import Namespace, namespace

pytestmark = pytest.mark.live


def _here() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


def test_a_thread_that_goes_inside_comes_back():
    home = _here()
    with namespace() as there:
        with there.inside():
            assert _here() != home
            assert [name for _, name in socket.if_nameindex()] == ["lo"]
        assert _here() == home


def test_a_thread_comes_back_when_the_block_raises():
    home = _here()
    with namespace() as there, pytest.raises(ZeroDivisionError), there.inside():
        _ = 1 // 0
    assert _here() == home


def test_going_inside_can_be_nested():
    with namespace() as outer, namespace() as inner, outer.inside():
        outside = _here()
        with inner.inside():
            assert _here() != outside
        assert _here() == outside


def test_a_thread_that_is_started_inside_is_born_there():
    home, seen = _here(), []
    with namespace() as there, there.inside():
        thread = threading.Thread(target=lambda: seen.append(_here()))
        thread.start()
        thread.join()
        inside = _here()
    assert seen == [inside]
    assert _here() == home


def test_an_older_thread_is_not_moved():
    home, seen = _here(), []
    go, gone = threading.Event(), threading.Event()

    def wait_and_look() -> None:
        go.wait(5)
        seen.append(_here())
        gone.set()

    thread = threading.Thread(target=wait_and_look)
    thread.start()
    with namespace() as there, there.inside():
        go.set()
        gone.wait(5)
    thread.join()
    assert seen == [home]


def test_a_command_runs_inside():
    with namespace() as there:
        told = there.run(["cat", "/proc/self/net/dev"])
    assert told.returncode == 0
    assert "eth" not in told.stdout and "lo:" in told.stdout


def test_a_command_that_fails_says_so_by_its_status():
    with namespace() as there:
        assert there.run(["false"]).returncode == 1


def test_a_missing_command_is_named():
    with namespace() as there, pytest.raises(ToolMissing, match="no-such-command"):
        there.run(["no-such-command"])


def test_a_server_ends_with_its_block():
    with namespace() as there, there.started(["sleep", "60"]) as server:
        assert server.poll() is None
    assert server.returncode is not None


def test_a_setting_is_written_inside_only():
    path = Path("/proc/sys/net/ipv4/ip_forward")
    before = path.read_text()
    with namespace() as there:
        there.sysctl("ipv4/ip_forward", "1")
        with there.inside():
            assert path.read_text() == "1\n"
        there.sysctl("ipv4/ip_forward", "0")
    assert path.read_text() == before


def test_a_setting_that_does_not_exist_is_named():
    with namespace() as there, pytest.raises(Error, match="net/no/such"):
        there.sysctl("no/such", "1")


def test_a_closed_namespace_cannot_be_entered():
    there = Namespace()
    there.close()
    there.close()
    with pytest.raises(Error, match="closed"), there.inside():
        pass


def test_a_namespace_has_no_name():
    with namespace() as there:
        mine = os.fstat(there.fd).st_ino
        assert mine not in [path.stat().st_ino for path in Path("/run").glob("netns/*")]
