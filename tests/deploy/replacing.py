"""Count the frames that are lost while programs take each other's place under load."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packetrig import Spec
from packetrig._bpf import lib

from .kills import sending
from .rig import Rig

PASSED = 0x88B7  # what both programs let through
_XDP, _NATIVE = 37, 4  # enum bpf_attach_type, XDP_FLAGS_DRV_MODE
_SOL_PACKET, _STATISTICS = 263, 6


@dataclass(frozen=True, slots=True)
class Count:
    """Say how many frames were sent, and how many did not arrive."""

    sent: int
    lost: int


@contextmanager
def counted(machine: Rig) -> Iterator[Callable[[], Count]]:
    """Send frames through the hook for the length of a with block, and count those that arrive."""
    with machine.wire.right.namespace.inside():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.bind(("right", PASSED))
    sent: list[int] = []
    with sock:
        with sending(machine, PASSED) as sent:
            yield lambda: Count(sent[0], sent[0] - arrived[0])
        # Those that the socket had no room for have arrived as well.
        packets, _ = struct.unpack("II", sock.getsockopt(_SOL_PACKET, _STATISTICS, 8))
        arrived = [packets]


def bare(machine: Rig, spec: Spec, times: int) -> Count:
    """Replace with nothing but BPF_LINK_UPDATE."""
    with spec.load(program="old_xdp") as old, spec.load(program="new_xdp") as new:
        with machine.wire.right.namespace.inside():
            link = lib.pr_link_create(old.program.fd, machine.wire.right.index, _XDP, _NATIVE)
        assert link >= 0
        try:
            with counted(machine) as count:
                for number in range(times):
                    one, two = (old, new) if number % 2 == 0 else (new, old)
                    assert lib.pr_link_update(link, two.program.fd, one.program.fd) == 0
        finally:
            os.close(link)
    return count()


def ours(machine: Rig, path: Path, times: int) -> Count:
    """Replace with `packetrig attach`, which ends only when the frames go on."""
    words = ("attach", path, "--iface", "right", "--force", "a count", "--program")
    assert machine(*words, "old_xdp").code == 0
    with counted(machine) as count:
        for number in range(times):
            assert machine(*words, "new_xdp" if number % 2 == 0 else "old_xdp").code == 0
    assert machine("detach", "--iface", "right", "--all").code == 0
    return count()
