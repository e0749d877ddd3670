"""`packetrig gate`: the table, the reasons, what is written, and how it exits."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from packetrig import build
from packetrig.errors import Failure

from .given import ABORTED, BLOCKED, GOOD, ILLEGAL, SHORT, SOURCES, Ended, shown

Command = Callable[..., Ended]
Capture = Callable[..., str]
Policy = Callable[..., str]

MIX = "progs/xdp_mix.bpf.c"
REPLAY = '[replay]\npcap = ["*-in.pcap"]\nsetup = "state.toml"\n'
BUILD_ERROR = '[build]\nwarnings = "error"\n'


def without_counts(text: str) -> str:
    """Leave out what another clang or kernel would say otherwise, and the columns' widths."""
    text = re.sub(r"(by the verifier: ).*( \()", r"\1...\2", text)
    return re.sub(r"(?<=\S)  +", "  ", re.sub(r"\b\d+ insns", "N insns", text))


@pytest.fixture
def policy(place: Path) -> Policy:
    """Write a policy into the folder."""

    def write(text: str) -> str:
        (place / "gate.toml").write_text(f"version = 1\n{text}")
        return "gate.toml"

    return write


def decisions(ended: Ended) -> dict[str, str]:
    """Read the last column of the table."""
    rows = ended.out.partition("\n\n")[0].splitlines()[1:]
    return {row.split()[0]: row.split()[-1] for row in rows}


def test_an_object_that_holds_may_be_deployed(
    packetrig: Command, capture: Capture, policy: Policy
) -> None:
    capture(GOOD, BLOCKED, SHORT, name="some-in.pcap")

    ended = packetrig("gate", MIX, "--policy", policy(REPLAY + '[live]\nmodes = ["native"]\n'))

    assert without_counts(ended.out) == shown("gate_deploy.txt")
    assert (ended.code, ended.err) == (0, "")


def test_each_refusal_is_told_in_words_with_the_command_that_repeats_it(
    packetrig: Command, capture: Capture, policy: Policy, place: Path
) -> None:
    capture(GOOD, ABORTED, ILLEGAL, BLOCKED, name="some-in.pcap")
    (place / "broken.bpf.c").write_text("int broken(void) { return nothing; }\n")
    given = [MIX, "progs/xdp_rejected.bpf.c", "progs/xdp_warned.bpf.c", "broken.bpf.c"]

    ended = packetrig(
        "gate", *given, "--policy", policy(REPLAY.replace("state", "{program}") + BUILD_ERROR)
    )

    assert without_counts(ended.out) == shown("gate_refused.txt")
    assert (ended.code, ended.err) == (1, "")


def test_the_repeated_command_shows_it_again(
    packetrig: Command, capture: Capture, policy: Policy
) -> None:
    capture(ABORTED, name="some-in.pcap")

    ended = packetrig("gate", MIX, "--policy", policy(REPLAY))
    command = re.search(r"repeat: packetrig (run .*)", ended.out)
    assert command
    again = packetrig(*command[1].split())

    assert again.out.endswith("\n1 packet: 1 ABORTED\n")


def test_one_refusal_weighs_more_than_any_doubt(
    packetrig: Command, capture: Capture, policy: Policy
) -> None:
    capture(SHORT, name="some-in.pcap")
    rule = policy('[replay]\npcap = ["some-in.pcap"]\n')

    doubtful = packetrig("gate", MIX, "--policy", rule)
    both = packetrig("gate", MIX, "progs/xdp_rejected.bpf.c", "--policy", rule)

    assert (doubtful.code, decisions(doubtful)) == (2, {"xdp_mix": "UNDECIDED"})
    assert "none of the 1 frames could be given to it: nothing was tested" in doubtful.out
    assert (both.code, decisions(both)) == (
        1,
        {"xdp_mix": "UNDECIDED", "xdp_rejected": "REFUSED"},
    )


def test_expected_verdicts_are_those_beside_the_capture(
    packetrig: Command, capture: Capture, policy: Policy, place: Path
) -> None:
    capture(GOOD, BLOCKED, name="some-in.pcap")
    digest = hashlib.sha256((place / "some-in.pcap").read_bytes()).hexdigest()
    beside = place / "some-in.toml"
    text = f'format = 1\npackets = 2\nsha256 = "{digest}"\n[verdicts]\nxdp_mix = "PASS DROP"\n'
    beside.write_text(text)
    words = ("gate", MIX, "--policy", policy(REPLAY))

    assert packetrig(*words).code == 0
    beside.write_text(text.replace("PASS DROP", "PASS*2"))
    ended = packetrig(*words)
    assert "some-in.pcap, packet 2: DROP, expected PASS (Ether / IP 10.0.0.66" in ended.out
    assert ended.code == 1
    command = re.search(r"repeat: packetrig (run .*)", ended.out)
    assert command
    again = packetrig(*command[1].split())  # in the state that the gate gave it
    assert again.out.endswith("\n2 packets: 1 PASS, 1 DROP\n")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("format = 1\nsha256 = 'ab'", "some-in.toml: it describes another some-in.pcap"),
        ("format = 2", "some-in.toml: format 2 is not known"),
        ("format = 1\npackets = 1\n[verdicts]\nx = 'A*2'", "verdicts.x: 2 verdicts for 1 packets"),
        ("format = 1\n[verdicts]\nx = 'A*x'", "verdicts.x: 'A*x' is no verdict"),
        ("format = 1\n[verdicts]\nxdp_mix = 'PASS*3'", "1 packets, but 3 verdicts of xdp_mix"),
    ],
)
def test_expectations_that_do_not_fit_leave_it_undecided(
    packetrig: Command, capture: Capture, policy: Policy, place: Path, text: str, error: str
) -> None:
    capture(GOOD, name="some-in.pcap")
    (place / "some-in.toml").write_text(text)

    ended = packetrig("gate", MIX, "--policy", policy(REPLAY))

    assert error in ended.out + ended.err
    assert ended.code == 2


def test_a_checksum_that_a_program_spoils_is_refused(
    packetrig: Command, capture: Capture, policy: Policy, place: Path
) -> None:
    capture(GOOD, name="some-in.pcap")
    (place / "hop.toml").write_text("format = 1\n[globals]\nhop = 1\n")
    rule = REPLAY.replace("state", "hop")

    assert packetrig("gate", MIX, "--policy", policy(rule)).code == 0
    ended = packetrig("gate", MIX, "--policy", policy(f"{rule}checksums = true\n"))
    assert "packet 1: PASS with a wrong checksum: IP.chksum" in ended.out
    assert ended.code == 1


def test_a_difference_to_what_is_deployed_is_refused(
    packetrig: Command, capture: Capture, policy: Policy, place: Path
) -> None:
    capture(ABORTED[:12] + b"\x86\xdd" + bytes(46), GOOD, name="some-in.pcap")
    rule = policy(f'{REPLAY}against = "deployed/{{object}}.o"\n')

    absent = packetrig("gate", MIX, "--policy", rule)
    (place / "deployed").mkdir()
    (place / "deployed" / "xdp_mix.o").write_bytes(build(MIX).data)
    same = packetrig("gate", MIX, "--policy", rule)
    other = build(MIX, define={"VERDICT": "XDP_TX"})
    (place / "deployed" / "xdp_mix.o").write_bytes(other.data)
    ended = packetrig("gate", MIX, "--policy", rule)

    assert (absent.code, same.code, ended.code) == (2, 0, 1)
    assert "there is no deployed/xdp_mix.o to compare xdp_mix with" in absent.out
    assert "packet 2: it does not do the same as what is deployed: verdict" in ended.out
    assert "--against deployed/xdp_mix.o" in ended.out


def test_limits_of_the_verifier_are_held(packetrig: Command, policy: Policy) -> None:
    ended = packetrig(
        "gate", MIX, "--policy", policy("[verifier]\nmax-instructions = 10\nmax-stack = 512\n")
    )

    told = re.search(
        r"verifier: xdp_mix: (\d+) instructions of the verifier are more than", ended.out
    )
    assert told
    assert int(told[1]) > 10
    assert (ended.code, ended.out.count("verifier:")) == (1, 1)


def test_a_program_that_sees_no_packets_is_not_replayed(
    packetrig: Command, capture: Capture, policy: Policy
) -> None:
    capture(GOOD, name="some-in.pcap")
    rule = policy(REPLAY.replace("state", "{program}") + '[live]\nmodes = ["native"]\n')

    ended = packetrig("gate", "progs/cgroup_connect.bpf.c", "--policy", rule)

    assert re.search(
        r"^cgroup_connect +cgroup_sock_addr .* -  +-  +DEPLOY$", ended.out, re.MULTILINE
    )


def test_each_program_of_an_object_is_judged(
    packetrig: Command, capture: Capture, policy: Policy
) -> None:
    capture(GOOD, ABORTED, name="some-in.pcap")
    rule = REPLAY.replace("state", "{program}")
    live = '[live]\nmodes = ["native", "tc-ingress", "tc-egress", "tcx-egress"]\n'

    ended = packetrig("gate", "progs/two.bpf.c", "--policy", policy(rule + live), "--json")

    found = json.loads(ended.out)["objects"][0]
    tried = [(r["program"], r["mode"]) for r in found["rules"]["live"]["measured"]["reports"]]
    assert tried == [
        ("way_in", "native"),
        ("way_out_egress", "tc-egress"),
        ("way_out_egress", "tcx-egress"),
    ]
    assert found["rules"]["replay"]["measured"]["tested"] == 4
    assert found["decision"] == "DEPLOY"


def test_a_program_that_is_not_loaded_unasked_is_named_as_left_out(
    packetrig: Command, policy: Policy, place: Path
) -> None:
    text = (place / "progs" / "two.bpf.c").read_text()
    (place / "half.bpf.c").write_text(text.replace('SEC("xdp")', 'SEC("?xdp")'))

    ended = packetrig("gate", "half.bpf.c", "--policy", policy("[verifier]\nmax-stack = 512\n"))

    assert (ended.code, " insns, without way_in " in ended.out) == (0, True)


def test_the_evidence_is_of_the_very_file_that_ships_and_the_same_each_time(
    packetrig: Command, capture: Capture, policy: Policy, place: Path
) -> None:
    capture(GOOD, BLOCKED, name="some-in.pcap")
    rule = policy(REPLAY + '[live]\nmodes = ["generic"]\n')
    words = ("gate", MIX, "--policy", rule, "--evidence", "evidence", "--seed", 7)

    first = packetrig(*words)
    text = (place / "evidence" / "xdp_mix.json").read_text()
    packetrig(*words)

    found = json.loads(text)
    shipped = (place / "build" / "xdp_mix.bpf.o").read_bytes()
    assert first.out.endswith("\nevidence: evidence\n")
    assert (place / "evidence" / "xdp_mix.json").read_text() == text
    assert found["format"] == 1
    assert found["decision"] == "DEPLOY"
    assert found["object"] == {
        "path": "build/xdp_mix.bpf.o",
        "sha256": hashlib.sha256(shipped).hexdigest(),
        "size": len(shipped),
    }
    assert (
        found["source"]["sha256"]
        == hashlib.sha256((SOURCES / "xdp_mix.bpf.c").read_bytes()).hexdigest()
    )
    assert found["seeds"] == {"hypothesis": 7}
    assert re.fullmatch("[0-9a-f]{16}", found["programs"]["xdp_mix"]["tag"])
    assert {"clang", "kernel", "libbpf", "packetrig", "python"} <= found["tools"].keys()
    assert {name: rule["answer"] for name, rule in found["rules"].items()} == {
        "build": "held",
        "verifier": "held",
        "tests": "off",
        "coverage": "off",
        "replay": "held",
        "fuzz": "off",
        "speed": "off",
        "kernels": "off",
        "live": "held",
    }
    assert list(place.glob("**/.*")) == []


def test_an_object_file_is_taken_as_it_is(packetrig: Command, policy: Policy, place: Path) -> None:
    (place / "made.bpf.o").write_bytes(build(MIX).data)

    ended = packetrig(
        "gate", "made.bpf.o", "--policy", policy("[verifier]\n"), "--evidence", "one.json"
    )

    found = json.loads((place / "one.json").read_text())
    assert (ended.code, found["object"]["path"], found["name"]) == (0, "made.bpf.o", "made")
    assert not (place / "build").exists()


def test_junit_has_a_suite_an_object_and_a_case_a_rule(
    packetrig: Command, capture: Capture, policy: Policy, place: Path
) -> None:
    capture(ABORTED, name="some-in.pcap")
    rule = policy(REPLAY.replace("state", "{program}") + BUILD_ERROR)

    packetrig(
        "gate", MIX, "progs/xdp_warned.bpf.c", "absent.o", "--policy", rule, "--junit", "j.xml"
    )

    suites = {suite.get("name"): suite for suite in Xml.parse(place / "j.xml").getroot()}
    tallies = {
        name: [suite.get(key) for key in ("tests", "failures", "errors", "skipped")]
        for name, suite in suites.items()
    }
    assert tallies == {
        "xdp_mix": ["9", "1", "0", "6"],
        "xdp_warned": ["9", "1", "0", "6"],
        "absent": ["9", "0", "1", "8"],
    }
    failure = suites["xdp_mix"].find("testcase[@name='replay']/failure")
    assert failure is not None
    assert "ABORTED, which no packet may lead to" in (failure.get("message") or "")


@pytest.mark.parametrize(
    ("given", "text", "error"),
    [
        ([MIX], None, "gate.toml: there is no such policy"),
        ([MIX], "[build", "gate.toml: is not TOML: "),
        ([MIX], "", "gate.toml: no rule is written"),
        ([MIX], "[bild]", "gate.toml: bild: there is no such key, did you mean 'build'?"),
        ([MIX], "[replay]\npcap = ['x*']", "gate.toml: [replay] pcap: nothing matches 'x*' in "),
        ([MIX], "[replay]\npcap = ['raw.pcap']", "raw.pcap: holds raw IP"),
        ([MIX], "[replay]\npcap = ['nothing.pcap']", "nothing.pcap: is empty"),
        ([MIX], "[replay]\npcap = ['no-packet.pcap']", "no-packet.pcap: holds no packet"),
        ([MIX], "[tests]\npaths = ['absent']", "gate.toml: [tests] paths: there is no absent in "),
        ([MIX, MIX], "[build]", f"{MIX} and {MIX} are both named xdp_mix"),
        ([MIX, "a.o", "--evidence", "e.json"], "[build]", "--evidence e.json: one file for 2"),
        ([MIX, "--junit", "state.toml/j.xml"], "[build]", "state.toml/j.xml: cannot be written: "),
        ([MIX, "--junit", "progs"], "[build]", "progs: is a folder; name a file"),
    ],
)
def test_what_concerns_all_objects_is_one_line_and_exit_2(
    packetrig: Command, place: Path, given: list[str], text: str | None, error: str
) -> None:
    if text is not None:
        (place / "gate.toml").write_text(f"version = 1\n{text}\n")

    ended = packetrig("gate", *given, "--policy", "gate.toml")

    assert error in ended.err
    assert ended.err.startswith("packetrig: ")
    assert (ended.code, ended.err.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("absent.bpf.c", None, "build: absent.bpf.c: there is no such file"),
        ("absent.o", None, "build: no object file absent.o"),
        ("text.o", b"text", "build: text.o: "),
        ("cut.o", b"\x7fELF\x02\x01\x01" + bytes(30), "build: cut.o: "),
        ("empty.bpf.c", b"\n", "build: empty.bpf.c: the file is empty"),
        ("progs", None, "build: progs: is a folder, name a C file in it"),
        ("lost.bpf.c", b"#include <bpf/nowhere.h>\n", "'bpf/nowhere.h' file not found"),
    ],
)
def test_an_object_that_is_not_there_or_none_is_undecided(
    packetrig: Command, policy: Policy, place: Path, name: str, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (place / name).write_bytes(content)

    ended = packetrig("gate", name, "--policy", policy("[build]\n"))

    assert reason in ended.out
    assert list(decisions(ended).values()) == ["UNDECIDED"]
    assert (ended.code, ended.err) == (2, "")


def test_a_setup_that_does_not_fit_leaves_it_undecided(
    packetrig: Command, capture: Capture, policy: Policy, place: Path
) -> None:
    capture(GOOD, name="some-in.pcap")
    (place / "state.toml").write_text("format = 1\n[maps.blokced]\n1 = 1\n")

    ended = packetrig("gate", MIX, "--policy", policy(REPLAY))

    assert "replay: state.toml: no map named 'blokced', did you mean 'blocked'?" in ended.out
    assert ended.code == 2


def test_a_setup_that_is_named_for_all_must_be_there(
    packetrig: Command, capture: Capture, policy: Policy
) -> None:
    capture(GOOD, name="some-in.pcap")

    ended = packetrig("gate", MIX, "--policy", policy(REPLAY.replace("state", "absent")))

    assert "replay: absent.toml: there is no such set-up file" in ended.out
    assert ended.code == 2


def test_a_failure_inside_a_rule_refuses(
    packetrig: Command, capture: Capture, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Checks of a project's own raise Failure from within a replay.
    def fails(*_: object, **__: object) -> None:
        raise Failure("a dead packet was forwarded", repeat="packetrig run x.o --frame 00")

    monkeypatch.setattr("packetrig.gate.captures.replay", fails)
    capture(GOOD, name="some-in.pcap")

    ended = packetrig("gate", MIX, "--policy", policy(REPLAY))

    assert "  replay: a dead packet was forwarded\n    repeat: packetrig run x.o" in ended.out
    assert ended.code == 1
