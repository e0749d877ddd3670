"""The maps of a loaded object, read and written by name with ordinary Python values."""

from __future__ import annotations

import array
import contextlib
import errno
import struct
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from ._bpf import denied, ffi, lib, strerror
from ._bpf.kinds import ARRAYS, EVENTS, OF_MAPS, QUEUES, SLOTS, MapKind
from .entries import Entries
from .errors import CodecError, MapError
from .mapcodec import MapCodec, codec_of, record_codec
from .refusals import MAP_REFUSALS
from .spec import MapSpec

if TYPE_CHECKING:
    from .objects import Object

_ANY = 0
_FEW = 128  # entries to make room for first: most maps hold few, whatever would fit
_room = ffi.new_allocator(should_clear_after_alloc=False)


class MissingKey(MapError, KeyError):
    """Say that a map has no entry under a key."""

    def __str__(self) -> str:
        return str(self.args[0])


class Map(MutableMapping[Any, Any]):
    """Read and write one map as a dict; keys and values go by their BTF types.

        firewall.maps.blocked["10.0.0.66"] = 0            # a __be32 key takes an address
        limiter.maps.buckets[BAD] = {"tokens": 3}         # a struct, by field, the rest zero
        router.maps.routes["10.0.0.0/8"] = 7              # a longest-prefix key
        sum(firewall.maps.drops[0])                       # per CPU: a tuple, one a possible CPU
        balancer.maps.jumps[0] = balancer.programs.v4     # a program array takes programs
        limiter.maps.events.read()                        # ring and perf buffers: typed records

    Errors: CodecError for a value that does not fit, MapError for what the map refuses (it is
    full, an array has no delete), MissingKey (a KeyError) for a key without an entry.
    """

    def __init__(self, owner: Object, spec: MapSpec, *, fd: int | None = None) -> None:
        self._owner = owner
        self.spec = spec
        self.name = spec.name
        self.kind = spec.kind
        self._codec: MapCodec = codec_of(spec, owner.spec.btf)
        self._fd = fd

    @property
    def fd(self) -> int:
        """Return the map's descriptor; it changes when the object is renewed."""
        if self._fd is None:
            return self._owner.loaded.map_fds[self.name]
        if self._fd < 0:
            # The number may be another map's by now.
            raise MapError(
                f"{self.name}: this inner map went when the object was renewed or closed; take it "
                "from the outer map again, or make one with new_inner()"
            )
        return self._fd

    def drop(self) -> int:
        """Give up the descriptor of an inner map, for whoever closes it."""
        fd, self._fd = self.fd, -1
        return fd

    @property
    def max_entries(self) -> int:
        """Return how many entries fit."""
        if self._fd is not None:
            return self.spec.max_entries
        return self._owner.loaded.maps[self.name].max_entries

    def key(self, value: Any) -> Any:
        """Turn a key as people write it into the one that the map gives back (it can be hashed)."""
        return self._codec.decode_key(self._key(value))

    def _key(self, key: Any) -> bytes:
        try:
            raw = self._codec.encode_key(key)
        except CodecError as e:
            raise CodecError(f"{self.name}: key {e}") from None
        if self.kind in ARRAYS or self.kind in SLOTS:
            index = int.from_bytes(raw, "little")
            if index >= self.max_entries:
                raise MapError(f"{self.name}: no index {index}, it has {self.max_entries} entries")
        return raw

    def _value(self, value: Any) -> bytes:
        if self.kind is MapKind.PROG_ARRAY or self.kind in OF_MAPS:
            fd = getattr(value, "fd", value)
            if type(fd) is not int or fd < 0:
                wanted = "an inner map: new_inner()" if self.kind in OF_MAPS else "a program"
                raise CodecError(f"{self.name}: value {value!r} does not fit: it takes {wanted}")
            return struct.pack("=I", fd)
        try:
            return self._codec.encode_value(value)
        except CodecError as e:
            raise CodecError(f"{self.name}: value {e}") from None

    def _lookup(self, key: bytes) -> bytes | None:
        out = ffi.new("char[]", self._codec.row)
        error = -lib.bpf_map_lookup_elem(self.fd, key, out)
        if error == errno.ENOENT:
            return None
        if error:
            raise self._refused("reading it", error)
        return bytes(ffi.unpack(out, self._codec.row))

    def _refused(self, doing: str, error: int) -> Exception:
        what = f"{self.name}: {doing}"
        if error == errno.EPERM:
            return denied(what)
        kind = self.kind.name if isinstance(self.kind, MapKind) else self.kind
        if hint := MAP_REFUSALS.get((self.kind, error)):
            return MapError(f"{what}: {hint}")
        if error in (errno.E2BIG, errno.ENOSPC) and not doing.startswith("reading"):
            return MapError(f"{what}: it is full, max_entries is {self.max_entries}")
        if error == errno.EINVAL and self.kind in ARRAYS:
            return MapError(f"{what}: an array cannot do that; assign 0 instead of deleting")
        if error in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSPC, 524):
            return MapError(f"{what}: a {kind} map refuses that from outside ({strerror(error)})")
        return MapError(f"{what}: {strerror(error)}")

    def __getitem__(self, key: Any) -> Any:
        self._check_keyed("looked up")
        raw = self._lookup(self._key(key))
        if raw is None:
            raise MissingKey(f"{self.name}: no entry for {key!r}; it has {len(self)} entries")
        return self._lifted(raw)

    def _lifted(self, raw: bytes) -> Any:
        if self.kind is MapKind.PROG_ARRAY:
            return self._owner.program_of_id(struct.unpack("=I", raw)[0])
        if self.kind in OF_MAPS:
            return self._inner(struct.unpack("=I", raw)[0])
        return self._codec.decode_value(raw)

    def _inner(self, map_id: int) -> Map:
        fd = lib.bpf_map_get_fd_by_id(map_id)
        if fd < 0:
            raise self._refused(f"opening its inner map {map_id}", -fd)
        return self._owner.keep_inner(self.spec, fd)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._check_keyed("assigned to")
        self._update(self._key(key), self._value(value), f"setting {key!r}")

    def _update(self, key: bytes, value: bytes, doing: str) -> None:
        self._owner.loaded.is_dirty = True
        error = -lib.bpf_map_update_elem(self.fd, key or ffi.NULL, value, _ANY)
        if error:
            raise self._refused(doing, error)

    def __delitem__(self, key: Any) -> None:
        self._check_keyed("deleted from")
        self._owner.loaded.is_dirty = True
        error = -lib.bpf_map_delete_elem(self.fd, self._key(key))
        if error == errno.ENOENT:
            raise MissingKey(f"{self.name}: no entry for {key!r}")
        if error:
            raise self._refused(f"deleting {key!r}", error)

    def __contains__(self, key: object) -> bool:
        if self.kind is MapKind.BLOOM_FILTER:
            return self._peek(self._value(key), "asking it") is not None
        return self._lookup(self._key(key)) is not None

    def _check_keyed(self, verb: str) -> None:
        if self.kind in EVENTS:
            raise MapError(f"{self.name}: events are read with .read(), not {verb} by key")
        if self.kind in QUEUES:
            raise MapError(f"{self.name}: use push(), pop() and peek(); it cannot be {verb} by key")
        if self.kind is MapKind.BLOOM_FILTER:
            raise MapError(f"{self.name}: use add() and `in`; it cannot be {verb} by key")

    def raw_items(self) -> dict[bytes, bytes]:
        """Read every entry as bytes, key by key."""
        if self.kind in ARRAYS:
            return self._raw_array()
        key_size, pair = self._codec.key_size, self._codec.key_size + self._codec.row
        count = -errno.ENOSPC
        for room in (_FEW, self.max_entries + 16):
            if count == -errno.ENOSPC:
                out = _room("uint8_t[]", room * pair + key_size)
                count = lib.pr_map_dump(self.fd, key_size, self._codec.row, room, out)
        if count < 0:
            raise self._refused("reading it", -count)
        raw = bytes(ffi.buffer(out, count * pair))
        return {
            raw[at : at + key_size]: raw[at + key_size : at + pair]
            for at in range(0, count * pair, pair)
        }

    def _raw_array(self) -> dict[bytes, bytes]:
        count, row = self.max_entries, self._codec.row
        out = _room("uint8_t[]", count * row)
        error = -lib.pr_array_read(self.fd, count, row, out)
        if error:
            raise self._refused("reading it", error)
        raw = bytes(ffi.buffer(out))
        keys = struct.iter_unpack("4s", array.array("I", range(count)).tobytes())
        rows = (raw[at : at + row] for at in range(0, count * row, row))
        return {key: value for (key,), value in zip(keys, rows, strict=True)}

    def __iter__(self) -> Iterator[Any]:
        self._check_keyed("listed")
        return (self._codec.decode_key(key) for key in self.raw_items())

    def __len__(self) -> int:
        if self.kind in ARRAYS:
            return self.max_entries
        self._check_keyed("counted")
        return len(self.raw_items())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Map):
            return self.raw_items() == other.raw_items()
        if isinstance(other, Mapping):
            return Entries(self._codec, dict(self)) == other
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it compares like a dict

    def __repr__(self) -> str:
        kind = self.kind.name.lower() if isinstance(self.kind, MapKind) else f"type {self.kind}"
        return f"<Map {self.name}: {kind}, max_entries={self.max_entries}>"

    def clear(self) -> None:
        """Delete every entry; an array's are set to zero, a queue is emptied."""
        self._owner.loaded.is_dirty = True
        if self.kind in ARRAYS:
            error = -lib.pr_array_clear(self.fd, self.max_entries, self._codec.row)
            if error:
                raise self._refused("clearing it", error)
        elif self.kind in QUEUES:
            while self._pop() is not None:
                pass
        elif self.kind in EVENTS:
            lib.pr_records_read(self._owner.loaded.reader(self.name))
            self._owner.loaded.unread.pop(self.name, None)
        elif self.kind in SLOTS:
            for key in self.raw_items():
                lib.bpf_map_delete_elem(self.fd, key)
        else:
            error = -lib.pr_map_clear(self.fd, self._codec.key_size)
            if error:
                raise self._refused("clearing it", error)

    def push(self, value: Any) -> None:
        """Put a value into a queue or onto a stack."""
        self._check_kind(QUEUES, "push()")
        self._update(b"", self._value(value), "pushing")

    def pop(self, *default: Any) -> Any:
        """Take the next value from a queue or stack; of a keyed map: pop(key[, default])."""
        if self.kind not in QUEUES:
            return super().pop(*default)
        raw = self._pop()
        if raw is None:
            if default:
                return default[0]
            raise MissingKey(f"{self.name}: it is empty")
        return self._codec.decode_value(raw)

    def peek(self) -> Any:
        """Look at the next value of a queue or stack; None when it is empty."""
        self._check_kind(QUEUES, "peek()")
        raw = self._peek(bytes(self._codec.row), "peeking")
        return None if raw is None else self._codec.decode_value(raw)

    def add(self, value: Any) -> None:
        """Add a value to a bloom filter; `value in map` then says yes (rarely also for others)."""
        self._check_kind({MapKind.BLOOM_FILTER}, "add()")
        self._update(b"", self._value(value), "adding")

    def _pop(self) -> bytes | None:
        self._owner.loaded.is_dirty = True
        out = ffi.new("char[]", self._codec.row)
        error = -lib.bpf_map_lookup_and_delete_elem(self.fd, ffi.NULL, out)
        if error == errno.ENOENT:
            return None
        if error:
            raise self._refused("popping", error)
        return bytes(ffi.unpack(out, self._codec.row))

    def _peek(self, value: bytes, doing: str) -> bytes | None:
        out = ffi.new("char[]", value)
        error = -lib.bpf_map_lookup_elem(self.fd, ffi.NULL, out)
        if error == errno.ENOENT:
            return None
        if error:
            raise self._refused(doing, error)
        return bytes(ffi.unpack(out, self._codec.row))

    def _check_kind(self, kinds: set[MapKind], what: str) -> None:
        if self.kind not in kinds:
            told = " and ".join(sorted(kind.name.lower() for kind in kinds))
            raise MapError(f"{self.name}: {what} is for {told} maps; this one is {self!r}")

    def read(self, record: str | None = None) -> list[Any]:
        """Take the events that wait in a ring or perf buffer, oldest first, as typed records.

        Args:
            record: The events' type by name ("event" or "struct event"). Without it, the only
                struct of the event's size in the object's BTF, else bytes. clang keeps a struct
                in BTF when a global points to it: `const struct event *unused_event;`.

        Raises:
            MapError: A perf buffer was full and lost events; their number is told. A full ring
                buffer loses nothing in silence: the program's own call fails.
        """
        self._check_kind(EVENTS, "read()")
        btf, is_padded = self._owner.spec.btf, self.kind is MapKind.PERF_EVENT_ARRAY
        events = self.arrived()
        read = [record_codec(btf, record, len(e), is_padded=is_padded)(e) for e in events]
        del self._owner.loaded.unread[self.name]  # not before: a wrong `record` loses nothing
        return read

    def arrived(self) -> list[bytes]:
        """Take the events out of a ring or perf buffer, as bytes; the next `read()` gives them."""
        reader = self._owner.loaded.reader(self.name)
        lost_before = reader.lost
        error = lib.pr_records_read(reader)
        if error < 0:
            raise self._refused("reading its events", -error)
        raw = bytes(ffi.buffer(reader.data, reader.used)) if reader.used else b""
        events, at = self._owner.loaded.unread.setdefault(self.name, []), 0
        while at < len(raw):
            size = struct.unpack_from("=I", raw, at + 4)[0]
            events.append(raw[at + 8 : at + 8 + size])
            at += 8 + size
        if reader.lost > lost_before:
            raise MapError(
                f"{self.name}: {reader.lost - lost_before} events were lost, the buffer was full; "
                "read() more often (what did arrive is there at the next read)"
            )
        return events

    def new_inner(self) -> Map:
        """Make another inner map for a map of maps, empty, and not yet put into a slot."""
        self._check_kind(OF_MAPS, "new_inner()")
        return self._owner.new_inner(self.spec)


def pairs(entries: Any) -> Iterable[tuple[Any, Any]]:
    """Give keys and values of a table, or of a list of tables with `key` and `value`."""
    if isinstance(entries, Mapping):
        return entries.items()
    return [(entry["key"], entry["value"]) for entry in entries]


def fill(found: Map, entries: Any) -> None:
    """Put entries into a map as a set-up file has them."""
    for key, value in pairs(entries):
        if found.kind in OF_MAPS and isinstance(value, (Mapping, list)):
            inner = found.new_inner()
            fill(inner, value)
            value = inner
        elif found.kind is MapKind.PROG_ARRAY and isinstance(value, str):
            value = found._owner.slot_of(value)
        # TOML's keys are text, numbers too; only text that is wanted as text stays so.
        if str(key).isdigit():
            with contextlib.suppress(CodecError):
                found._key(int(key))
                key = int(key)
        found[key] = value
