"""cgroup_connect: which connections an application is refused, by real calls of connect()."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import packetrig
from packetrig import Object, Unsupported
from packetrig.live import Cgroup, Namespace, cgroup, namespace

from .balancing import endpoint

pytestmark = [pytest.mark.live, pytest.mark.slow]

connect = packetrig.fixture("progs/socket/cgroup_connect.bpf.c")

PROGS = Path(__file__).parents[2] / "progs"
LISTENING, OTHER = 8080, 8081
KINDS = ("STREAM", "DGRAM")
# What runs in the cgroup: it says how connect() ended for each destination.
CALLS = """
import errno, socket, sys
for word in sys.argv[1:]:
    kind, host, port = word.split("/")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, getattr(socket, f"SOCK_{kind}")) as sock:
        print(errno.errorcode.get(sock.connect_ex((host, int(port))), "connected"))
"""


class Application:
    """Be an application in the cgroup: connect, and tell how that ended."""

    def __init__(self, group: Cgroup, place: Namespace) -> None:
        self._group, self._place = group, place

    def connect(self, *destinations: str) -> list[str]:
        words = self._group.command([sys.executable, "-c", CALLS, *destinations])
        done = self._place.run(words)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()


@contextmanager
def listening(place: Namespace) -> Iterator[None]:
    with ExitStack() as stack:
        for family in (socket.AF_INET, socket.AF_INET6):
            for port in (LISTENING, OTHER):
                with place.inside():
                    server = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                if family == socket.AF_INET6:
                    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                server.bind(("", port))
                server.listen(8)
        yield


@pytest.fixture
def application(connect: Object) -> Iterator[Application]:
    with namespace() as place, cgroup() as group, listening(place), group.attach(connect):
        yield Application(group, place)


def test_what_is_listed_is_refused_and_counted(connect: Object, application: Application) -> None:
    connect.maps.refused[endpoint("127.0.0.1", LISTENING, 6)] = 0

    ended = application.connect(f"STREAM/127.0.0.1/{LISTENING}", f"STREAM/127.0.0.1/{OTHER}")

    assert ended == ["EPERM", "connected"]
    assert connect.maps.refused[endpoint("127.0.0.1", LISTENING, 6)] == 1


def test_nothing_is_refused_with_an_empty_map(application: Application) -> None:
    ended = application.connect(f"STREAM/127.0.0.1/{LISTENING}", f"STREAM/::1/{LISTENING}")

    assert ended == ["connected", "connected"]


def test_ipv6_is_refused_as_ipv4_is(connect: Object, application: Application) -> None:
    connect.maps.refused[endpoint("::1", LISTENING, 6)] = 0

    ended = application.connect(f"STREAM/::1/{LISTENING}", f"STREAM/127.0.0.1/{LISTENING}")

    assert ended == ["EPERM", "connected"]


def test_ipv4_by_an_ipv6_socket_is_judged_as_ipv4(
    connect: Object, application: Application
) -> None:
    connect.maps.refused[endpoint("127.0.0.1", LISTENING, 6)] = 0

    assert application.connect(f"STREAM/::ffff:127.0.0.1/{LISTENING}") == ["EPERM"]


def test_a_protocol_is_not_another(connect: Object, application: Application) -> None:
    connect.maps.refused[endpoint("127.0.0.1", LISTENING, 17)] = 0

    ended = application.connect(f"DGRAM/127.0.0.1/{LISTENING}", f"STREAM/127.0.0.1/{LISTENING}")

    assert ended == ["EPERM", "connected"]


def test_port_zero_refuses_all_ports(connect: Object, application: Application) -> None:
    connect.maps.refused[endpoint("127.0.0.1", 0, 6)] = 0

    ended = application.connect(f"STREAM/127.0.0.1/{LISTENING}", f"STREAM/127.0.0.1/{OTHER}")

    assert ended == ["EPERM", "EPERM"]


def test_who_is_outside_the_cgroup_is_not_asked(connect: Object) -> None:
    connect.maps.refused[endpoint("127.0.0.1", 0, 6)] = 0

    with namespace() as place, cgroup() as group, listening(place), group.attach(connect):
        with place.inside():
            outside = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with outside:
            assert outside.connect_ex(("127.0.0.1", LISTENING)) == 0


def test_nothing_is_left_when_it_is_detached(connect: Object) -> None:
    connect.maps.refused[endpoint("127.0.0.1", 0, 6)] = 0

    with namespace() as place, cgroup() as group, listening(place):
        with group.attach(connect):
            pass
        ended = Application(group, place).connect(f"STREAM/127.0.0.1/{LISTENING}")

    assert ended == ["connected"]
    assert not group.path.exists()


def test_it_cannot_be_test_run(connect: Object) -> None:
    with pytest.raises(Unsupported):
        connect.programs.cgroup_connect.run(bytes(64))


@pytest.mark.parametrize("twin", ["port_in_host_order", "udp_as_tcp"])
def test_a_twin_refuses_otherwise(twin: str) -> None:
    source = PROGS / "socket" / "faulty" / f"cgroup_connect_{twin}.bpf.c"
    listed = endpoint("127.0.0.1", LISTENING, 6), endpoint("127.0.0.1", OTHER, 17)
    asked = [f"{kind}/127.0.0.1/{port}" for kind in KINDS for port in (LISTENING, OTHER)]

    ended = {}
    for name in (PROGS / "socket" / "cgroup_connect.bpf.c", source):
        with packetrig.build(name).load() as program, ExitStack() as stack:
            place, group = stack.enter_context(namespace()), stack.enter_context(cgroup())
            stack.enter_context(listening(place))
            stack.enter_context(group.attach(program))
            for key in listed:
                program.maps.refused[key] = 0
            ended[name] = Application(group, place).connect(*asked)

    right, wrong = ended.values()
    assert right == ["EPERM", "connected", "connected", "EPERM"]
    assert wrong != right
