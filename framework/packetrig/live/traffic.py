"""Real traffic over a wire: two stacks that talk to each other, without a process or a second.

Everything is done with non-blocking sockets from one thread: a veth delivers while the sender
sends, so after the wire's barrier an answer is either there or will not come. A program that drops
the handshake therefore costs no timeout.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ..packets.frames import inet_checksum
from .end import End
from .wire import Wire

LEFT4, RIGHT4 = "10.0.0.1", "10.0.0.2"
LEFT6, RIGHT6 = "2001:db8::1", "2001:db8::2"
REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: packetrig.test\r\n\r\n",
    b"GET /index.html HTTP/1.1\r\nHost: packetrig.test\r\n\r\n",
    b"POST /form HTTP/1.1\r\nHost: packetrig.test\r\nContent-Length: 0\r\n\r\n",
)
_NO_LINGER = struct.pack("ii", 1, 0)


def introduce(wire: Wire) -> None:
    """Give both ends addresses and let each know the other's MAC: nothing has to be resolved."""
    ends = (wire.left, LEFT4, LEFT6), (wire.right, RIGHT4, RIGHT6)
    for (end, own4, own6), (other, its4, its6) in (ends, ends[::-1]):
        end.assign(own4, 24)
        end.assign(own6, 64)
        end.meet(its4, other.mac)
        end.meet(its6, other.mac)


def talk(wire: Wire) -> None:
    """Let the left talk to the right: echo, UDP and HTTP over TCP, IPv4 and IPv6."""
    for family, host in ((socket.AF_INET, RIGHT4), (socket.AF_INET6, RIGHT6)):
        _echo(wire, family, host)
        _datagrams(wire, family, host)
        for request in REQUESTS:
            _request(wire, family, host, request)


@contextmanager
def _socket(end: End, family: int, kind: int, protocol: int = 0) -> Iterator[socket.socket]:
    with end.namespace.inside():
        sock = socket.socket(family, kind, protocol)
    with sock:
        sock.setblocking(False)
        if kind == socket.SOCK_STREAM:
            # Closing sends a reset: no timer of the kernel goes on talking afterwards.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        yield sock


def _echo(wire: Wire, family: int, host: str) -> None:
    v6 = family == socket.AF_INET6
    protocol = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
    with _socket(wire.left, family, socket.SOCK_RAW, protocol) as sock:
        echo = struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, 0x7072, 1) + bytes(range(48))
        if not v6:  # the kernel fills in the checksum of ICMPv6 only
            echo = echo[:2] + struct.pack("!H", inet_checksum(echo)) + echo[4:]
        _try(sock.sendto, echo, (host, 0))
        wire.settle()


def _datagrams(wire: Wire, family: int, host: str) -> None:
    with (
        _socket(wire.right, family, socket.SOCK_DGRAM) as server,
        _socket(wire.left, family, socket.SOCK_DGRAM) as client,
    ):
        server.bind((host, 5353))
        for size in (0, 1, 64, 1200):
            _try(client.sendto, bytes(size), (host, 5353))
            wire.settle()
            with contextlib.suppress(BlockingIOError):
                data, peer = server.recvfrom(4096)
                _try(server.sendto, data, peer)
            wire.settle()


def _request(wire: Wire, family: int, host: str, request: bytes) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(_socket(wire.right, family, socket.SOCK_STREAM))
        client = stack.enter_context(_socket(wire.left, family, socket.SOCK_STREAM))
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, 80))
        server.listen(1)
        client.connect_ex((host, 80))
        wire.settle()
        _try(client.send, request)
        wire.settle()
        with contextlib.suppress(BlockingIOError):
            accepted = stack.enter_context(server.accept()[0])
            accepted.setblocking(False)
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            if accepted.recv(4096):
                accepted.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")
        wire.settle()
    wire.settle()


def _try(call: Any, *arguments: Any) -> None:
    # What a program swallows at egress (EPERM, ENOBUFS) or in the handshake (EAGAIN, ENOTCONN) is
    # part of the experiment: the frames tell.
    with contextlib.suppress(OSError):
        call(*arguments)
