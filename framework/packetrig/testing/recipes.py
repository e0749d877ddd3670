"""`fixture()`: a loaded object as a pytest fixture."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ..errors import CompileError, Error, NotFound, VerifierError
from ..objects import Object
from ..spec import Spec, build
from . import renewal, skips


class ClangWarning(pytest.PytestWarning):
    """Show what clang warned of while it compiled a program that tests use."""

    __module__ = "packetrig.testing"


_WARNED = pytest.StashKey[set[str]]()
_FIRST = re.compile(r"^(?P<path>[^:\n]+):(?P<line>\d+):\d+: warning: (?P<text>.*)$", re.MULTILINE)


def fixture(
    source: str | Path,
    *,
    program: str | None = None,
    kind: str | None = None,
    define: Mapping[str, object] | None = None,
    include: tuple[str | Path, ...] = (),
    mocks: Mapping[str, Any] | None = None,
    netns: Any = None,
    max_entries: Mapping[str, int] | None = None,
    **globals: Any,  # noqa: A002  # what users call them
) -> Any:
    """Make a pytest fixture of a program: compiled, loaded, and as new in every test.

        firewall = packetrig.fixture("progs/xdp_firewall.bpf.c")

        def test_a_blocked_source_is_dropped(firewall):
            firewall.maps.blocked["10.0.0.66"] = 0
            assert firewall.run(packet).verdict is XDP.DROP

    The variable's name is the fixture's. The object is compiled once and lives as long as the
    pytest session; before each test, and before each Hypothesis example, its maps are empty and
    its globals have their first values.

    Args:
        source: A .c or .o file: absolute, or looked for in pytest's rootdir, then beside the file
            that calls this.
        program: Load only this one of several programs.
        kind: What a section that libbpf does not know holds: "xdp", "tc", ...
        define: Preprocessor definitions: `{"LIMIT": 5}` is -DLIMIT=5.
        include: Further folders for #include, found like the source.
        mocks: Helpers that the test answers for, in a test build of the program:
            `{"bpf_ktime_get_ns": packetrig.mocks.Value(0)}` (see packetrig.mocks).
        netns: Run in this network namespace (see Spec.load).
        max_entries: How many entries a map has, where it is left to who loads it.
        **globals: Values of `const volatile` (or other global) variables, before loading.

    The test that uses it is skipped when this kernel lacks something or forbids it, and has an
    error when the source cannot be compiled or the verifier refuses the program.
    """
    caller = sys._getframe(1)
    place = skips.Place(caller.f_code.co_filename, caller.f_lineno)
    folder = Path(place.path).parent

    def recipe(request: pytest.FixtureRequest) -> Iterator[Object]:
        __tracebackhide__ = True
        config = _config(request, source)
        root = config.rootpath
        try:
            path = _find(source, root, folder)
            found = _build(path, root, folder, define, include, mocks)
            _warn(found, config)
            loaded = found.load(
                program=program, kind=kind, netns=netns, max_entries=max_entries, **globals
            )
        except (Error, ClangWarning) as e:
            if outcome := skips.outcome(e, config, place):
                raise outcome from e
            where = _shown(Path(place.path), config.invocation_params.dir)
            e.add_note(f"{where}:{place.line}: packetrig.fixture({str(source)!r})")
            if isinstance(e, (CompileError, VerifierError, ClangWarning)):
                vars(e)["fixture_source"] = str(path)  # the gate asks whose fault it is
            raise
        live = renewal.live(config)
        live.append(loaded)
        try:
            yield loaded
        finally:
            live.remove(loaded)
            loaded.close()

    recipe.__doc__ = f"The object of {source}, as new in each test."
    return pytest.fixture(scope="session")(recipe)


def _config(request: pytest.FixtureRequest, source: str | Path) -> pytest.Config:
    if not hasattr(request, "config"):  # it is the instance of a class
        raise Error(
            f"packetrig.fixture({str(source)!r}) stands in a class: put it at the top of the "
            "module; methods take it by name as functions do"
        )
    return request.config


def _build(
    path: Path,
    root: Path,
    folder: Path,
    define: Mapping[str, object] | None,
    include: tuple[str | Path, ...],
    mocks: Mapping[str, Any] | None,
) -> Spec:
    return build(
        _shown(path, Path.cwd()),
        define=define,
        mocks=mocks,
        include=tuple(_find(each, root, folder) for each in include),
    )


def _find(name: str | Path, root: Path, folder: Path) -> Path:
    for place in (root, folder):
        if (path := place / name).exists():  # an absolute name stays what it is
            return path
    if Path(name).is_absolute():
        raise NotFound(f"no file {name}")
    raise NotFound(f"no file {name}: neither in the rootdir {root} nor in {folder}")


def _shown(path: Path, start: Path) -> Path:
    # As people write it, from where they stand, when it lies below.
    return path.relative_to(start) if path.is_relative_to(start) else path


def _warn(spec: Spec, config: pytest.Config) -> None:
    """Show clang's warnings as pytest's, once a session."""
    warned = config.stash.setdefault(_WARNED, set())
    if not spec.warnings or spec.warnings in warned:
        return
    warned.add(spec.warnings)
    first = _FIRST.search(spec.warnings)
    warnings.warn_explicit(
        spec.warnings.strip(),
        ClangWarning,
        filename=first["path"] if first else str(spec.source),
        lineno=int(first["line"]) if first else 1,
    )
