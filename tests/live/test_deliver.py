"""Every malformed frame reaches the program, or it is said that it did not."""

from __future__ import annotations

import pytest

from packetrig import TC, XDP
from packetrig.live import Ended, deliver
from packetrig.packets import malformed

pytestmark = pytest.mark.live

SHORT = [case for case in malformed.catalogue(packet="udp4") if case.refused_by("tc")]
SOME = [*SHORT, *malformed.catalogue(packet="udp4", kind="version")]


def test_frames_too_short_for_a_test_run_of_tc_go_over_a_wire(tc):
    delivery = deliver(tc, SOME)

    assert [case for case, _ in delivery.over_the_wire] == SHORT
    assert [case.kind for case, _ in delivery.tested] == [malformed.Kind.VERSION] * 15
    assert delivery.is_complete
    assert str(delivery) == (f"answer_tc: 15 tested, {len(SHORT)} over the wire, 0 not delivered")


def test_what_the_program_answered_on_the_wire_is_seen(tc):
    # The answer stands in the frame's first byte behind Ethernet: 0x45 is no verdict, and goes on.
    cut = [case for case in SHORT if case.kind is malformed.Kind.CUT]
    delivery = deliver(tc, cut)

    assert [case for case, _ in delivery.over_the_wire] == cut
    assert {trip.ended for _, trip in delivery.over_the_wire} == {Ended.STACK}
    assert all(trip.passed == (case.frame,) for case, trip in delivery.over_the_wire)


def test_an_xdp_program_is_given_everything_by_its_test_run(xdp):
    delivery = deliver(xdp, SOME)

    assert len(delivery.tested) == len(SOME)
    assert all(run.frame is case.frame for case, run in delivery.tested)
    assert {run.verdict for _, run in delivery.tested} - set(XDP)  # the frame says which


def test_what_is_not_sent_is_not_counted_as_tested(tc):
    delivery = deliver(tc, SOME, wire=False)

    assert [case for case, _ in delivery.not_delivered] == SHORT
    assert not delivery.is_complete
    assert "takes no less than 34" in str(delivery)
    assert f"{len(SHORT)} not delivered" in str(delivery)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["tc-ingress", "tc-egress"])
def test_the_whole_catalogue_reaches_a_tc_program(tc, mode):
    delivery = deliver(tc, mode=mode)

    assert delivery.is_complete, delivery
    assert len(delivery.tested) + len(delivery.over_the_wire) == len(malformed.catalogue())
    assert len(delivery.over_the_wire) > 500


def test_the_catalogue_knows_what_a_test_run_of_tc_refuses(tc):
    delivery = deliver(tc, wire=False)

    foretold = [case for case in malformed.catalogue() if case.refused_by("tc")]
    assert [case for case, _ in delivery.not_delivered] == foretold
    assert TC.OK in {run.verdict for _, run in delivery.tested}
