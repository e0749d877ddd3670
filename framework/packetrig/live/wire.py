"""veth pairs in namespaces of their own: real frames, through real hooks, and where each ended."""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, Self

from .. import packets
from .._bpf.processors import one_processor
from ..errors import Error, InputRefused
from .cable import Manner, lay
from .end import End
from .ethtool import Counters
from .leaving import later
from .leftovers import leftovers
from .namespace import Namespace
from .taps import ETH_P_ALL, USUAL_PROTOCOLS, VLAN, Barrier, protocol_of
from .trip import Sent, Trip

_DEADLINE = 2.0  # seconds until a frame that was sent and did not arrive is an Error


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

    What native XDP gives to another processor (cpumap) is waited for where it arrives. Generic XDP
    counts nothing, so that such a frame may be heard only by a later trip: use native there.

    For real applications: `apart=True` gives each side a namespace of its own, `ipv6=True` and
    `arp=True` leave these two on (still, no address makes itself), `gro=False` keeps a receiver
    from merging segments.

    `ports=3` gives the right side two more interfaces, for programs that redirect: `wire.ports` is
    (right, right2, right3), and a frame that leaves by right2 is heard at its `peer`, left2.
    """

    def __init__(
        self,
        *,
        mtu: int = 1500,
        apart: bool = False,
        ipv6: bool = False,
        arp: bool = False,
        gro: bool = True,
        ports: int = 1,
    ) -> None:
        if type(ports) is not int or not 1 <= ports <= 16:
            raise Error(f"ports={ports!r}: a wire has 1 to 16")
        if type(mtu) is not int or not 68 <= mtu <= 65535:
            raise Error(f"mtu={mtu!r}: a veth has one of 68 to 65535 bytes")
        self._manner = Manner(mtu=mtu, arp=arp, gro=gro)
        self._apart = apart
        self._ipv6 = ipv6
        self._count = ports
        self._stack: ExitStack | None = None
        self._pairs: list[tuple[End, End]] = []
        self._barrier: Barrier
        self._counters: dict[str, Counters]
        self._devs: dict[str, int]

    def __enter__(self) -> Self:
        if self._stack is not None:
            raise Error("the wire is open already")
        with ExitStack() as stack:
            here = self._namespace(stack)
            there = self._namespace(stack) if self._apart else here
            self._pairs = [self._pair(number, here, there) for number in range(self._count)]
            lay(self._pairs, self._manner)
            self._open_taps(stack)
            self._stack = stack.pop_all()
        _opened.append(self)
        return self

    @property
    def left(self) -> End:
        """Return the end that sends."""
        return self._ends()[0]

    @property
    def right(self) -> End:
        """Return the end that receives, where programs are attached."""
        return self._ends()[1]

    @property
    def ports(self) -> tuple[End, ...]:
        """Return the ends of the right side: `right`, and with `ports=3` two more."""
        return tuple(self._ends()[1::2])

    def _ends(self) -> list[End]:
        if not self._pairs:
            self.check_open()
        return [end for pair in self._pairs for end in pair]

    @property
    def is_open(self) -> bool:
        """Tell whether the wire is there: between the beginning and the end of its with block."""
        return self._stack is not None

    def check_open(self) -> None:
        """Raise an Error if the wire was not opened, or is closed."""
        if self._stack is None:
            state = "closed" if self._pairs else "not open"
            raise Error(f"the wire is {state}: use it in its with block: with Wire() as wire")

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give everything back; does nothing the second time.

        What the kernel takes its time for is done beside: see `live.finish()`.
        """
        stack, self._stack = self._stack, None
        if stack is not None:
            _opened.remove(self)
            for end in self._ends():
                for attachment in end.attachments[::-1]:
                    attachment.close()
            stack.close()

    def leftovers(self) -> list[str]:
        """Name the programs that are still attached, and processes that still run inside.

        Closing the wire takes the programs with it; a test that forgets one is wrong all the same.
        """
        self.check_open()
        return leftovers(self._ends())

    def send(self, packet: Any) -> Sent:
        """Send from the left; return the frames that reached the stack of the right.

        The list also says where the frame ended: `wire.send(packet).ended is Ended.BACK`.

        Raises:
            InputRefused: the frame is no frame (under 14 bytes) or larger than the wire's MTU.
            Error: only an egress program of the right is attached, and it would not see this frame;
                the wire is closed.
        """
        return Sent(self.trace(packet))

    def send_many(self, packets: Iterable[Any]) -> list[Sent]:
        """Send from the left, one after the other, and say of each frame where it ended."""
        return [self.send(packet) for packet in packets]

    def trace(self, packet: Any) -> Trip:
        """Send from the left and tell where the frame ended."""
        modes = self.right.modes
        if modes and all(mode.is_egress for mode in modes) and not self.left.modes:
            raise Error(
                f"right has a {modes[0].value} program, which sees only what right sends: attach "
                "it to wire.left, or send with wire.right.send()"
            )
        return self.left.trace(packet)

    def carry(self, near: End, packet: Any) -> Trip:
        """Send a packet from one end and tell where it ended; `End.send` and `trace` use it."""
        self.check_open()
        near.check_open()
        near.peer.check_open()
        frame = packets.to_bytes(packet)
        self._check_size(frame)
        far = near.peer
        protocols = self._listen(far, frame)
        self.discard()
        before = self._counters[far.name].read(), self.received(far)
        with one_processor():
            sent = self._emit(near, frame)
            self._settle(far, before[1][0] + 1, must_arrive=sent and not _stops_here(near))
            counters = _moved(before[0], self._counters[far.name].read())
            if counters.get("xdp_tx"):
                self._fetch_transmitted(near, far)
            if counters.get("xdp_redirect") and any(a.has_cpumap for a in far.attachments):
                self._await_other_cpu()
        received = self.received(far)
        trip = self._trip(near, frame, protocols, counters)
        if protocols != (ETH_P_ALL,) and not trip.passed and received[1] != before[1][1]:
            raise Error(
                f"{far.name}: the TC program let the frame through as a protocol that no tap "
                f"listens for (listening: {', '.join(f'0x{p:04x}' for p in protocols)})"
            )
        return trip

    def observe(self, frame: bytes, inject: Callable[[], object]) -> Trip:
        """Tell where a frame ended that something else hands to the right end: live frames."""
        self.check_open()
        self.discard()
        before = self._counters[self.right.name].read()
        with one_processor():
            inject()
            self._settle(self.right, 0, must_arrive=False)
        counters = _moved(before, self._counters[self.right.name].read())
        return self._trip(self.left, frame, (ETH_P_ALL,), counters)

    def _trip(
        self, near: End, frame: bytes, protocols: tuple[int, ...], counters: dict[str, int]
    ) -> Trip:
        far = near.peer
        return Trip(
            frame=frame,
            passed=far.heard(protocols),
            returned=tuple(f for f in near.heard((ETH_P_ALL,)) if f != Barrier.FRAME),
            counters=counters,
            elsewhere={
                end.name: heard
                for end in self._ends()
                if end not in (near, far) and (heard := end.heard((ETH_P_ALL,)))
            },
        )

    def settle(self) -> None:
        """Wait until everything that was sent so far has been worked off, on both sides."""
        with one_processor():
            self._settle(self.right, 0, must_arrive=False)

    def discard(self) -> None:
        """Forget every frame that the taps heard so far."""
        for end in self._ends():
            end.heard(())

    def _namespace(self, stack: ExitStack) -> Namespace:
        made = Namespace()
        stack.callback(made.close)
        made.quieten(ipv6=self._ipv6)
        return made

    def _pair(self, number: int, here: Namespace, there: Namespace) -> tuple[End, End]:
        suffix = str(number + 1) if number else ""
        middle = f"{number:02x}"
        left = End(self, f"left{suffix}", f"02:00:00:00:{middle}:01", here)
        right = End(self, f"right{suffix}", f"02:00:00:00:{middle}:02", there)
        left.peer, right.peer = right, left
        return left, right

    def _open_taps(self, stack: ExitStack) -> None:
        stack.callback(self._close_taps)
        self._counters, self._devs = {}, {}
        for end in self._ends():
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
        sockets = [tap.socket for end in self._ends() for tap in end.taps()]
        barrier = getattr(self, "_barrier", None)
        later(sock.close for sock in (*sockets, *([barrier.socket] if barrier else [])))

    def _check_size(self, frame: bytes) -> None:
        if len(frame) < 14:
            raise InputRefused(f"a frame of {len(frame)} bytes cannot be sent: Ethernet needs 14")
        tag = 4 if int.from_bytes(frame[12:14], "big") in VLAN else 0
        if len(frame) > self._manner.mtu + 14 + tag:
            raise InputRefused(
                f"a frame of {len(frame)} bytes is too large for a wire of MTU {self._manner.mtu}: "
                f"Wire(mtu={len(frame) - 14})"
            )

    def _listen(self, far: End, frame: bytes) -> tuple[int, ...]:
        if not any(mode.is_tc_ingress for mode in far.modes):
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
            if e.errno == errno.ENOBUFS and _stops_here(near):
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
            is_late = time.monotonic() > until  # first: who is stopped now looks once more
            if not self._barrier.wait(deadline=_DEADLINE):
                raise Error("the loopback of the wire's namespace lost a frame: nothing is known")
            if not must_arrive or self.received(far)[0] >= arrivals:
                return
            if is_late:
                raise Error(
                    f"{far.name}: the frame was sent and never counted as received within "
                    f"{_DEADLINE:g} s: nothing is known about the program"
                )

    def _fetch_transmitted(self, near: End, far: End) -> None:
        # veth puts an XDP_TX frame into its peer's ring but wakes the peer only if that one has an
        # XDP program too (veth_xdp_flush): the frame would lie there until the next one comes.
        far.tap().socket.send(Barrier.FRAME)
        self._settle(near, 0, must_arrive=False)

    def _await_other_cpu(self) -> None:
        # A thread of another processor hands on what a cpumap was given: no barrier of ours is
        # behind it. That it was counted says that it comes, unless a program of the map drops it.
        select.select([tap.socket for end in self._ends() for tap in end.taps()], [], [], _DEADLINE)

    def received(self, end: End) -> tuple[int, int]:
        """Return how many frames an end has received, and how many of them nobody wanted."""
        # rx_packets, rx_dropped of /proc/net/dev, which is held open inside the namespace.
        text = os.pread(self._devs[end.name], 1 << 16, 0).decode()
        line = next(line for line in text.splitlines() if line.strip().startswith(f"{end.name}:"))
        fields = line.split(":", 1)[1].split()
        return int(fields[1]), int(fields[3])


def _stops_here(near: End) -> bool:
    # An egress program may swallow a frame (stolen, redirected) without telling the sender.
    return any(mode.is_egress for mode in near.modes)


def _moved(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    moved = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: by for name, by in sorted(moved.items()) if by}


_opened: list[Wire] = []


def opened() -> tuple[Wire, ...]:
    """List the wires of this process that are open, for whoever holds a test to closing its own."""
    return tuple(_opened)
