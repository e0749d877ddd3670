"""Faults are found, right programs are not accused: in short what `make finds` does at length."""

from __future__ import annotations

from random import Random

import pytest

from packetrig.packets.frames import walk

from .frames import Choices, Words, frame, shrink
from .harness import MOST_EXAMPLES, Oracle, Subject, faulty, right, searching

TWINS, RIGHT = faulty(), right()


def name(subject: Subject) -> str:
    return subject.name


@pytest.mark.slow
@pytest.mark.live
@pytest.mark.parametrize("subject", TWINS, ids=name)
def test_a_fault_is_found(subject: Subject) -> None:
    with searching(subject) as search:
        found = search.run(1, examples=MOST_EXAMPLES, seconds=60)

    assert found.check, f"{subject.fault}: not found in {found.examples} frames"


@pytest.mark.slow
@pytest.mark.live
@pytest.mark.parametrize("subject", RIGHT, ids=name)
def test_a_right_program_is_not_accused(subject: Subject) -> None:
    with searching(subject) as search:
        found = search.run(2, examples=400, seconds=60)

    assert found.failure == ""
    assert found.examples == 400


@pytest.mark.slow
def test_the_smallest_packet_has_nothing_that_the_fault_does_not_need() -> None:
    (twin,) = (each for each in TWINS if each.name == "xdp_router_ttl_not_decremented")

    with searching(twin) as search:
        found = search.run(1, seconds=60, is_shrunk=True)

    assert [header.name for header in walk(found.packet)] == ["Ether", "IP", "UDP"]
    assert len(found.packet) == 42
    assert found.check == "a_forwarded_packet_loses_one_hop"


def test_there_are_25_faults_at_least_and_each_says_which() -> None:
    assert len(TWINS) >= 25
    assert [twin.name for twin in TWINS if not twin.fault] == []


@pytest.mark.parametrize("subject", RIGHT, ids=name)
def test_each_program_has_a_model(subject: Subject) -> None:
    assert Oracle.of(subject.base).model.name == subject.name


def test_the_same_seed_gives_the_same_frames() -> None:
    words = Oracle.of("xdp_balancer").words

    def some() -> list[bytes]:
        random = Random(7)
        return [frame(Choices(random), words) for _ in range(50)]

    assert some() == some()
    assert len(set(some())) > 45


def test_the_same_choices_give_the_same_frame() -> None:
    words, random = Oracle.of("xdp_http").words, Random(3)

    for _ in range(50):
        choices = Choices(random)
        made = frame(choices, words)
        assert frame(Choices(given=choices.made), words) == made


def test_words_are_what_a_set_up_speaks_of() -> None:
    words = Words.of(
        {
            "blocked": {"10.0.0.66": 0, "2001:db8::/32": 1},
            "allowed": {"/index.html": 1},
            "services": [{"key": {"address": "::ffff:10.0.0.2", "port": 80}}],
            "macs": {"02:00:00:00:00:0b": 7},
        }
    )

    assert words.v4 == (bytes((10, 0, 0, 66)), bytes((10, 0, 0, 2)))
    assert words.v6 == (bytes.fromhex("20010db8") + bytes(12),)
    assert words.macs == (bytes.fromhex("02000000000b"),)
    assert {80, 7} <= set(words.numbers)
    assert b"/index.html" in words.texts
    assert [group.numbers for group in words.groups if 80 in group.numbers] == [(80,)]


def test_shrinking_lowers_each_choice_as_far_as_it_goes() -> None:
    assert shrink([90, 7, 300], lambda made: made[0] > 40 and made[2] >= 17) == [41, 0, 17]
