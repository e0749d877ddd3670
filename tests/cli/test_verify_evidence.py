"""`packetrig verify-evidence`: what is recomputed, what differs, and what cannot be told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from packetrig import build, fuzz
from packetrig.gate import signing
from packetrig.packets import pcap

from .given import Ended, key_pair

Command = Callable[..., Ended]

MIX = "progs/xdp_mix.bpf.c"
SHIPPED = "build/xdp_mix.bpf.o"


@pytest.fixture
def evidence(packetrig: Command, place: Path) -> dict[str, Any]:
    """Gate an object, with its evidence signed."""
    (place / "gate.toml").write_text("version = 1\n[verifier]\nmax-stack = 512\n")
    key_pair(place)
    words = ("--policy", "gate.toml", "--evidence", "e.json", "--sign", "key.pem")
    assert packetrig("gate", MIX, *words).code == 0
    found: dict[str, Any] = json.loads((place / "e.json").read_text())
    return found


def changed(evidence: dict[str, Any], **parts: dict[str, Any]) -> None:
    """Write the evidence as a gate elsewhere would have written it."""
    found = {**evidence, **{name: {**evidence[name], **each} for name, each in parts.items()}}
    found["digest"] = signing.digest(found)
    Path("e.json").write_text(json.dumps(found))


def answers(ended: Ended) -> dict[str, str]:
    return {each["what"]: each["found"] for each in json.loads(ended.out)["checked"]}


def test_evidence_holds_for_its_object(packetrig: Command, evidence: dict[str, Any]) -> None:
    ended = packetrig("verify-evidence", "e.json", SHIPPED, "--public-key", "key.pub")
    told = answers(packetrig("verify-evidence", "e.json", SHIPPED, "--json"))

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("\nthe evidence holds: DEPLOY\n")
    assert told == {
        "digest": "same",
        "signature": "not recomputed",
        "object": "same",
        "source": "same",
        "policy": "same",
        "kernel": "same",
        "build": "same",
        "xdp_mix: tag": "same",
        "xdp_mix: verifier": "same",
    }


def test_another_object_is_not_what_it_is_about(
    packetrig: Command, evidence: dict[str, Any], place: Path
) -> None:
    (place / "other.o").write_bytes(build(MIX, define={"VERDICT": "XDP_TX"}).data)

    ended = packetrig("verify-evidence", "e.json", "other.o")

    assert ended.code == 1
    assert "other.o has sha256" in ended.out
    assert ended.out.endswith("\nthe evidence does not hold for this object\n")


def test_a_source_or_policy_that_changed_since_differs_and_one_that_is_gone_cannot_be_told(
    packetrig: Command, evidence: dict[str, Any], place: Path
) -> None:
    policy = place / "gate.toml"

    policy.write_text(policy.read_text().replace("512", "511"))
    differs = packetrig("verify-evidence", "e.json", SHIPPED, "--json")
    policy.unlink()
    gone = packetrig("verify-evidence", "e.json", SHIPPED, "--json")

    assert (differs.code, answers(differs)["policy"]) == (1, "differs")
    assert (gone.code, answers(gone)["policy"]) == (2, "cannot tell")


def test_another_kernel_and_another_compiler_are_named(
    packetrig: Command, evidence: dict[str, Any]
) -> None:
    program = {**evidence["programs"]["xdp_mix"], "tag": "0" * 16}
    changed(evidence, tools={"kernel": "5.10.0", "clang": "14"}, programs={"xdp_mix": program})

    ended = packetrig("verify-evidence", "e.json", SHIPPED)

    assert ended.code == 2
    assert "cannot tell     5.10.0, this one is " in ended.out
    assert "built by 14, here is " in ended.out
    assert "kernels differ in this" in ended.out
    assert ended.out.endswith("whether the evidence (DEPLOY) holds here cannot be told\n")


def test_a_tag_that_differs_on_the_same_kernel_does_not_hold(
    packetrig: Command, evidence: dict[str, Any]
) -> None:
    changed(evidence, programs={"xdp_mix": {"tag": "0" * 16}, "xdp_gone": {"tag": "1" * 16}})

    ended = packetrig("verify-evidence", "e.json", SHIPPED, "--json")

    assert ended.code == 1
    assert answers(ended)["xdp_mix: tag"] == answers(ended)["xdp_gone"] == "differs"


def test_a_waiver_that_ended_since_does_not_hold(
    packetrig: Command, evidence: dict[str, Any]
) -> None:
    waiver = {"reason": "known", "expires": "2020-02-29"}
    rule = {**evidence["rules"]["verifier"], "answer": "waived", "waiver": waiver}
    rules = evidence["policy"]["rules"] | {"waiver": [{"rule": "verifier", **waiver}]}
    changed(evidence, rules={"verifier": rule}, policy={"rules": rules})

    ended = packetrig("verify-evidence", "e.json", SHIPPED)

    assert ended.code == 1
    assert "it has ended: verifier (2020-02-29)" in ended.out


@pytest.mark.parametrize(("decision", "code"), [("REFUSED", 1), ("UNDECIDED", 2)])
def test_evidence_that_holds_exits_as_the_gate_decided(
    packetrig: Command, evidence: dict[str, Any], decision: str, code: int
) -> None:
    rule = {**evidence["rules"]["verifier"], "answer": decision.lower()}
    changed(evidence | {"decision": decision}, rules={"verifier": rule})

    ended = packetrig("verify-evidence", "e.json", SHIPPED)

    assert (ended.code, ended.out.splitlines()[-1]) == (code, f"the evidence holds: {decision}")


def test_a_limit_that_was_loosened_in_the_evidence_is_noticed(
    packetrig: Command, evidence: dict[str, Any]
) -> None:
    rules = evidence["policy"]["rules"] | {"verifier": {"max-stack": 4096}}
    changed(evidence, policy={"rules": rules})

    ended = packetrig("verify-evidence", "e.json", SHIPPED)

    assert ended.code == 1
    assert "gate.toml says otherwise of: verifier" in ended.out


def test_a_limit_that_the_object_does_not_hold_is_noticed(
    packetrig: Command, evidence: dict[str, Any], place: Path
) -> None:
    (place / "gate.toml").write_text("version = 1\n[verifier]\nmax-instructions = 1\n")
    digest = hashlib.sha256((place / "gate.toml").read_bytes()).hexdigest()
    rules = evidence["policy"]["rules"] | {"verifier": {"max-instructions": 1}}
    changed(evidence, policy={"sha256": digest, "rules": rules})

    ended = packetrig("verify-evidence", "e.json", SHIPPED)

    assert ended.code == 1
    assert "are more than max-instructions = 1" in ended.out


def test_a_capture_that_changed_since_differs_and_one_that_is_gone_cannot_be_told(
    packetrig: Command, place: Path
) -> None:
    capture = place / "two.pcap"
    pcap.write(capture, [bytes(60), bytes(61)])
    (place / "gate.toml").write_text("version = 1\n[replay]\npcap = ['two.pcap']\n")
    packetrig("gate", MIX, "--policy", "gate.toml", "--evidence", "e.json")

    same = packetrig("verify-evidence", "e.json", SHIPPED, "--json")
    pcap.write(capture, [bytes(60)])
    differs = packetrig("verify-evidence", "e.json", SHIPPED, "--json")
    capture.unlink()
    gone = packetrig("verify-evidence", "e.json", SHIPPED, "--json")

    assert (same.code, answers(same)["captures"]) == (0, "same")
    assert (differs.code, answers(differs)["capture"]) == (1, "differs")
    assert (gone.code, answers(gone)["capture"]) == (2, "cannot tell")


@pytest.mark.slow
def test_frames_that_a_campaign_began_with_are_held_to_their_hashes(
    packetrig: Command, place: Path
) -> None:
    corpus = fuzz.Corpus(place / "corpus")
    corpus.add(bytes(60))
    pcap.write(place / "two.pcap", [bytes(60), bytes(61)])
    rules = 'version = 1\n[fuzz]\nruns = 500\ncorpus = "corpus"\nseeds = ["two.pcap"]\n'
    (place / "gate.toml").write_text(rules)
    packetrig("gate", MIX, "--policy", "gate.toml", "--evidence", "e.json")

    same = packetrig("verify-evidence", "e.json", SHIPPED, "--json")
    corpus.add(bytes(62))
    differs = packetrig("verify-evidence", "e.json", SHIPPED, "--json")

    assert answers(same)["seeds"] == "same"
    assert (differs.code, answers(differs)["seed"]) == (1, "differs")


def test_what_cannot_be_read_or_was_changed_is_one_line_and_exit_2(
    packetrig: Command, evidence: dict[str, Any], place: Path
) -> None:
    (place / "newer.json").write_text('{"format": 2}')
    (place / "changed.json").write_text(json.dumps(evidence | {"decision": "UNDECIDED"}))
    forged = evidence | {"name": "other"}
    forged["digest"] = signing.digest(forged)
    (place / "forged.json").write_text(json.dumps(forged))
    key = ("--public-key", "key.pub")

    for words, error in (
        (("absent.json", SHIPPED), "absent.json: there is no such evidence"),
        (("newer.json", SHIPPED), "newer.json: evidence of format 2 is not known, newer than"),
        (("changed.json", SHIPPED), "changed.json: was changed after the gate wrote it"),
        (("forged.json", SHIPPED, *key), "forged.json: was changed after it was signed"),
        (("e.json", "absent.o"), "no object file absent.o"),
        (("e.json", "gate.toml"), "gate.toml: "),
        (("e.json", SHIPPED, "--public-key", "key.pem"), "key.pem: is a private key"),
        (("e.json", SHIPPED, "--public-key", "absent"), "absent: there is no such key"),
    ):
        ended = packetrig("verify-evidence", *words)
        assert error in ended.err
        assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)


def test_a_key_that_cannot_sign_is_named_before_anything_runs(
    packetrig: Command, evidence: dict[str, Any]
) -> None:
    words = ("gate", MIX, "--policy", "gate.toml")

    for more, error in (
        (("--sign", "absent", "--evidence", "n.json"), "absent: there is no such key"),
        (("--sign", "key.pub", "--evidence", "n.json"), "key.pub: is a public key"),
        (("--sign", "key.pem"), "there is nothing to sign without --evidence"),
    ):
        ended = packetrig(*words, *more)
        assert error in ended.err
        assert (ended.code, ended.out) == (2, "")
    assert not Path("n.json").exists()


def test_maps_have_the_size_of_the_set_up_that_the_policy_names(
    packetrig: Command, place: Path
) -> None:
    (place / "xdp_unsized.bpf.c").write_text(
        "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n"
        "struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, int); __type(value, int);"
        ' } seen SEC(".maps");\n'
        'SEC("xdp") int looks(void *ctx) { int key = 1;'
        " return bpf_map_lookup_elem(&seen, &key) ? XDP_DROP : XDP_PASS; }\n"
    )
    pcap.write(place / "one.pcap", [bytes(60)])
    (place / "state.toml").write_text("format = 1\n[max_entries]\nseen = 7\n")
    rules = "[verifier]\n[replay]\npcap = ['one.pcap']\nsetup = 'state.toml'\n"
    (place / "gate.toml").write_text(f"version = 1\n{rules}")
    words = ("--policy", "gate.toml", "--evidence", "e.json")
    assert packetrig("gate", "xdp_unsized.bpf.c", *words).code == 0

    ended = packetrig("verify-evidence", "e.json", "build/xdp_unsized.bpf.o")

    assert (ended.code, ended.err) == (0, "")
