"""Each program in progs/rejected is refused by the verifier, for the reason in its first line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import packetrig
from packetrig import VerifierError

REJECTED = sorted((Path(__file__).parents[2] / "progs" / "rejected").glob("*.bpf.c"))


def test_there_are_some() -> None:
    assert len(REJECTED) >= 5


@pytest.mark.parametrize("source", REJECTED, ids=lambda path: path.name.removesuffix(".bpf.c"))
def test_the_verifier_refuses_it_as_expected(source: Path) -> None:
    expected = re.match(r"/\* EXPECT: (.*) \*/", source.read_text(encoding="utf-8"))
    assert expected is not None
    spec = packetrig.build(source)

    with pytest.raises(VerifierError) as caught:
        spec.load()

    assert expected[1] in caught.value.log
    assert source.name in str(caught.value)
    assert "\n" not in str(caught.value)
