"""Measure what an example costs, and how long all malformed frames take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

import packetrig
from figures import SMALL, Figure, pair_by_pair, took_ms
from packetrig import strategies as net
from packetrig.packets import malformed
from packetrig.packets.strategies._arguments import PICKS

EXAMPLES = 500


def examples_us(strategy: SearchStrategy[object]) -> Callable[[], float]:
    """Make a measurement of the thread's own time that one example takes."""

    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def nothing(_: object) -> None:
        pass

    def measure() -> float:
        start = time.thread_time_ns()
        nothing()
        return (time.thread_time_ns() - start) / 1e3 / EXAMPLES

    return measure


def figures() -> Iterator[Figure]:
    # As many bytes as the strategy draws, in as few draws: nothing could cost Hypothesis less.
    raw = st.tuples(st.binary(min_size=PICKS, max_size=PICKS), st.binary(max_size=64))
    # And an option, a port and an offset, drawn as people would without it.
    offsets, ports = st.integers(0, 15), st.integers(0, 65535)
    given_three = net.tcp_packets(data_offset=offsets, source_port=ports, ttl=st.integers(0, 255))
    raw_three = st.tuples(raw, offsets, ports, st.integers(0, 255))

    for name, same, strategy in (
        ("tcp_packets() / the same bytes drawn", raw, net.tcp_packets()),
        ("tcp_packets(), 3 integers / the same drawn", raw_three, given_three),
        ("frames() / the same bytes drawn", raw, net.frames()),
    ):
        pairs = pair_by_pair(examples_us(same), examples_us(strategy), pairs=9)
        yield Figure(name, "x", 2.0, tuple(made / drawn for drawn, made in pairs))

    with packetrig.build(SMALL).load() as small:
        frames = [case.frame for case in malformed.catalogue()]
        runs = tuple(took_ms(lambda: small.run_many(frames)) for _ in range(9))
        yield Figure(f"{len(frames):,} malformed frames through a program", " ms", 1000, runs)

        def from_nothing() -> None:
            malformed._catalogue.cache_clear()
            for case in malformed.catalogue():
                small.run(case.frame)

        whole = tuple(took_ms(from_nothing) for _ in range(5))
        yield Figure("making them, and running them one by one", " ms", 1000, whole)
