"""Reference models and differential runs: what agrees, what differs, and what is an error."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

import packetrig
from packetrig import ANY, TC, XDP, Answer, Error, Failure, InputRefused, Object, Program, Run
from packetrig import strategies as net
from packetrig.differential import compare

PACKET = bytes(Ether(src="02:00:00:00:00:01") / IP(src="10.0.0.66", dst="10.0.0.1", ttl=9) / UDP())
BAD, GOOD = "10.0.0.66", "10.0.0.1"

firewall = packetrig.fixture("progs/xdp_firewall.bpf.c")
rewrite = packetrig.fixture("progs/xdp_firewall.bpf.c", define={"NDEBUG": 1})
marker = packetrig.fixture("progs/xdp_marker.bpf.c")
tc_marker = packetrig.fixture("progs/tc_egress_marker.bpf.c")
xdp_http = packetrig.fixture("progs/xdp_http.bpf.c")
tc_http = packetrig.fixture("progs/tc_http.bpf.c")
router = packetrig.fixture("progs/xdp_router.bpf.c")
twin = packetrig.fixture("progs/faulty/xdp_router_ttl_not_decremented.bpf.c")


def saying(answer: Any) -> packetrig.models.Model:
    @packetrig.model
    def said(frame: bytes, maps: Any) -> Any:
        return answer

    return said


# A model that agrees


@pytest.mark.parametrize(
    "answer",
    [
        XDP.DROP,
        (XDP.DROP, PACKET),
        (XDP.DROP, ANY),
        (ANY, PACKET),
        (XDP.DROP, Ether(PACKET)),
        (XDP.DROP, PACKET, {"blocked": {BAD: (0, 1)}, "drops": ANY}),
        (XDP.DROP, PACKET, {"blocked": {BAD: (ANY, 1)}, "drops": {0: (0, 1)}}),
        Answer(XDP.DROP, metadata=b""),
    ],
)
def test_a_model_that_agrees_is_silent(firewall: Object, answer: Any) -> None:
    firewall.maps.blocked[BAD] = 0

    assert firewall.judge(PACKET, model=saying(answer)).verdict is XDP.DROP


def test_a_model_reads_maps_and_globals_as_they_were_before_the_run(firewall: Object) -> None:
    seen = []

    @packetrig.model
    def looking(frame: bytes, maps: Any, globals: Any, ctx: Any, meta: bytes) -> Any:  # noqa: A002
        seen.append((dict(maps.blocked), BAD in maps.blocked, maps["blocked"][BAD], list(maps)))
        seen.append((bool(globals.strict), ctx, meta))
        return XDP.DROP

    firewall.maps.blocked[BAD] = 7
    firewall.judge(PACKET, model=looking)

    assert seen[0][:3] == ({firewall.maps.blocked.key(BAD): 7}, True, 7)
    assert set(seen[0][3]) == set(firewall.maps)
    assert seen[1] == (False, {}, b"")


def test_a_model_writes_the_key_of_a_struct_by_its_fields(router: Object) -> None:
    @packetrig.model
    def counted(frame: bytes, maps: Any) -> Any:
        ports = {"source_port": 53, "destination_port": 53}
        key = maps.flows.key({"source": BAD, "destination": GOOD, **ports, "protocol": 17})
        return XDP.REDIRECT, ANY, {"flows": {key: (None, {"packets": 1})}}

    router.maps.routes["10.0.0.0/8"] = 7
    router.maps.neighbours[7] = {"address": "02:00:00:00:00:0b", "ifindex": 1}

    assert router.judge(PACKET, model=counted).verdict is XDP.REDIRECT


RECORDS = """struct traffic { __u64 packets, bytes; };
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1);
  __type(key, __u32); __type(value, struct traffic); } hits SEC(".maps");
SEC("xdp") int counts(struct xdp_md *ctx)
{ __u32 k = 0; struct traffic *hit = bpf_map_lookup_elem(&hits, &k);
  if (hit) { hit->packets++; hit->bytes += ctx->data_end - ctx->data; } return 2; }
"""


@pytest.mark.parametrize(("size", "agrees"), [(len(PACKET), True), (len(PACKET) + 4, False)])
def test_records_of_each_processor_are_summed_field_by_field(
    load: Callable[[str], Object], size: int, agrees: bool
) -> None:
    program = load(RECORDS)
    program.maps.hits[0] = [{"packets": 1, "bytes": 9}] * len(program.maps.hits[0])
    count = len(program.maps.hits[0])
    before = {"packets": count, "bytes": 9 * count}
    after = {"packets": count + 1, "bytes": 9 * count + size}
    model = saying((XDP.PASS, PACKET, {"hits": {0: (before, after)}}))

    if agrees:
        program.judge(PACKET, model=model)
        return
    with pytest.raises(Failure, match=r"hits\[0\]: model"):
        program.judge(PACKET, model=model)


def test_a_model_can_state_context_and_metadata(tc_marker: Object, marker: Object) -> None:
    tc_marker.judge(PACKET, model=saying(Answer(TC.OK, context={"mark": 5})), ctx={"mark": 5})
    marker.judge(PACKET, model=saying(Answer(XDP.PASS, metadata=b"")))

    with pytest.raises(Failure, match="context   mark: model 6, program 5"):
        tc_marker.judge(PACKET, model=saying(Answer(TC.OK, context={"mark": 6})), ctx={"mark": 5})
    marker.maps.marks["10.0.0.0/8"] = 7
    with pytest.raises(Failure, match="metadata  model none, program 67 72 74 70 07 00 00 00"):
        marker.judge(PACKET, model=saying(Answer(XDP.PASS, metadata=b"")))


# A model that does not


@pytest.mark.parametrize(
    "answer, told",
    [
        (XDP.PASS, "verdict   model XDP.PASS, program XDP.DROP"),
        ((XDP.DROP, PACKET[:22] + b"\x08" + PACKET[23:]), "- IP     ttl=8"),
        ((XDP.DROP, PACKET, {}), "map       blocked[10.0.0.66 (167772226)]: model leaves it"),
        (
            (XDP.DROP, PACKET, {"blocked": {BAD: (0, 2)}, "drops": ANY}),
            "blocked['10.0.0.66']: model 0 -> 2, program 0 -> 1",
        ),
        (
            (XDP.DROP, PACKET, {"blocked": {GOOD: (0, 1)}, "drops": ANY}),
            "blocked['10.0.0.1']: model 0 -> 1, program leaves it",
        ),
        (
            (XDP.DROP, PACKET, {"blocked": ANY, "drops": {0: (0, 2)}}),
            "drops[0]: model 0 -> 2, program (0",
        ),
    ],
)
def test_a_model_that_differs_shows_where(firewall: Object, answer: Any, told: str) -> None:
    firewall.maps.blocked[BAD] = 0

    with pytest.raises(Failure) as caught:
        firewall.judge(PACKET, model=saying(answer))

    assert told in str(caught.value)
    assert caught.value.check == "the model said"
    assert "repeat  packetrig run" in str(caught.value)


# A model that crashes is an error


@pytest.mark.parametrize(
    "answer, told",
    [
        (None, "it answered None, and a verdict is wanted"),
        (True, "it answered True"),
        ((XDP.PASS, PACKET, {}, {}), "and a verdict is wanted"),
        ("DROP", "it answered 'DROP'"),
        (TC.SHOT, "it answered TC.SHOT, which is no verdict of xdp programs"),
        ((XDP.PASS, "frame"), "its frame: a packet is bytes or a scapy packet, not str"),
        ((XDP.PASS, PACKET, {"bloked": {}}), "no map named 'bloked', did you mean 'blocked'?"),
    ],
)
def test_what_is_no_answer_is_an_error(firewall: Object, answer: Any, told: str) -> None:
    with pytest.raises(Error, match="model said itself failed") as caught:
        firewall.judge(PACKET, model=saying(answer))

    assert told in str(caught.value)


def crash_by_key(frame: bytes, maps: Any) -> Any:
    return maps.blokced[frame]


def crash_by_assertion(frame: bytes, maps: Any) -> Any:
    raise AssertionError("no such packet")


def crash_by_writing(frame: bytes, maps: Any) -> Any:
    maps.blocked[BAD] = 1


@pytest.mark.parametrize("function", [crash_by_key, crash_by_assertion, crash_by_writing])
def test_a_model_that_crashes_is_an_error(firewall: Object, function: Callable[..., Any]) -> None:
    with pytest.raises(Error, match="nothing is known about xdp_firewall") as caught:
        firewall.judge(PACKET, model=packetrig.model(function))

    assert not isinstance(caught.value, AssertionError)
    assert len(firewall.maps.blocked) == 0


def test_a_model_takes_frame_and_maps() -> None:
    with pytest.raises(Error, match=r"it takes \(frame, maps\)"):
        packetrig.model(lambda frame: XDP.PASS)  # noqa: ARG005
    with pytest.raises(Error, match="not for spam"):
        packetrig.model(lambda frame, maps, spam: XDP.PASS)  # noqa: ARG005


def test_a_function_that_is_no_model_is_an_error(firewall: Object) -> None:
    with pytest.raises(Error, match=r"takes a model, made by @packetrig\.model, not <function"):
        firewall.judge(PACKET, model=lambda frame, maps: XDP.PASS)  # noqa: ARG005


# Two programs


def test_programs_that_do_the_same_are_the_same(firewall: Object, rewrite: Object) -> None:
    for program in (firewall, rewrite):
        program.maps.blocked[BAD] = 0

    was, now = packetrig.same(firewall, rewrite, PACKET)

    assert was == now
    assert was.verdict is XDP.DROP


def test_another_verdict_is_told(firewall: Object, rewrite: Object) -> None:
    rewrite.maps.blocked[BAD] = 0

    with pytest.raises(Failure) as caught:
        packetrig.same(firewall, rewrite, PACKET)

    told = str(caught.value)
    assert "verdict   XDP.PASS, and XDP.DROP" in told
    assert "map       blocked[10.0.0.66 (167772226)]: nothing, and 1" in told
    one, other = caught.value.repeat.split("; ")  # --against would build both alike
    assert (one, other) == (
        firewall.run(PACKET).repeat,
        rewrite.run(PACKET).repeat,
    )
    assert "--define NDEBUG=1" in other
    assert caught.value.run.program is rewrite.program


def test_two_builds_that_are_alike_are_repeated_in_one_command(
    firewall: Object, tc_marker: Object
) -> None:
    with packetrig.build(firewall.spec.source).load() as other:
        other.maps.blocked[BAD] = 0
        with pytest.raises(Failure) as caught:
            packetrig.same(firewall, other, PACKET)
    with pytest.raises(Failure) as twins:
        packetrig.same(firewall, tc_marker, PACKET)

    assert caught.value.repeat.endswith(f" --against {firewall.spec.source}")
    assert twins.value.repeat.count("packetrig run") == 2


def test_metadata_and_context_are_compared(marker: Object, tc_marker: Object) -> None:
    with packetrig.build(marker.spec.source).load() as other:
        other.maps.marks["10.0.0.0/8"] = 7
        with pytest.raises(Failure, match=r"metadata  none, and 67 72 74 70 07 00 00 00"):
            packetrig.same(marker, other, PACKET, maps=False)
    marked = tc_marker.run(PACKET, ctx={"mark": 6})

    compare(marked, tc_marker.run(PACKET, ctx={"mark": 6}))
    with pytest.raises(Failure, match=r"context   .*mark.*, and .*"):
        compare(marked, tc_marker.run(PACKET, ctx={"mark": 7}))


def test_maps_can_be_left_out(firewall: Object, rewrite: Object) -> None:
    rewrite.maps.blocked["10.0.0.99"] = 0

    packetrig.same(firewall, rewrite, PACKET, maps=False)
    with pytest.raises(Failure, match="blocked"):
        packetrig.same(firewall, rewrite, PACKET)


def test_a_rewritten_frame_shows_the_layer_that_differs(
    firewall: Object, tc_marker: Object
) -> None:
    tc_marker.maps.ports[53] = {"dscp": 46, "mark": 0}

    with pytest.raises(Failure, match=r"\+ IP     tos=0xb8"):
        packetrig.same(firewall, tc_marker, PACKET, verdicts=packetrig.XDP_TC)


def test_twins_at_xdp_and_tc_are_the_same(xdp_http: Object, tc_http: Object) -> None:
    packetrig.same(xdp_http, tc_http, PACKET, verdicts=packetrig.XDP_TC)

    with pytest.raises(Failure, match=r"verdict   XDP.PASS, and TC.OK"):
        packetrig.same(xdp_http, tc_http, PACKET)


def test_each_xdp_verdict_has_a_twin_at_tc() -> None:
    assert set(packetrig.XDP_TC) == set(XDP)


def test_a_frame_that_one_of_them_cannot_be_given_is_no_difference(
    xdp_http: Object, tc_http: Object
) -> None:
    with pytest.raises(InputRefused):
        packetrig.same(xdp_http, tc_http, PACKET[:20], verdicts=packetrig.XDP_TC)


def test_a_program_of_an_object_can_be_compared_with_itself(firewall: Object) -> None:
    packetrig.same(firewall.program, firewall, PACKET)


@pytest.mark.slow
def test_the_first_difference_is_shrunk(router: Object, twin: Object) -> None:
    @settings(derandomize=True, database=None)
    @given(packet=net.udp_packets(destination="10.0.0.7", vlans=()))
    def they_are_the_same(packet: bytes) -> None:
        for program in (router, twin):
            program.maps.routes["10.0.0.0/8"] = 7
            program.maps.neighbours[7] = {"ifindex": 1}
        packetrig.same(router, twin, packet)

    with pytest.raises(Failure) as caught:
        they_are_the_same()

    told = str(caught.value)
    assert "- IP     ttl=63" in told
    assert "+ IP     ttl=64" in told
    assert len(caught.value.packet) == 42


PER_CPU = """struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1);
  __type(key, __u32); __type(value, __u64); } hits SEC(".maps");
SEC("xdp") int counts(struct xdp_md *ctx)
{ __u32 k = 0; __u64 *hit = bpf_map_lookup_elem(&hits, &k); (void)ctx; if (hit) ++*hit; return 2; }
"""


def test_programs_that_count_on_each_processor_are_compared_on_one(
    load: Callable[[str], Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = load(PER_CPU), load(PER_CPU)
    home, places, plain = os.sched_getaffinity(0), [], Program.run

    def run(program: Program, *args: Any, **options: Any) -> Run:
        places.append(os.sched_getaffinity(0))
        return plain(program, *args, **options)

    monkeypatch.setattr(Program, "run", run)
    packetrig.same(one, other, PACKET)

    assert places == [places[0]] * len(places)
    assert len(places[0]) == 1
    assert os.sched_getaffinity(0) == home


def test_what_is_no_program_cannot_be_compared(firewall: Object) -> None:
    with pytest.raises(Error, match=r"same\(\) takes two objects or programs and a packet, not b'"):
        packetrig.same(firewall, PACKET, PACKET)  # type: ignore[arg-type]
