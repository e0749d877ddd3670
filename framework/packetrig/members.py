"""What a loaded object holds by name: its maps, its programs and its global variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ._bpf.codec import codec
from ._bpf.kinds import MapKind
from .entries import Changed, Snapshot
from .errors import Error, LoadError, MapError, no_such
from .loaded import encode_global
from .maps import Map
from .program import Program
from .spec import GlobalSpec

if TYPE_CHECKING:
    from .objects import Object

# What a snapshot holds: maps whose reading changes nothing and whose values are plain data.
_DATA = {
    MapKind.HASH,
    MapKind.LRU_HASH,
    MapKind.PERCPU_HASH,
    MapKind.LRU_PERCPU_HASH,
    MapKind.LPM_TRIE,
    MapKind.ARRAY,
    MapKind.PERCPU_ARRAY,
    MapKind.DEVMAP,
    MapKind.DEVMAP_HASH,
    MapKind.CPUMAP,
}


class Maps(Mapping[str, Map]):
    """Hold the maps of an object: `maps.blocked` or `maps["blocked"]`."""

    def __init__(self, owner: Object) -> None:
        self._owner = owner
        self._made: dict[str, Map] = {}

    def __getitem__(self, name: str) -> Map:
        found = self._made.get(name)
        if found is None:
            specs = self._owner.spec.maps
            if name not in specs:
                raise no_such("map", name, specs, owner=self._owner.spec.name)
            found = self._made[name] = Map(self._owner, specs[name])
        return found

    def __getattr__(self, name: str) -> Map:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            return super().__setattr__(name, value)
        raise MapError(f"maps.{name} cannot be replaced; set an entry: maps.{name}[key] = value")

    def __iter__(self) -> Iterator[str]:
        return iter(self._owner.spec.maps)

    def __len__(self) -> int:
        return len(self._owner.spec.maps)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._owner.spec.maps]

    def __repr__(self) -> str:
        return f"<Maps: {', '.join(self)}>"

    def snapshot(self) -> Snapshot:
        """Take down what every map holds now, for `changes()` or to compare with another object."""
        data = {n: m for n, m in self.items() if m.kind in _DATA}
        return Snapshot(
            {name: found.raw_items() for name, found in data.items()},
            {name: found._codec for name, found in data.items()},
        )

    def changes(self, before: Snapshot) -> dict[str, Changed]:
        """Tell what changed since a snapshot: {map: {key: (old or None, new or None)}}."""
        return before.changes_to(self.snapshot())


class Programs(Mapping[str, Program]):
    """Hold the loaded programs: `programs.ingress` or `programs["ingress"]`."""

    def __init__(self, owner: Object, programs: dict[str, Program]) -> None:
        self._owner = owner
        self._programs = programs

    def __getitem__(self, name: str) -> Program:
        found = self._programs.get(name)
        if found is not None:
            return found
        if name in self._owner.spec.programs:
            section = self._owner.spec.programs[name].section
            raise LoadError(
                f"program '{name}' (SEC(\"{section}\")) was left out when {self._owner.spec.name} "
                f"was loaded; load it with program='{name}'"
            )
        raise no_such("program", name, self._programs, owner=self._owner.spec.name)

    def __getattr__(self, name: str) -> Program:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._programs)

    def __len__(self) -> int:
        return len(self._programs)

    def __repr__(self) -> str:
        return f"<Programs: {', '.join(self)}>"


class Globals(Mapping[str, Any]):
    """Hold the global variables, live: `object.globals.seen` reads, an assignment writes.

    `const volatile` ones (.rodata) are frozen: give their values when loading.
    """

    def __init__(self, owner: Object) -> None:
        super().__setattr__("_owner", owner)

    def _where(self, name: str) -> GlobalSpec:
        owner: Object = self._owner
        found = owner.spec.globals.get(name)
        if found is None or found.section not in owner.loaded.sections:
            raise no_such("global", name, owner.spec.globals, owner=owner.spec.name)
        return found

    def __getitem__(self, name: str) -> Any:
        where = self._where(name)
        raw = self._owner.loaded.read_section(where.section)
        assert self._owner.spec.btf is not None
        return codec(self._owner.spec.btf, where.type_id).decode(
            raw[where.offset : where.offset + where.size]
        )

    def __setitem__(self, name: str, value: Any) -> None:
        where = self._where(name)
        if where.is_const:
            raise Error(
                f"global {name} is const and frozen since loading; give it when loading: "
                f"fixture(..., {name}={value!r}) or spec.load({name}={value!r})"
            )
        raw = encode_global(self._owner.spec, where, value)
        self._owner.loaded.is_dirty = True
        self._owner.loaded.write_section(where.section, where.offset, raw)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._owner.spec.globals)

    def __len__(self) -> int:
        return len(self._owner.spec.globals)

    def __repr__(self) -> str:
        return f"<Globals: {', '.join(self)}>"
