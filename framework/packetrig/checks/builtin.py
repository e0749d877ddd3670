"""The built-in checks: what holds for every program that does what people expect of it.

Those in `CHEAP` look at the frame and at the run alone, a few microseconds each. The others in
`BUILTIN` look at the maps, or run the packet again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from .._bpf.kinds import MapKind
from ..errors import Failure, InputRefused, Unsupported
from ..packets import frames
from ..packets.frames import Header
from ..refusals import SKB_KINDS, sum_reason
from ..verdicts import CGROUP, FLOW, LWT, NF, SK, TC, XDP, is_legal
from .rules import Check, check

if TYPE_CHECKING:
    from ..program import Program
    from ..run import Run

DROPS = (XDP.DROP, XDP.ABORTED, TC.SHOT, CGROUP.DROP, SK.DROP, LWT.DROP, FLOW.DROP, NF.DROP)
_REDIRECTS = (XDP.REDIRECT, TC.REDIRECT, LWT.REDIRECT)

# bpf_redirect_map, and the maps that it looks into. One of sockets is empty in a test run.
_REDIRECT_MAP = 51
_REDIRECTED_TO = {MapKind.DEVMAP, MapKind.DEVMAP_HASH, MapKind.CPUMAP, MapKind.XSKMAP}

# bpf_map_update_elem and bpf_map_push_elem: without them a program adds nothing to a map.
_ADDING = {2, 87}
# Time, randomness, and who runs it where: what differs between two runs of one packet by design.
# A socket's cookie is another one for each skb of a test run; a timer fires when it likes.
_CHANGING = {5, 7, 8, 14, 15, 35, 42, 46, 57, 118, 125, 160, 171, 208}


def is_dropped(run: Run) -> bool:
    """Tell whether the packet ended here. TC.STOLEN and its like keep it, so they do not drop."""
    return any(run.verdict is verdict for verdict in DROPS)


@check
def the_verdict_is_a_legal_one(_before: bytes, run: Run) -> None:
    """Hold the verdict to those of the program's kind: the kernel lets any number through."""
    legal = is_legal(run.program.kind, run.verdict)
    assert legal, f"{run.verdict} is no verdict of a {run.program.kind} program"


@check
def it_never_aborts(_before: bytes, run: Run) -> bool:
    """Take XDP.ABORTED for what it means: a bug."""
    if run.verdict is not XDP.ABORTED:
        return True
    spec, name = run.program.owner.spec, run.program.name
    slots = [n for n, m in spec.maps.items() if m.kind in _REDIRECTED_TO]
    told = " and ".join(slots) if _REDIRECT_MAP in spec.helpers_of(name) else ""
    assert not told, (
        f"bpf_redirect_map answers so, too, where {told} has nothing in a slot and its flags name "
        "no other verdict: fill the slot, or leave this check out"
    )
    return False


@check
def right_checksums_stay_right(before: bytes, run: Run) -> None:
    """Hold the checksums of what goes on: IPv4, TCP, UDP, ICMP, SCTP, inside tunnels too.

    One that was wrong before may stay wrong. UDP's zero (there is none, over IPv4) may stay, and
    may become a right one. Headers that the program put around the packet must have right ones;
    a UDP header among them may have none (RFC 6935). What came out of the packet as it was in it,
    from a tunnel that nobody knows, has the checksums that its sender gave it.
    """
    if run.data == before or is_dropped(run):
        return
    wrong = made_wrong(before, run.data)
    assert not wrong, f"{' and '.join(wrong)} made wrong"


def made_wrong(before: bytes, data: bytes) -> list[str]:
    """Name the checksums of a frame that whoever made it of `before` is to blame for."""
    after = frames.checksums(data)
    if False not in after.values():
        return []
    # Headers are counted from the inside: a program that puts an IP around the packet makes the
    # packet's own IP the second one.
    were = {_inside_out(name, frames.walk(before)): right for name, right in _states(before)}
    now = frames.walk(data)
    was = frames.walk(before)
    # What was only made longer at its end got no header around it.
    has_grown = len(data) > len(before) and data[12 : len(before)] != before[12:]
    was_right = bool(were) and all(were.values())
    had, covered = _counts(was), frames.covered(data)
    wrong = []
    for name, is_right in after.items():
        if is_right or _is_as_it_was(before, data, *covered[name]):
            continue
        key = _inside_out(name, now)
        layer, number = key
        # An answer may be shorter than what it answers. A header that was in the packet already,
        # in a tunnel that nobody knows, may have been wrong all along; one that was not is new.
        is_written = has_grown or (was_right and data[slice(*covered[name])] not in before)
        is_new = is_written and number >= had.get(layer, 0)
        if is_new and layer == "UDP" and _has_no_sum(data, now, name):
            continue
        if were.get(key, is_new):
            wrong.append(name)
    return wrong


def _is_as_it_was(before: bytes, data: bytes, start: int, stop: int) -> bool:
    # Seen from the front, or from the end: what stands before it may have come or gone.
    moved = len(before) - len(data)
    part = data[start:stop]
    return part in (before[start:stop], before[max(0, start + moved) : max(0, stop + moved)])


def _has_no_sum(data: bytes, headers: tuple[Header, ...], name: str) -> bool:
    layer = name.rpartition(".")[0]
    at = next(header.offset for header in headers if header.name == layer)
    return data[at + 6 : at + 8] == b"\0\0"


def _states(frame: bytes) -> list[tuple[str, bool]]:
    found = frames.checksums(frame)
    # A UDP checksum of zero is not looked at: it says that there is none, and that is right.
    none = {
        f"{header.name}.chksum": True
        for header in frames.walk(frame)
        if header.layer == "UDP"
        and header.is_whole
        and frame[header.offset + 6 : header.offset + 8] == b"\0\0"
    }
    return list({**none, **found}.items())


def _inside_out(name: str, headers: tuple[Header, ...]) -> tuple[str, int]:
    header = name.rpartition(".")[0]
    family = _family(header.partition(":")[0])
    names = [each.name for each in headers if _family(each.layer) == family]
    return family, len(names) - 1 - names.index(header)


def _counts(headers: tuple[Header, ...]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for header in headers:
        family = _family(header.layer)
        counts[family] = counts.get(family, 0) + 1
    return counts


def _family(layer: str) -> str:
    # Who translates between IPv4 and IPv6 makes one ICMP of the other, with the same checksum.
    return "ICMP" if layer.startswith("ICMP") else layer


def loses_one_hop(*, on: Collection[Any] = _REDIRECTS) -> Check:
    """Make the check that a forwarded IP packet has a hop less, and that it had one to lose.

    Forwarded is what gets a verdict in `on` (redirects) with other Ethernet addresses than it came
    with: that is what routers do. A bridge, a redirect to a socket or to another processor keeps
    them, and has to keep the TTL. XDP.TX is a reply as often as a forwarding, so it is not among
    them: a program that forwards with it says `loses_one_hop(on=[XDP.TX])`. Packets that are put
    into a tunnel, or taken out of one, are left alone.
    """

    def a_forwarded_packet_loses_one_hop(before: bytes, run: Run) -> None:
        if not any(run.verdict is verdict for verdict in on) or run.data[:12] == before[:12]:
            return
        was, now = _hops(before), _hops(run.data)
        if was is None or now is None or was[0] != now[0] or _is_unpacked(before, run.data):
            return
        name, had, has = was[1], was[2], now[2]
        assert has == had - 1, f"{name} was {had} and is {has}"
        assert had > 1, f"{name} was {had}: the packet was at its end"

    a_forwarded_packet_loses_one_hop.__doc__ = loses_one_hop.__doc__
    made = partial(loses_one_hop, on=tuple(on))
    return Check(a_forwarded_packet_loses_one_hop, made=made)


def _hops(frame: bytes) -> tuple[tuple[str, ...], str, int] | None:
    # The IP headers there are, and the hops that the outermost has left.
    headers = [each for each in frames.walk(frame) if each.layer in ("IP", "IPv6", "MPLS")]
    if not headers or not headers[0].is_whole or headers[0].layer == "MPLS":
        return None
    first = headers[0]
    names = tuple(each.name for each in headers)
    if first.layer == "IP":
        return names, "IP.ttl", frame[first.offset + 8]
    return names, "IPv6.hlim", frame[first.offset + 7]


@check
def the_output_parses_as_far_as_the_input(before: bytes, run: Run) -> None:
    """Hold the headers together: where a transport header was found, one is found afterwards.

    Counted is how far one gets (link, network, transport), so that tags and tunnels may come and
    go, and an answer may be of another protocol. Behind an IP header whose length lies no transport
    header is promised, nor anything of what a tunnel held that nobody knows.
    """
    if run.data == before or is_dropped(run):
        return
    was, now = frames.walk(before), frames.walk(run.data)
    if now and now[0].layer == "Dot3":  # its length ends the frame: another kind of frame
        return
    far, reached = _reach(was), _reach(now)
    if far > 2 and any(_lies(before, header) for header in was):
        far = 2
    assert reached >= far or _is_unpacked(before, run.data), (
        f"it reached {_shown(was)} and reaches {_shown(now)}{'' if now else ' nothing'}"
    )


_PPP = {"PPPoE", "PPPoED", "HDLC", "PPP"}
_LINK = {"Ether", "Dot3", "LLC", "SNAP", "Dot1Q", "Dot1AD", "MPLS", *_PPP}
_NETWORK = {"IP", "IPv6", "ARP"}


def _reach(headers: tuple[Header, ...]) -> int:
    # How far whole headers go. What is cut or lies is malformed: nothing is promised of it.
    reach = 0
    for header in headers:
        if not header.is_whole:
            break
        layer = header.layer
        is_network = layer in _NETWORK or layer.startswith("IPv6ExtHdr") or layer == "AH"
        reach = max(reach, 1 if layer in _LINK else 2 if is_network else 3)
    return reach


def _lies(frame: bytes, header: Header) -> bool:
    # An IP header whose length is less than its own, or more than there is.
    at, room = header.offset, len(frame) - header.offset
    if header.layer == "IP":
        return not header.length <= int.from_bytes(frame[at + 2 : at + 4], "big") <= room
    return header.layer == "IPv6" and not (
        0 < int.from_bytes(frame[at + 4 : at + 6], "big") <= room - 40
    )


def _is_unpacked(before: bytes, data: bytes) -> bool:
    """Tell whether what begins behind the link layer now was payload, of no known header, before.

    So it is where a tunnel was taken off that only the program knows. Its addresses and all behind
    them have to be as they were, so that a packet that was cut off at its end is none.
    """
    now = frames.walk(data)
    start = next((each.offset for each in now if each.layer not in _LINK), len(data))
    at = start + len(before) - len(data)
    known = max((each.end for each in frames.walk(before) if each.is_whole), default=len(before))
    return at >= known and start < len(data) and data[start + 12 :] == before[at + 12 :]


def _shown(headers: tuple[Header, ...]) -> str:
    return " / ".join(each.name + ("" if each.is_whole else " (cut)") for each in headers)


def drops_grow_only(*maps: str) -> Check:
    """Make the check that a dropped packet adds entries to no map but these.

    Counts may change. A map that grows by what is dropped is filled by whoever sends: a rate
    limiter that opens a bucket for a packet and drops it says `drops_grow_only("buckets")`.
    """

    def a_dropped_packet_grows_no_map(
        _before: bytes, run: Run, grown: Mapping[str, list[Any]]
    ) -> None:
        if not is_dropped(run):
            return
        told = [f"{name} by {keys}" for name, keys in grown.items() if name not in maps]
        assert not told, f"it was dropped and {', '.join(told)} grew"

    a_dropped_packet_grows_no_map.__doc__ = drops_grow_only.__doc__
    made = partial(drops_grow_only, *maps)
    return Check(a_dropped_packet_grows_no_map, applies=_adds, made=made)


def _adds(program: Program) -> bool:
    return not _ADDING.isdisjoint(program.owner.spec.helpers_of(program.name))


def _is_repeatable(program: Program) -> bool:
    from_outside = program.owner.spec.helpers_of(program.name) & _CHANGING
    return not from_outside and not program.owner.state.obstacle


def _equal_packets_are_treated_equally(_before: bytes, run: Run, again: Callable[..., Run]) -> None:
    """Run the packet once more from the same state: verdict, bytes and maps must be the same.

    Not checked is a program that asks for the time, a random number, the processor or a socket's
    cookie, one that starts a timer, and one whose maps cannot be put back (`object.state.obstacle`
    says why).
    """
    other = again()
    differs = getattr(again, "differs", ())
    assert other.verdict == run.verdict, f"{run.verdict!r}, and {other.verdict!r} the second time"
    assert other == run, "the second time it makes other bytes of it"
    assert not differs, f"the second time it leaves something else in {', '.join(differs)}"


equal_packets_are_treated_equally = Check(
    _equal_packets_are_treated_equally,
    name="equal_packets_are_treated_equally",
    applies=_is_repeatable,
)


def _is_summed(program: Program) -> bool:
    # What leaves has no such sum: a packet that is forwarded loses it before (skb_forward_csum()).
    owner, leaves = program.owner, "egress" in program.owner.spec.programs[program.name].section
    if program.kind not in SKB_KINDS or leaves or owner.state.obstacle:
        return False
    return not sum_reason(owner.spec.helpers_of(program.name))


def _stale_sum(before: bytes, run: Run, again: Callable[..., Run]) -> None:
    """Run a rewritten packet once more with the sum that a device made (CHECKSUM_COMPLETE).

    A TC program that writes into the packet has to take the change into skb->csum, or the stack
    drops the packet. Not checked where the section says egress, for nothing that leaves has such a
    sum, where the kernel cannot (it needs Linux 6.11), and where its test run cannot tell: in
    programs that put on VLAN tags or take them off by helper, or cut a packet by one.
    """
    if run.data == before:
        return
    try:
        again(checksum_complete=True)
    except (Unsupported, InputRefused):
        return
    except Failure:
        # Of zeros alone the sum is zero, and the kernel's test run takes the other zero of ones'
        # complement, which taking bytes away leaves, for another number.
        if any(run.data[14:]):
            raise


what_a_device_summed_up_stays_right = Check(
    _stale_sum, name="what_a_device_summed_up_stays_right", applies=_is_summed
)
a_forwarded_packet_loses_one_hop = loses_one_hop()
a_dropped_packet_grows_no_map = drops_grow_only()

CHEAP = (
    the_verdict_is_a_legal_one,
    it_never_aborts,
    right_checksums_stay_right,
    a_forwarded_packet_loses_one_hop,
    the_output_parses_as_far_as_the_input,
)
BUILTIN = (
    *CHEAP,
    a_dropped_packet_grows_no_map,
    equal_packets_are_treated_equally,
    what_a_device_summed_up_stays_right,
)
