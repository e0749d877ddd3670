"""Programs that touch the network run in a network of their own, and never leave it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from packetrig import TC, Object, live
from packetrig._bpf import Namespace

Load = Callable[..., Object]
FRAME = bytes(12) + b"\x08\x00" + bytes(50)

CLONES = """
SEC("tc") int clones(struct __sk_buff *skb)
{
    return bpf_clone_redirect(skb, 1, 0) ? 2 : 0;
}
"""
LOOKS_UP = """
#include <linux/pkt_cls.h>
SEC("tc") int looks_up(struct __sk_buff *skb)
{
    struct bpf_fib_lookup params = { .family = 2, .ifindex = 1, .ipv4_dst = 0x0200007f };
    params.ipv4_src = 0x0100007f;
    return bpf_fib_lookup(skb, &params, sizeof(params), 0) < 0 ? 2 : 0;
}
"""


def loopback_packets() -> int:
    """Count what was ever sent over lo, in the namespace of this thread."""
    rows = Path("/proc/thread-self/net/dev").read_text().splitlines()
    row = next(row for row in rows if row.strip().startswith("lo:"))
    return int(row.split(":")[1].split()[9])


def inode(fd: int | str) -> int:
    return Path(f"/proc/self/fd/{fd}" if isinstance(fd, int) else fd).stat().st_ino


def test_a_cloned_frame_is_really_sent_but_only_in_the_namespace_of_the_object(load: Load) -> None:
    with live.namespace() as quiet, quiet.inside():  # others talk over the machine's loopback
        rig = load(CLONES)
        home, before = inode("/proc/thread-self/ns/net"), loopback_packets()

        assert rig.runs_in_own_netns
        for _ in range(5):
            assert rig.run(FRAME).verdict is TC.OK
        rig.run_many([FRAME] * 5)

        assert loopback_packets() == before
        assert inode("/proc/thread-self/ns/net") == home
        assert inode(rig.netns.fileno()) != home
    with rig.netns.entered():
        assert loopback_packets() == 10


def test_routes_are_looked_up_in_the_namespace_that_was_given(load: Load) -> None:
    namespace = Namespace()
    try:
        rig = load(LOOKS_UP, netns=namespace)
        assert rig.run(FRAME).verdict is TC.OK
        assert inode(rig.netns.fileno()) == inode(namespace.fd)
    finally:
        namespace.close()


def test_a_program_that_stays_away_from_the_network_runs_where_it_is_called(load: Load) -> None:
    rig = load('SEC("tc") int quiet(struct __sk_buff *skb) { return skb->ifindex; }')

    assert not rig.runs_in_own_netns
    assert int(rig.run(FRAME).verdict) == 1


def test_a_namespace_is_gone_with_its_object(load: Load) -> None:
    rig = load(CLONES)
    rig.run(FRAME)
    fd = rig.netns.fileno()
    there = inode(fd)

    rig.close()

    still_open = [p.stat().st_ino for p in Path("/proc/self/fd").iterdir() if p.exists()]
    assert there not in still_open
