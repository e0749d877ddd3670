"""What an accepted program costs, asked of the verifier by loading it once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ._bpf import ffi, lib
from ._bpf.libbpf import Opened
from .loaded import Loaded, choose
from .spec import Spec
from .verifier import Statistics, counted


def measure(
    spec: Spec,
    program: str,
    *,
    kind: str | None = None,
    values: Mapping[str, Any] | None = None,
    size: Callable[[Opened], None] = lambda _: None,
) -> Statistics:
    """Load one program once more, with the verifier's statistics on, and read them.

    `values` are those of globals, and `size` gives maps their sizes, as they were for what runs.
    Needs Linux 5.2 (BPF_LOG_STATS); states and stack are None and empty where it says nothing.
    """
    room = 1 << 16
    log = ffi.new("char[]", room)

    def ask(opened: Opened) -> None:
        size(opened)
        for found in opened.programs():
            if found.name == program:
                lib.bpf_program__set_log_level(found.handle, 4)
                lib.bpf_program__set_log_buf(found.handle, log, room)

    spec = spec.plain or spec  # what counts its steps costs more than what ships
    loaded = Loaded(spec, choose(spec, program, kind), kind, values or {}, before_load=ask)
    try:
        info = ffi.new("struct pr_prog_info *")
        lib.pr_prog_info(loaded.program_fds[program], info)
        found = counted(ffi.string(log).decode(errors="replace"))
        return Statistics(
            found.instructions if found.instructions is not None else info.verified or None,
            found.states,
            found.peak_states,
            found.states_per_instruction,
            found.stack,
            info.xlated or None,
            info.jited or None,
        )
    finally:
        loaded.close()
