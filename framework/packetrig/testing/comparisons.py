"""What a failed == shows: runs and frames by their fields, records and map entries key by key.

pytest cuts what stands under an assert to eight lines, so that part is short; the whole, with the
bytes, goes into the report's section (reports.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from .. import packets
from .._bpf.values import Record
from ..entries import Entries, Snapshot
from ..maps import Map
from ..packets import explain as words
from ..packets._scapy import is_scapy
from ..redirects import Redirected
from ..run import Run
from . import renewal
from .golden import Golden

_AT_MOST = 6
_WHOLE = pytest.StashKey[str]()


def explain(config: pytest.Config, left: object, right: object) -> list[str] | None:
    """Explain why two values are not equal; None when they are none of ours."""
    if isinstance(left, Golden) or isinstance(right, Golden):
        return _golden(config, left, right)
    if isinstance(left, Run) and isinstance(right, Run):
        return _cut(f"{left!r} == {right!r}", _runs(config, left, right))
    if isinstance(left, Run) or isinstance(right, Run):
        other = right if isinstance(left, Run) else left
        hint = "a Run equals only a Run; compare run.verdict, run.data (bytes) or run.packet"
        return [f"{left!r} == {right!r}", hint] if not isinstance(other, Run) else None
    if (frames := _frames(config, left, right)) is not None:
        one, other = frames
        head = f"a frame of {len(one)} bytes == a frame of {len(other)} bytes"
        if one == other:
            return [head, "the bytes are the same: compare bytes, scapy's objects also hold how"]
        return _cut(head, _frame(config, one, other))
    if isinstance(left, Mapping) and isinstance(right, Mapping) and _is_ours(left, right):
        return _cut(f"{_short(left)} == {_short(right)}", list(_mapping("", left, right)))
    return None


def _golden(config: pytest.Config, left: object, right: object) -> list[str] | None:
    seen, golden = (left, right) if isinstance(right, Golden) else (right, left)
    if not isinstance(golden, Golden) or not isinstance(seen, Run | bytes):
        return [f"{left!r} == {right!r}", "a golden file equals a Run, or bytes"]
    data, expected = seen.data if isinstance(seen, Run) else seen, golden.expected().data
    if data != expected:
        config.stash[_WHOLE] = words.difference(expected, data, names=("golden", "seen"))
    lines = _cut(f"{seen!r} == {golden!r}", list(golden.differences(seen)))
    return [*lines, f"if this is right now: {golden.command}"]


def forget(config: pytest.Config) -> None:
    """Forget the last comparison: another test begins."""
    config.stash[_WHOLE] = ""


def whole(config: pytest.Config) -> str:
    """Return the last failed comparison of frames in full; "" if there was none."""
    return config.stash.get(_WHOLE, "")


def _cut(head: str, lines: list[str]) -> list[str]:
    more = [f"... {len(lines) - _AT_MOST} more"] if len(lines) > _AT_MOST else []
    return [head, *lines[:_AT_MOST], *more]


def _runs(config: pytest.Config, left: Run, right: Run) -> list[str]:
    lines = []
    if left.verdict != right.verdict:
        lines.append(f"verdict: {left.verdict!r} != {right.verdict!r}")
    if left.metadata != right.metadata:
        lines.append(f"metadata: {left.metadata!r} != {right.metadata!r}")
    if left.raw_context != right.raw_context:
        lines.append(f"context: {left.context!r} != {right.context!r}")
    targets = [run.redirect for run in (left, right) if isinstance(run, Redirected)]
    if len(targets) == 2 and targets[0] != targets[1]:
        lines.append(f"redirect: {targets[0] or 'none'} != {targets[1] or 'none'}")
    if left.data != right.data:
        lines += _frame(config, left.data, right.data)
    return lines


def _frame(config: pytest.Config, left: bytes, right: bytes) -> list[str]:
    config.stash[_WHOLE] = words.difference(left, right, names=("left", "right"))
    return [f"{name}: {a!r} != {b!r}" for name, (a, b) in words.changes(left, right).items()]


def _frames(config: pytest.Config, left: object, right: object) -> tuple[bytes, bytes] | None:
    """Take two values for frames when one is scapy's, or is what a program just gave back."""
    if is_scapy(left) and is_scapy(right):
        return packets.to_bytes(left), packets.to_bytes(right)
    if isinstance(left, bytes) and isinstance(right, bytes):
        seen = {run.data for run in renewal.last_runs(config)}
        return (left, right) if left in seen or right in seen else None
    return None


def _is_ours(left: Mapping[object, object], right: Mapping[object, object]) -> bool:
    ours = (Record, Entries, Snapshot, Map)
    return any(
        isinstance(side, ours) or any(isinstance(value, Entries) for value in side.values())
        for side in (left, right)
    )


def _mapping(
    path: str, left: Mapping[object, object], right: Mapping[object, object]
) -> Iterator[str]:
    """Yield a line for each key that only one side has, or whose values differ."""
    unmatched = dict.fromkeys(left)
    for key in right:
        own = _own(left, key)
        place = f"{path}[{key!r}]" if not isinstance(left, Record) else f"{path}.{key}"
        if own not in unmatched:
            yield f"{place}: only the right has it: {_short(right[key])}"
            continue
        del unmatched[own]
        one, other = left[own], right[key]
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _mapping(place, one, other)
        elif one != other:
            yield f"{place}: {_short(one)} != {_short(other)}"
    for key in unmatched:
        yield f"{path}[{key!r}]: only the left has it: {_short(left[key])}"


def _own(left: Mapping[object, object], key: object) -> object:
    # Keys may be written as text on one side: 10.0.0.66 is a number on the other.
    if isinstance(left, Entries):
        return left._own_key(key)
    return next((each for each in left if each == key), key)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
