"""A program compiled once more, so that it counts what it executes."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import files, toolchain
from .._bpf import profile
from .._bpf.libbpf import short_log
from ..errors import CompileError, Error, Unsupported, VerifierError
from ..spec import Spec, build
from ..toolchain import llvm

# Counting takes registers: clang then spills values to the stack, and half a pointer to a packet,
# which it takes for 32 bits, the verifier does not let it spill. Optimising for size keeps fewer
# values alive at once; -mcpu=v2 knows no halves.
VARIANTS: tuple[tuple[str, ...], ...] = ((), ("-Os",), ("-mcpu=v2",))
_ACCEPTED: dict[str, bool] = {}


def instrument(
    source: str | Path,
    *,
    define: Mapping[str, object] | None = None,
    include: tuple[str | Path, ...] = (),
    flags: tuple[str, ...] = (),
    mocks: Mapping[str, Any] | None = None,
    mcdc: bool = False,
) -> Spec:
    """Compile a C source so that it counts what it executes; the arguments are those of `build()`.

    Its programs, maps and globals are those of the plain object. It never ships: the verifier, the
    cost and the gate are about the plain one. Where this kernel's verifier refuses it, the same is
    tried with other optimisation; when none is accepted, `load()` raises VerifierError.

    Args:
        source: The .c file.
        define: Preprocessor definitions.
        include: Further folders for #include.
        flags: Further flags for clang.
        mocks: Helpers that the test answers for.
        mcdc: Count conditions and decisions too (clang 18 or newer).

    Raises:
        CompileError: clang refuses it.
        ToolMissing: There is no clang.
        Unsupported: clang is too old for `mcdc`.
        Error: The source is an object file.
    """
    if files.is_object(source):
        raise Error(f"{source} is compiled already: coverage needs the C source, name that")
    plain = build(source, define=define, include=include, flags=flags, mocks=mocks)
    return twin(plain, mcdc=mcdc)


def twin(plain: Spec, *, mcdc: bool = False) -> Spec:
    """Compile what `build()` made once more, instrumented.

    Raises:
        CompileError: clang refuses it.
        Unsupported: clang is too old for `mcdc`.
        Error: The object was read from a file and not built, or holds no code to count.
    """
    if plain.source is None or not plain.command:
        raise Error(
            f"{plain.name}: it was read as an object: coverage needs the C source, build that"
        )
    if mcdc and not llvm.has_mcdc():
        major = toolchain.find_clang().major
        raise Unsupported("MC/DC", f"clang {llvm.MCDC_SINCE} or newer is needed, this is {major}")
    extra = (*llvm.INSTRUMENT, llvm.MCDC) if mcdc else llvm.INSTRUMENT
    first, *others = VARIANTS
    made = _compiled(plain, (*extra, *first))
    if _is_accepted(made):
        return made
    for variant in others:
        with contextlib.suppress(CompileError):  # -mcpu=v2 has no atomic exchange, for one
            other = _compiled(plain, (*extra, *variant))
            if _is_accepted(other):
                return other
    return made


def _compiled(plain: Spec, extra: tuple[str, ...]) -> Spec:
    # What clang was told, whole: folders are absolute there, and fakes are among it.
    options = plain.command[1 + len(toolchain.FLAGS) : -len(toolchain.ENDING)]
    try:
        built = toolchain.compile(plain.command[-1], flags=(*options, *extra))
    except CompileError as e:
        why = str(e).removeprefix(f"{plain.command[-1]}: ")
        raise CompileError(
            f"{plain.source}: it compiles, but not instrumented: {why}",
            source=e.source,
            diagnostics=e.diagnostics,
        ) from e
    data = built.object.read_bytes()
    found = profile.read(data, built.object, name=plain.name)
    return replace(
        plain,
        data=profile.loadable(data, name=plain.name),
        path=None,
        command=built.command,
        profile=found,
        plain=plain,
    )


def _is_accepted(made: Spec) -> bool:
    """Tell whether the verifier takes it; what else goes wrong is told when it is really loaded."""
    if made.sha256 not in _ACCEPTED:
        try:
            with short_log():
                made.load().close()
            _ACCEPTED[made.sha256] = True
        except VerifierError:
            _ACCEPTED[made.sha256] = False
        except Error:
            return True
    return _ACCEPTED[made.sha256]
