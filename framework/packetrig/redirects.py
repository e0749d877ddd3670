"""Where a frame was redirected to, which BPF_PROG_TEST_RUN does not tell.

bpf_redirect() and its kin leave their target beside the task (`struct bpf_redirect_info`) for
whoever acts on the verdict. A test run has nobody who does, and forgets it. A program of ours calls
the very program as a function, takes the note down, and hands the verdict on: one system call.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from . import callers
from ._bpf import CAP_PERFMON, denied, ffi, is_capable, lib, strerror
from ._bpf.kinds import MapKind
from .callers import instruction
from .errors import Error, InputRefused, Unsupported
from .run import Run
from .verdicts import BY_KIND

if TYPE_CHECKING:
    from .maps import Map
    from .program import Program

# The one map value: index, flags, the map's id and kind, and whether anything was noted at all.
_NOTE = struct.Struct("=QIIII")
_MOVE, _READ, _READ_LONG, _WRITE, _WRITE_LONG = 0xBF, 0x61, 0x79, 0x63, 0x7B
_CALL, _EXIT, _LOAD_LONG, _MAP_VALUE = 0x85, 0x95, 0x18, 2
_CURRENT_TASK = 158  # bpf_get_current_task_btf()
# The kernel's own bits (include/linux/filter.h, net/core/filter.c).
_IS_NOTED, _NEIGH, _PEER, _USERS = 1 << 1, 1 << 16, 1 << 17, 0xFFFF
_BROADCAST = 1 << 3
_WIRE = "a wire with several ports shows where frames go (packetrig.live)"


@dataclass(frozen=True, slots=True)
class Redirect:
    """Tell the target that a program chose.

    `helper` is what chose it, as the kernel noted it; `flags` those that it was given. `ifindex` is
    the interface, for an entry of a devmap the one that stands there. `map` and `key` are those of
    bpf_redirect_map(): a devmap's, a cpumap's or an AF_XDP socket map's; with BPF_F_BROADCAST the
    key is None.
    """

    ifindex: int | None
    map: str | None = None
    key: int | None = None
    helper: str = "bpf_redirect"
    flags: int = 0

    def __str__(self) -> str:
        place = f"{self.map}[{'all' if self.key is None else self.key}]" if self.map else ""
        interface = f"interface {self.ifindex}" if self.ifindex is not None else ""
        flags = f"flags {self.flags:#x}" if self.flags else ""
        helper = self.helper if self.helper not in ("bpf_redirect", "bpf_redirect_map") else ""
        return ", ".join(filter(None, [place, interface, helper, flags]))


class Redirected(Run):
    """Be a Run that knows where it redirected the frame to."""

    _target: Redirect | None

    @property
    def redirect(self) -> Redirect | None:
        """Return the target; None if nothing was redirected, or nowhere."""
        return self._target

    def __eq__(self, other: object) -> bool:
        same = Run.__eq__(self, other)
        return same and not (isinstance(other, Redirected) and other._target != self._target)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return Run.__hash__(self)

    def __repr__(self) -> str:
        return f"{Run.__repr__(self)[:-1]}, to {self._target or 'no target'}>"

    @property
    def notes(self) -> list[str]:
        """Tell the target in a line."""
        return [f"  target  {self._target or 'none'}"]

    def explain(self) -> str:
        """Tell the run in full, with the target."""
        first, *rest = super().explain().split("\n")
        return "\n".join([first, *self.notes, *rest])


def noted(program: Program, runner: Any, once: Callable[[], Run]) -> Run:
    """Run a program once through a caller that notes its target.

    Raises:
        InputRefused: Programs of this kind redirect nothing.
        Unsupported: This kernel tells no target, or the program cannot be called.
    """
    if not hasattr(BY_KIND.get(program.kind), "REDIRECT"):
        raise InputRefused(
            f"{program.name}: redirect= is for programs that can redirect (XDP, TC, LWT), this one "
            f"is {program.kind}"
        )
    recorders = program.owner.recorders
    name = f"redirects of {program.name}"
    recorder = recorders.get(name)
    if recorder is None:
        recorder = recorders[name] = _Recorder(program)
    found: Run = recorder.run(runner, once)
    return found


class _Recorder:
    # One program's caller, made again when the object is loaded again; until `close()`.
    def __init__(self, program: Program) -> None:
        self._program = program
        self._loaded: Any = None
        self._cell = self._caller = -1

    def run(self, runner: Any, once: Callable[[], Run]) -> Run:
        if self._loaded is not self._program.owner.loaded:
            self.close()
            self._make()
        its_own, runner.prog_fd = runner.prog_fd, self._caller
        try:
            run = Redirected(*once())
        finally:
            runner.prog_fd = its_own
        run._target = self._target(run.verdict)
        return run

    def _make(self) -> None:
        name = self._program.name
        after = _noting(_places(), self._cell_made())
        self._caller = callers.load(self._program, b"", after)
        if self._caller < 0:
            error, self._caller = -self._caller, -1
            # Without CAP_PERFMON the verifier lets nobody read what belongs to the task.
            if error == errno.EPERM or not is_capable(CAP_PERFMON):
                raise denied(f"{name}: noting its redirects", traces=True)
            raise Unsupported(
                f"telling where {name} redirects",
                f"the verifier does not take it as a function: {strerror(error)}; {_WIRE}",
            )
        self._loaded = self._program.owner.loaded

    def _cell_made(self) -> int:
        self._cell = lib.pr_cell_new(_NOTE.size)
        if self._cell < 0:
            raise Error(f"{self._program.name}: a map for its target: {strerror(-self._cell)}")
        return self._cell

    def _target(self, verdict: Any) -> Redirect | None:
        value = ffi.new("char[]", _NOTE.size)
        error = -lib.bpf_map_lookup_elem(self._cell, bytes(4), value)
        if error:
            raise Error(f"{self._program.name}: reading its target: {strerror(error)}")
        index, flags, map_id, map_type, is_noted = _NOTE.unpack(bytes(ffi.buffer(value)))
        if getattr(verdict, "name", "") != "REDIRECT" or not is_noted & _IS_NOTED:
            return None
        if not map_type:
            return _interface(index, flags) if index else None
        found = self._program.owner.map_of_id(map_id)
        key = None if flags & _BROADCAST else index
        name = f"map {map_id}" if found is None else found.name
        ifindex = None if found is None or key is None else _standing(found, key)
        return Redirect(ifindex, name, key, "bpf_redirect_map", flags & _USERS)

    def close(self) -> None:
        """Take the caller away; does nothing the second time."""
        for fd in (self._cell, self._caller):
            if fd >= 0:
                os.close(fd)
        self._cell = self._caller = -1
        self._loaded = None


def _interface(index: int, flags: int) -> Redirect:
    way = "_neigh" if flags & _NEIGH else "_peer" if flags & _PEER else ""
    return Redirect(index, helper=f"bpf_redirect{way}", flags=flags & _USERS)


def _standing(found: Map, key: int) -> int | None:
    # The interface in a devmap's entry, whether its values are numbers or structs.
    if found.kind not in (MapKind.DEVMAP, MapKind.DEVMAP_HASH):
        return None
    value = ffi.new("char[]", 8)
    if lib.bpf_map_lookup_elem(found.fd, struct.pack("=I", key), value):
        return None
    return int.from_bytes(bytes(ffi.buffer(value))[:4], "little")


@cache
def _places() -> Any:
    """Find where the kernel notes a redirect, by its own types.

    Raises:
        Unsupported: It has none, or notes it elsewhere.
    """
    places = ffi.new("struct pr_redirect_places *")
    error = -lib.pr_redirect_places(places)
    if error:
        why = "this kernel keeps its note of a redirect elsewhere (Linux 6.10 has it at the task)"
        if error != errno.ENOENT:
            why = f"the kernel's types cannot be read (/sys/kernel/btf/vmlinux): {strerror(error)}"
        raise Unsupported("telling where a frame is redirected", f"{why}; {_WIRE}")
    return places


def _noting(places: Any, cell: int) -> bytes:
    """Write what comes behind the call: r6 keeps the verdict, r1 holds the note, r2 our value."""
    code = instruction(_MOVE, 6, 0) + instruction(_CALL, imm=_CURRENT_TASK)
    code += instruction(_READ_LONG, 1, 0, places.context)
    code += instruction(_LOAD_LONG, 2, _MAP_VALUE, imm=cell) + bytes(8)
    code += instruction(_READ_LONG, 3, 1, places.index) + instruction(_WRITE_LONG, 2, 3)
    words = (places.flags, places.map_id, places.map_type, places.kern_flags)
    for at, place in enumerate(words):
        code += instruction(_READ, 3, 1, place) + instruction(_WRITE, 2, 3, 8 + 4 * at)
    return code + instruction(_MOVE, 0, 6) + instruction(_EXIT)
