"""Sign evidence with ed25519, and check such a signature. The only door to `cryptography`.

A signature stands in the evidence itself, and covers all that the gate wrote:

    openssl genpkey -algorithm ed25519 -out key.pem
    openssl pkey -in key.pem -pubout -out key.pub
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .. import files
from ..errors import Error, ToolMissing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

ALGORITHM = "ed25519"
_PREFIX = b"packetrig evidence\n"
_MAKE_ONE = "make one with `openssl genpkey -algorithm ed25519 -out key.pem`"
_APART = ("digest", "signature")


def content(document: Mapping[str, Any]) -> bytes:
    """Write down what a digest and a signature cover: all but those two, in one way only."""
    covered = {name: value for name, value in document.items() if name not in _APART}
    return json.dumps(covered, sort_keys=True, separators=(",", ":")).encode()


def digest(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a signature would cover."""
    return hashlib.sha256(content(document)).hexdigest()


def private_key(path: str | Path) -> Ed25519PrivateKey:
    """Read the key that signs: PEM, without a password.

    Raises:
        Error: It cannot be read, or is no such key.
    """
    key = _key(Path(path), is_private=True)
    if not isinstance(key, _ed25519().Ed25519PrivateKey):
        raise Error(f"{path}: is a key of another kind ({_kind(key)}): {_MAKE_ONE}")
    return cast("Ed25519PrivateKey", key)


def public_key(path: str | Path) -> Ed25519PublicKey:
    """Read the key that checks: the public half, PEM.

    Raises:
        Error: It cannot be read, or is no such key.
    """
    key = _key(Path(path), is_private=False)
    if not isinstance(key, _ed25519().Ed25519PublicKey):
        raise Error(f"{path}: is a key of another kind ({_kind(key)}): ed25519 is needed")
    return cast("Ed25519PublicKey", key)


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as e:
        raise ToolMissing(
            "signatures need the Python package cryptography: pip install 'packetrig[sign]'"
        ) from e
    return ed25519


def _key(path: Path, *, is_private: bool) -> object:
    _ed25519()  # says what is missing
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    text = _read(path)
    if not is_private and b"PRIVATE KEY-----" in text:
        raise Error(
            f"{path}: is a private key; the public one is asked for: "
            f"`openssl pkey -in {path} -pubout`"
        )
    if is_private and b"-----BEGIN PUBLIC KEY-----" in text:
        raise Error(f"{path}: is a public key; signing takes the private one")
    try:
        if is_private:
            return serialization.load_pem_private_key(text, password=None)
        return serialization.load_pem_public_key(text)
    except TypeError as e:
        raise Error(f"{path}: is locked with a password; give a key without one") from e
    except (ValueError, UnsupportedAlgorithm) as e:
        raise Error(f"{path}: is no key in PEM: {_MAKE_ONE}") from e


def _read(path: Path) -> bytes:
    return files.read(path, "key")


def _kind(key: object) -> str:
    return type(key).__name__.lstrip("_").removesuffix("PrivateKey").removesuffix("PublicKey")


def fingerprint(key: Ed25519PublicKey) -> str:
    """Name a public key: the SHA-256 of its 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def signed(document: Mapping[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
    """Return the document with a signature in it."""
    value = key.sign(_PREFIX + content(document))
    mark = {
        "algorithm": ALGORITHM,
        "key": fingerprint(key.public_key()),
        "value": value.hex(),
    }
    return {**document, "signature": mark}


def check(document: Mapping[str, Any], key: Ed25519PublicKey, *, name: str) -> None:
    """Hold a document's signature to a public key.

    Raises:
        Error: It is not signed, by another key, or was changed after it was signed.
    """
    from cryptography.exceptions import InvalidSignature

    mark = document.get("signature")
    if not mark:
        raise Error(f"{name}: is not signed: `packetrig gate --sign KEY` signs")
    if not isinstance(mark, dict) or mark.get("algorithm") != ALGORITHM:
        raise Error(f"{name}: is signed in a way that this packetrig does not know")
    own = fingerprint(key)
    if mark.get("key") != own:
        raise Error(
            f"{name}: is signed by another key ({str(mark.get('key'))[:16]}..., not {own[:16]}...)"
        )
    try:
        value = bytes.fromhex(str(mark.get("value")))
        key.verify(value, _PREFIX + content(document))
    except (ValueError, InvalidSignature) as e:
        raise Error(f"{name}: was changed after it was signed: its signature does not fit") from e
