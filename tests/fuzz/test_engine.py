"""A campaign: it repeats, it judges every run, and what it finds is confirmed."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import packetrig
from packetrig import XDP, Error, InputRefused, Unsupported, check, fuzz
from packetrig.fuzz import Ended, Event, Found, NewEntry, Recipe, Started, StopReason, Target
from packetrig.fuzz import seeds as sources
from packetrig.live import finish
from packetrig.packets import craft
from packetrig.replay import Setup

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent / "sources"
HTTP = ROOT / "progs" / "xdp_http.bpf.c"
SETUP = Setup.read(ROOT / "fixtures" / "policy" / "xdp_http.toml")
SYN = craft.V4.frame(craft.tcp(b"", craft.V4, flags=2), craft.TCP)
QUERY = craft.V4.frame(craft.udp(b"data", craft.V4), craft.UDP)


def told(source: Any, **how: Any) -> list[Event]:
    how.setdefault("seeds", sources.plain())
    how.setdefault("runs", 4000)
    return list(fuzz.campaign(source, **how))


def ended(events: list[Event]) -> Ended:
    assert isinstance(events[-1], Ended)
    return events[-1]


def found(events: list[Event]) -> list[Found]:
    return [event for event in events if isinstance(event, Found)]


@pytest.fixture(scope="module")
def http() -> Iterator[Target]:
    with Target.open(HTTP, setup=SETUP) as target:
        yield target


def campaign_of(target: Target, seed: int) -> tuple[list[bytes], list[int], bytes]:
    campaign = fuzz.Campaign(target, seed=seed, seeds=sources.plain())
    events = list(campaign.events(fuzz.Limits(runs=6000)))
    entries = [event for event in events if isinstance(event, NewEntry)]
    totals = campaign.loop.totals()
    return [entry.frame for entry in entries], [entry.parent for entry in entries], totals


def test_the_same_seed_repeats_the_same_campaign(http: Target) -> None:
    first = campaign_of(http, 7)

    assert first == campaign_of(http, 7)
    assert first != campaign_of(http, 8)


def test_another_loading_repeats_it_too(http: Target) -> None:
    with http.recipe.open() as other:
        assert campaign_of(other, 7) == campaign_of(http, 7)


def test_frames_get_deeper_from_entry_to_entry(http: Target) -> None:
    frames, parents, _ = campaign_of(http, 7)

    assert parents[0] == -1
    assert max(parents) > 0
    assert all(parent < number for number, parent in enumerate(parents))
    assert len(set(frames)) == len(frames)


def test_counters_are_cleared_between_runs(http: Target) -> None:
    campaign = fuzz.Campaign(http, seeds=[SYN])
    given = [SYN, QUERY, SYN, *sources.plain()]
    campaign.loop.feed(given)
    list(campaign.slice(1 + len(given)))
    counters = packetrig.coverage.Counters(http.object)
    wanted = [0] * (counters.size // 8)
    http.begin(http.object)
    for frame in (SYN, *given):
        counters.clear()
        http.program.run(frame)
        counts = memoryview(counters.take()).cast("Q")
        wanted = [a + b for a, b in zip(wanted, counts, strict=True)]

    assert list(memoryview(campaign.loop.totals()).cast("Q")) == wanted


def test_every_check_sees_every_run_and_the_end_says_so(http: Target) -> None:
    events = told(http)
    end, started = ended(events), events[0]

    assert isinstance(started, Started)
    assert set(started.checks) == set(end.shares)
    assert set(end.shares.values()) == {4000}
    assert "equal_packets_are_treated_equally" in end.shares
    assert started.left_out["a_dropped_packet_grows_no_map"] == "the program adds nothing to maps"
    assert end.runs == 4000
    assert end.reason is StopReason.RUNS
    assert end.refused == 0


def test_a_users_check_sees_every_run() -> None:
    seen: list[bytes] = []

    @check
    def it_is_seen(before: bytes, run: packetrig.Run) -> bool:
        seen.append(before)
        return run.verdict in (XDP.PASS, XDP.DROP)

    events = told(HTTP, setup=SETUP, checks=(it_is_seen,), runs=2000)

    assert len(seen) == 2000
    assert ended(events).shares["it_is_seen"] == 2000


def test_the_seeds_do_not_cover_what_the_campaign_does(http: Target) -> None:
    campaign = fuzz.Campaign(http, seeds=sources.plain())
    list(campaign.slice(len(sources.plain())))
    before = campaign.branches()

    *_, end = campaign.events(fuzz.Limits(runs=30_000))

    assert isinstance(end, Ended)
    assert before.covered < end.branches - 20
    assert end.of_branches == before.total


@pytest.mark.slow
def test_a_planted_fault_is_found_and_confirmed_on_what_ships() -> None:
    with Target.open(HERE / "xdp_planted.bpf.c") as target:
        events = told(target, runs=30_000, findings=1)
        (finding,) = found(events)

        assert finding.check == "it_never_aborts"
        assert ended(events).reason is StopReason.ENOUGH
        assert target.plain_program.run(finding.frames[-1]).verdict is XDP.ABORTED
        assert target.check(finding.frames) is not None


def test_a_map_that_grows_by_what_is_dropped_is_found() -> None:
    events = told(HERE / "xdp_grows.bpf.c", runs=12_000, findings=1)
    (finding,) = found(events)

    assert finding.check == "a_dropped_packet_grows_no_map"
    assert len(finding.frames) == 1


def test_what_may_grow_is_left_alone() -> None:
    checks = (packetrig.checks.drops_grow_only("seen"),)

    events = told(HERE / "xdp_grows.bpf.c", checks=checks, runs=12_000)

    assert found(events) == []
    assert ended(events).shares["a_dropped_packet_grows_no_map"] == 12_000


def test_equal_packets_that_are_treated_differently_are_found() -> None:
    events = told(HERE / "xdp_moody.bpf.c", findings=1)
    (finding,) = found(events)

    assert finding.check == "equal_packets_are_treated_equally"


def test_another_program_sees_the_same_story() -> None:
    twins = HERE / "xdp_twins.bpf.c"
    same = packetrig.build(twins)
    other = packetrig.build(twins, define={"OTHER": None})

    (finding,) = found(told(twins, against=other, runs=12_000, findings=1))
    events = told(twins, against=same)

    assert finding.check.startswith("the same as ")
    assert finding.frames[-1][36:38] == (1234).to_bytes(2, "big")
    assert found(events) == []
    assert [n for name, n in ended(events).shares.items() if name.startswith("the same as")] == [
        4000
    ]


def test_a_twin_at_another_hook_may_say_it_in_other_words() -> None:
    twin = packetrig.build(ROOT / "progs" / "tc_http.bpf.c")

    events = told(HTTP, setup=SETUP, against=twin)

    assert [event for event in events if isinstance(event, Found | fuzz.Unrepeated)] == []


def test_a_program_that_no_test_run_takes_is_an_error() -> None:
    with pytest.raises(Unsupported, match="xdp/devmap"):
        told(HERE / "xdp_behind.bpf.c")


def test_a_program_that_is_given_no_frames_is_named() -> None:
    with pytest.raises(Unsupported, match="running cgroup_sock_addr programs"):
        told(ROOT / "progs" / "socket" / "cgroup_connect.bpf.c", program="cgroup_connect6")
    with pytest.raises(Unsupported, match="a campaign on dissects"):
        told(HERE / "flow_dissector.bpf.c")


def test_a_model_sees_a_share_and_the_share_is_told() -> None:
    @packetrig.model
    def drops_99(frame: bytes, maps: Any) -> Any:
        is_udp = len(frame) >= 42 and frame[12:15] == b"\x08\x00\x45" and frame[23] == 17
        return XDP.DROP if is_udp and frame[36:38] == b"\x00\x63" else XDP.PASS

    twins = HERE / "xdp_twins.bpf.c"
    events = told(twins, model=drops_99, runs=8000)
    wrong = told(twins, model=drops_99, define={"OTHER": None}, runs=12_000, findings=1)

    assert found(events) == []
    assert 300 < ended(events).shares["the model drops_99"] < 8000
    assert [each.check for each in found(wrong)] == ["the model drops_99"]


def test_what_does_not_repeat_on_what_ships_is_no_finding() -> None:
    twins = HERE / "xdp_planted.bpf.c"
    right = packetrig.build(HERE / "xdp_twins.bpf.c")
    # In the loop runs another program than the one that ships.
    recipe = replace(Recipe.of(twins), plain=right)

    hit = craft.udp(b"", craft.V4, source_port=4321, destination_port=4321)
    events = told(recipe, seeds=[craft.V4.frame(hit, craft.UDP)])
    doubted = [event for event in events if isinstance(event, fuzz.Unrepeated)]

    assert found(events) == []
    assert [event.check for event in doubted] == ["it_never_aborts"]
    assert "nothing is known" in doubted[0].told


def test_cheap_judging_says_what_it_leaves_out() -> None:
    events = told(HTTP, setup=SETUP, judging="cheap")

    assert set(ended(events).shares) == {
        "the_verdict_is_a_legal_one",
        "it_never_aborts",
        "the_length_stays_as_it_is",
    }


def test_frames_that_the_kernel_refuses_are_never_given_to_it() -> None:
    short = (bytes(13), bytes(14), bytes(12) + b"\x08\x00" + bytes(10), QUERY)
    events = told(ROOT / "progs" / "tc_http.bpf.c", setup=SETUP, seeds=short, runs=6000)

    assert isinstance(events[0], Started)
    assert (events[0].seeds, events[0].unfit) == (1, 3)
    assert ended(events).refused == 0
    assert ended(events).runs == 6000


def test_seeds_of_which_none_can_be_given_are_an_error() -> None:
    with pytest.raises(InputRefused, match="none of the seeds"):
        told(HTTP, setup=SETUP, seeds=[b"short"])


def test_an_object_that_is_refused_with_counters_is_tested_without_feedback() -> None:
    rejected = packetrig.build(ROOT / "progs" / "rejected" / "xdp_no_bounds_check.bpf.c")
    recipe = replace(Recipe.of(HTTP, setup=SETUP), counting=rejected)

    events = told(recipe)
    started = events[0]

    assert isinstance(started, Started)
    assert "with counters the kernel refuses it" in started.why_plain
    assert ended(events).branches == ended(events).of_branches == 0
    assert ended(events).runs == 4000


def test_an_object_file_is_tested_without_feedback(tmp_path: Path) -> None:
    built = tmp_path / "http.o"
    built.write_bytes(packetrig.build(HTTP).data)

    events = told(built, setup=SETUP)

    assert isinstance(events[0], Started)
    assert "coverage needs the C source" in events[0].why_plain
    assert ended(events).runs == 4000


def test_ctrl_c_ends_a_campaign_with_its_last_event() -> None:
    @check
    def somebody_is_impatient(before: bytes, run: packetrig.Run) -> None:
        raise KeyboardInterrupt

    events = told(HTTP, setup=SETUP, checks=(somebody_is_impatient,))

    assert ended(events).reason is StopReason.INTERRUPTED


def test_closing_a_campaign_leaves_nothing() -> None:
    def descriptors() -> list[str]:
        return sorted(each.name for each in Path("/proc/self/fd").iterdir())

    finish()
    gc.collect()  # what tests before this one have left to do
    before = descriptors()
    running = fuzz.campaign(HTTP, setup=SETUP, seeds=[SYN])
    affinity = os.sched_getaffinity(0)

    for _ in range(3):
        next(running)
    running.close()

    assert len(descriptors()) == len(before)
    assert os.sched_getaffinity(0) == affinity


def test_a_check_that_wants_an_entry_fails_where_none_came() -> None:
    @check
    def every_packet_is_seen(before: bytes, run: packetrig.Run, grown: Any) -> bool:
        return grown["seen"] != []

    events = told(HERE / "xdp_grows.bpf.c", checks=[every_packet_is_seen], runs=50)

    assert found(events)[0].finding.check == "every_packet_is_seen"


def test_a_check_that_breaks_ends_the_campaign_as_an_error() -> None:
    @check
    def it_is_broken(before: bytes, run: packetrig.Run) -> bool:
        return bool(1 // 0)

    with pytest.raises(Error, match="it_is_broken itself failed"):
        told(HTTP, setup=SETUP, checks=(it_is_broken,))


def test_a_word_that_is_no_way_of_judging_is_an_error() -> None:
    with pytest.raises(Error, match="judging='fast'"):
        told(HTTP, judging="fast")


def test_entries_are_kept_and_taken_up_again(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    first = ended(told(HTTP, setup=SETUP, corpus=folder, seeds=[SYN]))
    kept = len(list(folder.iterdir()))
    again = ended(told(HTTP, setup=SETUP, corpus=folder, seeds=[SYN], runs=kept + 1))

    assert first.corpus == kept
    assert again.branches == first.branches


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_eight_conditions_are_met_one_after_the_other(seed: int) -> None:
    magic = ROOT / "benchmarks" / "xdp_magic.bpf.c"

    (finding,) = found(told(magic, seed=seed, seeds=[SYN], runs=50_000, judging="cheap"))

    assert finding.frames[-1].endswith(b"GET \xde\xad\xbe\xef")


def test_without_feedback_they_are_not_met() -> None:
    magic = ROOT / "benchmarks" / "xdp_magic.bpf.c"

    events = told(magic, seeds=[SYN], runs=50_000, judging="cheap", feedback=False)

    assert found(events) == []


def test_a_state_that_cannot_be_put_back_is_loaded_again_and_said() -> None:
    events = told(HERE / "xdp_queue.bpf.c", seeds=[QUERY], runs=20_000)
    started, end = events[0], ended(events)

    assert isinstance(started, Started)
    left_out = started.left_out["equal_packets_are_treated_equally"]
    assert left_out == "what a run changes in ports (queue) cannot be taken back"
    assert "equal_packets_are_treated_equally" not in end.shares
    assert end.branches == end.of_branches
