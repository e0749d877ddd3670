"""Verdicts: numbers of the kernel, each of one kind of program."""

from __future__ import annotations

import pytest

from packetrig import CGROUP, NF, SK, TC, XDP
from packetrig.verdicts import BY_KIND, Verdict


@pytest.mark.parametrize(
    "one, other", [(XDP.PASS, TC.SHOT), (XDP.ABORTED, TC.OK), (CGROUP.PASS, XDP.DROP)]
)
def test_a_verdict_equals_none_of_another_kind(one: Verdict, other: Verdict) -> None:
    assert int(one) == int(other)
    assert (one == other, one != other) == (False, True)
    assert len({one, other}) == 2


def test_a_verdict_equals_its_number() -> None:
    assert XDP.PASS == 2
    assert TC.UNSPEC == -1
    assert {2: "passed"}[XDP.PASS] == "passed"
    assert (XDP.PASS != 3, XDP.PASS != 2) == (True, False)


def test_verdicts_that_share_a_name_are_still_of_their_kind() -> None:
    assert SK.DROP != NF.DROP
    assert len(set(BY_KIND.values())) == len({each(0) for each in BY_KIND.values()})
