"""The captures are what their files say, and the programs agree with the second opinion."""

from __future__ import annotations

import hashlib
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import packetrig
from packetrig.packets import pcap
from packetrig.packets.frames import bad_checksums
from packetrig.replay import expected, run_lengths

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.append(str(REPOSITORY / "fixtures"))

from recording import expect  # noqa: E402  # the recorder is a tool beside the package

CAPTURES = sorted((REPOSITORY / "fixtures" / "pcap").glob("*.pcap"))
PROGRAMS = sorted(name for name in expect.DECISIONS if expect.policy(name) is not None)


def _frames(path: Path) -> list[bytes]:
    return [record.data for record in pcap.read(path)]


def _beside(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.with_suffix(".toml").read_text(encoding="utf-8"))


def test_there_are_captures_and_they_are_small():
    assert len(CAPTURES) >= 16
    assert sum(path.stat().st_size for path in CAPTURES) < 500_000


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_a_capture_is_the_one_that_its_file_describes(path):
    told = _beside(path)
    assert told["format"] == 1
    assert told["packets"] == len(_frames(path))
    assert told["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {"shows", "recorded", "again", "kernel", "tools"} == set(told["provenance"])


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_every_checksum_in_a_capture_is_right(path):
    assert [bad for frame in _frames(path) for bad in bad_checksums(frame)] == []


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_the_recorded_verdicts_are_those_of_the_present_policies(path):
    words = expect.verdicts(_frames(path))
    told = {name: list(expected(text)) for name, text in _beside(path)["verdicts"].items()}
    assert told == words  # else: python fixtures/record.py --verdicts


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_gives_every_recorded_packet_the_recorded_verdict(program):
    state = expect.policy(program)
    assert state is not None
    differ = {}
    constants = state.get("globals", {})
    with packetrig.build(REPOSITORY / f"progs/{program}.bpf.c").load(**constants) as loaded:
        for path in CAPTURES:
            loaded.renew()
            loaded.put({"maps": state.get("maps", {})})
            seen = run_lengths(loaded.run(frame).verdict.name for frame in _frames(path))
            told = run_lengths(expected(_beside(path)["verdicts"][program]))
            if seen != told:
                differ[path.stem] = (told, seen)
    assert differ == {}
