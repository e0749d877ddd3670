"""The little of ethtool that a wire needs: offloads off, and the driver's own counters.

The ioctl is used, not netlink: it takes 5 us, and the counters are read twice for each frame.
"""

from __future__ import annotations

import array
import errno
import fcntl
import socket
import struct

from ..errors import Error

_SIOCETHTOOL = 0x8946
_ETH_SS_STATS = 1
_GLINK = 0x0A
_SIOCGIFFLAGS, _IFF_RUNNING = 0x8913, 0x40
_GSTRINGS, _GSTATS, _GSSET_INFO = 0x1B, 0x1D, 0x37
# Commands that set one switch: struct ethtool_value { u32 cmd, data; }.
_SWITCHES = {
    "rx-checksum": 0x15,
    "tx-checksum": 0x17,
    "scatter-gather": 0x19,
    "tso": 0x1F,
    "gso": 0x24,
    "gro": 0x2C,
}


def _ioctl(sock: socket.socket, interface: str, buffer: array.array[int]) -> None:
    request = struct.pack("16sP16x", interface.encode(), buffer.buffer_info()[0])
    fcntl.ioctl(sock, _SIOCETHTOOL, request)


def switch(sock: socket.socket, interface: str, **switches: bool) -> None:
    """Turn offloads on or off; one that the driver does not have is off already.

    Names are those of the table above with underscores: `tx_checksum=False`.
    """
    for name, wanted in switches.items():
        command = _SWITCHES[name.replace("_", "-")]
        try:
            _ioctl(sock, interface, array.array("I", [command, int(wanted)]))
        except OSError as e:
            if wanted or e.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise Error(f"{interface}: {name}: {e.strerror}") from e


def carries(sock: socket.socket, interface: str) -> bool:
    """Tell whether an interface is up and its queue takes frames."""
    _ioctl(sock, interface, array.array("I", [_GLINK, 0]))
    (flags,) = struct.unpack_from(
        "=H", fcntl.ioctl(sock, _SIOCGIFFLAGS, interface.encode().ljust(40, b"\0")), 16
    )
    if not flags & _IFF_RUNNING:
        return False
    # Once more, now that the state is told: the queue is made under the lock that this waits for.
    _ioctl(sock, interface, array.array("I", [_GLINK, 0]))
    return True


class Counters:
    """Read the counters of an interface's driver (`ethtool -S`), summed over its queues."""

    __slots__ = ("_interface", "_names", "_sock")

    def __init__(self, sock: socket.socket, interface: str) -> None:
        self._sock = sock
        self._interface = interface
        self._names = self._strings()

    def _strings(self) -> list[str]:
        # struct ethtool_sset_info { u32 cmd, reserved; u64 mask; u32 data[]; }
        info = array.array("I", [_GSSET_INFO, 0, 1 << _ETH_SS_STATS, 0, 0])
        try:
            _ioctl(self._sock, self._interface, info)
        except OSError:
            return []  # a driver without counters of its own
        count = info[4]
        strings = array.array("I", [_GSTRINGS, _ETH_SS_STATS, count] + [0] * (8 * count))
        _ioctl(self._sock, self._interface, strings)
        text = strings.tobytes()[12:]
        slices = (text[32 * n : 32 * n + 32] for n in range(count))
        return [name.split(b"\0", 1)[0].decode() for name in slices]

    def read(self) -> dict[str, int]:
        """Return name -> count, `rx_queue_0_xdp_drops` and its siblings summed as `xdp_drops`."""
        count = len(self._names)
        if not count:
            return {}
        stats = array.array("I", [_GSTATS, count] + [0] * (2 * count))
        _ioctl(self._sock, self._interface, stats)
        values = struct.unpack_from(f"={count}Q", stats.tobytes(), 8)
        total: dict[str, int] = {}
        for name, value in zip(self._names, values, strict=True):
            short = name.split("_", 3)[3] if name.startswith("rx_queue_") else name
            total[short] = total.get(short, 0) + value
        return total
