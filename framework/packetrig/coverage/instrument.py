"""A program compiled once more, so that it counts what it executes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import toolchain
from .._bpf import profile
from ..errors import CompileError, Error, Unsupported
from ..spec import Spec, build
from ..toolchain import llvm


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
    cost and the gate are about the plain one.

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
    if Path(source).suffix == ".o":
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
        raise Error(f"{plain.name} was read as an object: coverage needs the C source, build that")
    if mcdc and not llvm.has_mcdc():
        major = toolchain.find_clang().major
        raise Unsupported("MC/DC", f"clang {llvm.MCDC_SINCE} or newer is needed, this is {major}")
    # What clang was told, whole: folders are absolute there, and fakes are among it.
    options = plain.command[1 + len(toolchain.FLAGS) : -len(toolchain.ENDING)]
    extra = (*llvm.INSTRUMENT, llvm.MCDC) if mcdc else llvm.INSTRUMENT
    path = Path(plain.command[-1])
    try:
        built = toolchain.compile(path, flags=(*options, *extra))
    except CompileError as e:
        raise CompileError(
            f"{plain.source}: it compiles, but not instrumented: {e}",
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
    )
