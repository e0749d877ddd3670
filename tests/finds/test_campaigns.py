"""What campaigns reach and find: in short what `make campaigns` does at length."""

from __future__ import annotations

import re

import pytest

from packetrig.replay import Setup

from . import campaigns
from .campaigns import PROGS, REASONS, SETUPS
from .harness import Subject, faulty, right

SMALL = (
    "tc_egress_marker",
    "tc_ingress",
    "xdp_mac_filter",
    "xdp_marker",
    "xdp_router",
    "xdp_untag",
)
# One of each way to be found: by a check, by the model, by the sum of a device, on a wire.
FAULTS = (
    "xdp_router_ttl_not_decremented",
    "xdp_http_extensions_not_walked",
    "tc_egress_balancer_pseudo_header",
    "tc_http_pull_forgotten",
)


def subject(name: str) -> Subject:
    (found,) = (each for each in (*right(), *faulty()) if each.name == name)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_short_campaign_reaches_what_can_be_reached_and_accuses_nobody(name: str) -> None:
    reached = campaigns.reach(subject(name), runs=20_000)

    assert reached.percent >= campaigns.LEAST_PERCENT, reached.left
    assert reached.found == ()


@pytest.mark.slow
@pytest.mark.live
@pytest.mark.parametrize("name", FAULTS)
def test_a_campaign_finds_a_fault(name: str) -> None:
    assert campaigns.search(subject(name), 1, seconds=300).check


@pytest.mark.parametrize(
    "path", sorted({*SETUPS.glob("*.toml")} - {REASONS}), ids=lambda path: path.stem
)
def test_a_set_up_of_a_campaign_fits_its_program(path) -> None:
    (program,) = (each for each in right() if re.fullmatch(rf"{each.name}(-\w+)?", path.stem))

    assert Setup.read(path).path in [each.path for each in campaigns.setups(program)]


def test_each_reason_says_something() -> None:
    texts = [path.read_text() for path in PROGS.rglob("*.[ch]")]
    reasons = [
        reason
        for text in texts
        for reason in re.findall(r"/\* (?:unreachable|not in a test run): (.*?) \*/", text)
    ]

    assert len(reasons) > 20
    assert [reason for reason in reasons if len(reason.split()) < 2] == []
