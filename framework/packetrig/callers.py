"""Call a loaded program as a function of a program of ours, which sees what a test run hides.

What runs is the program's own instructions, relocated as libbpf gave them to the kernel. Tail calls
in them come back to the caller, and callbacks of loops are callbacks still.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ._bpf import lib
from ._bpf.kinds import PROGRAM_KINDS, XDP_HAS_FRAGS

if TYPE_CHECKING:
    from .program import Program

_CALL, _LOAD_LONG = 0x85, 0x18
# Source registers that say what the number of an instruction means.
_PSEUDO_CALL, _PSEUDO_FUNC = 1, 4


def instruction(code: int, to: int = 0, source: int = 0, offset: int = 0, imm: int = 0) -> bytes:
    """Write one instruction."""
    return struct.pack("=BBhi", code, source << 4 | to, offset, imm)


def code(program: Program) -> bytes:
    """Return a program's instructions, relocated, with the functions that it calls behind them."""
    opened = program.owner.loaded.opened
    return next(p.code() for p in opened.programs() if p.name == program.name)


def load(program: Program, before: bytes, after: bytes) -> int:
    """Load instructions that call a program between `before` and `after`, r1 its context.

    Returns:
        The descriptor of a program of the same kind; or -errno, where the verifier refuses it.
    """
    own = before + instruction(_CALL, source=_PSEUDO_CALL, imm=len(after) // 8) + after
    called = code(program)
    first = len(own) // 8
    starts = [0, *(first + at for at in _functions(called))]
    loaded, name = program.owner.loaded, program.name
    return int(
        lib.pr_prog_load_functions(
            PROGRAM_KINDS[program.kind].type,
            loaded.attach_types[name],
            XDP_HAS_FRAGS if loaded.frags[name] else 0,
            own + called,
            len(own + called) // 8,
            starts,
            len(starts),
        )
    )


def _functions(instructions: bytes) -> list[int]:
    # Where functions begin: the first instruction, and whatever is called or handed to a helper.
    found = {0}
    second_half = False
    for at, (code, registers, _, imm) in enumerate(struct.iter_unpack("=BBhi", instructions)):
        source = registers >> 4
        if not second_half and (code, source) in (
            (_CALL, _PSEUDO_CALL),
            (_LOAD_LONG, _PSEUDO_FUNC),
        ):
            found.add(at + 1 + imm)
        second_half = code == _LOAD_LONG and not second_half
    return sorted(found)
