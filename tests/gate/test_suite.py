"""The tests rule: which test used which object is written down by pytest itself."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from packetrig import build
from packetrig.errors import Error, PolicyError
from packetrig.gate import suite
from packetrig.gate.outcome import Answer, Candidate
from packetrig.gate.recorder import Recorder
from packetrig.program import Program

SOURCES = Path(__file__).parents[1] / "cli" / "sources"
MIX = SOURCES / "xdp_mix.bpf.c"

TESTS = f'''
import pytest
from hypothesis import given, strategies as st
import packetrig
from packetrig import XDP

mix = packetrig.fixture("{MIX}")
other = packetrig.fixture("{MIX}", define={{"VERDICT": "XDP_TX"}})
broken = packetrig.fixture("{{HERE}}/broken.bpf.c")
FRAME = bytes(12) + b"\\x08\\x00" + bytes(46)

def test_it_passes(mix):
    assert mix.run(FRAME).verdict is XDP.PASS

@given(data=st.binary(min_size=60, max_size=60))
def test_a_property(mix, data):
    assert mix.run_many([data, data])[0].verdict is not XDP.TX

def test_its_descriptor_is_attached(mix):
    assert mix.program.fd > 0

def test_without_a_fixture():
    with packetrig.build("{MIX}").load() as loaded:
        assert loaded.run(FRAME).verdict is XDP.PASS

def test_it_fails(mix):
    assert mix.run(FRAME).verdict is XDP.DROP

def test_only_the_other(other):
    assert other.run(FRAME).verdict is XDP.TX

def test_the_other_fails(other):
    assert other.run(FRAME).verdict is XDP.PASS

def test_only_a_look(mix):
    assert len(mix.maps.blocked) == 0

def test_it_is_skipped(mix):
    pytest.skip("no time")

@pytest.mark.xfail(reason="a known fault")
def test_it_is_known_to_fail(mix):
    assert mix.run(FRAME).verdict is XDP.DROP

def test_it_does_not_compile(broken):
    pass

def test_its_setup_is_wrong(mix, absent):
    pass
'''


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> suite.Suite:
    """Run the tests above once, as the gate does."""
    place = tmp_path_factory.mktemp("suite")
    (place / "test_mix.py").write_text(TESTS.replace("{HERE}", str(place)))
    (place / "broken.bpf.c").write_text("int broken(void) { return nothing; }\n")
    return suite.run([str(place)], seed=7)


@pytest.fixture(scope="module")
def digest() -> str:
    return build(MIX).sha256


def candidate(source: Path = MIX) -> Candidate:
    return Candidate("xdp_mix", source, source, build(MIX), source)


def named(ran: suite.Suite, name: str) -> suite.Tested:
    return next(test for test in ran.tests if test.name.endswith(f"::{name}"))


@pytest.mark.slow
def test_a_test_is_told_with_the_objects_that_it_used(ran: suite.Suite, digest: str) -> None:
    used = {test.name.rpartition("::")[2]: digest in test.objects for test in ran.tests}

    assert used == {
        "test_it_passes": True,
        "test_a_property": True,
        "test_its_descriptor_is_attached": True,
        "test_without_a_fixture": True,
        "test_it_fails": True,
        "test_only_the_other": False,
        "test_the_other_fails": False,
        "test_only_a_look": False,
        "test_it_is_skipped": False,
        "test_it_is_known_to_fail": True,
        "test_it_does_not_compile": False,
        "test_its_setup_is_wrong": False,
    }
    assert len(named(ran, "test_only_the_other").objects) == 1


@pytest.mark.slow
def test_a_test_is_told_with_how_it_ended(ran: suite.Suite) -> None:
    ended = {test.name.rpartition("::")[2]: test.outcome for test in ran.tests}

    assert [name for name, outcome in ended.items() if outcome == "failed"] == [
        "test_it_does_not_compile",
        "test_it_fails",
        "test_its_setup_is_wrong",
        "test_the_other_fails",
    ]
    assert (ended["test_it_is_skipped"], ended["test_it_is_known_to_fail"]) == ("skipped",) * 2
    assert "assert XDP.PASS is XDP.DROP" in named(ran, "test_it_fails").why
    assert "a known fault" in named(ran, "test_it_is_known_to_fail").why


@pytest.mark.slow
def test_a_test_that_fails_on_another_build_of_its_source_counts(
    ran: suite.Suite, digest: str
) -> None:
    failed = named(ran, "test_the_other_fails")
    passed = suite.Tested("t.py::test_it", frozenset({digest}), frozenset(), "passed", "")
    told = suite.Suite((failed, passed), ran.command, ran.seed)

    outcome = suite.judge(candidate(), told, max_skipped=0)

    assert (outcome.answer, outcome.shown) == (Answer.REFUSED, "1 of 2 failed")


@pytest.mark.slow
def test_a_source_that_does_not_compile_is_told_by_its_path(ran: suite.Suite) -> None:
    sources = named(ran, "test_it_does_not_compile").sources

    assert [Path(source).name for source in sources] == ["broken.bpf.c"]


@pytest.mark.slow
def test_a_fixture_that_fails_is_the_fault_of_its_own_source_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: str
) -> None:
    rejected = SOURCES.parents[2] / "progs" / "rejected" / "xdp_stale_pointer.bpf.c"
    warned = SOURCES / "xdp_warned.bpf.c"
    (tmp_path / "test_three.py").write_text(
        "import packetrig\n"
        f"mix = packetrig.fixture({str(MIX)!r})\n"
        f"rejected = packetrig.fixture({str(rejected)!r})\n"
        f"warned = packetrig.fixture({str(warned)!r})\n"
        "def test_it_runs(mix):\n    mix.run(bytes(60))\n"
        "def test_rejected(rejected):\n    pass\n"
        "def test_rejected_again(rejected):\n    pass\n"
        "def test_warned(warned):\n    pass\n"
    )
    monkeypatch.setenv("PYTEST_ADDOPTS", "-W error")

    ran = suite.run([str(tmp_path)], seed=1)

    told = {test.name.rpartition("_")[2]: test for test in ran.tests}
    assert told["again"].sources == told["rejected"].sources == {str(rejected)}
    assert told["warned"].sources == {str(warned)}
    assert suite.judge(candidate(), ran, max_skipped=0).answer is Answer.HELD
    assert suite.judge(candidate(rejected), ran, max_skipped=0).answer is Answer.REFUSED


@pytest.mark.slow
def test_a_test_is_named_as_from_where_the_gate_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "test_it.py").write_text("def test_it():\n    assert False\n")
    monkeypatch.chdir(tmp_path / "below")

    ran = suite.run(["test_it.py"], seed=7)
    (test,) = ran.tests

    assert ran.repeat(test) == "pytest --hypothesis-seed=7 test_it.py::test_it"


@pytest.mark.slow
def test_the_seed_is_hypothesis_s(ran: suite.Suite) -> None:
    assert ran.seed == 7
    assert "--hypothesis-seed=7" in ran.command


@pytest.mark.slow
def test_the_workers_of_xdist_write_it_down_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: str
) -> None:
    pytest.importorskip("xdist")
    two = TESTS.partition("@given")[0] + "def test_again(mix):\n    mix.run(FRAME)\n"
    (tmp_path / "test_two.py").write_text(two.replace("{HERE}", str(tmp_path)))
    monkeypatch.setenv("PYTEST_ADDOPTS", "-n 2")

    ran = suite.run([str(tmp_path)], seed=1)

    assert [(test.outcome, digest in test.objects) for test in ran.tests] == [("passed", True)] * 2


def test_watching_leaves_the_program_as_it_was(tmp_path: Path) -> None:
    before = dict(vars(Program))
    recorder = Recorder(tmp_path, root=tmp_path)
    recorder.watch()
    assert dict(vars(Program)) != before
    recorder.close()

    assert dict(vars(Program)) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import absent_module\n", "ModuleNotFoundError: No module named 'absent_module'"),
        ("def test_x(:\n", "SyntaxError: "),
    ],
)
def test_tests_that_cannot_be_collected_are_an_error(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "test_x.py").write_text(text)

    with pytest.raises(Error, match=f"pytest could not run the tests .*test_x.py: {error}"):
        suite.run([str(tmp_path)], seed=1)


@pytest.mark.slow
def test_no_test_at_all_is_a_suite_without_tests(tmp_path: Path) -> None:
    assert suite.run([str(tmp_path)], seed=1).tests == ()


@pytest.mark.slow
def test_a_test_that_failed_has_failed_whatever_its_teardown_says(tmp_path: Path) -> None:
    (tmp_path / "test_odd.py").write_text(
        "import pytest\n"
        "@pytest.fixture\ndef odd():\n    yield\n    pytest.skip('later')\n"
        "def test_it(odd):\n    assert False\n"
    )

    (told,) = suite.run([str(tmp_path)], seed=1).tests

    assert told.outcome == "failed"


def test_pytest_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    with pytest.raises(Error, match="pytest does not start: No such file"):
        suite.run(["tests"], seed=1)


def test_a_path_that_is_not_there_is_named() -> None:
    with pytest.raises(PolicyError, match=r"gate.toml: \[tests\] paths: there is no absent/test_x"):
        suite.check_paths(["absent/test_x.py::test_x"], Path("gate.toml"))


def a_test(name: str, outcome: str, *objects: str, sources: tuple[Path, ...] = ()) -> suite.Tested:
    paths = frozenset(str(source.resolve()) for source in sources)
    return suite.Tested(f"t.py::{name}", frozenset(objects), paths, outcome, f"why {name}")


def judged(
    *tests: suite.Tested, max_skipped: int | None = None, min_tests: int = 1
) -> tuple[Answer, str, list[str]]:
    outcome = suite.judge(
        candidate(),
        suite.Suite(tests, "pytest t.py", 7),
        max_skipped=max_skipped,
        min_tests=min_tests,
    )
    return outcome.answer, outcome.shown, [reason.text for reason in outcome.reasons]


def test_an_object_holds_when_all_tests_that_used_it_passed(digest: str) -> None:
    own, others = a_test("a", "passed", digest, "ab"), a_test("b", "failed", "ab")

    assert judged(own, own, others) == (Answer.HELD, "2 passed", [])


def test_one_failed_test_refuses(digest: str) -> None:
    found = judged(a_test("a", "passed", digest), a_test("b", "failed", digest))

    assert found == (Answer.REFUSED, "1 of 2 failed", ["t.py::b failed: why b"])


def test_an_object_that_no_test_used_is_refused(digest: str) -> None:
    answer, shown, reasons = judged(a_test("a", "passed", "ab"))

    assert (answer, shown) == (Answer.REFUSED, "none used it")
    assert reasons[0].startswith(f"no test used this object (sha256 {digest[:12]}...)")


@pytest.mark.parametrize(
    ("passed", "found"),
    [
        (2, (Answer.HELD, "2 passed", [])),
        (
            1,
            (
                Answer.REFUSED,
                "1 of 2",
                ["tests that used this object and passed: 1; min-tests is 2"],
            ),
        ),
    ],
)
def test_fewer_passed_tests_than_min_tests_refuse(
    digest: str, passed: int, found: tuple[Answer, str, list[str]]
) -> None:
    tests = [a_test(str(n), "passed", digest) for n in range(passed)]
    others = a_test("skipped", "skipped", digest), a_test("other", "passed", "ab")

    assert judged(*tests, *others, min_tests=2) == found


def test_no_test_at_all_refuses() -> None:
    assert judged()[0] is Answer.REFUSED


def test_a_test_that_failed_for_lack_of_this_source_counts(digest: str) -> None:
    found = judged(a_test("a", "passed", digest), a_test("b", "failed", sources=(MIX,)))

    assert found[:2] == (Answer.REFUSED, "1 of 2 failed")


def test_a_test_that_failed_for_lack_of_another_source_does_not_count(digest: str) -> None:
    found = judged(a_test("a", "passed", digest), a_test("b", "failed", sources=(SOURCES,)))

    assert found[0] is Answer.HELD


def test_a_test_that_failed_without_any_object_leaves_it_undecided(digest: str) -> None:
    answer, shown, reasons = judged(a_test("a", "passed", digest), a_test("b", "failed"))

    assert (answer, shown) == (Answer.UNDECIDED, "1 unclear")
    assert "failed before it used an object, so it may be about this one" in reasons[0]


@pytest.mark.parametrize(("most", "answer"), [(None, Answer.HELD), (1, Answer.HELD)])
def test_skips_are_allowed_up_to_max_skipped(digest: str, most: int | None, answer: Answer) -> None:
    tests = a_test("a", "passed", digest), a_test("b", "skipped")

    assert judged(*tests, max_skipped=most)[0] is answer


def test_more_skips_than_max_skipped_leave_it_undecided(digest: str) -> None:
    found = judged(a_test("a", "passed", digest), a_test("b", "skipped"), max_skipped=0)

    assert found == (
        Answer.UNDECIDED,
        "1 skipped",
        ["t.py::b was skipped; max-skipped is 0: why b"],
    )


def test_only_the_first_failures_are_told_and_the_rest_counted(digest: str) -> None:
    found = judged(*(a_test(str(n), "failed", digest) for n in range(9)))

    assert found[2][-1] == "and 6 more tests"
    assert len(found[2]) == 4


WAITING = """
import os, pathlib, pytest
PIPE = pathlib.Path("{HERE}/pipe")

@pytest.fixture
def told():
    yield
    PIPE.write_bytes(b"cleaned up")

def test_it_waits(told):
    PIPE.write_text(str(os.getpid()))
    while True:  # signal.pause() would not hear of a signal that comes just before
        os.sched_yield()
"""
GATE = """
import os
import subprocess
import sys
from packetrig.gate import suite
suite.run([sys.argv[1]], seed=7)
"""


@pytest.mark.slow
def test_the_tests_of_a_gate_that_is_killed_end_and_clean_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "test_waits.py").write_text(WAITING.replace("{HERE}", str(tmp_path)))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    gate = subprocess.Popen([sys.executable, "-c", GATE, str(tmp_path / "test_waits.py")])
    tests = os.pidfd_open(int(pipe.read_text()))
    gate.kill()
    gate.wait()

    assert pipe.read_bytes() == b"cleaned up"
    select.select([tests], [], [])  # they write to their folder until they end
    os.close(tests)
    assert len(list(temporary.glob("packetrig-gate-*"))) == 1

    with suite.folder():
        assert len(list(temporary.glob("packetrig-gate-*"))) == 1
    assert list(temporary.glob("packetrig-gate-*")) == []
