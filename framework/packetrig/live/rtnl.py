"""rtnetlink, opened inside a namespace, with errors in words."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ..errors import Error, PermissionDenied, Unsupported
from .namespace import Namespace

_NO_HINTS: Mapping[int, str] = {}
_TCA_BPF_ID, _TCA_CHAIN = 11, 11


@contextmanager
def netlink(
    namespace: Namespace, doing: str, *, hints: Mapping[int, str] = _NO_HINTS
) -> Iterator[Any]:
    """Open rtnetlink in a namespace; what the kernel refuses becomes an Error that begins so.

    A netlink socket belongs to the namespace, and pyroute2's to the thread, that opened it. Opening
    one takes as long as two requests, so the thread that made the namespace keeps one with it.
    `hints` says by errno what to try.
    """
    try:
        with namespace.inside():
            if not namespace.is_own:
                with IPRoute(ext_ack=True) as route:
                    yield route
                return
            if namespace.route is None:
                namespace.route = IPRoute(ext_ack=True)
            yield namespace.route
    except NetlinkError as e:
        raise _in_words(e, doing, hints) from e


def _in_words(e: NetlinkError, doing: str, hints: Mapping[int, str]) -> Error:
    if e.code in (errno.EPERM, errno.EACCES):
        return PermissionDenied(
            f"{doing}: not permitted; run it as root or grant CAP_NET_ADMIN",
            capability="CAP_NET_ADMIN",
        )
    said = str(e.args[1] if len(e.args) > 1 else "") or os.strerror(e.code)
    hint = hints.get(e.code)
    return Error(f"{doing}: {said}" + (f" ({hint})" if hint else ""))


def add_clsact(route: Any, index: int) -> bool:
    """Give an interface a clsact qdisc; return whether it had none."""
    try:
        route.tc("add", "clsact", index)
    except NetlinkError as e:
        if e.code == errno.EEXIST:
            return False
        if e.code in (errno.ENOENT, errno.EOPNOTSUPP):
            raise Unsupported("TC (clsact)", "this kernel has no clsact qdisc") from e
        raise
    return True


def program_of_filter(message: Any) -> int:
    """Return the id of the program in a filter that the kernel told of; 0 when there is none."""
    return _number(message.get_attr("TCA_OPTIONS")["attrs"], _TCA_BPF_ID)


def chain_of_filter(message: Any) -> int:
    """Return the number of the chain that a filter stands in."""
    return _number(message["attrs"], _TCA_CHAIN)


def _number(attrs: Any, wanted: int) -> int:
    # pyroute2's tables of TCA_BPF_* and TCA_* end before these: they are read from the message.
    for _, value in attrs:
        header = value["header"] if isinstance(value, dict) and "header" in value else {}
        if header.get("type") == wanted:
            start = value.offset + 4
            return int.from_bytes(value.data[start : start + 4], sys.byteorder)
    return 0
