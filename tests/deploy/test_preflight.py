"""What the pre-flight says of interfaces that no test has: they are described to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from packetrig.deploy import preflight
from packetrig.deploy.preflight import Answer, Candidate, Finding
from packetrig.errors import Error
from packetrig.live import Wire, hooks
from packetrig.live.offloads import Offloads

pytestmark = pytest.mark.live

PLAIN = {"lro": False, "gro": False, "rx_vlan": False, "channels": 2, "most_channels": 4}


@pytest.fixture(scope="module")
def interface() -> Iterator[hooks.Interface]:
    """Stand in the namespace of an interface: its hooks are looked at too."""
    with Wire() as wire, wire.right.namespace.inside():
        yield hooks.interface("right")


def said(interface: hooks.Interface, mode: str, **has: Any) -> dict[str, Finding]:
    kind = "tc" if mode.startswith("tc") else "xdp"
    candidate = Candidate("new", kind, has_frags=False, mode=mode)
    offloads = Offloads(driver="ixgbe", **{**PLAIN, **has})
    found = preflight.preflight(candidate, interface, offloads, None)
    return {each.what: each for each in found}


@pytest.mark.parametrize(
    ("has", "what", "answers"),
    [
        ({"lro": True}, "lro", {"native": Answer.STOP, "generic": Answer.STOP}),
        ({"gro": True}, "gro", {"generic": Answer.NOTE}),
        ({"rx_vlan": True}, "vlan", {"native": Answer.NOTE, "generic": Answer.NOTE}),
        (
            {"channels": 4},
            "queues",
            {"native": Answer.NOTE, "generic": Answer.OK, "tc-ingress": Answer.OK},
        ),
        (
            {"channels": 1, "most_channels": 1},
            "queues",
            dict.fromkeys(("native", "generic", "tc-ingress"), Answer.OK),
        ),
    ],
)
def test_what_a_driver_does_before_the_program_is_told_for_the_modes_that_it_concerns(
    interface: hooks.Interface, has: dict[str, Any], what: str, answers: dict[str, Answer]
) -> None:
    found = {mode: said(interface, mode, **has) for mode in ("native", "generic", "tc-ingress")}

    assert {mode: each[what].answer for mode, each in found.items() if what in each} == answers


def test_nothing_is_said_of_what_the_driver_does_not_do(interface: hooks.Interface) -> None:
    found = said(interface, "native")

    assert not {"lro", "gro", "vlan"} & found.keys()
    assert {found[what].answer for what in ("mtu", "queues", "link", "down")} == {Answer.OK}


def test_merged_frames_stop_the_attach_until_they_are_allowed(interface: hooks.Interface) -> None:
    found = list(said(interface, "native", lro=True).values())

    with pytest.raises(Error, match=r"lro off \(--allow lro attaches all the same\)"):
        preflight.check(found)
    with pytest.raises(Error, match="lro off"):
        preflight.check(preflight.allow(found, frozenset({"mtu"})))
    preflight.check(preflight.allow(found, frozenset({"lro"})))


def test_what_the_kernel_would_refuse_is_allowed_by_no_word(interface: hooks.Interface) -> None:
    found = preflight.preflight(
        Candidate("new", "tc", has_frags=False, mode="native"),
        interface,
        Offloads("", **PLAIN),
        None,
    )

    with pytest.raises(Error, match=r"as native; what fits: [^(]*$"):
        preflight.check(preflight.allow(found, frozenset({"kind"})))
