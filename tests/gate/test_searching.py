"""The rules coverage and fuzz: what tests execute, and what a campaign finds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from packetrig import build, fuzz, gate
from packetrig.errors import Error
from packetrig.gate import fuzzed, policy
from packetrig.gate.outcome import Answer, Candidate, Decision, Outcome
from packetrig.packets import pcap

pytestmark = pytest.mark.slow

SOURCE = """
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#ifndef OTHER
#define OTHER XDP_TX
#endif
SEC("xdp") int NAME(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	if ((void *)(eth + 1) > data_end) /* unreachable: a frame holds its Ethernet header */
		return XDP_ABORTED;
	if (eth->h_proto == bpf_htons(ETH_P_ARP))
		return ODD;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return OTHER;
	return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
"""
TESTS = """
import packetrig
odd = packetrig.fixture("xdp_odd.bpf.c")
built_otherwise = packetrig.fixture("xdp_untried.bpf.c", define={"OTHER": "XDP_DROP"})
marked = packetrig.fixture("xdp_marked.bpf.c")
ARP = bytes(12) + b"\\x08\\x06" + bytes(46)
def test_arp(odd):
    assert odd.run(ARP).verdict is packetrig.XDP.PASS
def test_others(odd, built_otherwise, marked):
    for each in (odd, built_otherwise, marked):
        assert each.run(bytes(60)).verdict is packetrig.XDP.PASS
def test_an_object_that_was_read_counts_as_well():
    path = packetrig.build("xdp_odd.bpf.c").path
    with packetrig.Spec.read(path).load() as read:
        assert read.run(bytes(60)).verdict is packetrig.XDP.PASS
def test_what_ships_does_not_count(odd):
    assert odd.run(ARP).verdict is packetrig.XDP.PASS
    assert not odd.spec.is_instrumented
"""
RULES = 'version = 1\n[tests]\npaths = ["test_odd.py"]\n'
MARK = "return XDP_PASS; /* unreachable: never */\n}"


def write(place: Path, name: str, odd: str = "XDP_PASS", end: str = "return XDP_PASS;\n}") -> None:
    text = SOURCE.replace("NAME", name).replace("return ODD", f"return {odd}")
    (place / f"{name}.bpf.c").write_text(text.replace("return XDP_PASS;\n}", end))


def all_judged(rules: str, *given: str) -> dict[str, gate.Judged]:
    Path("gate.toml").write_text(rules)
    paths = [Path(each) for each in given]
    events = gate.judge(gate.read("gate.toml"), paths, into=Path("build"), seed=7)
    return {e.candidate.name: e for e in events if isinstance(e, gate.Judged)}


def judged(rules: str, given: str = "xdp_odd.bpf.c") -> gate.Judged:
    (found,) = all_judged(rules, given).values()
    return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with a program that is right, and tests of a part of it."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "xdp_odd")
    (tmp_path / "test_odd.py").write_text(TESTS)
    return tmp_path


@pytest.fixture(scope="module")
def covered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, gate.Judged]:
    """Gate several objects at once: tests are run once for all of them."""
    place = tmp_path_factory.mktemp("covered")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for name in ("xdp_odd", "xdp_untried"):
            write(place, name)
        write(place, "xdp_marked", end=MARK)
        (place / "test_odd.py").write_text(TESTS)
        (place / "made.o").write_bytes(build("xdp_odd.bpf.c", define={"OTHER": 7}).data)
        rules = f"{RULES}[coverage]\nmin-branches = 0.8\nmin-functions = 1\nbeside-tests = true\n"
        sources = [f"{name}.bpf.c" for name in ("xdp_odd", "xdp_untried", "xdp_marked")]
        return all_judged(rules, *sources, "made.o")


Covered = dict[str, gate.Judged]


def test_too_little_coverage_is_refused_with_what_is_missing(covered: Covered) -> None:
    found = covered["xdp_odd"]

    outcome = found.outcome("coverage")
    assert (found.decision, outcome.answer) == (Decision.REFUSED, Answer.REFUSED)
    assert outcome.shown == "75% branches 100% functions"
    (reason,) = outcome.reasons
    assert reason.text == "xdp_odd: the tests reach 3 of 4 branches (75%); min-branches is 0.8"
    assert "xdp_odd.bpf.c:17:6->true" in reason.details
    assert "--bpf-cov=xdp_odd.bpf.c" in reason.repeat
    assert outcome.measured["unreachable"][0]["reason"] == "a frame holds its Ethernet header"


def test_the_page_shows_the_source_with_what_was_not_executed(
    covered: Covered, tmp_path: Path
) -> None:
    (tmp_path / "gate.toml").write_text("version = 1\n[build]\n")

    page = gate.html.page([covered["xdp_odd"]], gate.read(tmp_path / "gate.toml"), seed=7)

    assert '<tr class="half"><td class="n">17</td>' in page
    assert '<tr class="missed"><td class="n">18</td>' in page
    assert "never true" in page


def test_coverage_is_counted_on_twins_and_the_tests_rule_on_what_ships(covered: Covered) -> None:
    found = covered["xdp_odd"]

    assert found.outcome("tests").shown == "4 passed"
    measured = found.outcome("coverage").measured
    assert [name.rpartition("::")[2] for name in measured["failed-instrumented"]] == [
        "test_what_ships_does_not_count"
    ]
    assert found.candidate.spec is not None
    assert measured["instrumented"] != found.candidate.spec.sha256


def test_tests_of_another_build_count_for_nothing(covered: Covered) -> None:
    assert covered["xdp_untried"].outcome("coverage").measured["branches"]["covered"] == 0


def test_a_line_that_is_marked_unreachable_and_was_reached_is_refused(covered: Covered) -> None:
    outcome = covered["xdp_marked"].outcome("coverage")

    assert outcome.answer is Answer.REFUSED
    assert outcome.reasons[-1].text == (
        "xdp_marked.bpf.c:19: is marked unreachable (never), and was reached"
    )


def test_an_object_without_its_source_cannot_be_counted(covered: Covered) -> None:
    outcome = covered["made"].outcome("coverage")

    assert outcome.answer is Answer.UNDECIDED
    assert "coverage needs the C source" in outcome.reasons[0].text


def test_tests_that_cannot_run_leave_coverage_undecided(place: Path) -> None:
    (place / "test_odd.py").write_text("import nothing_of_that_name\n")

    found = judged(f"{RULES}[coverage]\nmin-lines = 0.1\n")

    assert found.outcome("coverage").answer is Answer.UNDECIDED
    assert "pytest could not run the tests" in found.outcome("coverage").reasons[0].text


def test_too_little_coverage_is_no_fault_of_the_program_when_tests_could_not_be_told(
    place: Path,
) -> None:
    absent = '\nabsent = packetrig.fixture("absent.bpf.c")\n\ndef test_it(absent):\n    pass\n'
    (place / "test_odd.py").write_text(TESTS + absent)

    found = judged(f"{RULES}[coverage]\nmin-lines = 1\n")

    assert found.outcome("tests").answer is Answer.UNDECIDED
    assert found.outcome("coverage").answer is Answer.UNDECIDED
    assert "min-lines is 1" in found.outcome("coverage").reasons[0].text
    assert found.decision is gate.Decision.UNDECIDED


def test_a_campaign_that_finds_nothing_holds_and_is_the_same_again(place: Path) -> None:
    rules = "version = 1\n[fuzz]\nruns = 3000\nseed = 5\n"

    one, other = judged(rules), judged(rules)

    assert one.decision is Decision.DEPLOY
    assert one.outcome("fuzz").shown == "3000 runs"
    told = one.outcome("fuzz").measured["programs"]["xdp_odd"]
    assert (told["seed"], told["runs"], told["ended"]) == (5, 3000, "runs")
    assert told["branches"] == told["of-branches"]
    assert one.outcome("fuzz").measured == other.outcome("fuzz").measured
    page = gate.html.page([one], gate.read("gate.toml"), seed=7)
    assert "<polyline points=" in page


def test_a_finding_is_refused_and_can_be_repeated(place: Path) -> None:
    write(place, "xdp_odd", odd="77")
    rules = "version = 1\n[fuzz]\nruns = 3000\n"

    told = judged(rules).outcome("fuzz")
    written = judged(f'{rules}crashes = "crashes"\n').outcome("fuzz")
    allowed = judged(f"{rules}max-findings = 5\n")

    assert (told.answer, told.shown) == (Answer.REFUSED, "1 finding")
    (reason,) = told.reasons
    assert "xdp_odd: the_verdict_is_a_legal_one: " in reason.text
    assert reason.repeat.startswith("packetrig run build/xdp_odd.bpf.o --frame ")
    (finding,) = (place / "crashes" / "xdp_odd").glob("*.toml")
    assert written.reasons[0].repeat == f"packetrig replay {finding.stem} --crashes crashes"
    assert allowed.decision is Decision.DEPLOY
    assert allowed.outcome("fuzz").shown == "1 finding"


HIDDEN = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int xdp_hidden(struct xdp_md *ctx)
{
	__u32 *word = (void *)(long)ctx->data;
	if ((void *)(word + 1) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	return *word * 2654435761u == 0x600dcafe ? 77 : XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
"""
# The only word that the program takes wrongly: no search comes to it.
WRONG = (0x600DCAFE * pow(2654435761, -1, 2**32) % 2**32).to_bytes(4, "little") + bytes(56)


@pytest.fixture
def hidden(place: Path) -> Path:
    (place / "xdp_hidden.bpf.c").write_text(HIDDEN)
    fuzz.Corpus(place / "corpus" / "xdp_hidden").add(WRONG)
    pcap.write(place / "wrong.pcap", [WRONG])
    return place


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ('corpus = "corpus/{program}"', "corpus/xdp_hidden"),
        ('seeds = ["*.pcap"]', "wrong.pcap"),
        ('seeds = ["corpus/{object}"]', "corpus/xdp_hidden"),
    ],
)
def test_a_campaign_begins_with_the_frames_that_the_policy_names(
    hidden: Path, key: str, path: str
) -> None:
    files = sorted(each for each in hidden.rglob("*") if each.suffix in (".frame", ".pcap"))
    rules = "version = 1\n[fuzz]\nruns = 12000\nseed = 1\n"

    alone = judged(rules, "xdp_hidden.bpf.c").outcome("fuzz")
    one, other = (judged(rules + key, "xdp_hidden.bpf.c").outcome("fuzz") for _ in range(2))

    assert alone.shown == "12000 runs"
    assert one.shown == "1 finding"
    assert one.measured == other.measured
    told, plain = (each.measured["programs"]["xdp_hidden"] for each in (one, alone))
    assert list(told["begun-with"]) == [path]
    assert told["frames"]["fit"] == plain["frames"]["fit"] + 1
    after = sorted(each for each in hidden.rglob("*") if each.suffix in (".frame", ".pcap"))
    assert after == files


def test_a_pattern_with_no_file_for_a_program_names_no_frames(hidden: Path) -> None:
    keys = 'corpus = "none/{program}"\nseeds = ["none/{object}.pcap"]\n'

    found = judged(f"version = 1\n[fuzz]\nruns = 3000\n{keys}", "xdp_hidden.bpf.c")

    assert found.decision is Decision.DEPLOY
    assert found.outcome("fuzz").measured["programs"]["xdp_hidden"]["begun-with"] == {}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ('corpus = "none"', "[fuzz] corpus: nothing is at 'none' in "),
        ('seeds = ["*.none"]', "[fuzz] seeds: nothing is at '*.none' in "),
        ('seeds = ["gate.toml"]', "gate.toml: no golden packet, and no crash file"),
        ('corpus = "corpus"', "corpus/xdp_hidden: no part of a corpus"),
    ],
)
def test_frames_that_are_not_there_stop_the_gate_before_anything_is_built(
    hidden: Path, key: str, said: str
) -> None:
    with pytest.raises(Error, match=re.escape(said)):
        judged(f"version = 1\n[fuzz]\nruns = 3000\n{key}\n", "xdp_hidden.bpf.c")

    assert not (hidden / "build").exists()


def test_a_program_without_packets_is_not_searched(place: Path) -> None:
    source = Path(__file__).parents[2] / "progs" / "socket" / "cgroup_connect.bpf.c"

    found = judged("version = 1\n[fuzz]\nruns = 10\n", str(source))

    assert found.outcome("fuzz").answer is Answer.DOES_NOT_APPLY


def outcome_of(*told: tuple[object, ...]) -> Outcome:
    """Judge what campaigns on the programs of an object told."""
    seen = []
    for number, events in enumerate(told):
        seen.append(fuzzed._Seen(f"program_{number}", seed=1))
        for event in events:
            seen[-1].take(event)
    return fuzzed._outcome(Candidate("x", Path("x.o")), policy.Fuzz(runs=9), None, seen)


def ended(*, runs: int = 9, refused: int = 0) -> fuzz.Ended:
    return fuzz.Ended(fuzz.StopReason.RUNS, runs, 1.0, {}, refused=refused)


def test_what_looked_wrong_and_did_not_repeat_leaves_it_undecided() -> None:
    doubt = fuzz.Unrepeated("it_never_aborts", (b"",), "nothing is known about it")

    found = outcome_of((ended(),), (doubt, ended()))

    assert outcome_of((ended(),), (ended(),)).answer is Answer.HELD
    assert found.answer is Answer.UNDECIDED
    assert "program_1: it_never_aborts: it did not repeat" in found.reasons[0].text


@pytest.mark.parametrize(
    "nothing", [(), (ended(runs=0),), (ended(refused=9),)], ids=["no end", "no run", "all refused"]
)
def test_a_campaign_that_ran_nothing_leaves_it_undecided(nothing: tuple[object, ...]) -> None:
    found = outcome_of((ended(),), nothing)

    assert found.answer is Answer.UNDECIDED
    assert [reason.text for reason in found.reasons] == [
        "program_1: not one frame was run: nothing was tested"
    ]
