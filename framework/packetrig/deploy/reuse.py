"""Load an object with maps that exist already: what a filter has learnt outlives its program."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .._bpf import lib, strerror
from .._bpf.kinds import MapKind
from .._bpf.libbpf import Opened
from ..errors import Error, LoadError
from ..loaded import choose
from ..objects import Object
from ..program import Program
from ..replay import Setup
from ..spec import Spec
from . import kernel


class _Reusing(Object):
    # Objects are loaded again by nobody here, so the maps that were given stay theirs.
    def __init__(self, spec: Spec, shared: Mapping[str, int], **options: Any) -> None:
        self._shared = shared
        super().__init__(spec, **options)

    def _before_load(self, opened: Opened) -> None:
        super()._before_load(opened)
        for found in opened.maps():
            if found.is_internal or found.name not in self._shared:
                continue
            error = -lib.bpf_map__reuse_fd(found.handle, self._shared[found.name])
            if error:
                raise LoadError(f"{found.name}: taking over the map: {strerror(error)}")


@contextlib.contextmanager
def loaded(
    spec: Spec,
    setup: Setup,
    *,
    program: str | None,
    kind: str | None,
    maps: Path | None = None,
) -> Iterator[Object]:
    """Load an object of which one program is to be attached, with the maps pinned in a folder.

    Raises:
        Error: It has several programs, or a map of it is of another shape than the pinned one.
    """
    if program is None and len(names := choose(spec, None, kind)) > 1:
        raise Error(
            f"{spec.name} holds several programs: {', '.join(names)}; choose one with --program"
        )
    if any(each.kind == MapKind.PROG_ARRAY for each in spec.maps.values()):
        program = None  # it may jump to any of the others
    with contextlib.ExitStack() as stack:
        shared = {}
        for name in sorted(spec.maps):
            path = maps / name if maps else None
            if path is not None and path.exists():
                shared[name] = stack.enter_context(kernel.pinned(path))
                _check_shape(spec, name, shared[name])
        made = stack.enter_context(
            _Reusing(
                spec,
                shared,
                program=program,
                kind=kind,
                values=setup.globals,
                max_entries=setup.max_entries,
            )
        )
        setup.put(made)
        yield made


def _check_shape(spec: Spec, name: str, fd: int) -> None:
    wanted = spec.maps[name]
    kind, key_size, value_size, entries = kernel.map_shape(fd)
    told = [
        f"{what} {theirs}, not {ours}"
        for what, theirs, ours in (
            ("kind", kind, int(wanted.kind)),
            ("key size", key_size, wanted.key_size),
            ("value size", value_size, wanted.value_size),
            ("entries", entries, wanted.max_entries or entries),
        )
        if theirs != ours
    ]
    if told:
        # An empty map in its place would be a filter that has forgotten what it filters.
        raise Error(f"--keep-maps: the map {name} that is there is of another shape: {told[0]}")


def program_of(made: Object, name: str | None) -> Program:
    """Return the program that is meant: the named one, or the only one."""
    return made.programs[name] if name else made.program
