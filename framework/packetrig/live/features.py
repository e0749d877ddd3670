"""What a driver says that it can do for XDP: the generic netlink family `netdev`, Linux 6.3."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_HEADER = struct.Struct("=IHHIIBBH")  # struct nlmsghdr, struct genlmsghdr
_ATTRIBUTE = struct.Struct("=HH")
_NETLINK_GENERIC, _REQUEST, _ERROR = 16, 1, 2
_CONTROL, _GETFAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 3, 1, 2
_DEV_GET, _IFINDEX, _XDP_FEATURES = 1, 1, 3
# enum netdev_xdp_act
_BASIC, _RX_SG = 1, 32


@dataclass(frozen=True, slots=True)
class Features:
    """Tell whether the driver runs XDP itself, and frames in several pieces."""

    native: bool
    frags: bool


def features(index: int) -> Features | None:
    """Ask the driver of an interface; None where the kernel cannot say."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC) as sock:
        name = _attribute(_FAMILY_NAME, b"netdev\0")
        family = _asked(sock, _CONTROL, _GETFAMILY, name).get(_FAMILY_ID)
        if family is None:
            return None
        found = _asked(
            sock, struct.unpack("=H", family)[0], _DEV_GET, _attribute(_IFINDEX, _u32(index))
        ).get(_XDP_FEATURES)
    if found is None:
        return None
    (bits,) = struct.unpack("=Q", found)
    return Features(native=bool(bits & _BASIC), frags=bool(bits & _RX_SG))


def _u32(value: int) -> bytes:
    return struct.pack("=I", value)


def _attribute(kind: int, value: bytes) -> bytes:
    head = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind)
    return (head + value).ljust((len(head + value) + 3) & ~3, b"\0")


def _asked(sock: socket.socket, family: int, command: int, body: bytes) -> dict[int, bytes]:
    head = _HEADER.pack(_HEADER.size + len(body), family, _REQUEST, 1, 0, command, 1, 0)
    try:
        sock.send(head + body)
        answer = sock.recv(1 << 16)
    except OSError:
        return {}
    if len(answer) < _HEADER.size or _HEADER.unpack_from(answer)[1] == _ERROR:
        return {}
    return dict(_attributes(answer[_HEADER.size :]))


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, data[at + _ATTRIBUTE.size : at + size]
        at += (size + 3) & ~3
