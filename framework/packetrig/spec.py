"""What an object file holds, read without touching the kernel: programs, maps, globals."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from . import files, toolchain
from . import mocks as fakes
from ._bpf import btf as _btf
from ._bpf import elf as _elf
from ._bpf.kinds import KIND_OF_TYPE, PROGRAM_KINDS, MapKind, kind_of_section
from ._bpf.libbpf import Opened, OpenMap
from ._bpf.profile import SECTIONS as COUNTER_SECTIONS
from ._bpf.profile import Profile, is_instrumented
from .errors import CompileError, Error, LoadError, NotFound

if TYPE_CHECKING:
    from .objects import Object

_CALL = 0x85
_TAIL_CALL = 12
_EXECUTABLE = 4


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """Describe one program of an object.

    `kind` is "xdp", "tc", ... or None where the section's name says nothing: pass `kind=`.
    `is_optional` is what SEC("?xdp") says: loaded only when it is named.
    """

    name: str
    section: str
    kind: str | None
    instructions: int
    helpers: frozenset[int] = frozenset()
    is_optional: bool = False

    @property
    def has_frags(self) -> bool:
        """Tell whether the section asks for frames in several pieces (`SEC("xdp.frags")`)."""
        return self.section.startswith("xdp.frags")


@dataclass(frozen=True, slots=True)
class MapSpec:
    """Describe one map: sizes in bytes, and the BTF ids of its key and value (0: none)."""

    name: str
    kind: MapKind | int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    key_type: int
    value_type: int
    inner: MapSpec | None = None


@dataclass(frozen=True, slots=True)
class GlobalSpec:
    """Describe one global variable: its section, offset and size in bytes, and BTF type."""

    name: str
    section: str
    offset: int
    size: int
    type_id: int

    @property
    def is_const(self) -> bool:
        """Tell whether it is frozen when loaded (.rodata: `const volatile`)."""
        return self.section.startswith(".rodata")


@dataclass(frozen=True)
class Spec:
    """Describe an object file: what `build()` makes and `Spec.read()` reads.

    It holds the file's bytes, so what is loaded later is what was hashed here.

        spec = packetrig.build("progs/xdp_firewall.bpf.c")
        with spec.load() as firewall:
            firewall.run(frame)
    """

    name: str
    data: bytes = field(repr=False)
    path: Path | None = None
    source: Path | None = None
    warnings: str = field(default="", repr=False)
    command: tuple[str, ...] = field(default=(), repr=False)
    headers: tuple[str, ...] = field(default=(), repr=False, compare=False)
    define: Mapping[str, object] = field(
        default_factory=lambda: MappingProxyType({}), repr=False, compare=False
    )
    include: tuple[str | Path, ...] = field(default=(), repr=False, compare=False)
    mocks: Mapping[str, fakes.Mock] = field(
        default_factory=lambda: MappingProxyType({}), repr=False, compare=False
    )
    # How many entries maps have that are left to who loads them, unless `load()` is told others.
    max_entries: Mapping[str, int] = field(
        default_factory=lambda: MappingProxyType({}), repr=False, compare=False
    )
    # Of an object that counts (packetrig.coverage): what its counters are, and what would ship.
    profile: Profile | None = field(default=None, repr=False, compare=False)
    plain: Spec | None = field(default=None, repr=False, compare=False)

    @classmethod
    def read(cls, path: str | Path) -> Spec:
        """Read an object file that was built elsewhere.

        Raises:
            NotFound: There is no such file.
            LoadError: It is no BPF object: empty, truncated, for another machine.
        """
        path = Path(path)
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as e:
            raise NotFound(f"no object file {path}; build it first, or name the .c file") from e
        except OSError as e:
            raise Error(f"{path}: cannot be read: {e.strerror}") from e
        spec = cls(path.name, data, path=path)
        spec.programs  # noqa: B018  # a file that is no object is named here, not at first use
        return spec

    @cached_property
    def sha256(self) -> str:
        """Return the SHA-256 of the object's bytes, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def faked(self) -> tuple[str, ...]:
        """Return the helpers that a test answers for (mocks=); empty in an object that may ship."""
        return tuple(fakes.offsets_in(self))

    @property
    def is_test_build(self) -> bool:
        """Tell whether the object was built with fakes: it says nothing about what ships."""
        return fakes.SECTION in self.sections

    @property
    def is_instrumented(self) -> bool:
        """Tell whether the object counts what it executes (packetrig.coverage): it never ships."""
        return is_instrumented(self.sections)

    @cached_property
    def sections(self) -> dict[str, tuple[_elf.Section, bytes]]:
        """Return the ELF sections by name."""
        return _elf.sections(self.data, name=self.name)

    @cached_property
    def btf(self) -> _btf.Btf | None:
        """Return the object's types; None when it was compiled without -g."""
        if ".BTF" not in self.sections:
            return None
        return _btf.Btf.from_object(self.data, name=self.name)

    @cached_property
    def _opened(self) -> tuple[Mapping[str, ProgramSpec], Mapping[str, MapSpec], tuple[str, ...]]:
        self.sections  # noqa: B018  # says what is wrong with a broken file better than libbpf
        opened = Opened(self.data, self.name)
        try:
            programs = {
                p.name: ProgramSpec(
                    p.name,
                    p.section,
                    KIND_OF_TYPE.get(p.type, f"type {p.type}")
                    if p.type
                    else kind_of_section(p.section),
                    p.instructions,
                    _called(p.code()),
                    p.is_optional,
                )
                for p in opened.programs()
                if p.section != ".text"  # functions for others to call
            }
            found = list(opened.maps())
            maps = {m.name: _map_spec(m) for m in found if not m.is_internal}
            internal = tuple(m.name for m in found if m.is_internal)
        finally:
            opened.close()
        return MappingProxyType(programs), MappingProxyType(maps), internal

    @property
    def programs(self) -> Mapping[str, ProgramSpec]:
        """Return the programs by name, in the object's order."""
        return self._opened[0]

    @property
    def maps(self) -> Mapping[str, MapSpec]:
        """Return the maps by name, without those that hold global variables."""
        return self._opened[1]

    @cached_property
    def globals(self) -> Mapping[str, GlobalSpec]:
        """Return the global variables by name."""
        found: dict[str, GlobalSpec] = {}
        if self.btf is None:
            return found
        for section in self.sections:
            if section == fakes.SECTION or section in COUNTER_SECTIONS:
                continue  # the rig's own
            if section.startswith((".data", ".bss", ".rodata")):
                for name, (offset, size, type_id) in self.btf.datasec(section).items():
                    found[name] = GlobalSpec(name, section, offset, size, type_id)
        return MappingProxyType(found)

    @cached_property
    def helpers(self) -> frozenset[int]:
        """Return the numbers of the helpers that any code of the object calls."""
        code = (data for section, data in self.sections.values() if section.flags & _EXECUTABLE)
        return frozenset().union(*map(_called, code))

    def helpers_of(self, program: str) -> frozenset[int]:
        """Return the helpers that a program may call, in functions and after tail calls too."""
        own = self.programs[program].helpers
        if _TAIL_CALL in own:
            return self.helpers
        shared = self.sections.get(".text")
        return own | _called(shared[1]) if shared else own

    def load(
        self,
        *,
        program: str | None = None,
        kind: str | None = None,
        netns: Any = None,
        max_entries: Mapping[str, int] | None = None,
        **values: Any,
    ) -> Object:
        """Load the object into the kernel.

        Args:
            program: Load only this one of several programs.
            kind: What a section that libbpf does not know holds: "xdp", "tc", "xdp.frags", ...
            netns: Run in this network namespace (a descriptor or something with fileno());
                without it, programs that touch the network get one of their own.
            max_entries: How many entries a map has, where it is left to who loads it.
            **values: Values of `const volatile` (or other global) variables, before loading.

        Raises:
            VerifierError: The verifier refuses a program.
            LoadError: libbpf or the kernel refuses the object.
            NoSuchName: There is no such program or global.
            PermissionDenied: This process may not load programs.
        """
        from .objects import Object  # the live half, above this module

        return Object(
            self,
            program=program,
            kind=kind,
            netns=netns,
            max_entries={**self.max_entries, **(max_entries or {})},
            values=values,
        )


def build(
    source: str | Path,
    *,
    define: Mapping[str, object] | None = None,
    include: tuple[str | Path, ...] = (),
    flags: tuple[str, ...] = (),
    mocks: Mapping[str, Any] | None = None,
) -> Spec:
    """Compile a C source to an object, or take it from the cache.

    Args:
        source: The .c file; an object (.o, or any ELF file) is read as it is.
        define: Preprocessor definitions: `{"LIMIT": 5}` is -DLIMIT=5.
        include: Further folders for #include, before the system's.
        flags: Further flags for clang.
        mocks: Helpers that the test answers for: `{"bpf_ktime_get_ns": packetrig.mocks.Value(0)}`,
            or an int, or a list of ints. It makes a test build, which no gate accepts.

    Raises:
        CompileError: clang refuses it; `.diagnostics` has clang's words.
        Error: A helper of `mocks` does not exist, or the program never calls it.
        NotFound: There is no such file.
        ToolMissing: There is no clang.
    """
    for name, given, example in (
        ("define", define, '{"LIMIT": 5}'),
        ("mocks", mocks, '{"bpf_ktime_get_ns": 0}'),
    ):
        if given is not None and not isinstance(given, Mapping):
            raise Error(f"{name}: {given!r} names no values; write {name}={example}")
    source = Path(source)
    if files.is_object(source):
        if mocks:
            raise Error(f"mocks: {source} is compiled already; fakes need the C source")
        return Spec.read(source)
    spec = _built(source, define or {}, include, flags)
    return _test_build(spec, define or {}, include, flags, mocks) if mocks else spec


def _built(
    source: Path,
    define: Mapping[str, object],
    include: tuple[str | Path, ...],
    flags: tuple[str, ...],
    mocks: Mapping[str, fakes.Mock] | None = None,
) -> Spec:
    built = toolchain.compile(source, define=define, include=include, flags=flags)
    return Spec(
        f"{source.name.removesuffix('.c').removesuffix('.bpf')}.bpf.o",
        built.object.read_bytes(),
        path=built.object,
        source=source,
        warnings=built.warnings,
        command=tuple(built.command),
        headers=built.headers,
        define=MappingProxyType(dict(define)),
        include=include,
        mocks=mocks or MappingProxyType({}),
    )


def _test_build(
    plain: Spec,
    define: Mapping[str, object],
    include: tuple[str | Path, ...],
    flags: tuple[str, ...],
    wanted: Mapping[str, Any],
) -> Spec:
    """Compile a program once more, with a header in front that fakes helpers."""
    assert plain.source is not None
    mocks = fakes.given(wanted, plain.helpers, include, owner=plain.name)
    told = ", ".join(mocks)
    flags = (*flags, "-include", str(fakes.header(mocks)))
    try:
        made = _built(plain.source, define, include, flags, mocks)
    except CompileError as e:
        raise CompileError(
            f"{plain.source}: it compiles, but not with fakes for {told}: {e}",
            source=e.source,
            diagnostics=e.diagnostics,
        ) from e
    if not made.faked:
        raise Error(f"mocks: {plain.source} was compiled without types: leave -g0 out")
    for name, mock in mocks.items():
        if mock.helper.number in made.helpers:
            raise Error(
                f"mocks: {plain.name} still calls {name}: not by that name, so it cannot be faked; "
                f"write the call as {name}(...)"
            )
    return replace(made, warnings=plain.warnings)


def _called(code: bytes) -> frozenset[int]:
    """Read the numbers of the helpers that code calls: opcode CALL with source register 0."""
    return frozenset(
        struct.unpack_from("=i", code, at + 4)[0]
        for at in range(0, len(code) - 7, 8)
        if code[at] == _CALL and code[at + 1] >> 4 == 0
    )


def _map_spec(found: OpenMap) -> MapSpec:
    inner = found.inner()
    return MapSpec(
        found.name,
        MapKind(found.type) if found.type in MapKind.__members__.values() else found.type,
        found.key_size,
        found.value_size,
        found.max_entries,
        found.flags,
        found.key_type,
        found.value_type,
        _map_spec(inner) if inner is not None else None,
    )


def check_kind(kind: str) -> str:
    """Return the program kind that a user's word means ("xdp.frags" is xdp).

    Raises:
        LoadError: There is no such kind.
    """
    plain = kind.removesuffix(".frags")
    if plain not in PROGRAM_KINDS:
        raise LoadError(f"no program kind '{kind}'; there are: {', '.join(PROGRAM_KINDS)}")
    return plain
