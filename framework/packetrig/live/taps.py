"""Packet sockets: what an interface received, as it was on the wire.

Where a tap listens decides what it may claim. The receive path of Linux is: native XDP (in the
driver), generic XDP, taps of every protocol (ETH_P_ALL), TC ingress, handlers of one protocol
(IP, IPv6, ARP and packet sockets that are bound to one protocol). So a tap of every protocol sees
what XDP left, and only taps of one protocol each see what TC left.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Iterable

from ..errors import Error, PermissionDenied, Unsupported

ETH_P_ALL = 0x0003
ETH_P_802_2 = 0x0004
ETH_P_802_3 = 0x0001
VLAN = (0x8100, 0x88A8)
# What a TC program may turn a frame into: the handlers that stand behind TC ingress.
USUAL_PROTOCOLS = (0x0800, 0x86DD, 0x0806, *VLAN)

_SOL_PACKET = 263
_PACKET_AUXDATA = 8
_PACKET_IGNORE_OUTGOING = 23
_PACKET_OUTGOING = 4
_TP_STATUS_VLAN_VALID = 1 << 4
_TP_STATUS_VLAN_TPID_VALID = 1 << 6
_AUXDATA = struct.Struct("=IIIHHHH")
_ROOM = 1 << 17
_ENDLESS = 100_000  # frames: what a tap's buffer holds is a twentieth of it


def _packet_socket() -> socket.socket:
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError as e:
        raise PermissionDenied(
            "listening on an interface: not permitted; run it as root or grant CAP_NET_RAW",
            capability="CAP_NET_RAW",
        ) from e
    except OSError as e:
        raise Unsupported("packet sockets (AF_PACKET)", e.strerror or "") from e


class Tap:
    """Listen on one interface for one protocol, or for all of them.

    A VLAN tag that the kernel keeps beside the frame is put back where it was on the wire.
    """

    __slots__ = ("socket",)

    def __init__(self, interface: str, protocol: int = ETH_P_ALL, *, outgoing: bool = False):
        # Opened for no protocol, bound with one: nothing arrives from other interfaces between.
        sock = _packet_socket()
        self.socket = sock
        try:
            sock.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
            if not outgoing:
                # Linux 4.20; an older kernel's outgoing frames are left out by their type below.
                with contextlib.suppress(OSError):
                    sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            sock.bind((interface, protocol))
        except BaseException:
            sock.close()
            raise

    def frames(self, *, outgoing: bool = False) -> list[bytes]:
        """Take what arrived (or, on a tap that hears them, what was sent) since the last time.

        Raises:
            Error: It does not end.
        """
        return [frame for frame, _ in self.heard(outgoing=outgoing)]

    def heard(self, *, outgoing: bool = False, most: int | None = None) -> list[tuple[bytes, bool]]:
        """Take the same, and tell of each frame whether its VLAN tag was kept beside it.

        With `most`, no more than so many are looked at: a real interface may bring them faster
        than they are read, and that is no fault.
        """
        taken: list[tuple[bytes, bool]] = []
        for _ in range(most or _ENDLESS):
            try:
                data, extra, _, origin = self.socket.recvmsg(_ROOM, 128, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return taken
            if (origin[2] == _PACKET_OUTGOING) is outgoing:
                frame = _with_tag(data, extra)
                taken.append((frame, len(frame) != len(data)))
        if most:
            return taken
        raise Error(
            f"{origin[0]}: frames arrive without end: a program sends them round again and again "
            "(a redirect to where they came from), so none of them ends anywhere"
        )


def _with_tag(data: bytes, extra: Iterable[tuple[int, int, bytes]]) -> bytes:
    for level, kind, value in extra:
        if level != _SOL_PACKET or kind != _PACKET_AUXDATA or len(value) < _AUXDATA.size:
            continue
        status, _, _, _, _, tci, tpid = _AUXDATA.unpack_from(value)
        if status & _TP_STATUS_VLAN_VALID:
            tpid = tpid if status & _TP_STATUS_VLAN_TPID_VALID else VLAN[0]
            return data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
    return data


def protocol_of(frame: bytes) -> int:
    """Tell which protocol's handlers a frame goes to: its outermost VLAN tag is taken off."""
    kind = int.from_bytes(frame[12:14], "big")
    rest = 14
    if kind in VLAN and len(frame) >= 18:
        kind, rest = int.from_bytes(frame[16:18], "big"), 18
    if kind >= 0x0600:
        return kind
    return ETH_P_802_3 if frame[rest : rest + 2] == b"\xff\xff" else ETH_P_802_2


def is_cut_in_its_tag(frame: bytes) -> bool:
    """Tell whether the kernel drops a frame behind XDP and before everybody else.

    It takes the outermost VLAN tag off, with the two bytes behind it (skb_vlan_untag).
    """
    return int.from_bytes(frame[12:14], "big") in VLAN and len(frame) < 20


class Barrier:
    """Wait until the frames that this CPU has sent so far have been worked off.

    A veth pair hands a frame to the receiving side's soft interrupt on the CPU of the sender, and
    that one works its queues off in the order in which they filled. So a frame over the loopback,
    sent from the same CPU, arrives after everything before it: nothing has to be guessed by time.
    Each round reaches one hop further (a frame that came back by XDP_TX is one more hop).
    """

    __slots__ = ("_sock",)

    PROTOCOL = 0x88B5  # IEEE 802: for local experiments
    FRAME = bytes(12) + PROTOCOL.to_bytes(2, "big") + bytes(46)

    def __init__(self) -> None:
        sock = _packet_socket()
        sock.bind(("lo", self.PROTOCOL))
        self._sock = sock

    @property
    def socket(self) -> socket.socket:
        """Return the socket, so that it can be closed together with others."""
        return self._sock

    def wait(self, *, rounds: int = 3, deadline: float = 2.0) -> bool:
        """Return True when everything before is through, False when the loopback lost its frame."""
        for _ in range(rounds):
            self._sock.send(self.FRAME)
            if not select.select([self._sock], [], [], deadline)[0]:
                return False
            self._sock.recv(64)
        return True
