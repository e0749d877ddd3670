"""Frames, sources and what a command left: shared by the tests of the commands and of the gate."""

from __future__ import annotations

import platform
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from packetrig import kernels
from packetrig.errors import Error
from packetrig.kernels import apt, images
from packetrig.packets import craft

SOURCES = Path(__file__).parent / "sources"
SHOWN = Path(__file__).parent / "shown"


@dataclass(frozen=True, slots=True)
class Ended:
    """Hold how a command ended, and what it said."""

    code: int
    out: str
    err: str


def udp(last: int) -> bytes:
    """Make a UDP packet from 10.0.0.<last> to 10.0.0.9, with everything in it right."""
    network = craft.Network(bytes((10, 0, 0, last)), bytes((10, 0, 0, 9)))
    return network.frame(craft.udp(b"hello", network), craft.UDP)


BLOCKED, GOOD = udp(66), udp(1)
# What sources/xdp_mix.bpf.c answers wrongly to, and what no test run takes.
ABORTED = bytes(12) + b"\x88\xb5" + bytes(46)
ILLEGAL = bytes(12) + b"\x88\xb6" + bytes(46)
SHORT = bytes(13)

# A capture of one raw IP packet: link type 101, no Ethernet.
RAW_IP = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101) + struct.pack(
    "<IIII20x", 0, 0, 20, 20
)

# The state that blocks 10.0.0.66.
STATE = """
format = 1
[maps.blocked]
"10.0.0.66" = 0
"""


def key_pair(
    folder: Path, name: str = "key", key: Any = None, *, password: bytes = b""
) -> tuple[Path, Path]:
    """Make a key of ed25519, or write another one: NAME.pem and NAME.pub, as openssl does."""
    key = key or ed25519.Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    lock = serialization.BestAvailableEncryption(password) if password else None
    form = serialization.PrivateFormat.PKCS8, lock or serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


def shown(name: str) -> str:
    """Read a whole output as it is to look: a file in shown/, changed by hand when it should."""
    return (SHOWN / name).read_text(encoding="utf-8")


def other_kernel() -> str:
    """Name the oldest kernel that apt offers here, and skip where none can be had or booted."""
    lacking = kernels.missing()
    offered = [each for each in apt.offered() if each != platform.release()]
    if lacking is not None or not offered:
        pytest.skip(str(lacking or "apt offers no kernel here"))
    found = ".".join(map(str, apt.numbers(offered[0])[:2]))
    try:
        images.find(found)
    except Error as e:  # a server that is away says nothing of what is tested
        pytest.skip(str(e))
    return found
