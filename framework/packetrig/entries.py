"""What maps held at one moment, and what changed since: dicts whose keys may be written as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .errors import CodecError, no_such
from .mapcodec import MapCodec


class Entries(dict[Any, Any]):
    """Hold entries of one map; look-ups and `==` take keys as people write them.

    `entries["10.0.0.66"]` and `entries == {"10.0.0.66": 1}` work for a __be32 key, and a struct's
    key may be given as a tuple of (field, value) pairs or the record itself.
    """

    __slots__ = ("_codec",)

    def __init__(self, codec: MapCodec, entries: Mapping[Any, Any]) -> None:
        super().__init__(entries)
        self._codec = codec

    def _own_key(self, key: Any) -> Any:
        try:
            return self._codec.decode_key(self._codec.encode_key(key))
        except CodecError:
            return key

    def __missing__(self, key: Any) -> Any:
        own = self._own_key(key)
        if dict.__contains__(self, own):
            return dict.__getitem__(self, own)
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        try:
            return dict.__contains__(self, key) or dict.__contains__(self, self._own_key(key))
        except TypeError:
            return dict.__contains__(self, self._own_key(key))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        if len(self) != len(other):
            return False
        return all(key in self and self[key] == value for key, value in other.items())

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None


class Changed(Entries):
    """Hold what changed in one map, {key: (old, new)}, None where there was no entry.

    Asked for a key that did not change, it gives what that holds, twice: a check that expects a
    change finds none, and says so.
    """

    __slots__ = ("_held",)

    def __init__(
        self, codec: MapCodec, changes: Mapping[Any, Any], held: Mapping[bytes, bytes]
    ) -> None:
        super().__init__(codec, changes)
        self._held = held

    def __missing__(self, key: Any) -> Any:
        try:
            return super().__missing__(key)
        except KeyError:
            raw = self._held.get(bytes(self._codec.encode_key(key)))
        value = None if raw is None else self._codec.decode_value(raw)
        return value, value


class Snapshot(Mapping[str, Entries]):
    """Hold what every map of an object held at one moment, decoded when it is looked at.

    Two snapshots are equal when the same maps hold the same bytes. Not in it are queues, stacks,
    filters and event buffers, which reading would change, and slots, which hold descriptors.
    """

    __slots__ = ("_codecs", "_raw")

    def __init__(
        self, raw: Mapping[str, Mapping[bytes, bytes]], codecs: Mapping[str, MapCodec]
    ) -> None:
        self._raw = raw
        self._codecs = codecs

    def __getitem__(self, name: str) -> Entries:
        how = self._codecs[name]
        return Entries(
            how,
            {how.decode_key(k): how.decode_value(v) for k, v in self._raw[name].items()},
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Snapshot):
            return self._raw == other._raw
        if isinstance(other, Mapping):
            return len(self) == len(other) and all(
                name in self._raw and self[name] == entries for name, entries in other.items()
            )
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it compares like a dict

    def __repr__(self) -> str:
        return f"Snapshot({dict(self)!r})"

    def unchanged(self, name: str) -> Changed:
        """Give the changes of a map that has none."""
        if name not in self._raw:
            raise no_such("map", name, self._raw, owner="what was taken down")
        return Changed(self._codecs[name], {}, self._raw[name])

    def changes_to(self, after: Snapshot) -> dict[str, Changed]:
        """Tell what differs in `after`: {map: {key: (old or None, new or None)}}."""
        changed = {}
        for name, new in after._raw.items():
            old = self._raw.get(name, {})
            how = after._codecs[name]
            pairs = {
                how.decode_key(key): (
                    how.decode_value(old[key]) if key in old else None,
                    how.decode_value(new[key]) if key in new else None,
                )
                for key in [*old, *(k for k in new if k not in old)]
                if old.get(key) != new.get(key)
            }
            if pairs:
                changed[name] = Changed(how, pairs, new)
        return changed
