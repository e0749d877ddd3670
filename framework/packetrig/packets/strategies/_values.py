"""Values of arguments: checked, and turned into what the assembly wants, each by its name."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from hypothesis.errors import InvalidArgument

from ...errors import InputRefused
from .. import craft, dns, flows, fragments, to_bytes

LONGEST_OPTIONS = 40  # of IPv4 and TCP alike: 15 words of header, less the fixed 5

_CHAIN = {  # IPv6 extension headers by name: number, and a plain one without its first byte
    "hop by hop": (0, b"\x00\x01\x04\0\0\0\0"),
    "routing": (43, bytes((2, 4, 0, 0, 0, 0, 0)) + craft.V6.destination),
    "fragment": (44, bytes(7)),  # an "atomic" one: the header without a fragment (RFC 6946)
    "authentication": (51, b"\x04\0\0\0\0\0\x01\0\0\0\x01" + bytes(12)),
    "destination": (60, b"\x00\x01\x04\0\0\0\0"),
}
_BY_NUMBER = dict(_CHAIN.values())
_TCP_KINDS = {"EOL": 0, "NOP": 1, "MSS": 2, "WScale": 3, "SAckOK": 4, "SAck": 5, "Timestamp": 8}
_TCP_SIZES = {"MSS": (2,), "WScale": (1,), "SAckOK": (), "Timestamp": (4, 4)}


def converted(name: str, value: object) -> object:
    """Check one value of one argument, and give it as the assembly wants it."""
    most = _MOST.get(name)
    if most is not None:
        return _number(name, value, most)
    convert = _CONVERTERS.get(name)
    if convert is None:
        return value
    try:
        return convert(value)
    except (TypeError, ValueError, InputRefused) as e:
        raise InvalidArgument(f"{said(name)}={_shown(value)}: {e}") from e


def said(name: str) -> str:
    """Give the argument's name as the user wrote it."""
    return _SAID.get(name, name)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


def _number(name: str, value: object, most: int) -> int:
    if isinstance(value, int) and 0 <= value <= most:
        return int(value)
    raise InvalidArgument(f"{said(name)}={_shown(value)}: it takes an int from 0 to {most}")


def _version(value: object) -> int:
    if value not in (4, 6):
        raise ValueError("it takes 4 or 6")
    return 4 if value == 4 else 6


def _truth(value: Any) -> bool:
    if value not in (True, False):
        raise ValueError("it takes True or False")
    return bool(value)


def _name(value: Any) -> bytes:
    if not isinstance(value, (str, bytes)):
        raise TypeError("it takes text, such as 'a.example'")
    return dns.name(value)


def _address(value: Any) -> bytes:
    return ipaddress.ip_address(value).packed


def _address_of_ipv4(value: Any) -> bytes:
    return ipaddress.IPv4Address(value).packed


def _mac(value: Any) -> bytes:
    packed = value if isinstance(value, bytes) else bytes.fromhex(str(value).replace(":", ""))
    if len(packed) != 6:
        raise ValueError("it takes six bytes, or text like 02:00:00:00:00:01")
    return packed


def _vlans(value: Any) -> tuple[int | tuple[int, int], ...]:
    tags = (value,) if isinstance(value, int) else tuple(value)
    for tag in tags:
        numbers = (tag,) if isinstance(tag, int) else tuple(tag)
        if len(numbers) > 2 or not all(0 <= number <= 0xFFFF for number in numbers):
            raise ValueError("a tag is an int from 0 to 65535, or a pair: ethertype, tag")
    return tuple(tag if isinstance(tag, int) else (tag[0], tag[1]) for tag in tags)


def _labels(value: Any) -> tuple[int, ...]:
    labels = (value,) if isinstance(value, int) else tuple(value)
    if not labels or not all(0 <= label <= 0xFFFFF for label in labels):
        raise ValueError("it takes a label from 0 to 1048575, or several")
    return labels


def _segments(value: Any) -> tuple[bytes, ...]:
    several = (value,) if isinstance(value, (str, int, bytes)) else tuple(value)
    if not 1 <= len(several) <= 127:  # more, and the header's length cannot say it
        raise ValueError("it takes 1 to 127 IPv6 addresses")
    return tuple(ipaddress.IPv6Address(each).packed for each in several)


def _octets(value: Any, *, most: int) -> bytes:
    if not isinstance(value, (bytes, bytearray)):
        raise TypeError("it takes bytes")
    if len(value) > most:
        raise ValueError(f"{len(value)} bytes do not fit: at most {most} do")
    return bytes(value)


def _options(value: Any) -> bytes:
    parts = [value] if isinstance(value, (bytes, bytearray)) else list(value)
    return _octets(b"".join(map(_tcp_option, parts)), most=LONGEST_OPTIONS)


def _tcp_option(option: Any) -> bytes:
    # As scapy writes them: ("MSS", 1460), ("Timestamp", (1, 0)), or the bytes themselves.
    if isinstance(option, (bytes, bytearray)):
        return bytes(option)
    name, value = (option, None) if isinstance(option, str) else option
    if name not in _TCP_KINDS:
        raise ValueError(f"an option is bytes or one of {', '.join(_TCP_KINDS)} with its value")
    kind = _TCP_KINDS[name]
    if kind < 2:
        return bytes((kind,))
    numbers = (
        () if value is None or value == b"" else value if isinstance(value, tuple) else (value,)
    )
    sizes = _TCP_SIZES.get(name, (4,) * len(numbers))
    if len(sizes) != len(numbers):
        raise ValueError(f"{name} has {len(sizes)} values")
    data = b"".join(_word(name, number, size) for size, number in zip(sizes, numbers, strict=True))
    return bytes((kind, 2 + len(data))) + data


def _word(name: str, number: Any, size: int) -> bytes:
    most = (1 << 8 * size) - 1
    if not isinstance(number, int) or not 0 <= number <= most:
        raise ValueError(f"{name} takes an int from 0 to {most}, not {number!r}")
    return number.to_bytes(size, "big")


def _ip_options(value: Any) -> bytes:
    parts = [value] if isinstance(value, (bytes, bytearray)) else list(value)
    return _octets(b"".join(parts), most=LONGEST_OPTIONS)


def _extensions(value: Any) -> tuple[tuple[int, bytes], ...]:
    return tuple(_extension(each) for each in ((value,) if isinstance(value, str) else value))


def _extension(each: Any) -> tuple[int, bytes]:
    if isinstance(each, str) and each in _CHAIN:
        return _CHAIN[each]
    if isinstance(each, int) and each in _BY_NUMBER:
        return each, _BY_NUMBER[each]
    is_pair = isinstance(each, tuple) and len(each) == 2 and each[0] in range(256)
    if not is_pair or not isinstance(each[1], bytes) or len(each[1]) % 8 != 7:
        raise ValueError(
            f"it takes {', '.join(map(repr, _CHAIN))}, or pairs of a protocol number and the header"
            " without its first byte (7, 15, 23... bytes)"
        )
    return each[0], each[1]


def _flags(value: Any) -> int:
    if isinstance(value, str):
        unknown = set(value) - set("FSRPAUEC")
        if unknown:
            raise ValueError("the letters are F S R P A U E C")
        return sum(1 << "FSRPAUEC".index(letter) for letter in set(value))
    if not isinstance(value, int) or not 0 <= value <= 0xFFF:
        raise ValueError("it takes letters such as 'SA', or an int from 0 to 4095")
    return value


def _frame(value: Any) -> bytes:
    frame = to_bytes(value)
    if len(frame) < 14:
        raise ValueError("it takes whole frames, of 14 bytes or more")
    return frame


def _encoded(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _lines(value: Any) -> tuple[bytes, ...]:
    if isinstance(value, (str, bytes)):
        raise TypeError("it takes several lines: a tuple of text or bytes")
    return tuple(_octets(_encoded(line), most=8000) for line in value)


def _payloads(value: Any) -> tuple[bytes, ...]:
    if isinstance(value, (bytes, bytearray)):
        return (bytes(value),)
    return tuple(_octets(each, most=65_000) for each in value)


def _between(least: int, most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"it takes an int from {least} to {most}")
        return value

    return check


def _fragment_size(value: Any) -> int:
    if not isinstance(value, int) or value % 8 or not 8 <= value <= fragments.LARGEST:
        raise ValueError(f"it takes a multiple of 8, from 8 to {fragments.LARGEST}")
    return value


def _members(kind: Any) -> Callable[[Any], frozenset[Any]]:
    # Several of an enum's values, by themselves or as text.
    one = _member(kind)
    return lambda value: frozenset(map(one, (value,) if isinstance(value, str) else value))


def _transport(value: Any) -> str:
    if value not in ("tcp", "udp"):
        raise ValueError("there are tcp, udp")
    return str(value)


def _member(kind: Any) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value not in tuple(kind):
            raise ValueError(f"there are {', '.join(kind)}")
        return kind(value)

    return check


_MOST = {
    **dict.fromkeys(("ttl", "tos", "protocol", "kind", "code"), 0xFF),
    **dict.fromkeys(("ihl", "data_offset"), 0xF),
    **dict.fromkeys(("source_port", "destination_port", "window", "urgent"), 0xFFFF),
    **dict.fromkeys(("identification", "ip_length", "ip_checksum", "length"), 0xFFFF),
    **dict.fromkeys(("checksum", "ethertype", "operation", "record"), 0xFFFF),
    **dict.fromkeys(("sequence", "acknowledgment", "crc", "tag", "key", "mtu", "teid"), 0xFFFFFFFF),
    "fragment_offset": 0x1FFF,
    "flow_label": 0xFFFFF,
    "vni": 0xFFFFFF,
    **dict.fromkeys(("tunnel", "session"), 0xFFFF),
    "segments_left": 0xFF,
    "flow": 0x3F,
}
# What the user wrote, where two strategies mean different things by one name.
_SAID = {"fragment_faults": "faults", "http_version": "version", "packet": "packets"}
_CONVERTERS: dict[str, Callable[[Any], object]] = {
    "version": _version,
    "variant": _between(0, 3),
    "source": _address,
    "destination": _address,
    "sender": _address_of_ipv4,
    "target": _address_of_ipv4,
    "source_mac": _mac,
    "destination_mac": _mac,
    "sender_mac": _mac,
    "target_mac": _mac,
    "vlans": _vlans,
    "labels": _labels,
    "segments": _segments,
    "flags": _flags,
    **dict.fromkeys(("dont_fragment", "more_fragments", "has_checksum", "is_folded"), _truth),
    **dict.fromkeys(("is_answer", "has_edns", "is_lying", "mangle", "is_generic"), _truth),
    "extensions": _extensions,
    "options": _options,
    "ip_options": _ip_options,
    "tunnel_options": lambda value: _octets(value, most=252),
    "tunnel_fields": lambda value: _octets(value, most=124),
    "rest": lambda value: _octets(value, most=4).ljust(4, b"\0"),
    # What is left of 65,535 under the longest headers.
    "payload": lambda value: _octets(value, most=65_000),
    "chunks": lambda value: _octets(value, most=65_000),
    "answer": lambda value: _octets(value, most=65_000),
    "requests": _payloads,
    **dict.fromkeys(("inner", "about", "packet"), _frame),
    "method": lambda value: _octets(_encoded(value), most=1000),
    "path": lambda value: _octets(_encoded(value), most=50_000),
    "http_version": lambda value: _octets(_encoded(value), most=100),
    "headers": _lines,
    "body": lambda value: _octets(value, most=50_000),
    "line_end": lambda value: _octets(_encoded(value), most=2),
    "pipelined": _between(1, 100),
    "at_most": _between(0, 65_000),
    "name": _name,
    "flows": _between(1, 250),
    "segment_size": _between(1, 65_000),
    "size": _fragment_size,
    "transport": _transport,
    "ending": _member(flows.Ending),
    "faults": _members(flows.Fault),
    "fragment_faults": _members(fragments.Fault),
}
