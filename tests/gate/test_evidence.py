"""Evidence: read again strictly, and held to a signature; what was changed since is named."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from packetrig import gate
from packetrig.errors import Error, NotFound, ToolMissing
from packetrig.gate import signing

from ..cli.given import key_pair

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Judge a file that is not there: evidence of that is evidence too."""
    place = tmp_path_factory.mktemp("judged")
    (place / "gate.toml").write_text("version = 1\n[build]\n")
    policy = gate.read(place / "gate.toml")
    *_, judged = gate.judge(policy, [place / "absent.o"], into=place, seed=0)
    assert isinstance(judged, gate.Judged)
    return gate.evidence.document(judged, policy, seed=0)


@pytest.fixture
def write(tmp_path: Path, document: dict[str, Any]) -> Write:
    """Write the evidence, changed afterwards, and signed or not."""

    def evidence(key: Path | None = None, **changes: object) -> Path:
        found = signing.signed(document, signing.private_key(key)) if key else document
        path = tmp_path / "evidence.json"
        path.write_text(json.dumps(found | changes))
        return path

    return evidence


def test_what_was_written_is_read(write: Write, document: dict[str, Any]) -> None:
    found = gate.evidence.read(write())

    assert found.document == document
    assert found.decision is gate.Decision.UNDECIDED
    assert (found.object_sha256, found.tags, found.driver) == ("", {}, "")
    assert found.kernel == Path("/proc/sys/kernel/osrelease").read_text().strip()
    assert not found.is_signed


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "is no evidence of the gate: "),
        ("\udcff", "is no evidence of the gate: "),
        ("[" * 100_000, "is no evidence of the gate: "),
        ("[1]", "is no evidence of the gate: it names no format"),
        ('{"format": "1"}', "is no evidence of the gate: it names no format"),
        ('{"format": 1}', "is no whole evidence: it lacks 'decision'"),
        ('{"format": 2}', "format 2 is not known, newer than this packetrig, which reads 1"),
        ('{"format": 0}', "format 0 is not known"),
    ],
)
def test_a_file_that_is_no_evidence_is_named(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "evidence.json"
    path.write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(Error) as caught:
        gate.evidence.read(path)

    assert str(caught.value).startswith(f"{path}: ")
    assert error in str(caught.value)


@pytest.mark.parametrize(
    ("part", "error"),
    [
        ({"rules": {"build": 1}}, "what came of 'build' is missing"),
        ({"rules": {"build": {"waiver": 7}}}, "the waiver of 'build' is none"),
        ({"programs": {"xdp": "tag"}}, "program 'xdp' is not described"),
        ({"programs": []}, "it lacks 'programs'"),
        ({"source": {"path": [1]}}, "'source.path' is [1]"),
        ({"rules": {"build": {"answer": {}}}}, "'rules.build.answer' is {}"),
        ({"policy": {"rules": {"verifier": {"max-stack": "x"}}}}, "max-stack' is 'x'"),
        ({"interface": 5}, "'interface' is 5"),
        ({"decision": "MAYBE"}, "'MAYBE' is no decision of the gate"),
    ],
)
def test_evidence_of_another_shape_is_named(
    tmp_path: Path, document: dict[str, Any], part: dict[str, Any], error: str
) -> None:
    made_up = document | part
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps(made_up | {"digest": signing.digest(made_up)}))

    with pytest.raises(Error) as caught:
        gate.evidence.read(path)

    assert str(caught.value).startswith(f"{path}: ")
    assert error in str(caught.value)


HELD = {"answer": "held"}
WAIVED = {"answer": "waived", "waiver": {"reason": "known", "expires": "2099-12-31"}}


@pytest.mark.parametrize(
    ("decision", "rules", "error"),
    [
        ("DEPLOY", {}, "its rules come to UNDECIDED, and it says DEPLOY"),
        ("DEPLOY", {"build": HELD}, "it says DEPLOY, and not every rule was reached"),
        ("REFUSED", {}, "its rules come to UNDECIDED, and it says REFUSED"),
        ("UNDECIDED", {"build": {"answer": "off"}}, "the rule build is on in the policy"),
        ("UNDECIDED", {"live": HELD}, "the rule live is off in the policy, and 'held' here"),
        ("UNDECIDED", {"live": {"answer": "fine"}}, "'fine' is no answer of the rule live"),
        ("UNDECIDED", {"live": None}, "nothing is said of the rule live"),
        ("DEPLOY", {"build": WAIVED}, "the waiver of build does not stand in the policy"),
        ("DEPLOY", {"build": WAIVED | HELD}, "'held', which does not go with its waiver"),
    ],
)
def test_evidence_whose_parts_do_not_agree_is_named_whatever_its_digest(
    tmp_path: Path,
    document: dict[str, Any],
    decision: str,
    rules: dict[str, Any],
    error: str,
) -> None:
    told = {k: v for k, v in (document["rules"] | rules).items() if v is not None}
    made_up = document | {"decision": decision, "rules": told}
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps(made_up | {"digest": signing.digest(made_up)}))

    with pytest.raises(Error, match=f"^{path}: contradicts itself: ") as caught:
        gate.evidence.read(path)

    assert error in str(caught.value)


def test_evidence_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="absent.json: there is no such evidence"):
        gate.evidence.read(tmp_path / "absent.json")
    with pytest.raises(Error, match="cannot be read: is a directory"):
        gate.evidence.read(tmp_path)


@pytest.mark.parametrize("change", [{"decision": "DEPLOY"}, {"name": "other"}, {"more": 1}])
def test_a_change_since_it_was_written_is_named(write: Write, change: dict[str, object]) -> None:
    with pytest.raises(Error, match="was changed after the gate wrote it"):
        gate.evidence.read(write(**change))


def test_a_signature_holds_for_its_own_key_alone(write: Write, tmp_path: Path) -> None:
    private, public = key_pair(tmp_path)
    _, stranger = key_pair(tmp_path, "stranger")
    found = gate.evidence.read(write(private))

    gate.evidence.check_signature(found, public)
    with pytest.raises(Error, match="evidence.json: is signed by another key"):
        gate.evidence.check_signature(found, stranger)
    with pytest.raises(Error, match="evidence.json: is not signed"):
        gate.evidence.check_signature(gate.evidence.read(write()), public)


def test_a_change_that_carries_a_new_digest_does_not_pass_the_signature(
    write: Write, tmp_path: Path, document: dict[str, Any]
) -> None:
    private, public = key_pair(tmp_path)
    forged = document | {"name": "other"}
    path = write(private, name="other", digest=signing.digest(forged))

    found = gate.evidence.read(path)

    assert found.document["name"] == "other"
    with pytest.raises(Error, match="was changed after it was signed"):
        gate.evidence.check_signature(found, public)


def test_a_signature_of_another_sort_is_named(write: Write, tmp_path: Path) -> None:
    _, public = key_pair(tmp_path)

    for mark in ("yes", {"algorithm": "rsa"}, ["ed25519"]):
        with pytest.raises(Error, match="is signed in a way that this packetrig does not know"):
            gate.evidence.check_signature(gate.evidence.read(write(signature=mark)), public)


def test_without_cryptography_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, _ = key_pair(tmp_path)
    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed

    with pytest.raises(ToolMissing, match="pip install 'packetrig.sign.'"):
        signing.private_key(private)


def test_a_key_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    private, public = key_pair(tmp_path)
    curve, _ = key_pair(tmp_path, "x", X25519PrivateKey.generate())
    locked, _ = key_pair(tmp_path, "locked", password=b"word")
    (tmp_path / "text").write_text("no key")

    for read, path, said in (
        (signing.private_key, tmp_path / "absent", "there is no such key"),
        (signing.private_key, tmp_path, "cannot be read: is a directory"),
        (signing.private_key, tmp_path / "text", "is no key in PEM"),
        (signing.private_key, public, "is a public key; signing takes the private one"),
        (signing.private_key, locked, "is locked with a password"),
        (signing.private_key, curve, "is a key of another kind (X25519)"),
        (signing.public_key, private, "is a private key; the public one is asked for"),
        (signing.public_key, tmp_path / "text", "is no key in PEM"),
    ):
        with pytest.raises(Error) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: {said}")
