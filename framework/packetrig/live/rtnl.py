"""rtnetlink, opened inside a namespace, with errors in words."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ..errors import Error, PermissionDenied
from .namespace import Namespace

_NO_HINTS: Mapping[int, str] = {}


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
