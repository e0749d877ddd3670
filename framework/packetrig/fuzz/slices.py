"""What a worker of a cluster does for a campaign: says what it can, and works slice by slice."""

from __future__ import annotations

import importlib.metadata
import os
import socket
from dataclasses import dataclass

from .._bpf import probes
from ..errors import Error
from . import travel


@dataclass(frozen=True, slots=True)
class Able:
    """Tell who a worker is, and why it cannot take part; an empty `why` says that it can."""

    host: str
    pid: int
    why: str = ""


def enter(sent: bytes) -> bytes:
    """Do, on a worker, what was packed: a function and its arguments."""
    work, args = travel.unpack(sent)
    return travel.pack(work(*args))


def version() -> str:
    """Return the version of packetrig that runs here."""
    return importlib.metadata.version("packetrig")


def able(wanted: str) -> Able:
    """Find out, on a worker, whether it can run programs for a client of that version."""
    host, pid = socket.gethostname(), os.getpid()
    if version() != wanted:
        return Able(host, pid, f"it has packetrig {version()}, and {wanted} is wanted")
    try:
        probes.xdp_linear()  # loads a program of a few instructions, and runs it
    except Error as e:
        return Able(host, pid, str(e))
    return Able(host, pid)
