"""Live traffic through a new object and the attached one: nothing is attached, nothing changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from packetrig import deploy
from packetrig.live.rtnl import netlink
from packetrig.packets import pcap

from .kills import sending
from .rig import Ended, Rig
from .sender import MARKED

pytestmark = [pytest.mark.live, pytest.mark.slow]

Attach = Callable[..., Ended]


@pytest.fixture
def shadow(machine: Rig, path: Path) -> Callable[..., Ended]:
    """Sample fifty frames of `right`, however long it takes, and compare."""

    def call(*words: object, mode: str = "tc-ingress") -> Ended:
        common = ("--iface", "right", "--mode", mode, "--for", "10m", "--frames", "50")
        return machine("shadow", path, *common, *words)

    return call


def test_programs_that_do_the_same_do_not_differ(
    machine: Rig, attach: Attach, shadow: Callable[..., Ended]
) -> None:
    attach("old_tc", mode="tc-ingress")
    (before,) = machine.status()

    with sending(machine):
        ended = shadow("--program", "new_tc")

    assert ended.code == 0
    assert "note: maps as they are on the interface: " in ended.out
    assert ended.out.splitlines()[-1].startswith("50 frames of ")
    assert ended.out.endswith(" s: none differ\n")
    assert machine.status() == [before]


def test_frames_that_differ_are_told_and_written(
    machine: Rig, attach: Attach, shadow: Callable[..., Ended], tmp_path: Path
) -> None:
    attach("old_tc", mode="tc-ingress")
    out = tmp_path / "differ.pcap"

    with sending(machine):
        ended = shadow("--program", "passes_tc", "--out", out, "--limit", "1")

    header, row, *_ = ended.out.splitlines()
    assert ended.code == 1
    assert header.split() == ["number", "packet", "now", "new", "differs", "in"]
    assert row.split()[-3:] == ["SHOT", "OK", "verdict"]
    assert "... 49 more, not shown (--limit)" in ended.out
    assert ended.out.endswith(": 50 differ: 50 SHOT -> OK\n")
    frames = [record.data for record in pcap.read(out)]
    assert len(frames) == 50
    assert {frame[12:14] for frame in frames} == {MARKED.to_bytes(2, "big")}


def test_what_the_maps_of_the_attached_program_hold_is_known_to_both(
    machine: Rig, attach: Attach, shadow: Callable[..., Ended], tmp_path: Path
) -> None:
    setup = tmp_path / "setup.toml"
    setup.write_text('format = 1\n[maps.blocked]\n"0.0.0.0" = 1\n')
    attach("blocks_tc", "--setup", setup, mode="tc-ingress")

    with sending(machine, 0x0800):
        same = shadow("--program", "blocks_tc", "--json")
        other = shadow("--program", "new_tc", "--json")

    told = json.loads(same.out)
    assert (same.code, told["tested"], told["differing"]) == (0, 50, 0)
    assert told["copied-maps"] == ["blocked", "dropped"]
    assert json.loads(other.out)["verdicts"] == {"SHOT -> OK": 50}


def test_another_object_can_be_named(
    machine: Rig, path: Path, shadow: Callable[..., Ended]
) -> None:
    with sending(machine):
        nothing = machine("shadow", path, "--iface", "right", "--program", "new_xdp", "--for", "1s")
        ended = shadow("--program", "new_xdp", "--against", path, mode="native")

    assert (nothing.code, ended.code) == (2, 0)
    assert "right (xdp): nothing is attached there: name the object to compare" in nothing.err


def test_what_xdp_drops_is_said_not_to_be_in_the_sample(
    machine: Rig, attach: Attach, shadow: Callable[..., Ended]
) -> None:
    attach("old_xdp")

    with sending(machine, 0x88B7):
        ended = shadow("--program", "new_xdp", mode="native")

    assert ended.code == 0
    assert "note: an XDP program is attached to right: what it drops or sends" in ended.out


def test_without_traffic_nothing_is_told(machine: Rig, path: Path) -> None:
    words = ("--iface", "right", "--program", "new_xdp", "--against", path, "--for", "10ms")

    ended = machine("shadow", path, *words)

    assert ended.code == 2
    assert "no frame was tested: 0 passed in 0.0 s" in ended.err


def test_what_leaves_is_sampled_for_egress(
    machine: Rig, path: Path, shadow: Callable[..., Ended]
) -> None:
    frame = bytes.fromhex("020000000001 020000000002 88b6") + bytes(46)
    words = ("--iface", "right", "--mode", "tc-egress", "--frames", "1", "--for", "10m")
    running = machine.start(
        "shadow", path, *words, "--program", "passes_tc", "--against", path, "--json"
    )
    while not running.is_over():
        machine.wire.right.send(frame)
    ended = running.end()

    assert (ended.code, json.loads(ended.out)["tested"]) == (0, 1)


def test_a_sample_is_bounded_in_bytes_too(machine: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packetrig.deploy.shadow._MOST_BYTES", 1000)
    with sending(machine, 0x88B7), machine.wire.right.namespace.inside(), deploy.noted() as stop:
        found = deploy.sample("right", "tc-ingress", seconds=600, limit=1 << 30, stop=stop)

    assert [len(frame.data) for frame in found.frames] == [60] * 17  # 1020 bytes
    assert found.caveat == "the sample ended early, with 0 MiB of frames"


def test_frames_of_all_sizes_are_refused_together(machine: Rig, path: Path) -> None:
    words = ("--iface", "right", "--frames", "2", "--for", "10m", "--against", path)
    tc = ("--mode", "tc-egress", "--program", "passes_tc", "--json")
    running = machine.start("shadow", path, *words, *tc)
    while not running.is_over():
        for size in (6, 8):
            machine.wire.right.send(bytes(12) + b"\x08\x00" + bytes(size))
    ended = running.end()

    ((reason, count),) = json.loads(ended.out)["refused"].items()
    assert (ended.code, count) == (2, 2)
    assert reason.startswith("its size: this kernel's test run takes no less than 34")


def test_frames_whose_tag_is_beside_them_are_told_and_not_tested(machine: Rig, path: Path) -> None:
    tagged = bytes.fromhex("020000000002 020000000001 81000005 88b6") + bytes(46)
    words = ("--iface", "right", "--frames", "1", "--for", "10m", "--against", path)

    def shadow(*words: object) -> Ended:
        running = machine.start("shadow", path, *words)
        while not running.is_over():
            machine.wire.send(tagged)
        return running.end()

    tc = shadow(*words, "--mode", "tc-ingress", "--program", "passes_tc")
    xdp = shadow(*words, "--mode", "native", "--program", "new_xdp", "--json")

    assert tc.code == 2
    assert tc.out.startswith("1 not tested: its VLAN tag stands beside it (skb->vlan_tci)")
    assert "no frame was tested: 1 passed in" in tc.err
    assert (xdp.code, json.loads(xdp.out)["tested"]) == (0, 1)


def test_an_interface_that_goes_down_while_sampled_is_named(machine: Rig, path: Path) -> None:
    words = ("--iface", "spare", "--program", "new_xdp", "--against", path, "--for", "10m")
    with netlink(machine.wire.right.namespace, "spare") as route:
        route.link("add", kind="veth", ifname="spare", peer={"ifname": "other"})
        (index,) = route.link_lookup(ifname="spare")
        route.link("set", index=index, state="up")
        running = machine.start("shadow", path, *words)
        sockets = Path(f"/proc/{running.pid}/net/packet")
        while not any(line.split()[4] == str(index) for line in sockets.read_text().splitlines()):
            pass
        route.link("del", index=index)

    ended = running.end()

    assert ended.code == 2
    assert ended.err == "packetrig: spare: went down or away while it was sampled\n"
