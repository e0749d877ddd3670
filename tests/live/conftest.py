"""What the tests of the wire share: programs whose answer stands in the frame, and a wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import packetrig
from packetrig import Object, Spec

SOURCE = Path(__file__).parent / "answers.bpf.c"


@pytest.fixture(scope="session")
def answers() -> Spec:
    return packetrig.build(SOURCE)


@pytest.fixture
def load(answers: Spec) -> Iterator[Callable[[str], Object]]:
    loaded: list[Object] = []

    def one(program: str) -> Object:
        loaded.append(answers.load(program=program))
        return loaded[-1]

    yield one
    for made in loaded:
        made.close()


@pytest.fixture
def xdp(load: Callable[[str], Object]) -> Object:
    return load("answer_xdp")


@pytest.fixture
def tc(load: Callable[[str], Object]) -> Object:
    return load("answer_tc")


@pytest.fixture
def frame() -> Callable[..., bytes]:
    """Build a frame that asks for an answer: `frame(XDP.DROP)`."""

    def build(answer: int, *, stamp: int = 0, kind: bytes = b"\x08\x00", size: int = 64) -> bytes:
        head = bytes.fromhex("020000000002 020000000001") + kind + bytes([answer, stamp])
        return head.ljust(size, b"\xaa")

    return build
