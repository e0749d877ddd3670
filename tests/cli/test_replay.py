"""Replaying: what becomes of each packet of a capture, and verdicts written run by run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packetrig import TC, XDP, Object, build
from packetrig.errors import CaptureError, Error, NotFound
from packetrig.packets.pcap import Record
from packetrig.replay import Setup, expected, name_of, replay, run_lengths

from .given import ABORTED, BLOCKED, GOOD, SHORT, SOURCES, STATE

MIX = SOURCES / "xdp_mix.bpf.c"
PORTS = "progs/xdp_ports.bpf.c"
TOO_SHORT_FOR_TC = bytes(12) + b"\x08\x00" + bytes(10)


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    (tmp_path / "state.toml").write_text(f"{STATE}\n[globals]\nlimit = 3\n")
    return Setup.read(tmp_path / "state.toml")


@pytest.fixture
def mix(setup: Setup) -> Iterator[Object]:
    with setup.load(build(MIX)) as loaded:
        yield loaded


@pytest.fixture
def way_out() -> Iterator[Object]:
    with build(SOURCES / "two.bpf.c").load(program="way_out_egress") as loaded:
        yield loaded


def records(*frames: bytes) -> list[Record]:
    return [Record(n, n * 1000, frame, len(frame)) for n, frame in enumerate(frames, 1)]


def test_a_setup_sets_constants_maps_and_globals(mix: Object) -> None:
    assert mix.maps.blocked["10.0.0.66"] == 0
    assert mix.globals.limit == 3


UNSIZED = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u32);
    } seen SEC(".maps");
const volatile __u32 rounds;
SEC("xdp") int counts(struct xdp_md *ctx)
{
    __u32 key = 1;
    if (rounds)
        bpf_map_update_elem(&seen, &key, &key, BPF_ANY);
    return bpf_map_lookup_elem(&seen, &key) ? XDP_DROP : XDP_PASS;
}
"""


def test_a_setup_sizes_what_is_left_to_who_loads(tmp_path: Path) -> None:
    (tmp_path / "xdp_unsized.bpf.c").write_text(UNSIZED)
    spec = build(tmp_path / "xdp_unsized.bpf.c")
    state = tmp_path / "state.toml"
    state.write_text("format = 1\n[globals]\nrounds = 1\n[max_entries]\nseen = 7\n")

    with Setup.read(state).load(spec) as loaded:
        assert loaded.maps.seen.max_entries == 7
        assert loaded.run(GOOD).verdict is XDP.DROP
        costs = loaded.program.statistics.instructions
    with spec.load(max_entries={"seen": 7}) as bare:
        assert bare.program.statistics.instructions != costs, "told of what was loaded"
    with pytest.raises(Error, match=r"seen.*no max_entries.*max_entries=\{'seen': 1024\}.*--setup"):
        spec.load()
    state.write_text("format = 1\n[max_entries]\nsen = 7\n")
    with pytest.raises(Error, match=r"state\.toml: no map named 'sen', did you mean 'seen'"):
        Setup.read(state).load(spec)


def test_packets_keep_their_order_among_refused_ones(mix: Object) -> None:
    events = list(replay(mix.program, records(GOOD, SHORT, BLOCKED, SHORT, ABORTED, GOOD)))

    verdicts = [event.run.verdict if event.run else None for event in events]
    assert verdicts == [XDP.PASS, None, XDP.DROP, None, XDP.ABORTED, XDP.DROP]
    assert [event.number for event in events] == [1, 2, 3, 4, 5, 6]
    assert events[1].refusal.startswith("a frame of 13 bytes: BPF_PROG_TEST_RUN takes no less")
    assert not events[1].is_tested


def test_packets_go_to_one_processor_where_a_program_counts_on_each() -> None:
    home = os.sched_getaffinity(0)
    with build(PORTS).load() as one, build(PORTS).load() as other:
        places = [
            os.sched_getaffinity(0)
            for _ in replay(one.program, records(GOOD, SHORT), against=other.program)
        ]

    assert places == [places[0]] * 2
    assert len(places[0]) == 1
    assert os.sched_getaffinity(0) == home


def test_what_only_the_kernel_refuses_does_not_stop_the_others(way_out: Object) -> None:
    frames = [GOOD, TOO_SHORT_FOR_TC, bytes(5000), GOOD, SHORT]

    events = list(replay(way_out.program, records(*frames)))

    assert [event.is_tested for event in events] == [True, False, False, True, False]
    assert "IPv4 frame of 24 bytes" in events[1].refusal
    assert {event.run.verdict for event in events if event.run} == {TC.SHOT}


@pytest.mark.parametrize("renew", [False, True])
def test_a_packet_that_the_snap_length_cut_is_refused_and_moves_no_state(
    mix: Object, setup: Setup, renew: bool
) -> None:
    cut = Record(2, 0, BLOCKED, 1500)
    frames = [*records(GOOD), cut, *records(BLOCKED)]

    with setup.load(build(MIX)) as other:
        events = list(replay(mix.program, frames, against=other.program, renew=renew, setup=setup))

    assert [event.is_tested for event in events] == [True, False, True]
    assert events[1].refusal == events[1].other_refusal
    assert events[1].refusal.startswith(
        f"only {len(BLOCKED)} of 1500 bytes were captured (snap length): "
    )
    assert not events[1].differs
    assert mix.maps.blocked["10.0.0.66"] == 1


def test_a_long_capture_is_replayed_in_one_state(mix: Object) -> None:
    count = sum(
        event.run is not None and event.run.verdict is XDP.DROP
        for event in replay(mix.program, records(*[GOOD] * 5000))
    )

    assert count == 5000 - 3


def test_it_is_lazy(mix: Object) -> None:
    def endless() -> Iterator[Record]:
        while True:
            yield from records(GOOD)

    assert next(replay(mix.program, endless())).run is not None


def test_renewed_packets_each_meet_the_state_of_the_setup(mix: Object, setup: Setup) -> None:
    frames = records(GOOD, BLOCKED, GOOD, GOOD, GOOD, BLOCKED)

    events = list(replay(mix.program, frames, renew=True, setup=setup))

    assert [name_of(e.run.verdict) for e in events if e.run] == [
        *("PASS", "DROP", "PASS", "PASS", "PASS", "DROP")
    ]
    assert mix.maps.blocked["10.0.0.66"] == 1


def test_two_programs_each_have_maps_of_their_own(mix: Object, setup: Setup) -> None:
    with setup.load(build(MIX)) as other:
        events = list(replay(mix.program, records(*[GOOD] * 5), against=other.program))

    assert not any(event.differs for event in events)
    assert [event.other is not None for event in events] == [True] * 5


def test_what_differs_is_named_by_verdict_and_field(mix: Object) -> None:
    with build(MIX, define={"VERDICT": "XDP_TX"}).load(hop=1) as other:
        frame = GOOD[:23] + b"\x11" + GOOD[24:]
        (event,) = replay(mix.program, records(frame), against=other.program)

    assert event.differences == {"verdict": (XDP.PASS, XDP.TX), "IP.ttl": (64, 63)}


def test_a_frame_that_only_one_program_takes_differs(mix: Object, way_out: Object) -> None:
    refused, short = replay(mix.program, records(TOO_SHORT_FOR_TC, SHORT), against=way_out.program)

    assert refused.differs
    assert refused.differences["verdict"][0] is XDP.PASS
    assert refused.differences["verdict"][1].startswith("refused (an IPv4 frame of 24 bytes")
    assert not short.differs


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "has no format: begin a set-up file with `format = 1`"),
        ("maps = 1", "maps is no table"),
        ("format = 1\n[maps]\nblocked = 3", "maps.blocked is no table"),
        ("[map.blocked]", "unknown part 'map'; a set-up has format, maps, globals"),
        ("format = 2", "format 2 is not known"),
        ("[maps", "is not TOML: "),
    ],
)
def test_a_broken_setup_file_is_named(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "s.toml").write_text(text)

    with pytest.raises(Error, match="s.toml: ") as caught:
        Setup.read(tmp_path / "s.toml")
    assert error in str(caught.value)
    with pytest.raises(NotFound):
        Setup.read(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[maps.blokced]\n1 = 1", "no map named 'blokced', did you mean 'blocked'?"),
        ("[maps.blocked]\nhost = 1", "blocked"),
        ("[globals]\nlimt = 1", "no global named 'limt', did you mean 'limit'?"),
        ("[globals]\nlimit = 'x'", "global limit: "),
    ],
)
def test_a_setup_that_does_not_fit_is_named(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "s.toml").write_text(f"format = 1\n{text}")
    setup = Setup.read(tmp_path / "s.toml")

    with pytest.raises(Error) as caught:
        setup.load(build(MIX))

    assert str(caught.value).startswith(str(tmp_path / "s.toml"))
    assert error in str(caught.value)


def test_verdicts_are_read_run_by_run() -> None:
    names = ("PASS",) * 7 + ("DROP",) + ("77",) * 2

    assert expected("PASS*7 DROP\n 77*2") == names
    assert run_lengths(names) == "PASS*7 DROP 77*2"


@given(st.lists(st.sampled_from(["PASS", "DROP", "TX", "77"])))
def test_what_is_written_run_by_run_is_read_back(names: list[str]) -> None:
    assert expected(run_lengths(names)) == tuple(names)


@pytest.mark.parametrize("text", ["PASS*", "PASS*0", "*3", "PASS*x", "PASS*-1", "PA-SS", "A*9" * 9])
def test_a_word_that_is_no_verdict_is_refused(text: str) -> None:
    with pytest.raises(CaptureError, match="is no verdict: write PASS, or PASS[*]7"):
        expected(text)


def test_a_verdict_without_a_name_is_its_number() -> None:
    assert [name_of(TC.OK), name_of(XDP.TX), name_of(77)] == ["OK", "TX", "77"]
