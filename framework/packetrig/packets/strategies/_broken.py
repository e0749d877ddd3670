"""Strategies for whole frames of every kind, for broken ones, and for those of a capture."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Unpack

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy

from .. import malformed, pcap
from ..told import Mangled
from . import _arguments, _mix
from ._arguments import Arg, Values, drawn
from ._packets import data


def frames(**lower: Unpack[_arguments.Network]) -> SearchStrategy[bytes]:
    """Generate frames of every kind that this module knows, some of them mangled.

    About one in three is malformed, and says how (`told.Mangled`). Arguments hold for each frame
    that has such a field: `frames(source="10.0.0.66")` still gives ARP. Shrinks towards
    `ethernet_frames()`, that is to 14 bytes.

    Example:
        >>> @given(frame=frames())
        ... def test_every_verdict_is_a_legal_one(firewall, frame):
        ...     assert firewall.run(frame).verdict in XDP
    """
    return drawn(_mix.anything_at_all, {"data": data()}, lower)


def mangled(packets: SearchStrategy[bytes] | None = None) -> SearchStrategy[Mangled]:
    """Generate frames that something is wrong with: made from `packets`, by default all kinds.

    Each says in `what` what that is, and a failure report shows it. They are cut (behind a header,
    inside one or anywhere), lie in one field of one header (version, length, offset, next protocol;
    checksums then still fit), have a checksum broken, a bit flipped, a header twice, missing or in
    the place of its neighbour, or are a fragment that lies over its own first one. Never under 14
    bytes. Shrinks to a frame that is cut behind Ethernet, or to 14 bytes with a bit flipped.
    """
    if packets is None:
        return drawn(_mix.anything_broken, {"data": data()})
    return drawn(_mangled, {"packet": packets}, picks=malformed.PICKS)


def from_pcap(path: str | os.PathLike[str], *, mangle: Arg[bool] = False) -> SearchStrategy[bytes]:
    """Generate the frames of a capture, each different one once; shrinks to the shortest.

    With `mangle` there are mutations near them instead: one thing is wrong with each, as `mangled`
    has it; `mangle=st.booleans()` mixes both. Packets that the capture tool cut short are left out:
    half a packet is no real traffic. The file is read when the first example is drawn. It is looked
    for from the current folder, then beside the file that calls, and in the folders above that.

    Raises:
        CaptureError, NotFound: when drawn: the file is not a capture of Ethernet.
        InvalidArgument: when drawn: it holds no whole packet.
    """

    caller = Path(sys._getframe(1).f_code.co_filename)

    def strategy() -> SearchStrategy[bytes]:
        if not isinstance(path, (str, os.PathLike)):
            raise InvalidArgument(f"path={path!r}: it takes the path of a capture")
        whole = {
            record.data
            for record in pcap.read(_found(Path(path), caller))
            if not record.is_snapped and len(record.data) >= 14
        }
        if not whole:
            raise InvalidArgument(f"path={str(path)!r}: the capture holds no whole packet")
        captured = st.sampled_from(sorted(whole, key=lambda frame: (len(frame), frame)))
        if mangle is False:
            return captured
        return drawn(_perhaps, {"packet": captured, "mangle": mangle}, picks=malformed.PICKS)

    return st.deferred(strategy)


def _found(path: Path, caller: Path) -> Path:
    # pytest is started in the project's root or below it; the path is the same in the test.
    places = (path, *(folder / path for folder in caller.parents))
    return next((place for place in places if place.is_file()), path)


def _mangled(picks: bytes, values: Values) -> Mangled:
    return malformed.mangle(values["packet"], picks)


def _perhaps(picks: bytes, values: Values) -> bytes:
    packet: bytes = values["packet"]
    return malformed.mangle(packet, picks) if values.get("mangle") else packet
