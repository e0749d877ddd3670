"""Findings that were kept, before the gate: what was fixed once is not deployed again."""

from __future__ import annotations

from pathlib import Path

import pytest

from packetrig import build
from packetrig.fuzz import crashfile
from packetrig.fuzz.finding import Finding, Made, Place
from packetrig.gate import suite

SOURCES = Path(__file__).parents[1] / "cli" / "sources"
MIX = "progs/xdp_mix.bpf.c"


@pytest.mark.slow
def test_a_kept_finding_is_a_test_of_its_object_whatever_paths_the_policy_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "progs").symlink_to(SOURCES)
    (tmp_path / "tests" / "deep").mkdir(parents=True)
    (tmp_path / "tests" / "deep" / "test_it.py").write_text("def test_it():\n    pass\n")
    frame = bytes(12) + b"\x88\xb5"
    found = Finding(
        "it_never_aborts",
        Place(MIX, 42),
        (frame,),
        Made(MIX, "xdp_mix"),
        expected="it never aborts",
        seen="XDP.ABORTED",
    )
    crashfile.write(found)
    crashfile.keep(crashfile.path_of(found))

    told = suite.run(["tests/deep"], seed=1)

    (kept,) = [each for each in told.tests if each.outcome == "failed"]
    assert kept.name == f"{crashfile.path_of(found)}::stays_fixed"
    assert build(MIX).sha256 in kept.objects
    assert str(crashfile.path_of(found)) in told.command
