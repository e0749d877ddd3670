"""The state of an object before and after a run: taken, compared, and put back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from ._bpf import lib, strerror
from ._bpf.kinds import ARRAYS, EVENTS, HASHES, OF_MAPS, PER_CPU, MapKind
from ._bpf.processors import one_processor
from .entries import Changed, Entries, Snapshot
from .errors import MapError, Unsupported

if TYPE_CHECKING:
    from .maps import Map
    from .objects import Object
    from .program import Program
    from .run import Run

# Maps that a program cannot change (only hand on), and those whose entries can be written back.
_FIXED = {
    MapKind.PROG_ARRAY,
    MapKind.DEVMAP,
    MapKind.DEVMAP_HASH,
    MapKind.CPUMAP,
    MapKind.XSKMAP,
    MapKind.CGROUP_ARRAY,
}
_GROWING = HASHES - OF_MAPS - _FIXED
_BACK = ARRAYS | _GROWING
# BPF_F_WRONLY: it cannot be read from outside. BPF_F_RDONLY: it cannot be written from there.
_SHUT_READ, _SHUT_WRITE = 1 << 4, 1 << 3
# An array is read entry by entry, used or not: a system call each.
_ARRAY_AT_MOST = 4096

Raw = dict[str, dict[bytes, bytes]]


class Moment(NamedTuple):
    """Hold what maps and globals were at one moment, as bytes."""

    maps: Raw
    sections: dict[str, bytes]


class State:
    """Take down and put back what an object's programs have written; `object.state`.

    Put back are arrays and hashes of every kind (of an LRU the entries, not their order of use),
    and global variables. Events of the runs in between are forgotten.
    """

    def __init__(self, owner: Object) -> None:
        self._owner = owner
        self._obstacle: str | None = None

    @property
    def obstacle(self) -> str:
        """Say why the state cannot be put back; empty where it can."""
        if self._obstacle is None:
            self._obstacle = next(iter(_obstacles(self._owner)), "")
        return self._obstacle

    @contextmanager
    def on_one_cpu(self) -> Iterator[None]:
        """Stay on one processor where maps have a value for each: two runs see the same one."""
        with one_processor() if self.is_per_cpu else nullcontext():
            yield

    @property
    def is_per_cpu(self) -> bool:
        """Tell whether a map has a value for each processor: what runs see depends on where."""
        return any(found.kind in PER_CPU for found in self._owner.spec.maps.values())

    def take(self) -> Moment:
        """Take down maps and globals as they are now."""
        owner = self._owner
        maps = {n: m.raw_items() for n, m in owner.maps.items() if _is_open(m, _BACK)}
        return Moment(maps, {name: owner.loaded.read_section(name) for name in _sections(owner)})

    def put_back(self, moment: Moment, now: Moment) -> None:
        """Make maps and globals what they were, knowing what they are; write what differs."""
        for name, entries in moment.maps.items():
            if entries != now.maps[name]:
                _put_back(self._owner.maps[name], entries, now.maps[name])
        for name, image in moment.sections.items():
            if image != now.sections[name]:
                self._owner.loaded.write_section(name, 0, image)

    def keys(self) -> dict[str, set[bytes]]:
        """Take down the keys of maps that can grow."""
        growing = {n: m for n, m in self._owner.maps.items() if _is_open(m, _GROWING)}
        return {name: set(found.raw_items()) for name, found in growing.items()}

    def snapshot(self, moment: Moment) -> Snapshot:
        """Give the maps of a moment as `maps.snapshot()` does."""
        return Snapshot(moment.maps, {n: self._owner.maps[n]._codec for n in moment.maps})


def _is_open(found: Map, kinds: Collection[int]) -> bool:
    return found.kind in kinds and not found.spec.flags & _SHUT_READ


def _obstacles(owner: Object) -> Iterator[str]:
    for name, found in owner.maps.items():
        if found.kind in EVENTS or found.kind in _FIXED:
            continue
        if found.kind not in _BACK:
            kind = found.kind.name.lower() if isinstance(found.kind, MapKind) else found.kind
            yield f"what a run changes in {name} ({kind}) cannot be taken back"
        elif found.spec.flags & (_SHUT_READ | _SHUT_WRITE):
            yield f"{name} is closed to user space"
        elif found.kind in ARRAYS and found.max_entries > _ARRAY_AT_MOST:
            yield f"{name} has {found.max_entries} entries: reading them for each packet takes long"


def _sections(owner: Object) -> list[str]:
    frozen = (".rodata", ".kconfig")
    return [name for name in owner.loaded.sections if not name.startswith(frozen)]


def _put_back(found: Map, entries: Mapping[bytes, bytes], now: Mapping[bytes, bytes]) -> None:
    for key in now.keys() - entries.keys():
        _told(found, lib.bpf_map_delete_elem(found.fd, key))
    for key, value in entries.items():
        if now.get(key) != value:
            _told(found, lib.bpf_map_update_elem(found.fd, key, value, 0))


def _told(found: Map, error: int) -> None:
    if error:
        raise MapError(f"{found.name}: putting its entries back: {strerror(-error)}")


class Changes(Mapping[str, Entries]):
    """Hold what one run changed in the maps: {map: {key: (old or None, new or None)}}.

    It is worked out when it is first looked at. A map that did not change is not in it, but can be
    asked for: what a key held is then old and new, so that a check which expects a change fails,
    and does not break.
    """

    __slots__ = ("_before", "_found", "_state")

    def __init__(self, state: State, before: Moment) -> None:
        self._state, self._before = state, before
        self._found: dict[str, Changed] | None = None

    def _all(self) -> dict[str, Changed]:
        if self._found is None:
            state = self._state
            before = state.snapshot(self._before)
            self._found = before.changes_to(state.snapshot(state.take()))
        return self._found

    def __getitem__(self, name: str) -> Changed:
        found = self._all().get(name)
        return self._state.snapshot(self._before).unchanged(name) if found is None else found

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def get(self, name: str, default: Any = None) -> Any:
        """Give the changes of a map, or `default` where it has none."""
        return self._all().get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __eq__(self, other: object) -> bool:
        return self._all() == other

    __hash__ = None  # type: ignore[assignment]  # it compares like a dict

    def __repr__(self) -> str:
        return repr(self._all())


class Added(dict[str, list[Any]]):
    """Hold the entries that came between two moments: {map: [key]}; of any other map, none."""

    __slots__ = ("_owner",)

    def __init__(
        self, owner: Object, before: Mapping[str, set[bytes]], now: Mapping[str, set[bytes]]
    ) -> None:
        super().__init__()
        self._owner = owner
        for name, keys in now.items():
            if new := keys - before[name]:
                decode = owner.maps[name]._codec.decode_key
                self[name] = [decode(key) for key in sorted(new)]

    def __missing__(self, name: str) -> list[Any]:
        _ = self._owner.maps[name]  # a name that there is not is told
        return []


class Grown(Mapping[str, list[Any]]):
    """Hold the entries that one run added: {map: [key]}; worked out when it is first looked at."""

    __slots__ = ("_before", "_found", "_owner")

    def __init__(self, owner: Object, before: dict[str, set[bytes]]) -> None:
        self._owner, self._before = owner, before
        self._found: Added | None = None

    def _all(self) -> Added:
        if self._found is None:
            self._found = Added(self._owner, self._before, self._owner.state.keys())
        return self._found

    def __getitem__(self, name: str) -> list[Any]:
        return self._all()[name]

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def get(self, name: str, default: Any = None) -> Any:
        """Give the keys that a map got, or `default` where it got none."""
        return self._all().get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(self._all())


class Again:
    """Run the same packet once more, or another one, from the state before the run.

    Afterwards everything is as the first run left it: maps, globals, `program.last`.
    """

    def __init__(self, program: Program, run: Run, before: Moment, given: dict[str, Any]) -> None:
        self._program, self._run, self._before = program, run, before
        self._given = given
        self._after: Moment | None = None
        # The maps and sections that the last run of these left otherwise than the first did.
        self.differs: tuple[str, ...] = ()

    def __call__(self, packet: Any = None, **how: Any) -> Run:
        owner, program = self._program.owner, self._program
        state = owner.state
        if state.obstacle:
            raise Unsupported(f"running a packet of {program.name} again", state.obstacle)
        if self._after is None:
            self._after = state.take()
        waiting = {n: list(m.arrived()) for n, m in owner.maps.items() if m.kind in EVENTS}
        state.put_back(self._before, self._after)
        try:
            frame = self._run.frame if packet is None else packet
            other = program.run(frame, **self._given, **how)
        finally:
            now = state.take()
            self.differs = _differing(self._after, now)
            state.put_back(self._after, now)
            for name, events in waiting.items():
                owner.maps[name].arrived()
                owner.loaded.unread[name] = events
            program.last = self._run
        return other


def _differing(one: Moment, other: Moment) -> tuple[str, ...]:
    maps = [name for name, entries in one.maps.items() if other.maps[name] != entries]
    sections = [name for name, image in one.sections.items() if other.sections[name] != image]
    return (*maps, *sections)


class Transition(NamedTuple):
    """Hold one step: the verdict, the packet afterwards, and what changed in the maps.

    It compares with a tuple: `(XDP.DROP, frame, {"blocked": {BAD: (0, 1)}})`.
    """

    verdict: Any
    packet: bytes
    maps: Mapping[str, Entries]
