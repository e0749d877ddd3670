"""Run a TC program on a frame behind XDP's metadata, which BPF_PROG_TEST_RUN cannot give it.

The kernel's own road can: an XDP test run in live mode (Linux 5.18) hands a frame, metadata and
all, to the receive path of the loopback in a namespace of the object's own, and TC ingress (tcx,
Linux 6.6) comes next there. At that hook stands a recorder: a few instructions that call the very
program as a function, note its verdict, what it made of the frame, the metadata and the context,
and drop the frame. All of it happens within the one system call: nothing is waited for.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Mapping
from typing import Any

from . import callers
from ._bpf import denied, elf, ffi, lib, strerror
from ._bpf.contexts import LAYOUTS
from ._bpf.kinds import PROGRAM_KINDS
from .callers import instruction
from .errors import Error, InputRefused, Unsupported
from .program import Program
from .run import Run
from .verdicts import verdict_of

# The recorder's one map value: state, verdict, length of metadata and frame; then the three.
_HEAD = struct.Struct("=IIII")
_CONTEXT, _META, _DATA = 16, 208, 464
_MOST_META, _MOST = _DATA - _META, 1 << 13
_ROOM = _DATA + _MOST
_ARMED, _RAN = 1, 2

# Offsets in struct __sk_buff: words that are noted, and those that the next program inherits.
_LEN, _DATA_START, _DATA_META, _TSTAMP = 0, 76, 140, 152
_VLAN_PRESENT, _VLAN_TCI, _VLAN_PROTO = 20, 24, 28
_INHERITED = (8, 32, *range(48, 68, 4))  # mark, priority, cb
_VLAN = (_VLAN_PRESENT, _VLAN_TCI, _VLAN_PROTO)
_NOTED = (*_INHERITED, *_VLAN, 36, 40, 160, 164)  # both ifindexes, wire_len, gso_segs

_MOVE, _MOVE_NUMBER, _ADD = 0xBF, 0xB7, 0x07
_READ, _READ_LONG, _WRITE, _WRITE_LONG, _WRITE_NUMBER = 0x61, 0x79, 0x63, 0x7B, 0x62
_GO, _IF_EQUAL, _IF_MORE, _IF_BEYOND = 0x05, 0x15, 0x25, 0x2D
_CALL, _EXIT = 0x85, 0x95
_LOAD_BYTES, _TAIL_CALL = 26, 12
_LIVE_FRAMES = 1 << 1
_READS_META = "bpf_dynptr_from_skb_meta"


def reads_metadata(program: Program) -> bool:
    """Tell whether a TC program looks at metadata: it loads `skb->data_meta`, or has the kfunc.

    A load at the same offset of something else counts too: that only takes the longer way. What
    makes tail calls looks as far as any program of its object does.
    """
    owner = program.owner
    jumps = _TAIL_CALL in owner.spec.helpers_of(program.name)
    loads = any(map(_loads_metadata, owner.programs.values() if jumps else [program]))
    return loads or _READS_META in elf.symbols(owner.spec.data)


def _loads_metadata(program: Program) -> bool:
    code = callers.code(program)
    return any(
        code[at] == _READ and code[at + 2 : at + 4] == struct.pack("=h", _DATA_META)
        for at in range(0, len(code), 8)
    )


def run(program: Program, frame: bytes, meta: bytes, inherited: Mapping[str, Any]) -> Run:
    """Run a TC program on a frame with metadata in front; `inherited` are mark, priority and cb.

    Raises:
        InputRefused: The kernel does not take such a frame in live mode.
        Unsupported: This kernel has no tcx or no live frames, or the program cannot be called.
    """
    owner = program.owner
    recorder = owner.recorders.get(program.name)
    if recorder is None:
        recorder = owner.recorders[program.name] = Recorder(program)
    owner.loaded.is_dirty = True
    answer: Run = recorder.run(frame, meta, inherited)
    program.last = answer
    if program.is_test_build:
        owner.mocks.complain()
    return answer


class Recorder:
    """Stand at TC ingress of the loopback with one program, until `close()`."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._netns = program.owner.netns
        self._fds: list[int] = []
        self._link = self._caller = -1
        self._loaded: Any = None
        self._runner = ffi.new("struct pr_runner *")
        try:
            self._cell = self._keep(lib.pr_cell_new(_ROOM), f"{program.name}: a map for its answer")
            passing = instruction(_MOVE_NUMBER, imm=2) + instruction(_EXIT)
            carrier = lib.pr_prog_load(PROGRAM_KINDS["xdp"].type, 0, 0, passing, 2)
            self._runner.prog_fd = self._keep(carrier, "an XDP program in live mode")
            self._stand()
        except BaseException:
            self.close()
            raise
        self._runner.repeat = 1
        self._runner.flags = _LIVE_FRAMES
        self._runner.ctx_in_size = 24

    def _stand(self) -> None:
        """Take the hook with the program as it is loaded now; detaching would cost 25 ms."""
        caller = callers.load(self._program, *_recording(self._cell))
        self._keep(caller, f"calling {self._program.name} behind metadata")
        if self._link < 0:
            with self._netns.entered():
                link = lib.pr_tcx_ingress(caller, 1)  # the loopback is 1 in every namespace
            self._link = self._keep(link, "TC programs behind metadata (tcx, Linux 6.6)")
        else:
            error = lib.bpf_link_update(self._link, caller, ffi.NULL)
            self._keep(error, f"calling {self._program.name} behind metadata")
            self._drop(self._caller)
        self._caller, self._loaded = caller, self._program.owner.loaded

    def _keep(self, fd: int, what: str) -> int:
        if fd > 0:
            self._fds.append(fd)
        if fd >= 0:
            return fd
        if -fd in (errno.EPERM, errno.EACCES) and "calling" not in what:
            raise denied(what)
        raise Unsupported(what, f"{strerror(-fd)}; packetrig.live puts both on a wire")

    def _drop(self, fd: int) -> None:
        self._fds.remove(fd)
        os.close(fd)

    def run(self, frame: bytes, meta: bytes, inherited: Mapping[str, Any]) -> Run:
        """Let one frame arrive, and read what the program made of it."""
        if self._loaded is not self._program.owner.loaded:
            self._stand()
        name, runner = self._program.name, self._runner
        self._arm(inherited)
        struct.pack_into("=2I", ffi.buffer(runner.ctx_in), 0, len(meta), len(meta) + len(frame))
        runner.netns_fd = self._netns.fileno()
        error = -lib.pr_run(runner, meta + frame, len(meta) + len(frame))
        if error:
            raise InputRefused(
                f"{name}: a frame of {len(frame)} bytes with {len(meta)} bytes of metadata cannot "
                f"be carried from XDP to TC here: {strerror(error)}; live frames take at most what "
                "fits a page (3408 bytes of 4096)"
            )
        raw = self._read()
        state, verdict, size_of_meta, size = _HEAD.unpack_from(raw)
        if state != _RAN or size > _MOST:
            lost = "never reached TC ingress" if state != _RAN else f"grew to {size} bytes"
            raise Error(f"{name}: the frame {lost}: nothing is known about the program")
        after = raw[_CONTEXT:_META]
        data = _with_tag(raw[_DATA : _DATA + size], after)
        meta = raw[_META : _META + size_of_meta]
        verdict = verdict_of(self._program.kind, verdict)
        return Run(verdict, data, frame, 0, self._program, meta, _without_tag(after))

    def _arm(self, inherited: Mapping[str, Any]) -> None:
        context = bytearray(_META - _CONTEXT)
        for field, value in inherited.items():
            described = LAYOUTS["tc"].fields[field]
            values = value if isinstance(value, tuple) else (value,)
            struct.pack_into("=" + described.code, context, described.offset, *values)
        self._write(_HEAD.pack(_ARMED, 0, 0, 0) + context)

    def _write(self, head: bytes) -> None:
        value = head + bytes(_ROOM - len(head))
        error = -lib.bpf_map_update_elem(self._cell, bytes(4), value, 0)
        if error:
            raise Error(f"{self._program.name}: arming its recorder: {strerror(error)}")

    def _read(self) -> bytes:
        value = ffi.new("char[]", _ROOM)
        error = -lib.bpf_map_lookup_elem(self._cell, bytes(4), value)
        if error:
            raise Error(f"{self._program.name}: reading its recorder: {strerror(error)}")
        return bytes(ffi.buffer(value))

    def close(self) -> None:
        """Take the recorder away; does nothing the second time."""
        while self._fds:
            os.close(self._fds.pop())
        self._link = self._caller = -1


def _recording(cell: int) -> tuple[bytes, bytes]:
    """Write the recorder's instructions before and behind the program that it calls.

    r6 holds the context, r8 the map's value. What was not sent by us goes by untouched.
    """
    value = instruction(0x18, 8, 2, imm=cell) + bytes(8)  # BPF_PSEUDO_MAP_VALUE
    begin = instruction(_MOVE, 6, 1) + value + instruction(_READ, 1, 8)
    begin += instruction(_IF_EQUAL, 1, offset=2, imm=_ARMED)
    begin += instruction(_MOVE_NUMBER, 0, imm=-1) + instruction(_EXIT)  # TCX_NEXT
    begin += instruction(_WRITE_NUMBER, 8, imm=_RAN)
    for at in _INHERITED:
        begin += instruction(_READ, 1, 8, _CONTEXT + at) + instruction(_WRITE, 6, 1, at)
    begin += instruction(_READ_LONG, 9, 6, _TSTAMP) + instruction(_MOVE, 1, 6)
    rest = instruction(_WRITE, 8, 0, 4) + _noted() + _meta_noted() + _frame_noted()
    return begin, rest


def _noted() -> bytes:
    # The receive path may stamp the time; only what the program wrote there is its own.
    code = instruction(_READ_LONG, 1, 6, _TSTAMP) + instruction(0x1D, 1, 9, 1)  # if r1 == r9
    code += instruction(_WRITE_LONG, 8, 1, _CONTEXT + _TSTAMP)
    for at in _NOTED:
        code += instruction(_READ, 1, 6, at) + instruction(_WRITE, 8, 1, _CONTEXT + at)
    return code


def _meta_noted() -> bytes:
    words = _MOST_META // 4
    code = instruction(_READ, 1, 6, _DATA_META) + instruction(_READ, 2, 6, _DATA_START)
    code += instruction(_MOVE_NUMBER, 3)
    for word in range(words):
        code += instruction(_MOVE, 4, 1) + instruction(_ADD, 4, imm=4 * (word + 1))
        code += instruction(_IF_BEYOND, 4, 2, 6 * (words - word) - 3)  # behind the last word
        code += instruction(_READ, 5, 1, 4 * word) + instruction(_WRITE, 8, 5, _META + 4 * word)
        code += instruction(_MOVE_NUMBER, 3, imm=4 * (word + 1))
    return code + instruction(_WRITE, 8, 3, 8)


def _frame_noted() -> bytes:
    code = instruction(_READ, 4, 6, _LEN) + instruction(_WRITE, 8, 4, 12)
    code += instruction(_IF_EQUAL, 4, offset=6) + instruction(_IF_MORE, 4, offset=5, imm=_MOST)
    code += instruction(_MOVE, 1, 6) + instruction(_MOVE_NUMBER, 2)
    code += instruction(_MOVE, 3, 8) + instruction(_ADD, 3, imm=_DATA)
    code += instruction(_CALL, imm=_LOAD_BYTES)
    return code + instruction(_MOVE_NUMBER, 0, imm=2) + instruction(_EXIT)  # TC_ACT_SHOT


def _with_tag(data: bytes, context: bytes) -> bytes:
    # At ingress the outer VLAN tag stands beside the frame: here it is put back where it was sent.
    if not struct.unpack_from("=I", context, _VLAN_PRESENT)[0]:
        return data
    (tag,) = struct.unpack_from("=I", context, _VLAN_TCI)
    return data[:12] + context[_VLAN_PROTO : _VLAN_PROTO + 2] + struct.pack("!H", tag) + data[12:]


def _without_tag(context: bytes) -> bytes:
    # As in a test run, where the tag is in the frame.
    return context[:_VLAN_PRESENT] + bytes(12) + context[_VLAN_PROTO + 4 :]
