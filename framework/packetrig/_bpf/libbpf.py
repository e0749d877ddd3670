"""One object in libbpf's hands: opened from memory, looked at, changed, loaded, closed."""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import LoadError
from . import denied, ffi, lib, messages, strerror
from .kinds import TRACING_TYPES, MapKind

_HINTS = (
    ("legacy map definitions", 'write the map with __uint()/__type() in SEC(".maps")'),
    ("failed to find valid kernel BTF", "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)"),
    ("BTF is required", "compile with -g"),
    ("missing BPF prog type", "say what the section holds: kind='xdp' or kind='tc'"),
    ("is static and not supported", "libbpf loads global functions only: leave out static"),
    (
        "failed to find BTF for extern",
        "nothing defines it: link the object with the one that does (bpftool gen object)",
    ),
    ("bad call relo against", "leave that function's own section out: libbpf looks in .text"),
    ("incompatible with kernel", "declare it as this kernel's vmlinux.h does"),
)
# A type that no map has, for maps that are not to be seen.
_HIDDEN = 0

_FAILED = re.compile(r"prog '([^']+)': BPF program load failed")
_TAIL = 1 << 18
_tails: list[Any] = []
# They come again and again, and each makes the verifier begin anew: libbpf gives up after five.
_TIMERS = (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF)


@contextmanager
def _without_timers() -> Iterator[None]:
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _TIMERS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


@contextmanager
def short_log() -> Iterator[None]:
    """Take only the end of the verifier's log from who is refused meanwhile, in one try.

    libbpf makes the program go through the verifier again and again, until the whole log has room:
    70 MB and a minute for one that is too large. Kernels before 6.4 keep the beginning instead.
    """
    _tails.append(ffi.new("char[]", _TAIL))
    try:
        yield
    finally:
        _tails.pop()


@dataclass(frozen=True, slots=True)
class OpenProgram:
    """Point to one program of an open object."""

    handle: Any
    name: str
    section: str
    type: int
    attach: int
    instructions: int
    is_optional: bool

    def code(self) -> bytes:
        """Return the instructions, not yet relocated."""
        insns = lib.bpf_program__insns(self.handle)
        return bytes(ffi.buffer(ffi.cast("char *", insns), self.instructions * 8))


@dataclass(frozen=True, slots=True)
class OpenMap:
    """Point to one map of an open object; sizes are in bytes."""

    handle: Any
    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    key_type: int
    value_type: int
    is_internal: bool

    def inner(self) -> OpenMap | None:
        """Return the template of a map of maps; libbpf forgets it when the object is loaded."""
        handle = lib.bpf_map__inner_map(self.handle)
        return open_map(handle) if handle else None


class Opened:
    """Hold a `struct bpf_object`; pins are taken off, so that no state outlives it."""

    def __init__(self, elf: bytes, name: str) -> None:
        self._elf = elf
        self.name = name
        messages()
        stem = re.sub(r"[^A-Za-z0-9_]", "_", name.split(".", maxsplit=1)[0]) or "object"
        self.handle = lib.pr_object_open(elf, len(elf), stem.encode())
        if not self.handle:
            log = messages()
            raise LoadError(f"{name}: libbpf cannot open it: {_reason(log)}", log=log)
        for map_ in self.maps():
            lib.bpf_map__set_pin_path(map_.handle, ffi.NULL)
            if map_.type == MapKind.STRUCT_OPS:
                # A table of functions, which no packet meets. libbpf before 1.4 crashes on one when
                # nothing else in the object asks for the kernel's types.
                lib.bpf_map__set_autocreate(map_.handle, False)
                lib.bpf_map__set_type(map_.handle, _HIDDEN)

    def programs(self) -> Iterator[OpenProgram]:
        """List the programs in the order of the object."""
        handle = lib.bpf_object__next_program(self.handle, ffi.NULL)
        while handle:
            yield OpenProgram(
                handle,
                ffi.string(lib.bpf_program__name(handle)).decode(),
                ffi.string(lib.bpf_program__section_name(handle)).decode(),
                lib.bpf_program__type(handle),
                lib.bpf_program__expected_attach_type(handle),
                lib.bpf_program__insn_cnt(handle),
                not lib.bpf_program__autoload(handle),
            )
            handle = lib.bpf_object__next_program(self.handle, handle)

    def maps(self) -> Iterator[OpenMap]:
        """List the maps, those that hold .data, .bss and .rodata among them, but no struct_ops."""
        handle = lib.bpf_object__next_map(self.handle, ffi.NULL)
        while handle:
            if (found := open_map(handle)).type != _HIDDEN:
                yield found
            handle = lib.bpf_object__next_map(self.handle, handle)

    def load(self) -> None:
        """Load what is set to be loaded.

        Raises:
            LoadError: with libbpf's text, the verifier's log in it, in `.log`.
            PermissionDenied: bpf(2) is forbidden to this process.
        """
        messages()
        for found in self.programs() if _tails else ():
            lib.bpf_program__set_log_buf(found.handle, _tails[-1], _TAIL)
        with _without_timers():
            error = -lib.bpf_object__load(self.handle)
        if not error:
            return
        log = messages()
        if error == errno.EAGAIN:  # by what cannot be held back, as when the process is stopped
            raise LoadError(f"{self.name}: signals interrupted the verifier again and again")
        if _tails and (failed := _FAILED.search(log)):
            tail = ffi.string(_tails[-1]).decode(errors="replace")
            if len(tail) == _TAIL - 1 and "\nprocessed " not in tail:
                tail = "its log is longer than is kept, and the end is missing\n"
            text = f"BEGIN PROG LOAD LOG --\n{tail}-- END PROG LOAD LOG --"
            log += f"libbpf: prog '{failed[1]}': -- {text}\n"
        if error == 1 or (error == 13 and "LOG --" not in log):
            wanted = (p for p in self.programs() if lib.bpf_program__autoload(p.handle))
            traces = any(lib.bpf_program__type(p.handle) in TRACING_TYPES for p in wanted)
            raise denied(f"{self.name}: loading it", traces=traces) from None
        raise LoadError(f"{self.name}: {_reason(log) or strerror(error)}", log=log)

    def close(self) -> None:
        """Give everything back; does nothing the second time."""
        if self.handle:
            lib.bpf_object__close(self.handle)
            self.handle = ffi.NULL


def open_map(handle: Any) -> OpenMap:
    """Read what libbpf knows of one map."""
    return OpenMap(
        handle,
        ffi.string(lib.bpf_map__name(handle)).decode(),
        lib.bpf_map__type(handle),
        lib.bpf_map__key_size(handle),
        lib.bpf_map__value_size(handle),
        lib.bpf_map__max_entries(handle),
        lib.bpf_map__map_flags(handle),
        lib.bpf_map__btf_key_type_id(handle),
        lib.bpf_map__btf_value_type_id(handle),
        lib.bpf_map__is_internal(handle),
    )


def _reason(log: str) -> str:
    """Pick the line of libbpf's messages that tells most, and a hint where one is known."""
    lines = [line.removeprefix("libbpf: ").strip() for line in log.splitlines()]
    lines = [
        line for line in lines if line and not line.startswith(("failed to load object", "--"))
    ]
    for sign, hint in _HINTS:
        for line in lines:
            if sign in line:
                return f"{line.rstrip('.')}; {hint}"
    return lines[0] if lines else "it gives no reason"
