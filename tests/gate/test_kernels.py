"""The rule kernels: the same object, held to the same rules on other kernels."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import pytest

from packetrig import gate, kernels
from packetrig.gate import inside
from packetrig.gate.outcome import Answer, Decision
from packetrig.packets import pcap

from ..cli.given import other_kernel

pytestmark = pytest.mark.slow

HERE = platform.release()
SOURCE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int xdp_even(struct xdp_md *ctx)
{
	return (ctx->data_end - ctx->data) % 2 ? XDP_DROP : XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
"""
TESTS = """
import packetrig
even = packetrig.fixture("xdp_even.bpf.c")
def test_even(even):
    assert even.run(bytes(60)).verdict is packetrig.XDP.PASS
def test_odd(even):
    assert even.run(bytes(61)).verdict is packetrig.XDP.WORD
"""
RULES = """
version = 1
[tests]
paths = ["test_even.py"]
[replay]
pcap = ["in.pcap"]
[kernels]
releases = ["WHERE"]
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with a program, its tests and a capture."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "xdp_even.bpf.c").write_text(SOURCE)
    (tmp_path / "test_even.py").write_text(TESTS.replace("WORD", "DROP"))
    pcap.write(tmp_path / "in.pcap", [bytes(60), bytes(62)])
    return tmp_path


def judged(where: str, more: str = "") -> gate.Judged:
    Path("gate.toml").write_text(RULES.replace("WHERE", where) + more)
    events = gate.judge(
        gate.read("gate.toml"), [Path("xdp_even.bpf.c")], into=Path("build"), seed=7
    )
    (found,) = [event for event in events if isinstance(event, gate.Judged)]
    return found


def test_a_kernel_is_asked_all_rules_that_are_on_and_can_be_asked_there(place: Path) -> None:
    found = judged("host")

    outcome = found.outcome("kernels")
    assert (found.decision, outcome.answer, outcome.shown) == (
        Decision.DEPLOY,
        Answer.HELD,
        "host",
    )
    told = outcome.measured["kernels"]["host"]
    assert told["kernel"] == HERE
    assert {rule: each["answer"] for rule, each in told["rules"].items()} == {
        "verifier": "held",
        "tests": "held",
        "replay": "held",
    }
    assert told["rules"]["tests"]["shown"] == "2 passed"


def test_chosen_rules_are_the_only_ones(place: Path) -> None:
    found = judged("host", 'rules = ["verifier"]')

    told = found.outcome("kernels").measured["kernels"]["host"]
    assert list(told["rules"]) == ["verifier"]


def test_evidence_of_it_is_read_again(place: Path) -> None:
    found = judged("host")

    document = gate.evidence.document(found, gate.read("gate.toml"), seed=7)
    gate.write(place / "evidence.json", document)

    read = gate.evidence.read(place / "evidence.json")
    assert read.document["rules"]["kernels"]["measured"]["kernels"]["host"]["kernel"] == HERE
    assert read.decision is Decision.DEPLOY


def test_what_is_refused_there_is_refused_with_the_kernel_and_a_command(place: Path) -> None:
    (place / "test_even.py").write_text(TESTS.replace("WORD", "TX"))

    found = judged("host", '[[waiver]]\nrule = "tests"\nreason = "known"\nexpires = 9999-01-01\n')

    outcome = found.outcome("kernels")
    # What is waived here is not waived there: the rule kernels has waivers of its own.
    assert found.outcome("tests").answer is Answer.WAIVED
    assert (found.decision, outcome.answer, outcome.shown) == (
        Decision.REFUSED,
        Answer.REFUSED,
        "refused",
    )
    (reason,) = outcome.reasons
    assert reason.text.startswith(f"{HERE}: tests: test_even.py::test_odd failed: ")
    assert reason.repeat.startswith("packetrig matrix --kernel host -- pytest ")
    assert reason.repeat.endswith(" test_even.py::test_odd")


def test_a_kernel_that_is_not_there_leaves_it_undecided(place: Path) -> None:
    found = judged("0.1")

    (reason,) = found.outcome("kernels").reasons
    assert found.decision is Decision.UNDECIDED
    assert reason.text.startswith("kernel 0.1: ")


def test_a_kernel_that_tells_nothing_leaves_it_undecided(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "python").write_text("#!/bin/sh\necho no module of that name; exit 3\n")
    (place / "python").chmod(0o755)
    rules = RULES.replace("WHERE", "host").partition("[tests]")
    (place / "gate.toml").write_text(f"{rules[0]}[kernels]{rules[2].partition('[kernels]')[2]}")
    monkeypatch.setattr(sys, "executable", str(place / "python"))

    events = gate.judge(
        gate.read("gate.toml"), [Path("xdp_even.bpf.c")], into=Path("build"), seed=7
    )

    (found,) = [event for event in events if isinstance(event, gate.Judged)]
    (reason,) = found.outcome("kernels").reasons
    assert reason.text == "host: exit code 3: no module of that name"
    assert found.decision is Decision.UNDECIDED


def test_what_stands_in_the_way_of_all_objects_there_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = {"policy": "gone.toml", "rules": [], "objects": [], "kind": None, "seed": 1}
    (place / "request.json").write_text(json.dumps(request))
    monkeypatch.setenv(kernels.RESULTS, str(place))

    inside.main("request.json")

    assert json.loads((place / "outcomes.json").read_text()) == {
        "objects": {},
        "why": "gone.toml: there is no such policy",
    }


def test_a_real_other_kernel_decides_about_the_very_object(place: Path) -> None:
    other = other_kernel()

    found = judged(other, 'timeout = "10m"\nrules = ["verifier", "replay"]\n')

    outcome = found.outcome("kernels")
    told = outcome.measured["kernels"][other]
    assert told["kernel"].startswith(f"{other}.") and told["kernel"] != HERE, json.dumps(told)
    assert outcome.answer is Answer.HELD, [reason.text for reason in outcome.reasons]
    assert told["rules"]["replay"] == {"answer": "held", "shown": "2 frames"}
    assert told["rules"]["verifier"]["answer"] == "held"
