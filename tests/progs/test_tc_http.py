"""tc_http: xdp_http's decision, at TC ingress."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import packetrig
from packetrig import TC, XDP, Object
from packetrig import strategies as net
from packetrig.packets.malformed import catalogue

from . import http

xdp_http = packetrig.fixture("progs/xdp_http.bpf.c")
tc_http = packetrig.fixture("progs/tc_http.bpf.c")
tc_on_8080 = packetrig.fixture("progs/tc_http.bpf.c", port=8080)

SAME = {XDP.PASS: TC.OK, XDP.DROP: TC.SHOT}


def is_taken(frame: bytes) -> bool:
    """Tell whether the kernel's test run of a TC program takes a frame.

    A socket buffer of IPv4 or IPv6 must hold the fixed header; others the Ethernet header.
    """
    return len(frame) >= {b"\x08\x00": 34, b"\x86\xdd": 54}.get(frame[12:14], 14)


ROWS = tuple(row for row in http.ROWS if is_taken(row.frame))


def expected(reason: http.Reason) -> TC:
    return TC.SHOT if reason.is_dropped else TC.OK


@packetrig.table(*((row.name, row.packet, expected(row.reason)) for row in ROWS))
def test_verdicts(tc_http, packet, verdict):
    http.set_up(tc_http)

    assert tc_http.run(packet).verdict is verdict


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_reason_is_counted_once(tc_http: Object, row: http.Row) -> None:
    http.set_up(tc_http)

    tc_http.run(row.packet)

    assert http.counted(tc_http) == {row.reason: 1}


def test_the_port_can_be_another(tc_on_8080):
    packet = http.ETHER / http.V4

    assert tc_on_8080.run(packet / http.web(dport=8080)).verdict is TC.SHOT
    assert tc_on_8080.run(packet / http.web(dport=80)).verdict is TC.OK


def test_a_request_behind_long_headers_is_still_seen(tc_http):
    packet = http.extended(http.MOST_EXTENSIONS, padding=200)

    assert len(bytes(packet)) > 1200
    assert tc_http.run(packet).verdict is TC.SHOT


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    "request_line, verdict",
    [(http.SECRET, TC.SHOT), (http.INDEX, TC.OK)],
    ids=["refused", "allowed"],
)
def test_a_request_in_a_frame_of_any_size_is_decided_as_in_any_other(
    tc_http, version, request_line, verdict
):
    http.set_up(tc_http)
    frames = http.filled(request_line, version=version, most=3520)

    verdicts = tc_http.run_many(frames).verdicts

    wrong = {len(f): seen for f, seen in zip(frames, verdicts, strict=True) if seen is not verdict}
    assert max(map(len, frames)) >= 1514
    assert wrong == {}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_cut_anywhere_it_decides_as_xdp_does(
    tc_http: Object, xdp_http: Object, row: http.Row
) -> None:
    frames = [frame for frame in http.cuts(row.frame) if is_taken(frame)]
    for program in (tc_http, xdp_http):
        http.set_up(program)

    verdicts = tc_http.run_many(frames).verdicts

    assert verdicts == [SAME[verdict] for verdict in xdp_http.run_many(frames).verdicts]


def test_each_ihl_with_each_data_offset(tc_http):
    http.set_up(tc_http)
    frames = list(http.lengths_crossed())

    verdicts = tc_http.run_many(frames).verdicts

    assert verdicts == [expected(http.decide(frame)) for frame in frames]


def test_each_malformed_frame_gets_the_verdict_that_is_stated(tc_http):
    http.set_up(tc_http)
    cases = [case for case in catalogue() if is_taken(case.frame)]

    runs = tc_http.run_many([case.frame for case in cases])

    wrong = [
        case.id
        for case, verdict in zip(cases, runs.verdicts, strict=True)
        if verdict is not expected(http.decide(case.frame))
    ]
    assert wrong == []


@given(
    packets=st.lists(
        (net.tcp_packets(destination_port=80) | net.frames() | net.mangled()).filter(is_taken),
        max_size=5,
    )
)
def test_it_cannot_be_told_from_the_xdp_program(tc_http, xdp_http, packets):
    for program in (tc_http, xdp_http):
        http.set_up(program)

    for packet in packets:
        seen = tc_http.run(packet)
        assert seen.verdict is SAME[xdp_http.run(packet).verdict]
        assert seen.data == packet
    assert tc_http.maps.snapshot() == xdp_http.maps.snapshot()
