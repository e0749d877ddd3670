"""One end of a wire: an interface that sends, receives, and takes programs."""

from __future__ import annotations

import ipaddress
import re
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Protocol

from .._bpf.kinds import MapKind
from ..errors import Error
from .attach import Attached, Mode, Place, attached, program_of
from .namespace import Namespace
from .rtnl import netlink
from .taps import ETH_P_ALL, Tap
from .trip import Sent, Trip

_IFA_F_NODAD = 0x02
_MAC = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")


class Carrier(Protocol):
    """Describe what an end needs of its wire."""

    def carry(self, near: End, packet: Any) -> Trip:
        """Send a packet from one end and tell where it ended."""

    def check_open(self) -> None:
        """Raise an Error if the wire is closed."""


class Attachment:
    """Hold a program at a hook of an end for the length of a with block; `End.attach` makes it."""

    def __init__(self, end: End, source: Any, mode: Mode) -> None:
        self.mode = mode
        self._end = end
        self._source = source
        self._stack: ExitStack | None = None
        self._was_entered = False

    def __enter__(self) -> Attached:
        self._was_entered = True
        self._end.check_open()
        if self._stack is not None:
            raise Error(f"{self._end.name}: this attach() is in its with block already")
        with ExitStack() as stack:
            what = stack.enter_context(attached(self._end.place, self._source, self.mode))
            self._stack = stack.pop_all()
        # Held there: a program stays attached until its block ends, whoever forgets this object.
        self._end.attachments.append(self)
        return what

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()

    @property
    def has_cpumap(self) -> bool:
        """Tell whether the program may hand frames to other processors."""
        owner = getattr(program_of(self._source), "owner", None)
        return owner is not None and any(m.kind is MapKind.CPUMAP for m in owner.maps.values())

    def close(self) -> None:
        """Take the program off; does nothing the second time."""
        stack, self._stack = self._stack, None
        if stack is not None:
            self._end.attachments.remove(self)
            stack.close()

    def __del__(self) -> None:
        if not getattr(self, "_was_entered", True):
            self._end.forgotten.append(self.mode)


class End:
    """Be one end of a wire: an interface that sends, receives, and takes programs."""

    peer: End
    """The end at the other side of the cable."""

    def __init__(self, wire: Carrier, name: str, mac: str, namespace: Namespace) -> None:
        self.name = name
        self.mac = mac
        self.namespace = namespace
        self.index = 0
        self.attachments: list[Attachment] = []
        self.forgotten: list[Mode] = []
        self._wire = wire
        self._taps: dict[int, Tap] = {}

    def __repr__(self) -> str:
        return f"<{self.name}: interface {self.index}, {self.mac}>"

    @property
    def place(self) -> Place:
        """Name the interface, as `attached()` wants it."""
        return Place(self.namespace, self.index, self.name)

    @property
    def modes(self) -> list[Mode]:
        """List the hooks of this end where programs are attached now."""
        return [each.mode for each in self.attachments]

    def check_open(self) -> None:
        """Raise an Error if nothing can be sent here: the wire is closed, a program forgotten."""
        self._wire.check_open()
        if self.forgotten:
            raise Error(
                f"{self.name}.attach(mode='{self.forgotten[0].value}') was called and not entered, "
                f"so nothing was attached: with wire.{self.name}.attach(...):"
            )

    def attach(self, source: Any, mode: Mode | str = Mode.NATIVE) -> Attachment:
        """Attach a program, or an object with one, for the length of a with block.

        `mode` is native, generic, tc-ingress or tcx-ingress (what this end receives), tc-egress or
        tcx-egress (what this end sends: attach it to `wire.left` to have it see what `wire.send()`
        sends). The tcx modes need Linux 6.6.

        Raises:
            Error: the program is of another kind than the hook; something else is attached there;
                the driver refuses it; the wire is closed. Each says what to try.
            Unsupported: this kernel has no such hook.
        """
        return Attachment(self, source, Mode.of(mode))

    def send(self, packet: Any) -> Sent:
        """Send a packet from this end; see `Wire.send`."""
        return Sent(self.trace(packet))

    def trace(self, packet: Any) -> Trip:
        """Send a packet from this end and tell where it ended."""
        return self._wire.carry(self, packet)

    def assign(self, address: str, prefix: int, *, check: bool = False) -> None:
        """Give this end an IPv4 or IPv6 address, usable at once.

        With `check`, IPv6 first asks whether another has it, as it does on a real network.
        """
        try:
            ipaddress.ip_interface(f"{address}/{prefix}")
        except ValueError as e:
            raise Error(f"{self.name}: the address {address}/{prefix}: {e}") from e
        flags = _IFA_F_NODAD if ":" in address and not check else 0
        with netlink(self.namespace, f"{self.name}: the address {address}") as route:
            route.addr("add", index=self.index, address=address, prefixlen=prefix, flags=flags)

    def meet(self, address: str, mac: str) -> None:
        """Tell this end the MAC of a neighbour, so that it need not ask."""
        try:
            ipaddress.ip_address(address)
        except ValueError as e:
            raise Error(f"{self.name}: the neighbour {address}: {e}") from e
        if not _MAC.fullmatch(str(mac)):
            raise Error(f"{self.name}: the neighbour {address}: {mac!r} is no MAC address")
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
