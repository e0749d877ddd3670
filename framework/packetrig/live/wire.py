"""A veth pair in namespaces of its own: real frames, through real hooks, and where each ended."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

from .. import packets
from ..errors import Error, InputRefused
from .attach import Attached, Mode, Place, attached
from .ethtool import Counters, switch
from .namespace import Namespace
from .rtnl import netlink
from .taps import ETH_P_ALL, USUAL_PROTOCOLS, VLAN, Barrier, Tap, close_all, protocol_of
from .trip import Trip

_IFA_F_NODAD = 0x02
_NO_VETH = {errno.EOPNOTSUPP: "this kernel has no veth: load the module, or enable CONFIG_VETH"}
_DEADLINE = 2.0  # seconds until a frame that was sent and did not arrive is an Error


class End:
    """Be one end of a wire: an interface that sends, receives, and takes programs."""

    def __init__(self, wire: Wire, name: str, mac: str, namespace: Namespace) -> None:
        self.name = name
        self.mac = mac
        self.namespace = namespace
        self.index = 0
        self.modes: list[Mode] = []
        self._wire = wire
        self._taps: dict[int, Tap] = {}

    def __repr__(self) -> str:
        return f"<{self.name}: interface {self.index}, {self.mac}>"

    @property
    def place(self) -> Place:
        """Name the interface, as `attached()` wants it."""
        return Place(self.namespace, self.index, self.name)

    @contextmanager
    def attach(self, source: Any, mode: Mode | str = Mode.NATIVE) -> Iterator[Attached]:
        """Attach a program, or an object with one, for the length of a with block.

        `mode` is native, generic, tc-ingress (what this end receives) or tc-egress (what this end
        sends: attach it to `wire.left` to have it see what `wire.send()` sends).
        """
        mode = Mode.of(mode)
        with attached(self.place, source, mode) as what:
            self.modes.append(mode)
            try:
                yield what
            finally:
                self.modes.remove(mode)

    def send(self, packet: Any) -> list[bytes]:
        """Send a packet from this end; return the frames that reached the stack of the other."""
        return list(self.trace(packet).passed)

    def trace(self, packet: Any) -> Trip:
        """Send a packet from this end and tell where it ended."""
        return self._wire.carry(self, packet)

    def assign(self, address: str, prefix: int, *, check: bool = False) -> None:
        """Give this end an IPv4 or IPv6 address, usable at once.

        With `check`, IPv6 first asks whether another has it, as it does on a real network.
        """
        flags = _IFA_F_NODAD if ":" in address and not check else 0
        with netlink(self.namespace, f"{self.name}: the address {address}") as route:
            route.addr("add", index=self.index, address=address, prefixlen=prefix, flags=flags)

    def meet(self, address: str, mac: str) -> None:
        """Tell this end the MAC of a neighbour, so that it need not ask."""
        with netlink(self.namespace, f"{self.name}: the neighbour {address}") as route:
            route.neigh("add", index=self.index, dst=address, lladdr=mac, state="permanent")

    def tap(self, protocol: int = ETH_P_ALL) -> Tap:
        """Return the tap on this end for a protocol; it is opened once and closed by the wire."""
        if protocol not in self._taps:
            with self.namespace.inside():
                self._taps[protocol] = Tap(self.name, protocol)
        return self._taps[protocol]

    def taps(self) -> list[Tap]:
        """List the taps that were opened so far."""
        return list(self._taps.values())

    def heard(self, protocols: tuple[int, ...]) -> tuple[bytes, ...]:
        """Take the frames of these taps, and forget what the others heard."""
        frames: list[bytes] = []
        for protocol, tap in self._taps.items():
            taken = tap.frames()
            frames += taken if protocol in protocols else ()
        return tuple(frames)


class Wire:
    """Make a veth pair with all noise off; nothing of it is left when the with block ends.

    >>> with Wire() as wire, wire.right.attach(firewall, mode="native"):
    ...     assert wire.send(Ether() / IP(src=BAD, dst=GOOD) / UDP()) == []

    Noise: no IPv6 (no address makes itself, nothing is solicited), no ARP, no checksum or
    segmentation offload, fixed MAC addresses, one queue. GRO is on, because it turns on the NAPI of
    a veth, whose counters tell that a frame was worked off and not only sent (Linux d3256efd8e8b,
    "veth: allow enabling NAPI even without XDP", v5.13); frames go one at a time, so nothing is
    ever merged.

    Nothing is waited for by time. A frame goes through the veth on the sender's own CPU; a second
    frame over the loopback from the same CPU is its barrier, and the interface's receive counter
    must have moved by one, or the trip is an Error, not a verdict.

    What `passed` means depends on the hook. With XDP: what an ETH_P_ALL tap hears, it listens
    behind native and generic XDP. With TC ingress such taps listen too early: there, packet sockets
    of one protocol each listen behind it, where IP and ARP do. A frame that TC lets through as a
    protocol nobody listens for moves the interface's rx_dropped, and that is an Error as well.

    There the outermost VLAN tag is gone: the kernel drops it before it looks for a handler.

    For real applications: `apart=True` gives each end a namespace of its own, `ipv6=True` and
    `arp=True` leave these two on (still, no address makes itself), `gro=False` keeps a receiver
    from merging segments.
    """

    def __init__(
        self,
        *,
        mtu: int = 1500,
        apart: bool = False,
        ipv6: bool = False,
        arp: bool = False,
        gro: bool = True,
    ) -> None:
        self._mtu = mtu
        self._apart = apart
        self._ipv6 = ipv6
        self._arp = arp
        self._gro = gro
        self._stack = ExitStack()
        self._barrier: Barrier
        self._counters: dict[str, Counters]
        self._devs: dict[str, int]
        self.left: End
        self.right: End

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            here = self._namespace(stack)
            there = self._namespace(stack) if self._apart else here
            self.left = End(self, "left", "02:00:00:00:00:01", here)
            self.right = End(self, "right", "02:00:00:00:00:02", there)
            self._make_pair()
            self._open_taps(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give everything back; does nothing the second time."""
        self._stack.close()

    def send(self, packet: Any) -> list[bytes]:
        """Send from the left; return the frames that reached the stack of the right.

        Raises:
            InputRefused: the frame is no frame (under 14 bytes) or larger than the wire's MTU.
            Error: only an egress program of the right is attached, and it would not see this frame.
        """
        return list(self.trace(packet).passed)

    def trace(self, packet: Any) -> Trip:
        """Send from the left and tell where the frame ended."""
        if self.right.modes and set(self.right.modes) == {Mode.TC_EGRESS} and not self.left.modes:
            raise Error(
                "right has a tc-egress program, which sees only what right sends: attach it to "
                "wire.left, or send with wire.right.send()"
            )
        return self.left.trace(packet)

    def carry(self, near: End, packet: Any) -> Trip:
        """Send a packet from one end and tell where it ended; `End.send` and `trace` use it."""
        frame = packets.to_bytes(packet)
        self._check_size(frame)
        far = self.right if near is self.left else self.left
        protocols = self._listen(far, frame)
        self.discard()
        before = self._counters[far.name].read(), self.received(far)
        with _one_cpu():
            sent = self._emit(near, frame)
            self._settle(far, before[1][0] + 1, must_arrive=sent and not _stops_here(near))
            counters = _moved(before[0], self._counters[far.name].read())
            if counters.get("xdp_tx"):
                self._fetch_transmitted(near, far)
        received = self.received(far)
        trip = Trip(
            frame=frame,
            passed=far.heard(protocols),
            returned=tuple(f for f in near.heard((ETH_P_ALL,)) if f != Barrier.FRAME),
            counters=counters,
        )
        if protocols != (ETH_P_ALL,) and not trip.passed and received[1] != before[1][1]:
            raise Error(
                f"{far.name}: the TC program let the frame through as a protocol that no tap "
                f"listens for (listening: {', '.join(f'0x{p:04x}' for p in protocols)})"
            )
        return trip

    def settle(self) -> None:
        """Wait until everything that was sent so far has been worked off, on both sides."""
        with _one_cpu():
            self._settle(self.right, 0, must_arrive=False)

    def discard(self) -> None:
        """Forget every frame that the taps heard so far."""
        for end in (self.left, self.right):
            end.heard(())

    def _namespace(self, stack: ExitStack) -> Namespace:
        made = Namespace()
        stack.callback(made.close)
        made.quieten(ipv6=self._ipv6)
        return made

    def _make_pair(self) -> None:
        left, right = self.left, self.right
        peer: dict[str, Any] = {"ifname": right.name, "address": right.mac, "mtu": self._mtu}
        peer |= {"num_tx_queues": 1, "num_rx_queues": 1}
        if self._apart:
            peer["net_ns_fd"] = right.namespace.fd
        with netlink(left.namespace, "making a veth pair", hints=_NO_VETH) as route:
            route.link(
                "add",
                kind="veth",
                ifname=left.name,
                address=left.mac,
                mtu=self._mtu,
                num_tx_queues=1,
                num_rx_queues=1,
                peer=peer,
            )
        for end in (left, right):
            with end.namespace.inside():
                end.index = socket.if_nametoindex(end.name)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    switch(
                        sock,
                        end.name,
                        rx_checksum=False,
                        tx_checksum=False,
                        tso=False,
                        gso=False,
                        gro=self._gro,
                    )
        for end in (left, right):
            with netlink(end.namespace, f"{end.name}: bringing it up") as route:
                route.link("set", index=end.index, state="up", arp=self._arp)
        for end in (left, right):
            with netlink(end.namespace, f"{end.name}: is it up?") as route:
                _until_it_carries(route, end)

    def _open_taps(self, stack: ExitStack) -> None:
        stack.callback(self._close_taps)
        self._counters, self._devs = {}, {}
        for end in (self.left, self.right):
            tap = end.tap()
            self._counters[end.name] = Counters(tap.socket, end.name)
            with end.namespace.inside():
                self._devs[end.name] = os.open(
                    "/proc/thread-self/net/dev", os.O_RDONLY | os.O_CLOEXEC
                )
            stack.callback(os.close, self._devs[end.name])
        with self.left.namespace.inside():
            self._barrier = Barrier()

    def _close_taps(self) -> None:
        taps = [tap.socket for end in (self.left, self.right) for tap in end.taps()]
        barrier = getattr(self, "_barrier", None)
        close_all([*taps, *([barrier.socket] if barrier else [])])

    def _check_size(self, frame: bytes) -> None:
        if len(frame) < 14:
            raise InputRefused(f"a frame of {len(frame)} bytes cannot be sent: Ethernet needs 14")
        tag = 4 if int.from_bytes(frame[12:14], "big") in VLAN else 0
        if len(frame) > self._mtu + 14 + tag:
            raise InputRefused(
                f"a frame of {len(frame)} bytes is too large for a wire of MTU {self._mtu}: "
                f"Wire(mtu={len(frame) - 14})"
            )

    def _listen(self, far: End, frame: bytes) -> tuple[int, ...]:
        if Mode.TC_INGRESS not in far.modes:
            return (ETH_P_ALL,)
        protocols = dict.fromkeys((*USUAL_PROTOCOLS, protocol_of(frame)))
        for protocol in protocols:
            far.tap(protocol)
        return tuple(protocols)

    def _emit(self, near: End, frame: bytes) -> bool:
        try:
            near.tap().socket.send(frame)
        except OSError as e:
            # TC_ACT_SHOT at egress comes back to a packet socket as ENOBUFS (net_xmit_errno).
            if e.errno == errno.ENOBUFS and Mode.TC_EGRESS in near.modes:
                return False
            raise InputRefused(
                f"{near.name} cannot send this frame of {len(frame)} bytes: {e.strerror}"
            ) from e
        return True

    def _settle(self, far: End, arrivals: int, *, must_arrive: bool) -> None:
        # The counter is the proof, the barrier the order; only a kernel that moves the work to
        # another thread (threaded NAPI) makes the loop go round more than once.
        until = time.monotonic() + _DEADLINE
        while True:
            if not self._barrier.wait(deadline=_DEADLINE):
                raise Error("the loopback of the wire's namespace lost a frame: nothing is known")
            if not must_arrive or self.received(far)[0] >= arrivals:
                return
            if time.monotonic() > until:
                raise Error(
                    f"{far.name}: the frame was sent and never counted as received within "
                    f"{_DEADLINE:g} s: nothing is known about the program"
                )

    def _fetch_transmitted(self, near: End, far: End) -> None:
        # veth puts an XDP_TX frame into its peer's ring but wakes the peer only if that one has an
        # XDP program too (veth_xdp_flush): the frame would lie there until the next one comes.
        far.tap().socket.send(Barrier.FRAME)
        self._settle(near, 0, must_arrive=False)

    def received(self, end: End) -> tuple[int, int]:
        """Return how many frames an end has received, and how many of them nobody wanted."""
        # rx_packets, rx_dropped of /proc/net/dev, which is held open inside the namespace.
        text = os.pread(self._devs[end.name], 1 << 16, 0).decode()
        line = next(line for line in text.splitlines() if line.strip().startswith(f"{end.name}:"))
        fields = line.split(":", 1)[1].split()
        return int(fields[1]), int(fields[3])


def _until_it_carries(route: Any, end: End) -> None:
    # A frame that is sent before the kernel's link watch has run is lost in a no-op queue. Asking
    # for the link makes it run ("net: core: synchronize link-watch when
    # carrier is queried", v6.8); an older kernel is asked until it has.
    until = time.monotonic() + _DEADLINE
    while next(iter(route.get_links(end.index))).get_attr("IFLA_OPERSTATE") != "UP":
        if time.monotonic() > until:
            raise Error(f"{end.name}: the interface did not come up within {_DEADLINE:g} s")


def _stops_here(near: End) -> bool:
    # An egress program may swallow a frame (stolen, redirected) without telling the sender.
    return Mode.TC_EGRESS in near.modes


def _moved(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    moved = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: by for name, by in sorted(moved.items()) if by}


@contextmanager
def _one_cpu() -> Iterator[None]:
    # The sender and its barrier must share a CPU. Affinity is the calling thread's own.
    home = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(home)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, home)
