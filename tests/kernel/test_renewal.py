"""Hold the two ways of renewal equal: a restored object cannot be told from a reloaded one."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import packetrig
from packetrig import XDP, Object

SOURCE = Path(__file__).parent / "sources" / "everything.bpf.c"
QUEUES = ("waiting", "undone")


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Object, Object]]:
    # Per-CPU values belong to the CPU that ran: it must be the same one for both objects.
    home = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(home)})
    spec = packetrig.build(SOURCE)
    try:
        with spec.load() as restored, spec.load() as reloaded:
            yield restored, reloaded
    finally:
        os.sched_setaffinity(0, home)


def frame(operation: int, key: int, value: int) -> bytes:
    return bytes(14) + struct.pack("=BBHII", operation, key, value, 0, 0)


def running(data: bytes) -> Callable[[Object], Any]:
    return lambda rig: rig.run(data)


def setting(name: str, key: Any, value: Any) -> Callable[[Object], Any]:
    return lambda rig: rig.maps[name].__setitem__(key, value)


def pushing(name: str, value: int) -> Callable[[Object], Any]:
    return lambda rig: rig.maps[name].push(value)


def assigning(name: str, value: Any) -> Callable[[Object], Any]:
    return lambda rig: setattr(rig.globals, name, value)


keys = st.integers(0, 12)
words = st.integers(0, 30)
frames = st.builds(frame, st.integers(0, 9), keys, words)
per_cpu = st.builds(frame, st.sampled_from([5, 6]), keys, words)  # only programs write these
prefixes = st.builds("0.0.0.{}/{}".format, st.just(0), st.integers(0, 32)) | st.builds(
    "{}.0.0.0/32".format, keys
)
pairs = st.fixed_dictionaries({"count": words, "last": words})

# What a test does to an object: it runs frames and writes maps and globals.
steps = st.one_of(
    st.builds(running, frames),
    st.builds(running, per_cpu),
    st.builds(setting, st.just("table"), keys, pairs),
    st.builds(setting, st.just("sparse"), keys, words),
    st.builds(setting, st.just("slots"), st.integers(0, 7), words),
    st.builds(setting, st.just("routes"), prefixes, words),
    st.builds(pushing, st.sampled_from(QUEUES), words),
    st.builds(assigning, st.sampled_from(["limit", "seen"]), words),
    st.builds(assigning, st.just("latest"), pairs),
)


def do(rig: Object, doings: list[Callable[[Object], Any]]) -> list[Any]:
    """Do the steps; what is answered, be it an error (a full map), is what can be seen."""
    answers: list[Any] = []
    for step in doings:
        try:
            answers.append(step(rig))
        except packetrig.MapError as e:
            answers.append(str(e))
    return answers


def emptied(rig: Object, name: str) -> list[int]:
    taken = []
    while (value := rig.maps[name].pop(None)) is not None:
        taken.append(value)
    return taken


def state(rig: Object) -> tuple[Any, ...]:
    """Read everything that can be read; queues lose what they hold by it."""
    queues = [emptied(rig, name) for name in QUEUES]
    return rig.maps.snapshot(), dict(rig.globals), queues


@pytest.mark.slow
@given(before=st.lists(steps, max_size=25), after=st.lists(steps, max_size=25))
def test_a_restored_object_cannot_be_told_from_a_reloaded_one(
    pair: tuple[Object, Object],
    before: list[Callable[[Object], Any]],
    after: list[Callable[[Object], Any]],
) -> None:
    restored, reloaded = pair
    restored.reload()
    reloaded.reload()

    assert do(restored, before) == do(reloaded, before)
    restored.restore()
    reloaded.reload()

    assert do(restored, after) == do(reloaded, after)
    assert state(restored) == state(reloaded)


@pytest.mark.slow
@given(before=st.lists(steps, min_size=1, max_size=25))
def test_a_restored_object_holds_what_it_held_when_it_was_loaded(
    pair: tuple[Object, Object], before: list[Callable[[Object], Any]]
) -> None:
    restored, fresh = pair
    fresh.reload()
    do(restored, before)

    restored.restore()

    assert state(restored) == state(fresh)
    assert restored.globals.history == (1, 2, 3, 4)


def test_an_object_that_did_nothing_is_not_loaded_again(pair: tuple[Object, Object]) -> None:
    rig, _ = pair
    rig.reload()
    first = rig.program.id

    assert not rig.loaded.is_dirty  # whichever way of renewal is the cheaper one here
    rig.renew()
    assert rig.program.id == first
    rig.run(frame(0, 1, 1))
    rig.renew()

    assert not rig.loaded.is_dirty
    assert len(rig.maps.table) == 0


UNCLEARABLE = {
    "LRU_HASH": "__uint(max_entries, 8); __type(key, __u32); __type(value, __u32);",
    "RINGBUF": "__uint(max_entries, 4096);",
    "PERF_EVENT_ARRAY": "__type(key, __u32); __type(value, __u32);",
    "BLOOM_FILTER": "__uint(max_entries, 8); __type(value, __u32);",
    "ARRAY": "__uint(max_entries, 1); __uint(map_flags, BPF_F_RDONLY);"
    "__type(key, __u32); __type(value, __u32);",
}


@pytest.mark.parametrize("kind", UNCLEARABLE)
def test_an_object_whose_maps_cannot_be_taken_back_is_loaded_again(
    load: Callable[..., Object], kind: str
) -> None:
    rig = load(
        f"struct {{ __uint(type, BPF_MAP_TYPE_{kind}); {UNCLEARABLE[kind]} }} kept"
        ' SEC(".maps"); __u32 seen;\n'
        'SEC("xdp") int only(struct xdp_md *ctx) { (void)ctx; seen++; return (long)&kept ? 2 : 1; }'
    )
    rig.run(bytes(64))
    first = rig.program.id

    with pytest.raises(packetrig.MapError, match="use reload"):
        rig.restore()
    rig.renew()

    assert rig.program.id != first
    assert rig.globals.seen == 0


@pytest.mark.parametrize(("entries", "is_reloaded"), [(8, False), (1 << 20, True)])
def test_large_arrays_are_not_cleared_to_find_out_how_long_it_takes(
    load: Callable[..., Object], entries: int, is_reloaded: bool
) -> None:
    rig = load(
        f"""
        struct {{ __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, {entries});
            __type(key, __u32); __type(value, __u32); }} ring SEC(".maps");
        SEC("xdp") int counts(struct xdp_md *ctx)
        {{
            __u32 key = 7, *seen = bpf_map_lookup_elem(&ring, &key);
            return seen && (*seen)++ ? XDP_DROP : XDP_PASS;
        }}
        """
    )
    rig._reload_ns = 20_000_000  # as of a program that keeps the verifier busy
    first = rig.program.id
    assert rig.run(bytes(64)).verdict is XDP.PASS

    rig.renew()

    assert (rig.program.id != first) == is_reloaded
    assert rig.run(bytes(64)).verdict is XDP.PASS


def test_a_closed_object_answers_nothing(load: Callable[..., Object]) -> None:
    # Its descriptor may be another program's by now, which would answer in its name.
    text = '__u32 seen; SEC("xdp") int only(struct xdp_md *ctx) { (void)ctx; seen++; return 2; }'
    rig = load(text)
    assert rig.run(bytes(64)).verdict is XDP.PASS
    rig.close()
    others = [load(text) for _ in range(3)]

    with pytest.raises(packetrig.Error, match="the object is closed"):
        rig.run(bytes(64))
    with pytest.raises(packetrig.Error, match="the object is closed"):
        rig.globals["seen"]
    with pytest.raises(packetrig.Error, match="the object is closed"):
        rig.renew()

    assert [other.globals.seen for other in others] == [0, 0, 0]
