"""Look for what a test left on a wire: programs at its hooks, processes in its namespaces."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import _bpf
from .attach import TCX_TYPES, Mode, filters, xdp_ids
from .end import End
from .namespace import Namespace
from .rtnl import netlink

_MOST = 64  # programs at one tcx hook (BPF_MPROG_MAX)


def leftovers(ends: Sequence[End]) -> list[str]:
    """Name each program that is still attached, and each process that still runs inside."""
    spaces = list(dict.fromkeys(end.namespace for end in ends))
    found: list[str] = []
    for space in spaces:
        found += _attached(space, [end for end in ends if end.namespace is space])
    for end in ends:
        found += [f"{end.name}: attach() without with ({mode.value})" for mode in end.forgotten]
    return found + _processes(spaces)


def _attached(space: Namespace, ends: Sequence[End]) -> list[str]:
    found = []
    with netlink(space, "asking for what is attached") as route:
        hooked = {q["index"] for q in route.get_qdiscs() if q.get_attr("TCA_KIND") == "clsact"}
        for link in route.get_links():
            for mode, number in xdp_ids(link).items():
                found.append(f"{link.get_attr('IFLA_IFNAME')}: XDP program {number} ({mode.value})")
        for end in ends:
            for mode in (Mode.TC_INGRESS, Mode.TC_EGRESS) if end.index in hooked else ():
                for _, _, number in filters(route, end.index, mode):
                    found.append(f"{end.name}: TC program {number} ({mode.value})")
    with space.inside():
        for end in ends:
            for mode, kind in TCX_TYPES.items():
                at = _at_tcx(end.index, kind)
                found += [f"{end.name}: TC program {number} ({mode.value})" for number in at]
    return found


def _at_tcx(index: int, kind: int) -> list[int]:
    numbers: Any = _bpf.ffi.new("uint32_t[]", _MOST)
    links: Any = _bpf.ffi.new("uint32_t[]", _MOST)
    count = _bpf.lib.pr_tcx_query(index, kind, numbers, links, _MOST)
    return [numbers[at] for at in range(min(max(count, 0), _MOST))]


def _processes(spaces: Iterable[Namespace]) -> list[str]:
    inside = {os.fstat(space.fd).st_ino for space in spaces}
    found = []
    for task in Path("/proc/self/task").iterdir():
        children = ""
        with suppress(OSError):  # the thread has ended, or the kernel does not tell
            children = (task / "children").read_text(encoding="ascii")
        for child in children.split():
            with suppress(OSError):
                process = Path("/proc", child)
                if (process / "ns/net").stat().st_ino in inside:
                    found.append(f"process {child} ({_named(process)}) still runs inside")
    return found


def _named(process: Path) -> str:
    # For a moment after exec a process has no command line; its name it always has.
    words = (process / "cmdline").read_bytes().replace(b"\0", b" ").strip()
    return (words or (process / "comm").read_bytes().strip()).decode(errors="replace")
