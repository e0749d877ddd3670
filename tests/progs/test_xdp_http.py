"""xdp_http: which requests pass, and what becomes of everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import packetrig
from packetrig import XDP, Object, refusals
from packetrig import strategies as net
from packetrig.packets.malformed import catalogue

from . import http
from .http import Reason

xdp_http = packetrig.fixture("progs/xdp_http.bpf.c")
on_8080 = packetrig.fixture("progs/xdp_http.bpf.c", port=8080)


def expected(reason: Reason) -> XDP:
    return XDP.DROP if reason.is_dropped else XDP.PASS


@packetrig.table(*((row.name, row.packet, expected(row.reason)) for row in http.ROWS))
def test_verdicts(xdp_http, packet, verdict):
    http.set_up(xdp_http)

    assert xdp_http.run(packet).verdict is verdict


@pytest.mark.parametrize("row", http.ROWS, ids=lambda row: row.name)
def test_the_reason_is_counted_once(xdp_http: Object, row: http.Row) -> None:
    http.set_up(xdp_http)

    xdp_http.run(row.packet)

    assert http.counted(xdp_http) == {row.reason: 1}


@pytest.mark.parametrize("row", http.ROWS, ids=lambda row: row.name)
def test_the_rows_and_the_decision_written_twice_agree(row: http.Row) -> None:
    assert http.decide(row.frame) is row.reason


def test_each_reason_has_a_row():
    assert {row.reason for row in http.ROWS} == set(Reason)


def test_with_no_path_allowed_every_request_is_dropped(xdp_http):
    assert xdp_http.run(http.ETHER / http.V4 / http.web(http.INDEX)).verdict is XDP.DROP


def test_the_port_can_be_another(on_8080):
    packet = http.ETHER / http.V4

    assert on_8080.run(packet / http.web(dport=8080)).verdict is XDP.DROP
    assert on_8080.run(packet / http.web(dport=80)).verdict is XDP.PASS


def test_each_ihl_with_each_data_offset(xdp_http):
    http.set_up(xdp_http)
    frames = list(http.lengths_crossed())

    verdicts = xdp_http.run_many(frames).verdicts

    assert len(frames) == 256
    assert verdicts == [expected(http.decide(frame)) for frame in frames]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    "request_line, verdict",
    [(http.SECRET, XDP.DROP), (http.INDEX, XDP.PASS)],
    ids=["refused", "allowed"],
)
def test_a_request_in_a_frame_of_any_size_is_decided_as_in_any_other(
    xdp_http, version, request_line, verdict
):
    http.set_up(xdp_http)
    frames = http.filled(request_line, version=version, most=refusals.limits().xdp_linear)

    verdicts = xdp_http.run_many(frames).verdicts

    wrong = {len(f): seen for f, seen in zip(frames, verdicts, strict=True) if seen is not verdict}
    assert max(map(len, frames)) >= 1514
    assert wrong == {}


@pytest.mark.parametrize("row", http.ROWS, ids=lambda row: row.name)
def test_cut_anywhere_it_decides_as_it_says(xdp_http: Object, row: http.Row) -> None:
    http.set_up(xdp_http)
    frames = http.cuts(row.frame)

    verdicts = xdp_http.run_many(frames).verdicts

    assert verdicts == [expected(http.decide(frame)) for frame in frames]


def test_each_malformed_frame_gets_the_verdict_that_is_stated(xdp_http):
    http.set_up(xdp_http)
    cases = catalogue()

    runs = xdp_http.run_many([case.frame for case in cases])

    wrong = [
        case.id
        for case, verdict in zip(cases, runs.verdicts, strict=True)
        if verdict is not expected(http.decide(case.frame))
    ]
    assert wrong == []


@given(
    packet=net.tcp_packets(
        data_offset=st.integers(0, 15),
        destination_port=st.sampled_from([80, 80, 80, 8080]),
        payload=net.http_requests(path=st.sampled_from([*http.ALLOWED, "/secret", "/index"])),
    )
)
def test_no_data_offset_confuses_it(xdp_http, packet):
    http.set_up(xdp_http)

    assert xdp_http.run(packet).verdict is expected(http.decide(packet))
    assert http.counted(xdp_http) == {http.decide(packet): 1}


@given(packet=net.tcp_packets(version=4, ihl=st.integers(0, 15), destination_port=80))
def test_no_ihl_confuses_it(xdp_http, packet):
    http.set_up(xdp_http)

    assert xdp_http.run(packet).verdict is expected(http.decide(packet))


@given(rest=st.binary(max_size=80) | st.text("/index.html ?\0", max_size=70).map(str.encode))
def test_the_path_is_what_stands_before_a_space_or_a_question_mark(xdp_http, rest):
    http.set_up(xdp_http)
    frame = bytes(http.ETHER / http.V6 / http.web(b"GET " + rest))

    assert xdp_http.run(frame).verdict is expected(http.decide(frame))


@given(frame=net.frames() | net.mangled())
def test_any_frame_is_decided_as_stated_and_left_as_it_was(xdp_http, frame):
    http.set_up(xdp_http)

    run = xdp_http.run(frame)

    assert run.verdict is expected(http.decide(frame))
    assert run.data == frame
