"""A loaded object: its programs, maps and globals, and the way back to how it was loaded."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Self, cast

from ._bpf import ffi, lib
from ._bpf.kinds import ARRAYS, HASHES, OF_MAPS, QUEUES, MapKind
from ._bpf.libbpf import Opened
from .checks import Check
from .counters import CounterMaps
from .errors import Error, LoadError, MapError, no_such
from .loaded import NETWORK_HELPERS, Loaded, OwnNetns, choose
from .maps import Map, fill, pairs
from .members import Globals, Maps, Programs
from .mocks import Fakes
from .program import Program
from .run import Run, Runs
from .spec import MapSpec, Spec
from .state import State, Transition

# Loading again costs less than this for most programs, and is the plainest way back.
_RELOAD_AT_MOST_NS = 1_000_000
# An array is cleared entry by entry: a system call each, used or not.
_ENTRY_AT_LEAST_NS = 100

# What clearing cannot undo: order of use, bits of a filter, storage that hangs on kernel objects.
_ONLY_RELOAD = {
    MapKind.LRU_HASH,
    MapKind.LRU_PERCPU_HASH,
    MapKind.BLOOM_FILTER,
    MapKind.RINGBUF,
    MapKind.USER_RINGBUF,
    MapKind.ARENA,
}
# A map of maps may have slots with first values; the events that a perf buffer lost stay lost.
_RESTORABLE = (HASHES | ARRAYS | QUEUES) - _ONLY_RELOAD - OF_MAPS
# BPF_F_RDONLY and BPF_F_WRONLY: maps that cannot be cleared from outside.
_SHUT = 1 << 3 | 1 << 4


class Object:
    """Hold a loaded object until `close()`; made by `Spec.load()` or the pytest fixture.

        with packetrig.build("progs/xdp_firewall.bpf.c").load() as firewall:
            firewall.maps.blocked["10.0.0.66"] = 0
            assert firewall.run(frame).verdict is XDP.DROP

    Threads may run programs of one object at once: each run is its own. Maps are shared, as they
    are between the processors of a real machine.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        program: str | None = None,
        kind: str | None = None,
        netns: Any = None,
        max_entries: Mapping[str, int] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> None:
        self.spec = spec
        self.kind = kind
        self._chosen = choose(spec, program, kind)
        self.values = dict(values or {})
        self._max_entries: dict[str, Any] = dict(max_entries or {})
        self._along: set[str] = set()  # loaded besides, because slots hold them
        self._netns = OwnNetns(netns)
        self._inner: dict[int, Map] = {}  # by the kernel's id
        # By program: what calls it, beyond one loading (see carried.py, redirects.py).
        self.recorders: dict[str, Any] = {}
        self.counters = CounterMaps()
        self.is_closed = True
        self.loaded = self._load()
        self.is_closed = False
        self._reload_ns = self.loaded.load_ns
        self._restore_ns: int | None = None
        self.maps = Maps(self)
        self.globals = Globals(self)
        self.state = State(self)
        self.mocks = Fakes(self)
        self.programs = Programs(self, {name: Program(self, name) for name in self._chosen})
        is_one = len(self._chosen) == 1
        self._sole: Program | None = next(iter(self.programs.values())) if is_one else None
        if self._sole is not None:
            # Before the method of this name, which does the same at the price of one more call.
            self.__dict__["run"] = self._sole.run

    @property
    def program(self) -> Program:
        """Return the object's only program.

        Raises:
            LoadError: It has several: name one (`object.programs.ingress`).
        """
        if self._sole is None:
            first = next(iter(self.programs))
            raise LoadError(
                f"{self.spec.name} holds several programs: {', '.join(self.programs)}; say which: "
                f"object.programs.{first}.run(...), or load one of them: program='{first}'"
            )
        return self._sole

    def _load(self) -> Loaded:
        found = Loaded(
            self.spec,
            self._chosen,
            self.kind,
            self.values,
            wanted=self._along,
            before_load=self._before_load,
        )
        self.counters.keep(found.opened)
        return found

    def _before_load(self, opened: Opened) -> None:
        self.counters.prepare(opened)
        self.size(opened)

    def size(self, opened: Opened) -> None:
        """Give maps the sizes that were asked for, before they are made.

        Raises:
            NoSuchName: There is no such map.
            MapError: No map has so many entries.
        """
        maps = {found.name: found.handle for found in opened.maps()}
        for name, count in self._max_entries.items():
            if name not in maps:
                raise no_such("map", name, self.spec.maps, owner=self.spec.name)
            if isinstance(count, bool) or not isinstance(count, int) or not 0 < count < 1 << 32:
                raise MapError(
                    f"{name}: max_entries={count!r}: it takes an int from 1 to 2**32 - 1"
                )
            lib.bpf_map__set_max_entries(maps[name], count)

    def run(
        self,
        packet: Any,
        *,
        ctx: Mapping[str, Any] | bytes | None = None,
        meta: bytes = b"",
        repeat: int = 1,
        checksum_complete: bool = False,
        redirect: bool = False,
        linear: int | None = None,
        cpu: int | None = None,
    ) -> Run:
        """Run the object's only program on a packet; see Program.run."""
        return (self._sole or self.program).run(
            packet,
            ctx=ctx,
            meta=meta,
            repeat=repeat,
            checksum_complete=checksum_complete,
            redirect=redirect,
            linear=linear,
            cpu=cpu,
        )

    def run_many(self, frames: Iterable[Any]) -> Runs:
        """Run the object's only program on many frames; see Program.run_many."""
        return self.program.run_many(frames)

    def judge(self, packet: Any, *checks: Check, **options: Any) -> Run:
        """Run the object's only program and hold the run to checks; see Program.judge."""
        return self.program.judge(packet, *checks, **options)

    def transition(self, packet: Any, **options: Any) -> Transition:
        """Make a step: what becomes of a packet and of the maps; see Program.transition."""
        return self.program.transition(packet, **options)

    @property
    def is_test_build(self) -> bool:
        """Tell whether helpers of it are faked (mocks=): what it does, nothing that ships does."""
        return self.spec.is_test_build

    @property
    def is_instrumented(self) -> bool:
        """Tell whether it counts what it executes (packetrig.coverage): it is not what ships."""
        return self.spec.is_instrumented

    @property
    def runs_in_own_netns(self) -> bool:
        """Tell whether programs run in a namespace other than the caller's.

        They do when one was given, and when the code calls a helper that touches the network:
        bpf_clone_redirect really transmits, bpf_fib_lookup answers from routes.
        """
        return self._netns.is_given or not self.spec.helpers.isdisjoint(NETWORK_HELPERS)

    @property
    def netns(self) -> OwnNetns:
        """Return the namespace that programs run in (`.fileno()`), for its routes and links."""
        return self._netns

    def put(self, state: Mapping[str, Any]) -> None:
        """Set maps and globals from a mapping, as a set-up file has it.

            firewall.put({"maps": {"blocked": {"10.0.0.66": 0}}, "globals": {"limit": 5}})

        Where keys are structs, which a file cannot have, the entries are a list of tables:
        `[{"key": {"port": 80}, "value": 1}]`. A slot of a program array takes the name of a
        program, which is loaded for it if `program=` left it out; one of a map of maps takes the
        entries of a new inner map.

        Raises:
            NoSuchName: There is no such map, program or global.
            CodecError: A key or value does not fit.
            Error: The mapping has other parts than `maps` and `globals`.
        """
        for part in state:
            if part not in ("maps", "globals", "format"):
                raise Error(f"set-up of {self.spec.name}: unknown part '{part}'; use maps, globals")
        maps = state.get("maps", {})
        self._load_along(maps)
        for name, entries in maps.items():
            fill(self.maps[name], entries)
        for name, value in state.get("globals", {}).items():
            self.globals[name] = value

    def _load_along(self, maps: Mapping[str, Any]) -> None:
        slots = [each for name, each in maps.items() if _is_program_array(self.spec, name)]
        named = [str(value) for entries in slots for _, value in pairs(entries)]
        missing = {*named}.intersection(self.spec.programs).difference(self.loaded.slot_fds)
        if not missing:
            return
        if self.loaded.is_dirty:
            raise MapError(
                f"{self.spec.name}: program {min(missing)} is not loaded, program= left it out, "
                "and loading it now would lose what maps hold: put its slot in first"
            )
        self._along |= missing
        self.reload()

    def slot_of(self, program: str) -> int:
        """Return the descriptor of a loaded program for a slot of a program array."""
        if program not in self.loaded.slot_fds:
            raise no_such("program", program, self.spec.programs, owner=self.spec.name)
        return self.loaded.slot_fds[program]

    def renew(self) -> None:
        """Give the object the state it had when it was loaded: maps and globals.

        Two ways lead there, and a property test holds them equal: loading again, and clearing.
        The cheaper one is taken, as measured; nothing happens when nothing has run since.
        """
        if not self.loaded.is_dirty:
            return
        if not self.can_restore or self._reload_ns <= (self._restore_ns or self._clearing_ns):
            self.reload()
        else:
            self.restore()

    def reload(self) -> None:
        """Load the object again in place of what is loaded."""
        fresh = self._load()
        if self.is_closed:
            self.is_closed = False
        else:
            self.loaded.close()
        self._drop_inner()
        self.loaded = fresh
        self.mocks.renewed()
        self.loaded.is_dirty = False
        self._reload_ns = min(self._reload_ns, fresh.load_ns)
        for program in self.programs.values():
            program.renewed()

    @cached_property
    def _clearing_ns(self) -> int:
        # What restoring costs at least, for as long as it was not measured.
        arrays = [found.max_entries for found in self.maps.values() if found.kind in ARRAYS]
        return max(_RELOAD_AT_MOST_NS, sum(arrays) * _ENTRY_AT_LEAST_NS)

    @property
    def can_restore(self) -> bool:
        """Tell whether clearing the maps is enough: no map keeps what cannot be taken back."""
        return all(
            found.kind in _RESTORABLE and not found.flags & _SHUT
            for found in self.spec.maps.values()
        )

    def restore(self) -> None:
        """Clear the maps and write the globals' first values, without loading again."""
        if not self.can_restore:
            raise MapError(f"{self.spec.name}: a map of it cannot be cleared; use reload()")
        started = time.perf_counter_ns()
        for found in self.maps.values():
            found.clear()
        for section, image in self.loaded.images.items():
            is_frozen = section.startswith((".rodata", ".kconfig"))
            if not is_frozen and section in self.loaded.sections:
                self.loaded.write_section(section, 0, image)
        self.mocks.renewed()
        self.loaded.is_dirty = False
        self._restore_ns = time.perf_counter_ns() - started

    def program_of_id(self, program_id: int) -> Program | int:
        """Find our program with a kernel id, as a program array gives it; else return the id."""
        return next((p for p in self.programs.values() if p.id == program_id), program_id)

    def map_of_id(self, map_id: int) -> Map | None:
        """Find our map with a kernel id, inner maps that were looked at or made among them."""
        info = ffi.new("struct pr_map_info *")
        found = (*self.maps.values(), *self._inner.values())
        is_it = (m for m in found if not lib.pr_map_info(m.fd, info) and info.id == map_id)
        return next(is_it, None)

    def new_inner(self, outer: MapSpec) -> Map:
        """Make an inner map like the template of a map of maps."""
        template = outer.inner
        if template is None:
            raise MapError(f"{outer.name}: its inner maps have no template in the object")
        fd = lib.pr_inner_create(
            self.loaded.opened.handle,
            int(template.kind),
            template.key_size,
            template.value_size,
            template.max_entries,
            template.flags,
            template.key_type,
            template.value_type,
        )
        if fd < 0:
            raise MapError(f"{outer.name}: making an inner map: {os.strerror(-fd)}")
        return self.keep_inner(outer, fd)

    def keep_inner(self, outer: MapSpec, fd: int) -> Map:
        """Hold an inner map's descriptor until the object is renewed or closed."""
        if outer.inner is None:
            os.close(fd)
            raise MapError(f"{outer.name}: its inner maps have no template in the object")
        info = ffi.new("struct pr_map_info *")
        if lib.pr_map_info(fd, info) == 0 and info.id in self._inner:
            os.close(fd)  # looked at before: one descriptor is enough
        else:
            self._inner[info.id] = Map(self, outer.inner, fd=fd)
        return self._inner[info.id]

    def _drop_inner(self) -> None:
        for inner in self._inner.values():
            os.close(inner.drop())
        self._inner.clear()

    def close(self) -> None:
        """Unload the object; does nothing the second time."""
        if not self.is_closed:
            self.is_closed = True
            for recorder in self.recorders.values():
                recorder.close()
            self._drop_inner()
            self.loaded.close()
            self.counters.close()
            self._netns.close()
            self.loaded = cast("Loaded", _Closed(self.spec.name))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "is_closed", True):  # one that could not be loaded has nothing
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else ", ".join(self.programs)
        faked = f" (test build, faked: {', '.join(self.spec.faked)})" if self.is_test_build else ""
        counted = " (instrumented)" if self.is_instrumented else ""
        return f"<Object {self.spec.name}{faked}{counted}: {state}>"


class _Closed:
    # Stands where the kernel's half stood: a descriptor that is used again may be another
    # program's by now, and would answer for it.
    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "name", name)

    def __getattr__(self, attribute: str) -> Any:
        raise Error(f"{self.name}: the object is closed, load it again")

    def __setattr__(self, attribute: str, value: object) -> None:
        raise Error(f"{self.name}: the object is closed, load it again")


def _is_program_array(spec: Spec, name: str) -> bool:
    return name in spec.maps and spec.maps[name].kind is MapKind.PROG_ARRAY
