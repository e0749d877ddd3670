"""The replay rule against what is deployed: asked of the journal, never of the live program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from packetrig import build, gate
from packetrig.errors import Error, PolicyError
from packetrig.gate.outcome import Answer, Outcome
from packetrig.packets import pcap

from ..cli.given import BLOCKED, GOOD, SOURCES, STATE
from ..deploy.rig import Rig, rig

MIX = SOURCES / "xdp_mix.bpf.c"
RULE = """
version = 1
[replay]
pcap = ["{here}/in.pcap"]
setup = "{here}/state.toml"
against = "deployed"
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make a folder with two packets, a set-up, and a policy."""
    pcap.write(tmp_path / "in.pcap", [GOOD, BLOCKED])
    (tmp_path / "state.toml").write_text(STATE)
    (tmp_path / "gate.toml").write_text(RULE.format(here=tmp_path))
    (tmp_path / "old.o").write_bytes(build(MIX).data)
    (tmp_path / "new.o").write_bytes(build(MIX, define={"VERDICT": "XDP_TX"}).data)
    return tmp_path


UNSIZED = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u32);
    } seen SEC(".maps");
SEC("xdp") int looks(struct xdp_md *ctx)
{
    __u32 key = 1;
    return bpf_map_lookup_elem(&seen, &key) ? XDP_DROP : XDP_PASS;
}
"""


def test_maps_left_to_who_loads_have_the_size_of_the_set_up_in_every_rule(place: Path) -> None:
    (place / "xdp_unsized.bpf.c").write_text(UNSIZED)
    (place / "state.toml").write_text("format = 1\n[max_entries]\nseen = 7\n")
    (place / "gate.toml").write_text(
        f"version = 1\n[verifier]\n[replay]\npcap = ['{place}/in.pcap']\n"
        f"setup = '{place}/state.toml'\n[speed]\npacket = '{place}/in.pcap'\n"
        "max-ns-per-packet = 1e9\n[fuzz]\nruns = 100\n"
    )
    events = gate.judge(
        gate.read(place / "gate.toml"), [place / "xdp_unsized.bpf.c"], into=place / "build", seed=1
    )
    (found,) = [event for event in events if isinstance(event, gate.Judged)]

    assert found.decision is gate.Decision.DEPLOY, found.outcomes


def replayed(place: Path, name: str, deployed: object) -> Outcome:
    policy = gate.read(place / "gate.toml")
    events = gate.judge(
        policy,
        [place / name],
        into=place,
        seed=7,
        deployed=deployed,  # type: ignore[arg-type]
    )
    (judged,) = [event for event in events if isinstance(event, gate.Judged)]
    return judged.outcome("replay")


def test_an_object_is_held_to_what_is_deployed_in_the_same_state(place: Path) -> None:
    asked: list[tuple[str, str]] = []

    def deployed(kind: str, direction: str) -> gate.Deployed:
        asked.append((kind, direction))
        return gate.Deployed(build(MIX), "xdp_mix")

    same = replayed(place, "old.o", deployed)
    other = replayed(place, "new.o", deployed)

    assert asked == [("xdp", "ingress")] * 2
    assert (same.answer, same.measured["compared"]) == (Answer.HELD, 2)
    assert other.answer is Answer.REFUSED
    (reason,) = other.reasons
    assert "packet 1: it does not do the same as what is deployed: verdict" in reason.text


def test_its_globals_are_those_that_it_was_attached_with(place: Path) -> None:
    def deployed(_kind: str, _direction: str) -> gate.Deployed:
        return gate.Deployed(build(MIX), "xdp_mix", {"limit": 0})

    outcome = replayed(place, "old.o", deployed)

    assert "packet 1: it does not do the same" in outcome.reasons[0].text


def test_without_an_interface_or_without_a_program_there_nothing_is_decided(place: Path) -> None:
    def nothing(_kind: str, _direction: str) -> gate.Deployed:
        raise Error("eth0 (xdp): nothing is attached there")

    unnamed = replayed(place, "old.o", None)
    absent = replayed(place, "old.o", nothing)

    assert (unnamed.answer, absent.answer) == (Answer.UNDECIDED,) * 2
    assert "no interface is named: iface, or --iface" in unnamed.reasons[0].text
    assert "nothing is attached there" in absent.reasons[0].text


def test_an_interface_is_named_for_what_is_deployed_only(place: Path) -> None:
    policy = place / "gate.toml"
    policy.write_text(policy.read_text().replace('"deployed"', '"old.o"\niface = "eth0"'))

    with pytest.raises(PolicyError, match="allowed: 'deployed', on the interface eth0"):
        gate.read(policy)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Rig]:
    """Give a machine to attach on, and leave nothing attached."""
    with rig(tmp_path / "state") as made:
        yield made
        made("detach", "--iface", "right", "--all")
        assert made.status() == []


@pytest.mark.live
@pytest.mark.slow
def test_the_gate_finds_what_packetrig_attached(machine: Rig, place: Path) -> None:
    words = ("--policy", place / "gate.toml", "--iface", "right", "--json")
    before = machine("gate", place / "old.o", *words)
    attached = machine("attach", place / "old.o", "--iface", "right", "--force", "a test")
    same = machine("gate", place / "old.o", *words)
    other = machine("gate", place / "new.o", *words)
    gone = machine("gate", place / "old.o", *words[:2], "--iface", "absent0")

    assert attached.code == 0, attached.err
    assert [each.code for each in (before, same, other, gone)] == [2, 0, 1, 2]
    assert "nothing is attached there" in before.out
    (found,) = json.loads(same.out)["objects"]
    assert found["interface"] == {"name": "right", "driver": "veth"}
    assert found["rules"]["replay"]["measured"]["compared"] == 2
    assert "absent0" in gone.err and gone.err.count("\n") == 1
