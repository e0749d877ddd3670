"""Strategies for parts of packets: what they carry, and the options and tags that they have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy

from . import _payloads
from ._arguments import Arg, Extension, drawn
from ._values import LONGEST_OPTIONS, converted

T = TypeVar("T")

_CHAINABLE: tuple[Extension, ...] = (
    "hop by hop",
    "destination",
    "routing",
    "fragment",
    "authentication",
)


def http_requests(
    *,
    method: Arg[str | bytes] = None,
    path: Arg[str | bytes] = None,
    version: Arg[str | bytes] = None,
    headers: Arg[Iterable[str | bytes]] = None,
    body: Arg[bytes] = None,
    is_folded: Arg[bool] = None,
    line_end: Arg[str | bytes] = None,
    pipelined: Arg[int] = None,
    at_most: Arg[int] = None,
) -> SearchStrategy[bytes]:
    """Generate HTTP/1 requests, to be the `payload` of `tcp_packets`.

    Some are of methods that nobody knows, carry a body, come twice (`pipelined`), have header lines
    folded onto a second one or lines that end in LF alone, or end early, as the first segment of a
    longer one does: behind the method, behind `GET /`, or anywhere. `at_most` cuts them after so
    many bytes. Shrinks to `GET `, the shortest that a filter takes for a request.

    Example:
        >>> tcp_packets(payload=http_requests(path="/", at_most=5))     # GET / ends the frame
    """
    arguments = {
        "method": method,
        "path": path,
        "http_version": version,
        "headers": headers,
        "body": body,
        "is_folded": is_folded,
        "line_end": line_end,
        "pipelined": pipelined,
        "at_most": at_most,
    }
    return drawn(_payloads.http, arguments, picks=_payloads.HTTP_PICKS)


def dns_messages(
    *,
    name: Arg[str] = None,
    record: Arg[int] = None,
    is_answer: Arg[bool] = None,
    identification: Arg[int] = None,
    has_edns: Arg[bool] = None,
    is_lying: Arg[bool] = None,
) -> SearchStrategy[bytes]:
    """Generate DNS queries and answers, to be the `payload` of `udp_packets`.

    `record` is a number: 1 for A, 28 for AAAA ... Answers point back at the question's name.
    With `is_lying` something is wrong with a name (a pointer to itself, a label beyond the end ...)
    or with a count. Shrinks to a query for the address of a.example.
    """
    arguments = {
        "name": name,
        "record": record,
        "is_answer": is_answer,
        "identification": identification,
        "has_edns": has_edns,
        "is_lying": is_lying,
    }
    return drawn(_payloads.dns, arguments, picks=_payloads.DNS_PICKS)


def tcp_options(
    *, max_size: int = LONGEST_OPTIONS, is_lying: bool = False
) -> SearchStrategy[bytes]:
    """Generate TCP options that fit into `max_size` bytes, to be the `options` of `tcp_packets`.

    With `is_lying` the last one may state a length that it has not: zero, one, or beyond the
    header. Shrinks to none.
    """
    return _options(_TCP_OPTIONS, _LYING_TCP, max_size, is_lying)


def ip_options(*, max_size: int = LONGEST_OPTIONS, is_lying: bool = False) -> SearchStrategy[bytes]:
    """Generate IPv4 options that fit into `max_size` bytes, as `tcp_options` does for TCP."""
    return _options(_IP_OPTIONS, _LYING_IP, max_size, is_lying)


def extension_chains(
    *, min_size: int = 1, max_size: int = 4
) -> SearchStrategy[tuple[Extension, ...]]:
    """Generate chains of IPv6 extension headers, to be `extensions=`; in any order, some twice.

    The order of RFC 8200 is a recommendation, which receivers must not rely on. Shrinks to one of
    "hop by hop".
    """
    return _several(st.sampled_from(_CHAINABLE), min_size, max_size)


def vlan_stacks(
    *, min_size: int = 1, max_size: int = 3
) -> SearchStrategy[tuple[int | tuple[int, int], ...]]:
    """Generate stacks of VLAN tags from the outside in, to be `vlans=`: 802.1Q and 802.1ad, mixed.

    Tags have all their 16 bits: priority and drop flag too. Shrinks to tag 0 of 802.1Q.
    """
    kinds = st.sampled_from((0x8100, 0x88A8, 0x8100, 0x9100))
    tag: SearchStrategy[int | tuple[int, int]] = st.integers(0, 0xFFFF) | st.tuples(
        kinds, st.integers(0, 0xFFFF)
    )
    return _several(tag, min_size, max_size)


def _several(
    each: SearchStrategy[T], min_size: int, max_size: int
) -> SearchStrategy[tuple[T, ...]]:
    def strategy() -> SearchStrategy[tuple[T, ...]]:
        _check_size("min_size", min_size)
        _check_size("max_size", max_size)
        if not 0 <= min_size <= max_size:
            raise InvalidArgument(f"min_size={min_size!r}, max_size={max_size!r}: an empty range")
        return st.lists(each, min_size=min_size, max_size=max_size).map(tuple)

    return st.deferred(strategy)


def _check_size(name: str, size: object) -> None:
    if not isinstance(size, int):
        raise InvalidArgument(f"{name}={size!r}: it takes an int")


def _options(
    known: tuple[bytes, ...], lying: tuple[bytes, ...], max_size: int, is_lying: bool
) -> SearchStrategy[bytes]:
    def fitting(picked: tuple[list[bytes], bytes]) -> bytes:
        options, last = picked
        joined = b""
        for option in options:
            if len(joined) + len(option) + len(last) <= max_size:
                joined += option
        return joined + last if len(joined) + len(last) <= max_size else joined

    def strategy() -> SearchStrategy[bytes]:
        _check_size("max_size", max_size)
        converted("is_lying", is_lying)
        if not 0 <= max_size <= LONGEST_OPTIONS:
            raise InvalidArgument(
                f"max_size={max_size!r}: options have 0 to {LONGEST_OPTIONS} bytes"
            )
        last = st.sampled_from((b"", *lying)) if is_lying else st.just(b"")
        return st.tuples(st.lists(st.sampled_from(known), max_size=10), last).map(fitting)

    return st.deferred(strategy)


_TCP_OPTIONS = (
    b"\1",  # NOP
    bytes.fromhex("020405b4"),  # MSS
    bytes.fromhex("0402"),  # SAckOK
    bytes.fromhex("030307"),  # WScale
    bytes.fromhex("0101080a0000000100000000"),  # Timestamp, as Linux aligns it
    bytes.fromhex("0101050a0000000100000002"),  # SAck
    bytes.fromhex("fd0412ab"),  # for experiments (RFC 6994)
    bytes.fromhex("1e0c000100000000deadbeef"),  # MPTCP
    b"\0",  # the end; what follows is not looked at
)
_IP_OPTIONS = (
    b"\1",  # no operation
    bytes.fromhex("94040000"),  # router alert
    bytes.fromhex("0707040000000000")[:7],  # record route, room for one
    bytes.fromhex("4408050000000000"),  # time stamp
    bytes.fromhex("830704c0000202"),  # loose source route
    bytes.fromhex("820b0000000000000000f1"),  # security (RFC 1108)
    b"\0",
)
_LYING_TCP = tuple(bytes.fromhex(text) for text in ("0200", "0201", "08ff", "0528", "02", "fd"))
_LYING_IP = tuple(bytes.fromhex(text) for text in ("9400", "9401", "07ff", "4428", "94", "83"))
