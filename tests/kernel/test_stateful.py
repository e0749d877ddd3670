"""Stories: packets and a control plane that changes the maps in between, without a class."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import strategies as st
from progs.models.xdp_firewall import xdp_firewall
from progs.models.xdp_ratelimit import xdp_ratelimit

import packetrig
from packetrig import XDP, Error, Failure, InputRefused, NoSuchName, Object
from packetrig import strategies as net

firewall = packetrig.fixture("progs/xdp_firewall.bpf.c")
tc_ingress = packetrig.fixture("progs/tc_ingress.bpf.c")
limiter = packetrig.fixture("progs/xdp_ratelimit.bpf.c", depth=3, period_ns=0)

ADDRESSES = st.sampled_from(["10.0.0.66", "10.0.0.1", "192.0.2.1"])
NETWORKS = st.sampled_from(["10.0.0.0/8", "10.0.0.64/26", "0.0.0.0/0"])
PACKETS = net.udp_packets(source=ADDRESSES, version=4)


@pytest.mark.slow
@packetrig.stateful(
    packets=PACKETS, updates={"blocked": ADDRESSES, "prefixes": NETWORKS}, model=xdp_firewall
)
def test_the_firewall_holds_while_its_lists_change(firewall):
    firewall.maps.blocked["10.0.0.66"] = 0


@pytest.mark.slow
@packetrig.stateful(
    packets=PACKETS,
    updates={
        "routes": (NETWORKS, st.integers(0, 3)),
        "buckets": (ADDRESSES, st.integers(0, 2).map(lambda n: {"tokens": n})),
        "forget": lambda limiter: limiter.maps.buckets.clear(),
    },
    model=xdp_ratelimit,
    checks=[packetrig.checks.drops_grow_only("buckets")],
)
def test_the_limiter_holds_while_its_routes_change(limiter):
    pass


# What a story is made of


def told(story: Any, **fixtures: Object) -> str:
    """Run a story that fails, and return what is shown of it."""
    with pytest.raises(Failure) as caught:
        story(**fixtures)
    return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])


def passes_always(frame: bytes, maps: Any) -> Any:
    return XDP.PASS


@pytest.mark.slow
def test_the_story_that_is_shown_is_the_shortest_that_fails(firewall: Object) -> None:
    @packetrig.stateful(
        packets=PACKETS, updates={"blocked": ADDRESSES}, model=packetrig.model(passes_always)
    )
    def story(firewall: Object) -> None: ...

    shown = told(story, firewall=firewall)

    assert "verdict   model XDP.PASS, program XDP.DROP" in shown
    steps = [line for line in shown.splitlines() if line.startswith("state.")]
    assert [step.partition("(")[0] for step in steps] == [
        "state.set_blocked",
        "state.packet",
        "state.teardown",
    ]


@pytest.mark.slow
def test_each_story_begins_with_the_set_up_alone(firewall: Object) -> None:
    beginnings = []

    @packetrig.stateful(packets=PACKETS, updates={"blocked": ADDRESSES}, examples=5, steps=5)
    def story(firewall: Object) -> None:
        beginnings.append(dict(firewall.maps.blocked))

    story(firewall=firewall)

    assert len(beginnings) >= 5
    assert set(map(len, beginnings)) == {0}


def test_a_story_asks_for_the_fixtures_that_its_function_names() -> None:
    @packetrig.stateful()
    def test_something(firewall: Object, tmp_path: object) -> None:
        """Tell something."""

    assert list(inspect.signature(test_something).parameters) == ["firewall", "tmp_path"]
    assert test_something.__name__ == "test_something"
    assert test_something.__doc__ == "Tell something."


def test_an_array_is_updated_too_and_what_is_let_go_is_zero(firewall: Object) -> None:
    @packetrig.stateful(packets=PACKETS, updates={"drops": (0, 1)}, examples=5, steps=10)
    def story(firewall: Object) -> None: ...

    story(firewall=firewall)


def test_a_map_that_there_is_not_is_told_before_the_first_story(firewall: Object) -> None:
    @packetrig.stateful(updates={"blokced": ADDRESSES})
    def story(firewall: Object) -> None: ...

    with pytest.raises(NoSuchName, match="did you mean 'blocked'"):
        story(firewall=firewall)


@pytest.mark.slow
def test_a_packet_that_the_kernel_refuses_is_a_step_that_did_not_happen(tc_ingress: Object) -> None:
    short, whole = bytes(12) + b"\x08\0", bytes(12) + b"\x88\xb5" + bytes(20)

    @packetrig.stateful(packets=st.sampled_from([short, whole]), examples=5)
    def some(tc_ingress: Object) -> None: ...

    @packetrig.stateful(packets=st.just(short), examples=5)
    def none(tc_ingress: Object) -> None: ...

    some(tc_ingress=tc_ingress)
    with pytest.raises(InputRefused, match="no packet was judged: tc_ingress: "):
        none(tc_ingress=tc_ingress)


def test_a_story_without_a_program_is_an_error() -> None:
    @packetrig.stateful()
    def story(tmp_path: object) -> None: ...

    with pytest.raises(Error, match="it names no fixture of a program"):
        story(tmp_path=None)
