"""The kernel's half of an object: descriptors, mapped sections, and their end.

`Object` holds one `Loaded` and swaps it for a new one when it is renewed by loading again.
"""

from __future__ import annotations

import errno
import mmap
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ._bpf import Entered, Namespace, denied, elf, ffi, lib, strerror
from ._bpf.codec import codec
from ._bpf.kinds import (
    PROGRAM_KINDS,
    SLEEPABLE,
    XDP_HAS_FRAGS,
    MapKind,
    attach_of_section,
    is_of_no_packet,
)
from ._bpf.libbpf import Opened, OpenMap, OpenProgram
from ._bpf.profile import SECTIONS as COUNTER_SECTIONS
from .errors import CodecError, LoadError, MapError, no_such
from .mocks import SECTION, first_values
from .spec import GlobalSpec, ProgramSpec, Spec, check_kind
from .verifier import refused

_MMAPABLE = 1 << 10

# Kinds that a test rig loads only when they are asked for by name: they trace the kernel, need
# rights that networking does not, and cannot be test-run.
_ON_REQUEST = {"kprobe", "tracepoint", "tracing", "ext", "lsm"}
# Of an object that cannot be loaded, so many programs are told of.
_SHOWN = 4

# Helpers that reach into the network: they really send, or answer from routes, neighbours and
# sockets. Programs that call one run in a namespace of their own.
NETWORK_HELPERS = {
    13: "bpf_clone_redirect",
    69: "bpf_fib_lookup",
    84: "bpf_sk_lookup_tcp",
    85: "bpf_sk_lookup_udp",
    99: "bpf_skc_lookup_tcp",
    163: "bpf_check_mtu",
    152: "bpf_redirect_neigh",
    155: "bpf_redirect_peer",
}


def choose(spec: Spec, program: str | None, kind: str | None) -> dict[str, ProgramSpec]:
    """Pick the programs that are to be loaded, each with its kind.

    Raises:
        NoSuchName: The object has no such program.
        LoadError: It has no program at all, or none whose kind is known.
    """
    if not spec.programs:
        raise LoadError(f'{spec.name}: it holds no program; give one a section: SEC("xdp")')
    if program is not None and program not in spec.programs:
        raise no_such("program", program, spec.programs, owner=spec.name)
    if kind is not None:
        check_kind(kind)
    wanted = [program] if program is not None else list(spec.programs)
    chosen = {}
    for name in wanted:
        found = spec.programs[name]
        is_known = found.kind in PROGRAM_KINDS
        if program is None and (found.kind in _ON_REQUEST or (kind is None and not is_known)):
            continue
        if program is None and not is_known and is_of_no_packet(found.section):
            continue
        if program is None and found.is_optional and len(wanted) > 1:
            continue
        if kind is None and not is_known:
            break
        chosen[name] = found
    if chosen:
        return chosen
    told = _told(spec, wanted)
    if all(spec.programs[n].is_optional for n in wanted):
        raise LoadError(
            f'{spec.name}: all its programs are optional, SEC("?..."): {", ".join(wanted)}; '
            f"name the one to load: program='{wanted[0]}'"
        )
    if all(spec.programs[n].kind in _ON_REQUEST for n in wanted):
        raise LoadError(
            f"{spec.name}: its programs trace the kernel and cannot be test-run: {told}; "
            f"to load one all the same, name it: program='{wanted[0]}'"
        )
    if all(is_of_no_packet(spec.programs[n].section) for n in wanted):
        raise LoadError(
            f"{spec.name}: its programs are of kinds that no packet can be given to: {told}; "
            "packetrig runs XDP, TC and others that are given packets"
        )
    raise LoadError(
        f"{spec.name}: no section names a kind of program that can be run: {told}; "
        "say what it is: kind='xdp' or kind='tc' (--kind xdp on the command line)"
    )


def along(
    spec: Spec, chosen: Mapping[str, ProgramSpec], kind: str | None, wanted: Collection[str] = ()
) -> dict[str, ProgramSpec]:
    """Pick the others that must be loaded for libbpf to load the chosen ones, and those wanted.

    Program arrays that are filled in the source hold them, whoever calls through them. Where a
    section does not say of what kind one is, it is of the kind of the chosen ones.
    """
    if len(chosen) == len(spec.programs):
        return {}
    of_chosen = kind or next(iter(chosen.values())).kind
    held = {*elf.slots_filled(spec.data, name=spec.name), *wanted}.intersection(spec.programs)
    found = {name: spec.programs[name] for name in sorted(held.difference(chosen))}
    return {
        name: other if other.kind in PROGRAM_KINDS else replace(other, kind=of_chosen)
        for name, other in found.items()
    }


def _told(spec: Spec, wanted: Sequence[str]) -> str:
    shown = [f'{name} in SEC("{spec.programs[name].section}")' for name in wanted[:_SHOWN]]
    rest = len(wanted) - _SHOWN
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def meant(chosen: Mapping[str, ProgramSpec], kind: str | None) -> frozenset[str]:
    """Tell which of the chosen programs a user's `kind=` is about.

    It is about those of no known kind, and those of that kind already ("xdp.frags" for an XDP
    program); only where there are none, about all: then the user knows better than the sections.
    """
    if kind is None:
        return frozenset()
    plain = check_kind(kind)
    open_ = {n for n, p in chosen.items() if p.kind not in PROGRAM_KINDS or p.kind == plain}
    return frozenset(open_ or chosen)


class Loaded:
    """Own everything that one loading made; `close()` gives it all back."""

    def __init__(
        self,
        spec: Spec,
        chosen: Mapping[str, ProgramSpec],
        kind: str | None,
        values: Mapping[str, Any],
        *,
        wanted: Collection[str] = (),
        before_load: Callable[[Opened], None] | None = None,
    ) -> None:
        self.spec = spec
        self.is_dirty = False
        # The programs whose kind was told, against or without what their sections say.
        self.told = meant(chosen, kind)
        loading = {**along(spec, chosen, kind, wanted), **chosen}
        self.kinds: dict[str, str] = {}
        self.frags: dict[str, bool] = {}
        self.attach_types: dict[str, int] = {}
        self.program_fds: dict[str, int] = {}
        # All that were loaded, by name: what slots of program arrays may hold.
        self.slot_fds: dict[str, int] = {}
        self.maps: dict[str, OpenMap] = {}
        self.map_fds: dict[str, int] = {}
        self.sections: dict[str, mmap.mmap | None] = {}
        self.images: dict[str, bytes] = {}
        self.section_fds: dict[str, int] = {}
        self.readers: dict[str, Any] = {}
        # Events that were taken from a buffer and not yet handed to the user.
        self.unread: dict[str, list[bytes]] = {}
        started = time.perf_counter_ns()
        self.opened = Opened(spec.data, spec.name)
        try:
            for found in self.opened.programs():
                self._prepare(found, loading, kind if found.name in self.told else None)
            self._set_globals(values)
            if before_load is not None:
                before_load(self.opened)
            self._load()
            for found in self.opened.programs():
                if found.name in loading:
                    self.slot_fds[found.name] = lib.bpf_program__fd(found.handle)
            self.program_fds = {n: fd for n, fd in self.slot_fds.items() if n in chosen}
            self._collect_maps()
        except BaseException:
            self.close()
            raise
        self.load_ns = time.perf_counter_ns() - started

    def _prepare(
        self, found: OpenProgram, loading: Mapping[str, ProgramSpec], kind: str | None
    ) -> None:
        wanted = loading.get(found.name)
        if wanted is None:
            lib.bpf_program__set_autoload(found.handle, False)
            return
        lib.bpf_program__set_autoload(found.handle, True)
        name = check_kind(kind or wanted.kind or "")
        self.kinds[found.name] = name
        self.frags[found.name] = wanted.has_frags or (kind or "").endswith(".frags")
        if kind is not None or not found.type:
            described = PROGRAM_KINDS[name]
            plain = described.attach
            attach = plain if kind is not None else attach_of_section(found.section, name)
            lib.bpf_program__set_type(found.handle, described.type)
            lib.bpf_program__set_expected_attach_type(found.handle, attach)
        self.attach_types[found.name] = lib.bpf_program__expected_attach_type(found.handle)
        if self.frags[found.name] and not (found.type and kind is None):
            lib.bpf_program__set_flags(found.handle, XDP_HAS_FRAGS)
        if name == "syscall":
            lib.bpf_program__set_flags(found.handle, SLEEPABLE)

    def _load(self) -> None:
        try:
            self.opened.load()
        except LoadError as e:
            raise refused(self.spec, e, self.kinds) from None

    def _set_globals(self, values: Mapping[str, Any]) -> None:
        """Write the values into the sections' images, before the verifier sees them."""
        images: dict[str, bytearray] = {}
        internal = {
            _section_of(m.name): m
            for m in self.opened.maps()
            if m.is_internal and m.name not in COUNTER_SECTIONS  # see counters.py
        }
        for offset, raw in first_values(self.spec):
            image = images.setdefault(SECTION, bytearray(_image(internal[SECTION])))
            image[offset : offset + len(raw)] = raw
        for name, value in values.items():
            where = self.spec.globals.get(name)
            if where is None:
                raise no_such("global", name, self.spec.globals, owner=self.spec.name)
            if where.section not in internal:
                raise no_such("global", name, self.spec.globals, owner=self.spec.name)
            if where.section not in images:
                images[where.section] = bytearray(_image(internal[where.section]))
            raw = encode_global(self.spec, where, value)
            images[where.section][where.offset : where.offset + where.size] = raw
        for section, image in images.items():
            handle = internal[section].handle
            error = -lib.bpf_map__set_initial_value(handle, bytes(image), len(image))
            if error:
                raise LoadError(f"{self.spec.name}: setting {section}: {strerror(error)}")
        self.images = {section: _image(found) for section, found in internal.items()}

    def _collect_maps(self) -> None:
        for found in self.opened.maps():
            fd = lib.bpf_map__fd(found.handle)
            if not found.is_internal:
                self.maps[found.name] = found
                self.map_fds[found.name] = fd
                if found.type == MapKind.PERF_EVENT_ARRAY:
                    self.reader(found.name)
                continue
            section = _section_of(found.name)
            if section in COUNTER_SECTIONS:
                continue
            self.section_fds[section] = fd
            self.sections[section] = _mapped(fd, found, is_const=section.startswith(".rodata"))

    def reader(self, name: str) -> Any:
        """Return the reader of a ring or perf buffer, made at first use.

        A perf buffer's is made when the object is loaded: without one, events are lost.
        """
        if name not in self.readers:
            is_perf = self.maps[name].type == MapKind.PERF_EVENT_ARRAY
            reader = lib.pr_records_open(self.map_fds[name], is_perf)
            if not reader:
                if ffi.errno in (errno.EPERM, errno.EACCES):
                    raise denied(f"{name}: opening its reader")
                raise MapError(f"{name}: opening its reader: {strerror(ffi.errno)}")
            self.readers[name] = reader
        return self.readers[name]

    def read_section(self, section: str) -> bytes:
        """Read a section of global variables as it is now."""
        mapped = self.sections[section]
        if mapped is not None:
            return mapped[: len(self.images[section])]
        fd, size = self.section_fds[section], len(self.images[section])
        key, value = bytes(4), ffi.new("char[]", size)
        error = -lib.bpf_map_lookup_elem(fd, key, value)
        if error:
            raise MapError(f"{section}: reading it: {strerror(error)}")
        return bytes(ffi.unpack(value, size))

    def write_section(self, section: str, offset: int, raw: bytes) -> None:
        """Write bytes into a section of global variables."""
        mapped = self.sections[section]
        if mapped is not None:
            mapped[offset : offset + len(raw)] = raw
            return
        image = bytearray(self.read_section(section))
        image[offset : offset + len(raw)] = raw
        error = -lib.bpf_map_update_elem(self.section_fds[section], bytes(4), bytes(image), 0)
        if error:
            raise MapError(f"{section}: writing it: {strerror(error)}")

    def close(self) -> None:
        """Unload everything; does nothing the second time."""
        for reader in self.readers.values():
            lib.pr_records_free(reader)
        self.readers.clear()
        for mapped in self.sections.values():
            if mapped is not None:
                mapped.close()
        self.sections.clear()
        self.program_fds.clear()
        self.map_fds.clear()
        self.opened.close()


class OwnNetns:
    """Hold the namespace that programs of an object run in, made when one first runs."""

    def __init__(self, given: Any) -> None:
        self._given = given
        self._own: Namespace | None = None

    def fileno(self) -> int:
        """Return the namespace's descriptor, making the namespace when there is none."""
        if self._given is not None:
            return self._given if isinstance(self._given, int) else int(self._given.fileno())
        if self._own is None:
            self._own = Namespace()
        return self._own.fileno()

    def entered(self) -> Entered:
        """Enter the namespace with the calling thread, for the length of a with block."""
        return Entered(self.fileno())

    @property
    def is_given(self) -> bool:
        """Tell whether the namespace came from outside."""
        return self._given is not None

    def close(self) -> None:
        """Give back the namespace, if it is ours."""
        if self._own is not None:
            self._own.close()
            self._own = None


def encode_global(spec: Spec, where: GlobalSpec, value: Any) -> bytes:
    """Write a global's value as its BTF type wants it."""
    assert spec.btf is not None
    try:
        return codec(spec.btf, where.type_id).encode(value)
    except CodecError as e:
        raise CodecError(f"global {where.name}: {e}") from e


def _section_of(name: str) -> str:
    # libbpf names the map of .rodata "<object>.rodata", and that of .rodata.x ".rodata.x".
    at = name.find(".")
    return name[at:] if at >= 0 else name


def _image(found: OpenMap) -> bytes:
    size = ffi.new("size_t *")
    start = lib.bpf_map__initial_value(found.handle, size)
    return bytes(ffi.buffer(start, size[0])) if start else b""


def _mapped(fd: int, found: OpenMap, *, is_const: bool) -> mmap.mmap | None:
    # bpf_map__initial_value() after a plain load is not the live map: map the descriptor ourselves.
    if not found.flags & _MMAPABLE or not found.value_size:
        return None
    page = os.sysconf("SC_PAGE_SIZE")
    length = (found.value_size + page - 1) // page * page
    access = mmap.PROT_READ if is_const else mmap.PROT_READ | mmap.PROT_WRITE
    try:
        return mmap.mmap(fd, length, mmap.MAP_SHARED, access)
    except OSError:
        return None
