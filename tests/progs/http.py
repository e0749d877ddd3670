"""What xdp_http and tc_http promise: a row for each rule, and what the model says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from progs.models import http as model
from progs.models.headers import MOST_EXTENSIONS as MOST_EXTENSIONS
from progs.models.http import Reason as Reason
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from packetrig import Object

LONGEST = "/" + 63 * "x"
ALLOWED = ("/", "/index.html", LONGEST)


def set_up(program: Object) -> None:
    for path in ALLOWED:
        program.maps.allowed[path] = 1


def counted(program: Object) -> dict[Reason, int]:
    """Read what the program counted, on all processors, without the zeros."""
    sums = {reason: sum(program.maps.reasons[reason]) for reason in Reason}
    return {reason: count for reason, count in sums.items() if count}


def decide(frame: bytes, *, port: int = 80) -> Reason:
    """Say what the programs should, by the model of both."""
    allowed = {path.encode() for path in ALLOWED}
    return model.decide(frame, port=port, is_allowed=allowed.__contains__)


# --- a row for each rule

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4 = IP(src="192.0.2.1", dst="192.0.2.2")
V6 = IPv6(src="2001:db8::1", dst="2001:db8::2")
SECRET = b"GET /secret.html HTTP/1.1\r\n\r\n"
INDEX = b"GET /index.html HTTP/1.1\r\n\r\n"
STAMPS = [("NOP", None), ("NOP", None), ("Timestamp", (1, 2))]


def web(payload: bytes = SECRET, **fields: object) -> Packet:
    return TCP(**{"sport": 40000, "dport": 80, "flags": "PA", **fields}) / Raw(payload)


def fragment(number: int, *, more: bool, version: int) -> Packet:
    """Build a fragment at 8 times `number`, whose bytes look like a whole request."""
    if version == 4:
        flags = "MF" if more else 0
        return ETHER / IP(src=V4.src, dst=V4.dst, flags=flags, frag=number, proto=6) / web()
    return ETHER / V6 / IPv6ExtHdrFragment(offset=number, m=more, nh=6) / web()


def extended(count: int, *, padding: int = 0) -> Packet:
    """Build a request behind extension headers, each with an option of so many bytes in it."""
    packet = ETHER / V6
    for _ in range(count):
        packet /= IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(padding))] if padding else [])
    return packet / web()


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    packet: Packet | bytes
    reason: Reason

    @property
    def frame(self) -> bytes:
        return bytes(self.packet)


def _requests() -> Iterator[Row]:
    yield Row("allowed path", ETHER / V4 / web(INDEX), Reason.ALLOWED)
    yield Row("path that is not allowed", ETHER / V4 / web(), Reason.REFUSED)
    yield Row("allowed path with a query", ETHER / V4 / web(b"GET /?a=b HTTP"), Reason.ALLOWED)
    yield Row("beginning of an allowed path", ETHER / V4 / web(b"GET /index HTTP"), Reason.REFUSED)
    yield Row("empty path", ETHER / V4 / web(b"GET  HTTP/1.1"), Reason.REFUSED)
    yield Row("longest path", ETHER / V4 / web(f"GET {LONGEST} H".encode()), Reason.ALLOWED)
    yield Row("path too long", ETHER / V4 / web(f"GET {LONGEST}x H".encode()), Reason.PATH_CUT)
    yield Row("path cut after its last byte", ETHER / V4 / web(b"GET /index.html"), Reason.PATH_CUT)
    yield Row("path that ends the frame", ETHER / V4 / web(b"GET /index.html "), Reason.ALLOWED)
    yield Row("GET at the end of the frame", ETHER / V4 / web(b"GET "), Reason.PATH_CUT)
    yield Row("path with a zero byte", ETHER / V4 / web(b"GET /index.html\0 H"), Reason.PATH_CUT)
    yield Row("half a method", ETHER / V4 / web(b"GE"), Reason.NO_REQUEST)
    yield Row("other method", ETHER / V4 / web(b"POST /secret.html H"), Reason.NO_REQUEST)
    yield Row("small letters", ETHER / V4 / web(b"get /secret.html H"), Reason.NO_REQUEST)
    yield Row("no payload", ETHER / V4 / web(b"", flags="A"), Reason.NO_REQUEST)
    yield Row("other port", ETHER / V4 / web(dport=8080), Reason.OTHER_PORT)
    yield Row("answer", ETHER / V4 / web(sport=80, dport=40000), Reason.OTHER_PORT)


def _tcp_headers() -> Iterator[Row]:
    # Whoever takes the header to be 20 bytes long finds an allowed path where it is malformed.
    short = b"GET / H"
    yield Row("timestamps", ETHER / V4 / web(options=STAMPS), Reason.REFUSED)
    yield Row("40 bytes of options", ETHER / V4 / web(options=[("NOP", None)] * 40), Reason.REFUSED)
    spelled = web(b"GET /secret.html H\0\0", dataofs=10)
    yield Row("options that spell a request", ETHER / V4 / spelled, Reason.NO_REQUEST)
    yield Row("options without payload", ETHER / V4 / web(b"", options=STAMPS), Reason.NO_REQUEST)
    for offset in range(5):
        packet = ETHER / V4 / web(INDEX, dataofs=offset)
        yield Row(f"data offset {offset}", packet, Reason.MALFORMED)
    lying = ETHER / V4 / web(short, dataofs=15)
    yield Row("data offset beyond the frame", lying, Reason.MALFORMED)
    yield Row("data offset into the padding", bytes(lying) + bytes(60), Reason.MALFORMED)
    yield Row("TCP header cut", bytes(ETHER / V4 / web())[: 14 + 20 + 19], Reason.MALFORMED)


def _ipv4_headers() -> Iterator[Row]:
    # Whoever believes an ihl below 5 finds a TCP header with a data offset that makes sense.
    request = bytes(ETHER / V4 / web(seq=0x50000000, ack=0x50000000))
    at = len(ETHER)

    def with_bytes(offset: int, data: bytes) -> bytes:
        return request[: at + offset] + data + request[at + offset + len(data) :]

    options = IP(src=V4.src, dst=V4.dst, options=b"\x94\x04\0\0")
    yield Row("IPv4 options", ETHER / options / web(), Reason.REFUSED)
    for ihl in range(5):
        yield Row(f"ihl {ihl}", with_bytes(0, bytes((0x40 | ihl,))), Reason.MALFORMED)
    yield Row("IPv4 of version 5", with_bytes(0, b"\x55"), Reason.MALFORMED)
    bare = bytes(ETHER / IP(proto=6))
    yield Row("ihl beyond the frame", bare[:at] + b"\x4f" + bare[at + 1 :], Reason.MALFORMED)
    yield Row("total length below ihl", with_bytes(2, b"\0\x13"), Reason.MALFORMED)
    yield Row("total length inside the TCP header", with_bytes(2, b"\0\x27"), Reason.MALFORMED)
    yield Row("total length beyond the frame", with_bytes(2, b"\x20\0"), Reason.REFUSED)
    yield Row("total length inside the path", with_bytes(2, b"\0\x32"), Reason.PATH_CUT)
    yield Row("IPv4 header cut", request[: at + 19], Reason.MALFORMED)
    yield Row("nothing behind Ethernet", request[:at], Reason.MALFORMED)
    ack = bytes(ETHER / V4 / web(b"", flags="A"))
    yield Row("request in the padding", ack + SECRET, Reason.NO_REQUEST)


def _ipv6_headers() -> Iterator[Row]:
    several = IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting() / IPv6ExtHdrDestOpt()
    yield Row("IPv6", ETHER / V6 / web(), Reason.REFUSED)
    yield Row("IPv6 allowed", ETHER / V6 / web(INDEX), Reason.ALLOWED)
    yield Row("IPv6 extensions", ETHER / V6 / several / web(), Reason.REFUSED)
    yield Row("IPv6 extensions, allowed", ETHER / V6 / several / web(INDEX), Reason.ALLOWED)
    yield Row("as many extensions as can be", extended(MOST_EXTENSIONS), Reason.REFUSED)
    yield Row("one extension too many", extended(MOST_EXTENSIONS + 1), Reason.MALFORMED)
    jumbo = IPv6(src=V6.src, dst=V6.dst, plen=0)
    yield Row("jumbogram", ETHER / jumbo / IPv6ExtHdrHopByHop() / web(), Reason.REFUSED)
    yield Row("payload length 0", ETHER / jumbo / web(), Reason.MALFORMED)
    frame = bytes(ETHER / V6 / several / web())
    at = len(ETHER) + 40
    yield Row("extension cut", frame[: at + 7], Reason.MALFORMED)
    longer = frame[: at + 1] + b"\xff" + frame[at + 2 :]
    yield Row("extension beyond the frame", longer, Reason.MALFORMED)
    shorter = frame[: at - 36] + b"\0\x07" + frame[at - 34 :]
    yield Row("extension beyond the payload length", shorter, Reason.MALFORMED)
    wrong = frame[:14] + b"\x40" + frame[15:]
    yield Row("IPv6 of version 4", wrong, Reason.MALFORMED)
    yield Row("authentication header", ETHER / IPv6(nh=51) / Raw(bytes(64)), Reason.NOT_TCP)


def _around() -> Iterator[Row]:
    yield Row("VLAN", ETHER / Dot1Q(vlan=5) / V4 / web(), Reason.REFUSED)
    yield Row("two VLANs", ETHER / Dot1AD(vlan=5) / Dot1Q(vlan=6) / V6 / web(), Reason.REFUSED)
    yield Row("VLAN, allowed", ETHER / Dot1Q(vlan=5) / V4 / web(INDEX), Reason.ALLOWED)
    three = ETHER / Dot1Q() / Dot1Q() / Dot1Q() / V4 / web()
    yield Row("three VLANs", three, Reason.NOT_TCP)
    yield Row("VLAN tag cut", bytes(three)[:17], Reason.MALFORMED)
    for version in (4, 6):
        first = fragment(0, more=True, version=version)
        yield Row(f"first fragment, IPv{version}", first, Reason.REFUSED)
        for number, more in ((1, True), (185, False)):
            later = fragment(number, more=more, version=version)
            what = f"fragment at {number * 8}, IPv{version}"
            yield Row(what, later, Reason.LATER_FRAGMENT)
    yield Row("atomic fragment, IPv6", fragment(0, more=False, version=6), Reason.REFUSED)
    yield Row("UDP", ETHER / V4 / UDP(dport=80) / Raw(SECRET), Reason.NOT_TCP)
    yield Row("ICMP", ETHER / V4 / ICMP() / Raw(SECRET), Reason.NOT_TCP)
    yield Row("ARP", ETHER / ARP(), Reason.NOT_TCP)
    yield Row("802.3", bytes(ETHER)[:12] + b"\0\x2e" + bytes(46), Reason.NOT_TCP)


ROWS = (*_requests(), *_tcp_headers(), *_ipv4_headers(), *_ipv6_headers(), *_around())


# --- frames in bulk


def cuts(frame: bytes) -> list[bytes]:
    """Cut a frame at every length that the test run takes."""
    return [frame[:size] for size in range(14, len(frame) + 1)]


def lengths_crossed() -> Iterator[bytes]:
    """Build a request with each ihl and each data offset, 256 in all."""
    packet = bytes(ETHER / V4 / web(80 * b"GET " + INDEX))
    for ihl in range(16):
        for offset in range(16):
            frame = bytearray(packet)
            frame[14] = 0x40 | ihl
            frame[14 + max(ihl, 5) * 4 + 12] = offset << 4
            yield bytes(frame)


def filled(request: bytes, *, version: int, most: int) -> list[bytes]:
    """Build a request in a frame of every size up to `most`: more and more payload behind it."""
    packet = bytes(ETHER / (V4 if version == 4 else V6) / web(request))
    # IPv4 states the length from its header on, IPv6 what comes behind its header.
    at, headers = (16, 14) if version == 4 else (18, 54)
    frames = []
    for size in range(len(packet), most + 1):
        length = (size - headers).to_bytes(2, "big")
        frames.append(packet[:at] + length + packet[at + 2 :] + bytes(size - len(packet)))
    return frames
