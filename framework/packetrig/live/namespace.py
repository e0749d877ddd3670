"""Network namespaces without a name: nothing is left when the process dies, however it dies."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import _bpf
from ..errors import Error, PermissionDenied, ToolMissing

# /proc/sys/net shows the namespace of the thread that opens it, so these are written from inside.
_IPV6_OFF = "ipv6/conf/default/disable_ipv6"
_QUIET = {
    # No address makes itself, nothing solicits, nothing reports a multicast group.
    _IPV6_OFF: "1",
    "ipv6/conf/default/accept_ra": "0",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/default/addr_gen_mode": "1",
    "ipv6/conf/default/router_solicitation_delay": "0",
    # An address joins its multicast group: the reports come within 1 ms, not some day in a second.
    "ipv6/conf/default/mldv2_unsolicited_report_interval": "1",
}


class Namespace:
    """Own a network namespace; `namespace()` makes one and closes it.

    It has no name in /run/netns: its only hold is the descriptor `fd`, so a killed process leaves
    neither the namespace nor its interfaces behind.
    """

    __slots__ = ("_own", "_thread", "route")

    def __init__(self) -> None:
        self.route: Any = None  # rtnl.netlink() keeps its socket here
        self._thread = threading.get_ident()
        try:
            self._own = _bpf.Namespace()
        except PermissionDenied as e:
            if e.capability:
                raise
            raise PermissionDenied(
                "making a network namespace: not permitted; run it as root or grant CAP_SYS_ADMIN",
                capability="CAP_SYS_ADMIN",
            ) from e

    @property
    def fd(self) -> int:
        """Name the descriptor that keeps the namespace alive; -1 after `close()`."""
        return int(self._own.fd)

    def fileno(self) -> int:
        """Return `fd`, so that the namespace can be passed where a file can."""
        return int(self._own.fd)

    @property
    def is_own(self) -> bool:
        """Tell whether the calling thread is the one that made the namespace."""
        return self._thread == threading.get_ident()

    def close(self) -> None:
        """Give the namespace back; does nothing the second time."""
        route, self.route = self.route, None
        if route is not None:
            route.close()
        self._own.close()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Put the calling thread inside; it comes back whatever happens, other threads stay out.

        A socket that is opened inside stays inside for good, whoever uses it later.
        """
        if self.fd < 0:
            raise Error("this network namespace is closed")
        with self._own.entered():
            yield

    def run(
        self,
        command: Sequence[str | Path],
        *,
        timeout: float = 10,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, wait for it, and return what it said and how it ended.

        Raises:
            ToolMissing: there is no such command.
            Error: it took longer than `timeout` seconds; it was killed.
        """
        words = [str(word) for word in command]
        try:
            # The child is forked by this very thread, and so is born inside.
            with self.inside():
                return subprocess.run(
                    words,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=timeout,
                    stdin=subprocess.DEVNULL,
                    env=None if env is None else dict(env),
                )
        except FileNotFoundError as e:
            raise ToolMissing(f"{words[0]}: there is no such command on this machine") from e
        except subprocess.TimeoutExpired as e:
            raise Error(f"{' '.join(words)}: not done after {timeout} s, killed") from e

    @contextmanager
    def started(
        self, command: Sequence[str | Path], *, cwd: Path | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a command inside (a server), and end it when the with block ends.

        What it says on both channels can be read from the process's `stdout`.
        """
        words = [str(word) for word in command]
        try:
            with self.inside():
                process = subprocess.Popen(
                    words,
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
        except FileNotFoundError as e:
            raise ToolMissing(f"{words[0]}: there is no such command on this machine") from e
        with process:
            try:
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()

    def sysctl(self, name: str, value: str) -> None:
        """Write a setting of this namespace, named as below /proc/sys/net: `ipv4/tcp_fastopen`."""
        with self.inside():
            _set(name, value)

    def quieten(self, *, ipv6: bool = False) -> None:
        """Turn off what a new interface says of its own accord: IPv6, or its autoconfiguration."""
        with self.inside():
            for name, value in _QUIET.items():
                if Path("/proc/sys/net", name).exists() and not (ipv6 and name == _IPV6_OFF):
                    _set(name, value)


def _set(name: str, value: str) -> None:
    try:
        Path("/proc/sys/net", name).write_text(value, encoding="ascii")
    except OSError as e:
        raise Error(f"net/{name}: cannot be set to {value}: {e.strerror}") from e


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Make a network namespace for the length of a with block; its loopback is up.

    >>> with namespace() as there, there.inside():
    ...     ...  # this thread, and sockets it opens, are inside
    """
    made = Namespace()
    try:
        yield made
    finally:
        made.close()
