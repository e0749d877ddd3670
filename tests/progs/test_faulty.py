"""Each program in progs/faulty is caught: by the rows and the checks that the right one passes.

The fault is known, so it is known as well what must find it, and that the rest holds: a twin that
failed everything would prove little.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, reject, settings

import packetrig
from packetrig import XDP, Failure, InputRefused, Object
from packetrig import strategies as net
from packetrig.checks import Check

from . import answering, balancing, guarding, http, limiting, marking, routing, untagging
from .http import Reason

PROGS = Path(__file__).parents[2] / "progs"
TWINS = {path.name.removesuffix(".bpf.c") for path in (PROGS / "faulty").glob("*.bpf.c")}

# Rows of xdp_http's table that tell each twin of it from the right program.
HTTP_TWINS = {
    "xdp_http_data_offset_ignored": {
        "timestamps",
        "40 bytes of options",
        "options that spell a request",
        *(f"data offset {offset}" for offset in range(5)),
        "data offset beyond the frame",
        "data offset into the padding",
    },
    "xdp_http_extensions_not_walked": {
        "IPv6 extensions",
        "as many extensions as can be",
        "one extension too many",
        "jumbogram",
        "extension cut",
        "extension beyond the frame",
        "extension beyond the payload length",
        "first fragment, IPv6",
        "atomic fragment, IPv6",
    },
    "xdp_http_fragment_as_first": {"fragment at 8, IPv4", "fragment at 1480, IPv4"},
    "xdp_http_ihl_lower_bound_forgotten": {f"ihl {ihl}" for ihl in range(5)},
    "xdp_http_off_by_one": {
        "no payload",
        "options without payload",
        "options that spell a request",
    },
    "xdp_http_padding_as_payload": {"request in the padding", "data offset into the padding"},
    "xdp_http_protocol_as_ethertype": {
        row.name for row in http.ROWS if row.reason in (Reason.REFUSED, Reason.PATH_CUT)
    },
    "xdp_http_vlan_not_parsed": {"VLAN", "two VLANs", "VLAN tag cut"},
    "xdp_http_zero_ends_path": {"path with a zero byte"},
}

# The check that must object to each twin of a program that rewrites, and who makes its packets.
REWRITING_TWINS = {
    "tc_egress_marker_checksum_not_updated": (marking, marking.every_checksum_is_right),
    "tc_egress_marker_ecn_overwritten": (marking, marking.congestion_bits_stay),
    "xdp_router_checksum_carry_lost": (
        routing,
        routing.a_forwarded_packet_has_a_right_header_checksum,
    ),
    "xdp_router_checksum_not_updated": (
        routing,
        routing.a_forwarded_packet_has_a_right_header_checksum,
    ),
    "xdp_router_ttl_not_decremented": (routing, routing.a_forwarded_packet_has_lost_one_hop),
}

# Programs with a reference model, and who sets them up and makes their packets. Whatever is wrong
# with a twin of theirs, the model says otherwise.
MODELLED = {
    "tc_egress_balancer": (answering, answering.MODEL.tc_egress_balancer),
    "tc_ingress_ports": (guarding, guarding.TC_MODEL.tc_ingress_ports),
    "xdp_balancer": (balancing, balancing.MODEL.xdp_balancer),
    "xdp_ports": (guarding, guarding.MODEL.xdp_ports),
    "xdp_ratelimit": (limiting, limiting.MODEL.xdp_ratelimit),
}
ON_THE_WIRE = {"tc_http_pull_forgotten", "tc_egress_balancer_pseudo_header"}


def right_program(twin: str) -> str:
    return next((name for name in MODELLED if twin.startswith(f"{name}_")), "")


MODELLED_TWINS = sorted(twin for twin in TWINS - ON_THE_WIRE if right_program(twin))


@contextlib.contextmanager
def loaded(name: str, set_up: Callable[[Object], None], **values: int) -> Iterator[Object]:
    with packetrig.build(PROGS / f"{name}.bpf.c").load(**values) as program:
        set_up(program)
        yield program


def modelled(name: str, rules: Any) -> contextlib.AbstractContextManager[Object]:
    return loaded(name, rules.set_up, **getattr(rules, "GLOBALS", {}))


def failing(name: str) -> set[str]:
    """Name the rows of xdp_http's table that a program does not hold to."""
    with loaded(name, http.set_up) as program:
        verdicts = program.run_many([row.frame for row in http.ROWS]).verdicts
    return {
        row.name
        for row, verdict in zip(http.ROWS, verdicts, strict=True)
        if (verdict is XDP.DROP) != row.reason.is_dropped
    }


def search(program: Object, rules: Any, *checks: Check) -> None:
    """Run checks on as many packets as it takes to be sure, the same ones each time."""

    @settings(max_examples=1500, derandomize=True, database=None, phases=[Phase.generate])
    @given(packet=rules.packets())
    def they_hold(packet: bytes) -> None:
        run = program.run(packet)
        for check in checks:
            check(packet, run)

    they_hold()


def compare(program: Object, name: str) -> None:
    """Hold a program to the model of the right one, on packets and on what is wrong with them."""
    rules, model = MODELLED[name]
    packets = rules.packets()

    @settings(max_examples=1000, derandomize=True, database=None, phases=[Phase.generate])
    @given(frame=packets | net.mangled(packets))
    def they_agree(frame: bytes) -> None:
        program.renew()
        rules.set_up(program)
        try:
            program.judge(frame, model=model, builtin=())
        except InputRefused:
            reject()

    they_agree()


def test_each_twin_is_caught_by_something() -> None:
    below = {"xdp_untag_stale_offset"}

    assert {*HTTP_TWINS, *REWRITING_TWINS, *MODELLED_TWINS, *below, *ON_THE_WIRE} == TWINS


def test_there_are_enough_of_them() -> None:
    assert len(TWINS) >= 25
    assert all(sum(right_program(twin) == name for twin in TWINS) >= 2 for name in MODELLED)


def test_the_right_program_fails_no_row() -> None:
    assert failing("xdp_http") == set()


@pytest.mark.parametrize("twin", HTTP_TWINS)
def test_a_twin_of_the_filter_fails_the_rows_of_its_fault(twin: str) -> None:
    assert failing(f"faulty/{twin}") >= HTTP_TWINS[twin]


@pytest.mark.parametrize("twin", HTTP_TWINS)
def test_a_twin_of_the_filter_holds_where_its_fault_is_not_touched(twin: str) -> None:
    assert not failing(f"faulty/{twin}") & {"allowed path", "IPv6 allowed", "UDP", "ARP", "answer"}


@pytest.mark.slow
@pytest.mark.parametrize("twin", REWRITING_TWINS)
def test_a_check_objects_to_a_twin_that_rewrites(twin: str) -> None:
    rules, check = REWRITING_TWINS[twin]

    with loaded(f"faulty/{twin}", rules.set_up) as program, pytest.raises(Failure) as caught:
        search(program, rules, check)

    assert caught.value.check == check.name


@pytest.mark.slow
@pytest.mark.parametrize("name, rules", [("xdp_router", routing), ("tc_egress_marker", marking)])
def test_the_checks_hold_for_the_right_program_as_long(name: str, rules: Any) -> None:
    with loaded(name, rules.set_up) as program:
        search(program, rules, *rules.CHECKS)


def test_a_stale_offset_is_seen_in_the_bytes() -> None:
    for name, holds in (("xdp_untag", True), ("faulty/xdp_untag_stale_offset", False)):
        with loaded(name, untagging.set_up) as program:
            run = program.run(untagging.TAGGED)
        assert (run.data == untagging.UNTAGGED) == holds


@pytest.mark.slow
@pytest.mark.parametrize("twin", MODELLED_TWINS)
def test_the_model_objects_to_a_twin(twin: str) -> None:
    name = right_program(twin)
    rules, model = MODELLED[name]

    with modelled(f"faulty/{twin}", rules) as program, pytest.raises(Failure) as caught:
        compare(program, name)

    assert caught.value.check == f"the model {model.name}"


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELLED)
def test_the_model_agrees_with_the_right_program_as_long(name: str) -> None:
    with modelled(name, MODELLED[name][0]) as program:
        compare(program, name)
