"""Only what its evidence permits is attached."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import packetrig
from packetrig.gate import signing

from .rig import Ended, Rig

pytestmark = pytest.mark.live

Deploy = Callable[..., Ended]
Change = Callable[..., Path]
POLICY = "version = 1\n[verifier]\nmax-instructions = 10000\n"


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Let the gate judge an object, once for all; the folder has what it wrote."""
    from packetrig.cli import main

    folder = tmp_path_factory.mktemp("gated")
    source = Path(__file__).with_name("filters.bpf.c")
    (folder / "gate.toml").write_text(POLICY)
    (folder / "filters.o").write_bytes(packetrig.build(source).data)
    words = [str(folder / "filters.o"), "--policy", str(folder / "gate.toml")]
    assert main(["gate", *words, "--evidence", str(folder / "evidence.json")]) == 0
    return folder


@pytest.fixture
def change(gated: Path, tmp_path: Path) -> Change:
    """Write the evidence again with parts of it changed, as the gate would have written it."""

    def write(
        *, digested: bool = True, signed: Ed25519PrivateKey | None = None, **parts: Any
    ) -> Path:
        found = json.loads((gated / "evidence.json").read_text())
        for name, value in parts.items():
            found[name] = {**(found.get(name) or {}), **value} if isinstance(value, dict) else value
        if digested:
            found["digest"] = signing.digest(found)
        if signed:
            found = signing.signed(found, signed)
        path = tmp_path / "changed.json"
        path.write_text(json.dumps(found))
        return path

    return write


@pytest.fixture
def deploy(machine: Rig, gated: Path) -> Deploy:
    """Attach the gated object with evidence."""

    def call(evidence: Path, *words: object) -> Ended:
        common = ("--iface", "right", "--program", "old_xdp", "--evidence", evidence)
        return machine("attach", gated / "filters.o", *common, *words)

    return call


def test_evidence_that_holds_attaches_and_is_recorded(
    machine: Rig, deploy: Deploy, gated: Path
) -> None:
    ended = deploy(gated / "evidence.json", "--policy", gated / "gate.toml")
    (spot,) = machine.status()
    said = machine("status").out

    assert ended.code == 0
    recorded = spot["generations"][-1]["evidence"]
    written = json.loads((gated / "evidence.json").read_text())
    assert recorded["digest"] == written["digest"]
    assert recorded["policy"] == written["policy"]["sha256"]
    assert "  evidence.json  nothing" in said
    assert recorded["path"] == str(gated / "evidence.json")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (
            {"decision": "REFUSED", "rules": {"verifier": {"answer": "refused"}}},
            "the gate says REFUSED, not DEPLOY",
        ),
        (
            {"decision": "UNDECIDED", "rules": {"verifier": {"answer": "undecided"}}},
            "the gate says UNDECIDED, not DEPLOY",
        ),
        ({"rules": {"verifier": {"answer": "refused"}}}, "contradicts itself: its rules come to"),
        ({"object": {"sha256": "ab" * 32}}, "is about another object (sha256 abababababab..., "),
        ({"tools": {"kernel": "5.4.0-1"}}, "is for the kernel 5.4.0-1, this one is "),
        (
            {"interface": {"driver": "ixgbe"}},
            "is for the driver ixgbe, that of the interface is veth",
        ),
        ({"programs": {}, "format": 2}, "evidence of format 2 is not known"),
        (
            {"decision": "DEPLOY", "digested": False, "name": "x"},
            "was changed after the gate wrote",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_evidence_that_does_not_hold_is_named(
    machine: Rig, deploy: Deploy, gated: Path, change: Change, parts: dict[str, Any], said: str
) -> None:
    deploy(gated / "evidence.json")
    (before,) = machine.status()

    ended = deploy(change(**parts))

    assert ended.code == 2
    assert said in ended.err
    assert machine.status() == [before]


def test_a_waiver_that_has_ended_is_named(machine: Rig, deploy: Deploy, change: Change) -> None:
    waiver = {"reason": "x", "expires": "2020-01-31"}
    written = {"verifier": {}, "waiver": [{"rule": "verifier", **waiver}]}
    rules = {"verifier": {"answer": "waived", "waiver": waiver}}

    ended = deploy(change(rules=rules, policy={"rules": written}))

    assert ended.code == 2
    assert "rests on a waiver that has ended: verifier (2020-01-31)" in ended.err


def test_evidence_by_another_policy_is_named(
    machine: Rig, deploy: Deploy, gated: Path, tmp_path: Path
) -> None:
    other = tmp_path / "strict.toml"
    other.write_text("version = 1\n")

    ended = deploy(gated / "evidence.json", "--policy", other)

    assert ended.code == 2
    assert f"was decided by another policy than {other}" in ended.err


def test_evidence_of_another_program_of_the_object_is_named(
    machine: Rig, gated: Path, change: Change
) -> None:
    found = json.loads((gated / "evidence.json").read_text())
    del found["programs"]["new_xdp"]
    found["digest"] = signing.digest(found)
    path = gated / "less.json"
    path.write_text(json.dumps(found))
    words = ("--iface", "right", "--program", "new_xdp", "--evidence", path)

    ended = machine("attach", gated / "filters.o", *words)

    assert ended.code == 2
    assert "says nothing of the program new_xdp" in ended.err


def test_a_program_that_was_judged_by_tail_calls_alone_is_no_entry(
    deploy: Deploy, gated: Path, change: Change
) -> None:
    rules = json.loads((gated / "evidence.json").read_text())["rules"]
    measured = {**rules["verifier"]["measured"], "callees": ["old_xdp"]}

    ended = deploy(change(rules={"verifier": {**rules["verifier"], "measured": measured}}))

    assert ended.code == 2
    assert "has judged old_xdp by tail calls alone" in ended.err


def test_a_signature_that_is_required_must_be_by_that_key(
    machine: Rig, deploy: Deploy, gated: Path, change: Change, tmp_path: Path
) -> None:
    ours, theirs = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    key = tmp_path / "key.pub"
    key.write_bytes(
        ours.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    required = ("--require-signature", key)

    unsigned = deploy(gated / "evidence.json", *required)
    foreign = deploy(change(signed=theirs), *required)
    own = deploy(change(signed=ours), *required)

    assert (unsigned.code, foreign.code, own.code) == (2, 2, 0)
    assert "is not signed" in unsigned.err
    assert "is signed by another key" in foreign.err
    assert ", signed" in machine("status").out


def test_what_is_no_evidence_is_named(machine: Rig, deploy: Deploy, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")

    assert "there is no such evidence" in deploy(tmp_path / "nope.json").err
    assert "is no evidence of the gate" in deploy(tmp_path / "x.json").err
    assert machine.status() == []
