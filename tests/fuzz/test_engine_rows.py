"""What single frames do not reach: full maps, segments behind segments, sums of several bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

import packetrig
from packetrig import fuzz
from packetrig.fuzz import seeds as sources
from packetrig.fuzz.dictionary import Kind, Word, words_of
from packetrig.fuzz.loop import Row
from packetrig.fuzz.words import Words

STATES = Path(__file__).parent / "sources" / "xdp_states.bpf.c"
ADDRESS = bytes.fromhex("20010db8 07070909 01020304 05060708")


# Making a long story small asks every check about every frame: here one is enough.
OTHERS = (
    "equal_packets_are_treated_equally",
    "a_dropped_packet_grows_no_map",
    "a_forwarded_packet_loses_one_hop",
    "right_checksums_stay_right",
    "the_output_parses_as_far_as_the_input",
)


def found(program: str, *, runs: int, seed: int) -> list[fuzz.Found]:
    events = fuzz.campaign(
        STATES,
        program=program,
        seeds=sources.plain(),
        seed=seed,
        runs=runs,
        findings=1,
        without=OTHERS,
    )
    return [event for event in events if isinstance(event, fuzz.Found)]


@pytest.mark.slow
def test_a_flood_of_flows_fills_a_map(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []
    judge = fuzz.Target._judge
    monkeypatch.setattr(fuzz.Target, "_judge", lambda *of: (judged.append(of), judge(*of))[1])

    (finding,) = found("full", runs=50_000, seed=3)

    assert finding.check == "it_never_aborts"
    assert len(finding.frames) == 101  # as few as it takes
    assert len(judged) < 10_000, "of the 20,000 frames that are tried, few are judged"


@pytest.mark.parametrize(
    ("program", "runs"),
    [
        ("routed", 300_000),
        ("summed", 400_000),
        ("addressed", 20_000),
        ("sent_by", 20_000),
        ("sent_to", 20_000),
    ],
)
@pytest.mark.slow
def test_what_no_constant_alone_leads_to_is_reached(program: str, runs: int) -> None:
    assert [each.check for each in found(program, runs=runs, seed=1)] == ["it_never_aborts"]


def test_addresses_that_are_constants_or_compared_by_halves_are_words() -> None:
    spec = packetrig.build(STATES)
    with spec.load() as loaded:
        words = words_of(spec, loaded, Words())

    assert Word(ADDRESS) in words
    assert Word(bytes.fromhex("dead99010203"), Kind.MAC) in words


def test_flows_and_floods_are_the_same_again() -> None:
    told = []
    for _ in range(2):
        with fuzz.Target.open(STATES, program="full") as target:
            campaign = fuzz.Campaign(target, seed=3, seeds=sources.plain())
            list(campaign.events(fuzz.Limits(runs=2000)))
            told.append((campaign.loop.totals(), campaign.loop.tell(64, Row.FLOW).frames()))

    assert told[0] == told[1]


def test_a_flood_is_one_frame_of_many_flows_and_a_flow_is_one() -> None:
    with fuzz.Target.open(STATES, program="summed") as target:
        campaign = fuzz.Campaign(target, seeds=sources.plain()[2:3])
        campaign.loop.tell(1)  # the seed
        flood = campaign.loop.tell(200, Row.FLOOD).frames()
        flow = campaign.loop.tell(200, Row.FLOW).frames()

    assert len(set(flood)) == 200
    assert {(len(frame), frame[42:]) for frame in flood} == {(len(flood[0]), flood[0][42:])}
    addresses = {frozenset((frame[26:30], frame[30:34])) for frame in flow if frame[12] == 8}
    assert len(addresses) < 20
