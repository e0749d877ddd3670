"""Hold a catalogue of malformed frames: enumerated, not random, each with an id that stays."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from ..verdicts import BY_KIND
from . import craft, dns, fragments, tunnels
from ._lies import Kind, fields_of
from ._mangle import FRAGMENTS, MIN_FRAME, PICKS, lie, mangle, swapped
from .frames import ETHERTYPE_IPV4, ETHERTYPE_IPV6, Header, walk, with_right_checksums
from .told import Mangled

__all__ = ["MIN_FRAME", "PICKS", "Kind", "Malformed", "catalogue", "mangle"]

# Kinds of programs whose test run makes a socket buffer of the frame, and looks at its headers.
_SKB_KINDS = frozenset(
    {
        "action",
        "cgroup_skb",
        "lwt_in",
        "lwt_out",
        "lwt_seg6local",
        "lwt_xmit",
        "socket_filter",
        "tc",
    }
)
_LEAST_SKB = {ETHERTYPE_IPV4: ("IPv4", 34), ETHERTYPE_IPV6: ("IPv6", 54)}


@dataclass(frozen=True, slots=True)
class Malformed:
    """Hold one frame of the catalogue.

    `id` is stable, `what` says in words what is wrong. `packet` names the sound packet that it was
    made from, `layer` the header at fault (`IP`, `TCP`; `IP:2` is a tunnel's inner one), `kind` the
    way. `frame` is the bytes; a failure report that shows them says `what` beside them.
    """

    id: str
    what: str
    frame: Mangled
    packet: str
    layer: str
    kind: Kind

    def refused_by(self, kind: str) -> str:
        """Say why a test run of this kind of program ("xdp", "tc" ...) takes no such frame.

        It is empty where it does take it. Socket buffers must hold the whole fixed header of the IP
        that the ethertype announces: Linux 12bec2bd4b76 ("bpf: reject short IPv4/IPv6 inputs"), and
        backports. Kernels before it run the program all the same.
        """
        if kind not in _SKB_KINDS:
            if kind not in BY_KIND:
                kinds = ", ".join(sorted({*BY_KIND, *_SKB_KINDS}))
                raise ValueError(f"kind={kind!r}: a frame can be given to {kinds}")
            return ""
        name, least = _LEAST_SKB.get(int.from_bytes(self.frame[12:14], "big"), ("", 0))
        if len(self.frame) >= least:
            return ""
        return f"{len(self.frame)} bytes: a test run of {kind} takes {name} from {least} bytes on"


def catalogue(
    *, packet: str | None = None, layer: str | None = None, kind: Kind | str | None = None
) -> tuple[Malformed, ...]:
    """List malformed frames systematically; each is different, and keeps its id for good.

    From sound packets of each kind: cut after each byte of the headers (lengths unchanged, and
    once more with the IP length made to fit), every value of the small fields (version, ihl, data
    offset, flags, length of extension headers and options), lengths around the truth and at the
    ends, next protocols that are something else, broken checksums, headers twice, missing or
    swapped, fragments that overlap. A few are rare rather than wrong. Where one field lies, the
    checksums fit what is there: no program is right for the wrong reason.

    Args:
        packet: Only those made from this packet: "tcp4", "vlan-tcp4", "geneve6" ...
        layer: Only those where this header is at fault: "TCP"; "IP" means inner ones (`IP:2`) too.
        kind: Only those that are wrong in this way, a `Kind` or its text: "cut", "checksum" ...

    Raises:
        ValueError: there is none such; what there is, is listed.

    Example:
        >>> @pytest.mark.parametrize("case", catalogue(layer="TCP"), ids=lambda case: case.id)
        ... def test_it_never_aborts(program, case):
        ...     assert program.run(case.frame).verdict is not XDP.ABORTED
    """
    cases = _catalogue()
    if kind is not None:
        kind = Kind(kind)  # its own ValueError says what is wrong
    asked: dict[str, str | None] = {"packet": packet, "layer": layer, "kind": kind}
    for name, wanted in asked.items():
        if wanted is None:
            continue
        left = tuple(case for case in cases if _is(getattr(case, name), wanted))
        if not left:
            there = dict.fromkeys(getattr(case, name) for case in cases)
            raise ValueError(f"{name}={wanted!r}: the catalogue has {', '.join(there)}")
        cases = left
    return cases


def _is(value: str, wanted: str) -> bool:
    return wanted in (value, value.partition(":")[0])


@functools.cache
def _catalogue() -> tuple[Malformed, ...]:
    seen = {frame for _, frame in _sound()}
    found = []
    for name, frame in _sound():
        for case in _broken(name, frame):
            if case.frame not in seen:
                seen.add(case.frame)
                found.append(case)
    return tuple(found)


def _broken(name: str, frame: bytes) -> Iterator[Malformed]:
    headers = walk(frame)

    def case(detail: str, what: str, broken: bytes, layer: str, kind: Kind) -> Malformed:
        told = f"{name}: {what}"
        return Malformed(f"{name}/{detail}", told, Mangled(broken, told), name, layer, kind)

    for broken in (
        *_cut(frame, headers),
        *_lying(frame, headers),
        *_moved(frame, headers),
        *_fragmented(frame, headers),
    ):
        yield case(*broken)


_Case = tuple[str, str, bytes, str, Kind]


def _cut(frame: bytes, headers: tuple[Header, ...]) -> Iterator[_Case]:
    # Each byte of each header, and a few of the payload.
    last = headers[-1]
    for size in range(MIN_FRAME, min(last.end + 5, len(frame))):
        inside = next((each for each in headers if size < each.end), None)
        where = f"in {inside.name}, byte {size - inside.offset}" if inside else "in its payload"
        layer = (inside or last).name
        cut = frame[:size]
        yield f"cut-at-{size}", f"cut after {size} bytes, {where}", cut, layer, Kind.CUT
        fitted = _fitted(cut, headers)
        if fitted != cut:
            what = f"ends after {size} bytes, {where}, and the IP length says so"
            yield f"short-at-{size}", what, fitted, layer, Kind.SHORT


def _fitted(frame: bytes, headers: tuple[Header, ...]) -> bytes:
    # Make the outer IP length fit a frame that was cut, where the IP header is whole.
    for header in headers:
        if header.name in ("IP", "IPv6") and header.end <= len(frame):
            is_v6 = header.name == "IPv6"
            at = header.offset + (4 if is_v6 else 2)
            length = len(frame) - (header.end if is_v6 else header.offset)
            fitted = frame[:at] + length.to_bytes(2, "big") + frame[at + 2 :]
            return with_right_checksums(fitted)
    return frame


def _lying(frame: bytes, headers: tuple[Header, ...]) -> Iterator[_Case]:
    for header in headers:
        for field in fields_of(frame, header):
            value = field.read(frame, header)
            if value is None:
                continue
            place = f"{header.name}.{field.name}"
            for other in dict.fromkeys(field.values(frame, header, value)):
                if other != value:
                    what = f"{place} is {other} instead of {value}"
                    lied = lie(frame, header, field, other)
                    yield f"{place}-{other}", what, lied, header.name, field.kind


def _moved(frame: bytes, headers: tuple[Header, ...]) -> Iterator[_Case]:
    for position, header in enumerate(headers[1:], 1):
        begin, end, name = header.offset, header.end, header.name
        twice, missing = frame[:end] + frame[begin:], frame[:begin] + frame[end:]
        yield f"{name}-twice", f"{name} stands there twice", twice, name, Kind.TWICE
        yield f"{name}-missing", f"{name} is missing", missing, name, Kind.MISSING
        if position + 1 < len(headers):
            other = headers[position + 1]
            what = f"{name} and {other.name} have changed places"
            both = swapped(frame, header, other)
            yield f"{name}-{other.name}-swapped", what, both, name, Kind.SWAPPED


def _fragmented(frame: bytes, headers: tuple[Header, ...]) -> Iterator[_Case]:
    layer = next((each.name for each in headers if each.name in ("IP", "IPv6")), "")
    for word, (what, offset, size, has_more) in zip(
        ("over", "tiny", "beyond"), FRAGMENTS, strict=True
    ):
        fragment = fragments.alone(frame, offset=offset, size=size, has_more=has_more)
        if fragment:
            yield f"fragment-{word}", f"a fragment {what}", fragment, layer, Kind.FRAGMENT


_GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
_PADN = b"\x00\x01\x04\0\0\0\0"
_AH = bytes.fromhex("040000000001000000010000") + bytes(11)  # without its first byte
_DATA_CHUNK = bytes.fromhex("0003001100000000000000000000000061") + bytes(3)
_MSS = bytes.fromhex("020405b4")
_TIMESTAMPS = bytes.fromhex("0101080a0000000100000002")


def _sound() -> tuple[tuple[str, bytes], ...]:
    # The packets to break. A new one goes to the end: ids stay, and the first frame keeps its id.
    v4, v6 = craft.V4, craft.V6
    optioned = craft.Network(options=bytes.fromhex("94040000"))
    chained = craft.Network(
        source=v6.source, destination=v6.destination, extensions=((0, _PADN), (60, _PADN))
    )
    routed = craft.Network(
        source=v6.source,
        destination=v6.destination,
        extensions=((43, bytes((2, 4, 0, 0, 0, 0, 0)) + v6.destination), (44, bytes(7))),
    )
    first = craft.Network(more_fragments=True)
    later = craft.Network(fragment_offset=185)
    inner = v4.packet(craft.udp(b"data", v4), craft.UDP)
    ethernet = v4.frame(craft.udp(b"data", v4), craft.UDP)
    vxlan = b"\x08\0\0\0\0\0\x07\0" + ethernet
    geneve = b"\x01\0\x65\x58\0\0\x07\0" + b"\x01\x02\x80\0" + ethernet
    get, timed = craft.tcp(_GET, v4), craft.tcp(_GET, v4, options=_TIMESTAMPS)
    tag = craft.ethernet(v4.packet(get, craft.TCP), 0x0800, vlans=(7,))
    stacked = craft.ethernet(v6.packet(craft.udp(b"data", v6), craft.UDP), 0x86DD, vlans=(100, 7))
    return (
        ("tcp4", v4.frame(get, craft.TCP)),
        ("tcp4-options", optioned.frame(timed, craft.TCP)),
        ("tcp6", v6.frame(craft.tcp(_GET, v6), craft.TCP)),
        ("udp4", v4.frame(craft.udp(b"data", v4), craft.UDP)),
        ("udp6", v6.frame(craft.udp(b"data", v6), craft.UDP)),
        ("icmp4", v4.frame(craft.icmp(b"ping", v4), craft.ICMP)),
        ("icmp6", v6.frame(craft.icmp(b"ping", v6), craft.ICMPV6)),
        (
            "sctp4",
            v4.frame(
                craft.sctp(_DATA_CHUNK),
                craft.SCTP,
            ),
        ),
        ("arp", craft.ethernet(craft.arp(), 0x0806)),
        ("vlan-tcp4", tag),
        ("qinq-udp6", stacked),
        ("first-fragment4", first.frame(craft.udp(bytes(24), v4), craft.UDP)),
        ("later-fragment4", later.frame(bytes(24), craft.UDP)),
        ("extensions6", chained.frame(craft.tcp(_GET, v6), craft.TCP)),
        ("routing6", routed.frame(craft.udp(b"data", v6), craft.UDP)),
        ("ipip", v4.frame(inner, 4)),
        ("gre", v4.frame(bytes.fromhex("20000800 00000007") + inner, 47)),
        ("vxlan", v4.frame(craft.udp(vxlan, v4, destination_port=4789), craft.UDP)),
        ("geneve6", v6.frame(craft.udp(geneve, v6, destination_port=6081), craft.UDP)),
        *_sound_later(inner),
    )


def _sound_later(inner: bytes) -> tuple[tuple[str, bytes], ...]:
    v4, v6 = craft.V4, craft.V6
    gue = tunnels.gue(inner, tunnels.IPIP, fields=bytes(4))
    about = v4.packet(craft.tcp(b"", v4), craft.TCP)[:28]
    about6 = v6.packet(craft.tcp(b"", v6), craft.TCP)[:48]
    query = dns.message(dns.name("a.example"), has_edns=True)
    authenticated = craft.Network(
        source=v6.source, destination=v6.destination, extensions=((51, _AH),)
    )
    return (
        ("gue", v4.frame(craft.udp(gue, v4, destination_port=6080), craft.UDP)),
        ("mpls", craft.ethernet(tunnels.mpls(inner, (100, 7)), tunnels.ETHERTYPE_MPLS)),
        ("gre6-checksum", v6.frame(tunnels.gre(inner, 0x0800, has_checksum=True, key=7), 47)),
        ("ip6ip", v6.frame(inner, 4)),
        ("icmp4-too-big", v4.frame(craft.icmp(about, v4, kind=3, code=4), craft.ICMP)),
        ("icmp6-too-big", v6.frame(craft.icmp(about6, v6, kind=2), craft.ICMPV6)),
        ("dns", v4.frame(craft.udp(query, v4), craft.UDP)),
        ("sctp6", v6.frame(craft.sctp(_DATA_CHUNK), craft.SCTP)),
        ("tcp6-options", v6.frame(craft.tcp(_GET, v6, options=_MSS + _TIMESTAMPS), craft.TCP)),
        ("ah4", v4.frame(bytes((craft.TCP,)) + _AH + craft.tcp(_GET, v4), 51)),
        ("ah6", authenticated.frame(craft.udp(b"data", v6), craft.UDP)),
        *_sound_in_tunnels(inner),
    )


def _sound_in_tunnels(inner: bytes) -> tuple[tuple[str, bytes], ...]:
    v4, v6 = craft.V4, craft.V6
    header = tunnels.segment_routing((v6.destination, v6.source))
    visiting = craft.Network(
        source=v6.source, destination=v6.destination, extensions=((tunnels.ROUTING, header),)
    )

    def over_udp(body: bytes, port: int) -> bytes:
        return v4.frame(craft.udp(body, v4, destination_port=port), craft.UDP)

    generic = tunnels.vxlan(inner, vni=7, kind=ETHERTYPE_IPV4)
    session = tunnels.pppoe(inner, ETHERTYPE_IPV4, session=7)
    return (
        ("srv6", visiting.frame(inner, tunnels.IPIP)),
        ("gtp", over_udp(tunnels.gtp(inner, teid=7, sequence=1, flow=9), tunnels.GTP_PORT)),
        ("vxlan-gpe", over_udp(generic, tunnels.VXLAN_GPE_PORT)),
        ("mpls-in-udp", over_udp(tunnels.mpls(inner, (7,)), tunnels.MPLS_PORT)),
        ("l2tp", over_udp(tunnels.l2tp(inner, ETHERTYPE_IPV4, has_length=True), tunnels.L2TP_PORT)),
        ("pppoe", craft.ethernet(session, tunnels.ETHERTYPE_PPPOE)),
    )
