"""`packetrig.engines`: one test, several engines, and what differs between them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import packetrig
import packetrig.testing.engines  # once, here: runs in this process would load pyroute2 again
from packetrig import Error

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.live

Run = Callable[..., pytest.RunResult]
ANSWERS = Path(__file__).parents[1] / "live" / "answers.bpf.c"
HEAD = f"""
import pytest
from hypothesis import given, settings, strategies as st
import packetrig
from packetrig import TC, XDP

xdp = packetrig.fixture({str(ANSWERS)!r}, program="answer_xdp")
tc = packetrig.fixture({str(ANSWERS)!r}, program="answer_tc")
bare = packetrig.fixture({str(ANSWERS)!r}, program="drops_bare_frames")
every = packetrig.fixture({str(ANSWERS)!r})
memory = packetrig.fixture({str(ANSWERS)!r}, program="only_the_first")

def frame(answer, kind="0800"):
    head = bytes.fromhex("020000000002 020000000001" + kind)
    return head + bytes([answer, 0]).ljust(50, b"x")
"""


def test_a_test_is_run_by_each_engine(run: Run) -> None:
    result = run(
        """
@packetrig.engines("testrun", "live-frames", "wire")
def test_it(xdp):
    assert xdp.run(frame(1)).verdict is XDP.DROP
    assert xdp.run(frame(2)).data == frame(2)
    assert xdp.programs.answer_xdp.run(frame(3)).verdict is XDP.TX

@packetrig.engines()
def test_that(xdp):
    assert [seen.verdict for seen in xdp.run_many([frame(1), frame(2)])] == [XDP.DROP, XDP.PASS]
""",
        "-v",
        head=HEAD,
    )

    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(
        [f"*::test_it[[]{name}[]] PASSED*" for name in ("testrun", "live-frames", "wire")]
    )
    assert "engines that differ" not in result.stdout.str()


def test_what_is_wrong_fails_in_each(run: Run) -> None:
    result = run(
        """
@packetrig.engines("testrun", "wire")
def test_it(xdp):
    assert xdp.run(frame(1)).verdict is XDP.PASS
""",
        head=HEAD,
    )

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "*XDP.DROP = <Seen XDP.DROP by wire: ended nowhere>.verdict",
            "xdp: <Seen XDP.DROP by wire: ended nowhere>",
            "  frame   *",
            "  the test run agrees",
            "  repeat  packetrig run *",
        ]
    )


def test_what_an_engine_cannot_tell_is_a_skip_that_says_why(run: Run) -> None:
    result = run(
        """
@packetrig.engines("testrun", "live-frames", "wire")
def test_tc(tc):
    assert tc.run(frame(0)).verdict is TC.OK

@packetrig.engines("testrun", "wire")
def test_the_bytes(xdp):
    assert xdp.run(frame(1)).data == frame(1)

@packetrig.engines("testrun", "wire")
def test_a_context(tc):
    tc.run(frame(0), ctx={"mark": 5})

@packetrig.engines("testrun", "wire")
def test_checks(xdp):
    xdp.judge(frame(1))
""",
        "-rs",
        "--bpf-require",  # no other kernel would help
        head=HEAD,
    )

    result.assert_outcomes(passed=5, skipped=4)
    result.stdout.fnmatch_lines_random(
        [
            "SKIPPED *engine live-frames: *only XDP has live frames",
            "SKIPPED *engine wire: the bytes of a frame that nobody received *",
            "SKIPPED *engine wire: run(ctx=) is the test run's alone",
            "SKIPPED *engine wire: judge() is the test run's alone",
        ]
    )


def test_a_difference_is_listed_with_what_may_explain_it(run: Run) -> None:
    result = run(
        """
@packetrig.engines("testrun", "wire")
def test_it(bare):
    assert bare.run(frame(0, "81000200")).verdict is TC.SHOT
""",
        head=HEAD,
    )

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*engines that differ from the test run*",
            "*::test_it[[]wire[]]: 1 differs",
            "  testrun: TC.SHOT; wire: TC.OK, ended on the stack; may be explained by: VLAN tag*",
        ]
    )


def test_a_test_may_use_its_own_wire(run: Run) -> None:
    result = run(
        """
@packetrig.engines("live-frames", "wire")
def test_it(xdp, wire):
    assert xdp.run(frame(3)).trip.returned == (frame(3),)
    assert wire.send(frame(2)) == [frame(2)]
""",
        head=HEAD,
    )

    result.assert_outcomes(passed=2)


def test_several_objects_each_have_their_hook(run: Run) -> None:
    result = run(
        """
@packetrig.engines("wire")
def test_it(xdp, tc):
    for number in range(2):
        assert xdp.run(frame(1)).verdict is XDP.DROP
        assert tc.run(frame(0)).verdict is TC.OK

@packetrig.engines("wire")
def test_one_of_several_programs(every):
    assert every.programs["answer_xdp"].run(frame(1)).verdict is XDP.DROP
    assert every.programs.answer_tc.run(frame(2)).verdict is TC.SHOT
""",
        head=HEAD,
    )

    result.assert_outcomes(passed=2)


def test_what_takes_objects_takes_them_on_an_engine_too(run: Run) -> None:
    result = run(
        """
@packetrig.engines("testrun", "wire")
def test_one_against_another(xdp, memory):
    packetrig.same(xdp, memory, frame(2))

@packetrig.engines("testrun", "wire")
def test_a_belt(xdp, tc):
    assert packetrig.belt(xdp, tc).run(frame(2)).verdict is TC.SHOT

@packetrig.engines("testrun", "wire")
def test_attached_by_hand(xdp, wire):
    with wire.right.attach(xdp, mode="generic"):
        assert wire.send(frame(1)) == []

@packetrig.engines("wire")
def test_nothing():
    pass
""",
        "-rs",
        head=HEAD,
    )

    result.assert_outcomes(passed=5, skipped=1, failed=1)
    result.stdout.fnmatch_lines_random(
        [
            "SKIPPED *engine wire: what runs a program itself (a belt) is the test run's alone",
            "*Error: test_nothing[[]wire[]]: packetrig.engines gives *and this one names none*",
        ]
    )


@pytest.mark.slow
def test_each_example_has_a_program_as_new(run: Run) -> None:
    result = run(
        """
@packetrig.engines("testrun", "live-frames", "wire")
@given(st.integers(0, 255))
@settings(max_examples=10, deadline=None)
def test_it(memory, _):
    assert [memory.run(frame(0)).verdict for _ in range(2)] == [XDP.PASS, XDP.DROP]
    assert memory.globals.seen == 2
""",
        head=HEAD,
    )

    result.assert_outcomes(passed=3)


@pytest.mark.slow
def test_workers_of_xdist_tell_what_differs_too(project: pytest.Pytester) -> None:
    project.makepyfile(
        HEAD
        + """
@packetrig.engines("testrun", "wire")
@pytest.mark.parametrize("number", range(4))
def test_it(bare, number):
    bare.run(frame(0, "81000200"))
"""
    )

    result = project.runpytest_subprocess("-n", "2", "-p", "no:cacheprovider")

    result.assert_outcomes(passed=8)
    result.stdout.fnmatch_lines(["*engines that differ*", "*test_it[[]*wire*[]]: 1 differs"])


@pytest.mark.parametrize(
    ("names", "told"),
    [(("wires",), "no engine named 'wires'"), (("wire", "wire"), "one is named twice")],
)
def test_a_wrong_name_is_told_where_it_stands(names: tuple[str, ...], told: str) -> None:
    with pytest.raises(Error, match=told):
        packetrig.engines(*names)
