"""What a new program would have done with the traffic of an interface: nothing is attached.

Frames are sampled by a packet socket, and run afterwards, in their order, through the new object
and through the other one, each loaded afresh. The program that is attached is not run itself: its
maps would change. Its object is the copy that was kept when it was attached, and what its maps
hold is read and copied; both programs begin with that, as far as their maps are alike.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .._bpf import lib, strerror
from .._bpf.kinds import ARRAYS, HASHES, OF_MAPS
from ..errors import Error, NotFound
from ..live import hooks
from ..live.taps import Tap
from ..maps import Map
from ..objects import Object
from ..packets.pcap import Record
from ..replay import Replayed, Setup, replay
from ..spec import Spec
from . import carry, kernel, places, reuse
from . import journal as journals
from .journal import Journal
from .stopping import Stop

_SOL_PACKET, _PACKET_STATISTICS = 263, 6
# Frames between two looks at the clock and at what asks to stop.
_AT_ONCE = 1000
# Frames that a NIC merges, or is yet to cut, have 64 KiB: their number alone bounds no memory.
_MOST_BYTES = 256 << 20
_COPIED = (HASHES | ARRAYS) - OF_MAPS


@dataclass(frozen=True, slots=True)
class Sample:
    """Hold the frames that passed, and how many the socket had no room for.

    `tagged` counts those that passed as well and that no test run shows as a TC program sees them.
    """

    frames: tuple[Record, ...]
    lost: int
    seconds: float
    caveat: str
    tagged: int = 0


def sample(interface: str, hook: str, *, seconds: float, limit: int, stop: Stop) -> Sample:
    """Listen on an interface, in the direction of a hook, until the time or the limit is reached.

    Raises:
        Gone: There is no such interface.
        PermissionDenied: CAP_NET_RAW is missing.
    """
    found = hooks.interface(interface)
    outgoing = hook.endswith("egress")
    # One of all protocols listens behind XDP, and before TC ingress.
    caveat = ""
    if hook == "xdp" and found.xdp:
        caveat = (
            f"an XDP program is attached to {interface}: what it drops or sends elsewhere never "
            "comes to a packet socket, and is not in the sample"
        )
    records: list[Record] = []
    tagged = size = 0
    tap = Tap(interface, outgoing=outgoing)
    with tap.socket:
        began = time.monotonic()
        while len(records) + tagged < limit and size < _MOST_BYTES and not stop.number:
            left = began + seconds - time.monotonic()
            if left <= 0:
                break
            heard = tap.socket.fileno()
            readable, _, _ = select.select([heard, stop.fileno()], [], [], left)
            if heard not in readable:
                continue
            now = time.time_ns()
            try:
                frames = tap.heard(outgoing=outgoing, most=_AT_ONCE)
            except OSError as e:
                raise hooks.Gone(f"{interface}: went down or away while it was sampled") from e
            for frame, is_beside in frames[: limit - len(records) - tagged]:
                if size >= _MOST_BYTES:
                    break
                size += len(frame)
                if is_beside and hook != "xdp":
                    tagged += 1  # skb->vlan_tci has the tag there, which a test run cannot set
                else:
                    records.append(Record(len(records) + 1, now, frame, len(frame)))
        lost = _lost(tap.socket)
        took = time.monotonic() - began
    if size >= _MOST_BYTES:
        early = f"the sample ended early, with {_MOST_BYTES >> 20} MiB of frames"
        caveat = f"{caveat}; {early}" if caveat else early
    return Sample(tuple(records), lost, took, caveat, tagged)


def _lost(sock: socket.socket) -> int:
    raw = sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
    return int(struct.unpack("II", raw)[1])


@dataclass(frozen=True, slots=True)
class Reference:
    """Say what the new program is held to."""

    spec: Spec
    program: str | None
    setup: Setup
    journal: Journal | None = None


def attached(interface: str, hook: str) -> Reference:
    """Find the object of the program that is attached now.

    Raises:
        Error: Nothing is, or somebody else attached it: its object is not known.
    """
    spot = places.here(interface, hook)
    journal = journals.read(spot)
    if journal is None or not journal.is_of_this_boot:
        there = carry.look(hooks.interface(interface), hook).programs
        what = f"program {there[0]} was not attached by packetrig" if there else "nothing is"
        raise Error(
            f"{spot.name}: {what}{'' if there else ' attached there'}: name the object to compare "
            "with: --against OBJECT"
        )
    standing = carry.standing(journal)
    for each in journal.generations:
        if each.id == standing and each.sha256:
            path = places.kept_object(each.sha256)
            if not path.exists():
                raise NotFound(f"{path}: the copy of what is attached is not there any more")
            return Reference(
                Spec.read(path), each.program, Setup(globals=dict(each.globals)), journal
            )
    raise Error(f"{spot.name}: program {standing} stands there, which the journal does not know")


@contextlib.contextmanager
def _with_live_maps(
    spec: Spec, program: str | None, kind: str | None, setup: Setup, journal: Journal | None
) -> Iterator[tuple[Object, tuple[str, ...]]]:
    with reuse.loaded(spec, setup, program=program, kind=kind) as made:
        copied = []
        folder = _live_maps(journal)
        for name, found in made.maps.items() if folder else ():
            assert folder is not None
            if found.kind in _COPIED and (folder / name).exists() and _copy(folder / name, found):
                copied.append(name)
        if copied and setup.maps:
            Setup(setup.maps).put(made)  # what was asked for stands over what was copied
        yield made, tuple(copied)


def _live_maps(journal: Journal | None) -> Path | None:
    if journal is None:
        return None
    standing = carry.standing(journal)
    for each in journal.generations:
        if each.id == standing:
            return journal.pins / f"generation-{each.number}" / "maps"
    return None


def _copy(path: Path, into: Map) -> bool:
    # Read only: what is live stays as it is.
    with kernel.pinned(path) as fd:
        if kernel.map_shape(fd) != kernel.map_shape(into.fd):
            return False
        live = Map(into._owner, into.spec, fd=os.dup(fd))
        try:
            entries = live.raw_items()
        finally:
            os.close(live.drop())
    for key, value in entries.items():
        error = -lib.bpf_map_update_elem(into.fd, key, value, 0)
        if error:
            raise Error(f"{into.name}: copying what the attached one holds: {strerror(error)}")
    return True


@dataclass(frozen=True, slots=True)
class Shadow:
    """Say what is compared: the new object, and what it is held to."""

    spec: Spec
    against: Reference
    program: str | None = None
    kind: str | None = None
    setup: Setup = Setup()  # noqa: RUF009  # a frozen value


def compare(shadow: Shadow, frames: tuple[Record, ...]) -> Iterator[Replayed | tuple[str, ...]]:
    """Run the frames through both; first the names of the maps that were copied into the new one.

    Raises:
        Error: One of them cannot be loaded.
    """
    against = shadow.against
    new = _with_live_maps(shadow.spec, shadow.program, shadow.kind, shadow.setup, against.journal)
    old = _with_live_maps(
        against.spec, against.program, shadow.kind, against.setup, against.journal
    )
    with new as (mine, copied), old as (its, _):
        yield copied
        program = reuse.program_of(mine, shadow.program)
        yield from replay(program, frames, against=reuse.program_of(its, against.program))
