"""One line about a frame, without scapy: it is printed for thousands of packets."""

from __future__ import annotations

import ipaddress

from .frames import Header, payload, walk
from .told import Told

_TCP_FLAGS = "FSRPAUEC"


def summary(frame: bytes) -> str:
    """Say in one line what a frame is: `Ether / IP 10.0.0.1 > 10.0.0.2 / TCP 20 > 80 S / 4 bytes`.

    It needs no scapy and nothing of this machine (no service names), and never raises. A frame
    that says what it is (`told.Told`), says it at the end.
    """
    told = f"; {frame.what}" if isinstance(frame, Told) else ""
    frame = bytes(frame)
    headers = walk(frame)
    parts = [_said(frame, header) for header in headers]
    carried = payload(frame)
    if carried:
        parts.append(_carried(carried))
    return (" / ".join(parts) or "nothing") + told


def _carried(load: bytes) -> str:
    line = load.partition(b"\r\n")[0][:40]
    size = f"{len(load)} byte{'s' if len(load) != 1 else ''}"
    is_text = len(line) > 3 and all(32 <= byte < 127 for byte in line)
    return f"{size} {line.decode('ascii')!r}" if is_text else size


def _said(frame: bytes, header: Header) -> str:
    if not header.is_whole:
        return f"{header.name} (cut short or of an impossible length)"
    at = header.offset
    more = ""
    if header.layer == "IP":
        more = _address(frame[at + 12 : at + 16]) + " > " + _address(frame[at + 16 : at + 20])
        more += _fragment(frame[at + 6 : at + 8])
    elif header.layer == "IPv6":
        more = _address(frame[at + 8 : at + 24]) + " > " + _address(frame[at + 24 : at + 40])
    elif header.layer in ("TCP", "UDP", "SCTP"):
        more = f"{_number(frame[at : at + 2])} > {_number(frame[at + 2 : at + 4])}"
        if header.layer == "TCP":
            more += " " + (_flags(frame[at + 13]) or "no flags")
    elif header.layer in ("Dot1Q", "Dot1AD"):
        more = f"vlan {_number(frame[at : at + 2]) & 0xFFF}"
    elif header.layer == "ICMP":
        more = f"type {frame[at]} code {frame[at + 1]}"
    elif header.layer == "ARP":
        more = _arp(frame, at)
    return f"{header.name} {more}".rstrip()


def _fragment(word: bytes) -> str:
    number = _number(word)
    if not number & 0x3FFF:
        return ""
    more = "+" if number & 0x2000 else ""
    return f" (fragment at {8 * (number & 0x1FFF)}{more})"


def _arp(frame: bytes, at: int) -> str:
    if frame[at : at + 6] != b"\0\1\x08\0\x06\x04":
        return ""
    sender, target = _address(frame[at + 14 : at + 18]), _address(frame[at + 24 : at + 28])
    operation = _number(frame[at + 6 : at + 8])
    if operation == 1:
        return f"who has {target}, asks {sender}"
    return f"{sender} is at {frame[at + 8 : at + 14].hex(':')}" if operation == 2 else ""


def _address(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))


def _flags(octet: int) -> str:
    return "".join(letter for bit, letter in enumerate(_TCP_FLAGS) if octet >> bit & 1)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
