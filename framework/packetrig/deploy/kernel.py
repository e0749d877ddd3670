"""Links and pins, through bpf(2): what outlives the process, and one program for another."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .._bpf import denied, ffi, lib, strerror
from ..errors import Error

# enum bpf_attach_type and bpf_link_type.
_ATTACH = {"xdp": 37, "tcx-ingress": 46, "tcx-egress": 47}
_LINK_TYPE = {"xdp": 6, "tcx-ingress": 11, "tcx-egress": 11}
# XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE; BPF_F_BEFORE without another program: before all.
_FLAGS = {"native": 4, "generic": 2, "tcx-ingress": 8, "tcx-egress": 8}
_EPERM, _ENOENT, _ENODEV, _EINVAL, _EOPNOTSUPP = 1, 2, 19, 22, 95
_MEANT = {_EPERM, 13, 16, 17, 19}  # EACCES, EBUSY, EEXIST, ENODEV: netlink would say the same
_NO_TCX = "this kernel has no tcx (Linux 6.6): use tc-ingress or tc-egress"
_MOST = 64  # programs at one hook: BPF_MPROG_MAX


class NoLinks(Error):
    """Say that this kernel or driver cannot attach there by a link."""


def create_link(fd: int, index: int, mode: str, *, hook: str, doing: str) -> int:
    """Attach a program by a link of its own; it stands as long as the link's descriptor or pin.

    Raises:
        NoLinks: XDP cannot be attached so: it may be over netlink.
        Error: Something stands there, or the kernel has no tcx.
    """
    link = int(lib.pr_link_create(fd, index, _ATTACH[hook], _FLAGS[mode]))
    if link >= 0:
        return link
    if hook != "xdp" and -link == _EINVAL:
        raise Error(f"{doing}: {_NO_TCX}")
    if hook == "xdp" and -link not in _MEANT:
        # The kernel is too old, or the driver refuses: then netlink says why, in words.
        raise NoLinks(f"{doing}: {strerror(-link)}")
    raise _refused(doing, -link)


def update_link(link: int, fd: int, *, expected: int, doing: str) -> None:
    """Put a program in the place of the expected one, with no moment between."""
    error = -lib.pr_link_update(link, fd, expected)
    if error == _EPERM:
        raise Error(f"{doing}: another program than the expected one stands there")
    if error:
        raise _refused(doing, error)


def detach_link(link: int, *, doing: str) -> None:
    """Take the program of a link off; the link is of no more use."""
    error = -lib.bpf_link_detach(link)
    if error:
        raise _refused(doing, error)


def link_program(link: int) -> tuple[int, int]:
    """Tell (program id, interface index) of a link; the index of a dead one is 0."""
    info = ffi.new("struct pr_link_info *")
    error = -lib.pr_link_info(link, info)
    if error:
        raise Error(f"asking for a link: {strerror(error)}")
    return int(info.prog_id), int(info.ifindex)


def find_link(hook: str, index: int, program_id: int) -> int:
    """Open the link that holds a program on an interface; -1 when none does."""
    number = ffi.new("uint32_t *")
    info = ffi.new("struct pr_link_info *")
    while not lib.pr_link_next(number):
        fd = int(lib.bpf_link_get_fd_by_id(number[0]))
        if fd < 0:
            continue
        if not lib.pr_link_info(fd, info) and (info.type, info.ifindex, info.prog_id) == (
            _LINK_TYPE[hook],
            index,
            program_id,
        ):
            return fd
        os.close(fd)
    return -1


def tcx_programs(index: int, hook: str) -> list[int]:
    """List the programs of a tcx hook in the order in which they run.

    Raises:
        NoLinks: The kernel has no tcx.
    """
    programs, links = ffi.new("uint32_t[]", _MOST), ffi.new("uint32_t[]", _MOST)
    count = lib.pr_tcx_query(index, _ATTACH[hook], programs, links, _MOST)
    if count in (-_ENOENT, -_ENODEV):
        return []  # nothing was ever there; or the interface went while we asked
    if count in (-_EINVAL, -_EOPNOTSUPP):
        raise NoLinks(_NO_TCX)
    if count < 0:
        raise _refused(f"interface {index}: asking for its tcx programs", -count)
    return [int(programs[at]) for at in range(count)]


def pin(fd: int, path: Path) -> None:
    """Keep a program, map or link alive under a name.

    Raises:
        Error: The name cannot be given.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as e:
        raise _refused(f"{path}: pinning it", e.errno or 0) from e
    error = -lib.pr_pin(fd, str(path).encode())
    if error:
        raise _refused(f"{path}: pinning it", error)


@contextmanager
def pinned(path: Path) -> Iterator[int]:
    """Open what is pinned under a name, for the length of a with block.

    Raises:
        Error: Nothing is.
    """
    fd = int(lib.pr_pinned(str(path).encode()))
    if fd < 0:
        raise _refused(f"{path}: opening what is pinned there", -fd)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def program(number: int) -> Iterator[int]:
    """Open a loaded program by the kernel's number, for the length of a with block.

    Raises:
        Error: There is none.
    """
    fd = int(lib.bpf_prog_get_fd_by_id(number))
    if fd < 0:
        raise _refused(f"program {number}: opening it", -fd)
    try:
        yield fd
    finally:
        os.close(fd)


def program_tag(fd: int) -> tuple[int, str]:
    """Tell (id, tag) of a program."""
    info = ffi.new("struct pr_prog_info *")
    error = -lib.pr_prog_info(fd, info)
    if error:
        raise Error(f"asking the kernel about a program: {strerror(error)}")
    return int(info.id), bytes(info.tag).hex()


def map_shape(fd: int) -> tuple[int, int, int, int]:
    """Tell (kind, size of a key, size of a value, entries) of a map."""
    info = ffi.new("struct pr_map_info *")
    error = -lib.pr_map_info(fd, info)
    if error:
        raise Error(f"asking the kernel about a map: {strerror(error)}")
    return int(info.type), int(info.key_size), int(info.value_size), int(info.max_entries)


def is_bpffs(path: Path) -> bool:
    """Tell whether a folder is the root of a mounted bpffs."""
    kind = ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
            words = line.split()
            if words[1] == str(path):
                kind = words[2]  # the last one hides those before it
    return kind == "bpf"


def _refused(doing: str, error: int) -> Error:
    if error in (_EPERM, 13):
        return denied(doing)
    return Error(f"{doing}: {strerror(error)}")
