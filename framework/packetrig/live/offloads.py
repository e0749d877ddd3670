"""What an interface's driver does with frames before a program sees them, and its name."""

from __future__ import annotations

import array
import socket
from dataclasses import dataclass

from .ethtool import _ioctl

_GDRVINFO, _GFLAGS, _GGRO, _GCHANNELS = 0x03, 0x25, 0x2B, 0x3C
_RXVLAN, _LRO = 1 << 8, 1 << 15


@dataclass(frozen=True, slots=True)
class Offloads:
    """Tell the driver's name, and which offloads are on; None where it does not say."""

    driver: str
    lro: bool | None
    gro: bool | None
    rx_vlan: bool | None
    channels: int
    most_channels: int


def offloads(interface: str) -> Offloads:
    """Ask the driver of an interface of this network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # struct ethtool_drvinfo: u32 cmd, char driver[32], ... 196 bytes in all.
        drvinfo = _asked(sock, interface, [_GDRVINFO] + [0] * 48)
        flags = _asked(sock, interface, [_GFLAGS, 0])
        gro = _asked(sock, interface, [_GGRO, 0])
        # cmd, most rx, tx, other, combined, then what is in use.
        channels = _asked(sock, interface, [_GCHANNELS] + [0] * 8)
    name = drvinfo.tobytes()[4:36].split(b"\0", 1)[0].decode() if drvinfo else ""
    return Offloads(
        driver=name,
        lro=bool(flags[1] & _LRO) if flags else None,
        gro=bool(gro[1]) if gro else None,
        rx_vlan=bool(flags[1] & _RXVLAN) if flags else None,
        channels=max(channels[5], channels[8]) if channels else 0,
        most_channels=max(channels[1], channels[4]) if channels else 0,
    )


def _asked(sock: socket.socket, interface: str, words: list[int]) -> array.array[int] | None:
    buffer = array.array("I", words)
    try:
        _ioctl(sock, interface, buffer)
    except OSError:
        return None
    return buffer
