"""Maps whose size is left to whoever loads the object."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import packetrig
from packetrig import XDP, MapError, NoSuchName

Write = Callable[..., Path]

TEXT = """
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __type(key, __u32);
    __type(value, __u32);
} flows SEC(".maps");
SEC("xdp") int only(struct xdp_md *ctx)
{
    __u32 key = 1;
    return bpf_map_lookup_elem(&flows, &key) ? XDP_DROP : XDP_PASS;
}
"""


def test_a_map_is_given_its_size_when_it_is_loaded(source: Write) -> None:
    with packetrig.build(source(TEXT)).load(max_entries={"flows": 2}) as rig:
        for _ in range(2):  # and again when it is renewed
            rig.maps.flows.update({1: 1, 2: 2})
            assert rig.maps.flows.max_entries == 2
            assert rig.run(bytes(64)).verdict is XDP.DROP
            with pytest.raises(MapError, match="full, max_entries is 2"):
                rig.maps.flows[3] = 3
            rig.reload()


def test_a_size_that_cannot_be_is_named(source: Write) -> None:
    spec = packetrig.build(source(TEXT))

    with pytest.raises(NoSuchName, match="did you mean 'flows'"):
        spec.load(max_entries={"flow": 2})
    with pytest.raises(MapError, match="flows: max_entries=0: it takes an int from 1"):
        spec.load(max_entries={"flows": 0})
