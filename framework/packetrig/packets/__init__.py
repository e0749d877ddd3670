"""Hold packets as bytes: parse, explain, generate and store them.

Everything inside is bytes; scapy is understood where a person hands packets over or reads them.
Importing this package loads neither scapy (0.6 s) nor hypothesis: each submodule loads what it
needs when it is first used.

frames.py      headers, offsets and checksums of a frame, without scapy (_walk.py, _cursor.py;
               _wrappers.py: headers around a packet of their own)
explain.py     what a frame is, and in what two differ, in words (_summary.py, _layers.py,
               _difference.py, _expression.py)
craft.py       frames from fields; around it http.py, dns.py, tunnels.py, fragments.py, flows.py
malformed.py   the catalogue: _lies.py has what each header can lie about; _mangle.py breaks frames
               at random
told.py        frames with a word on top that says what they are
written.py     a frame as layers and fields, and back; toml.py writes them down
pcap.py        captures (_linktypes.py)
strategies/    all of it for Hypothesis
_scapy.py      the door to scapy
"""

from __future__ import annotations

import importlib
from types import ModuleType

from ..errors import InputRefused
from ._scapy import build, is_scapy
from .told import Told

_SUBMODULES = frozenset(
    {
        "craft",
        "dns",
        "explain",
        "flows",
        "fragments",
        "frames",
        "http",
        "malformed",
        "pcap",
        "strategies",
        "told",
        "toml",
        "tunnels",
        "written",
    }
)


def to_bytes(packet: object) -> bytes:
    """Give the frame that a packet stands for: bytes as they are, a scapy packet as it is built.

    Scapy fills a missing MAC or source address from this machine's interfaces, routes and
    neighbours, and may even send an ARP request to find one. Here they get fixed addresses
    instead, so that the same packet is the same bytes on every machine: Ethernet 02:00:00:00:00:01
    to 02:00:00:00:00:02, sources 192.0.2.1 and 2001:db8::1.

    Raises:
        InputRefused: the packet is neither bytes nor a scapy packet.
    """
    if type(packet) is bytes or isinstance(packet, Told):  # which says what it is: it still can
        return packet
    if isinstance(packet, (bytes, bytearray, memoryview)):
        return bytes(packet)
    if is_scapy(packet):
        return build(packet)
    raise InputRefused(
        f"a packet is bytes or a scapy packet, not {_described(packet)}{_hint(packet)}"
    )


def _described(value: object) -> str:
    if value is None:
        return "None"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:37] + '...'}"


def _hint(value: object) -> str:
    if isinstance(value, str):
        return "; bytes.fromhex() reads hexadecimal text"
    if isinstance(value, (list, tuple)):
        return "; give one packet at a time, or use run_many"
    return ""


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES})
