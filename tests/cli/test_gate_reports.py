"""What `packetrig gate` writes for people and services: a page, SARIF, and GitHub's own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .given import ABORTED, SHORT, Ended

Command = Callable[..., Ended]
Capture = Callable[..., str]

MIX = "progs/xdp_mix.bpf.c"
REJECTED = "progs/xdp_rejected.bpf.c"
RULES = """
version = 1
[verifier]
max-instructions = 1
[replay]
pcap = ["*-in.pcap"]
[[waiver]]
rule = "verifier"
reason = "a 100%\\n loop"
expires = 2999-12-31
"""


@pytest.fixture
def words(capture: Capture, place: Path) -> tuple[str, ...]:
    """Give the words of a gate that refuses, waives and is in doubt."""
    capture(ABORTED, name="some-in.pcap")
    (place / "gate.toml").write_text(RULES)
    return ("gate", MIX, REJECTED, "absent.o", "--policy", "gate.toml")


def test_a_page_is_written_for_a_browser(
    packetrig: Command, words: tuple[str, ...], place: Path
) -> None:
    ended = packetrig(*words, "--html", "out/r.html")

    page = (place / "out" / "r.html").read_text()
    assert ended.code == 1
    assert page.startswith("<!doctype html>")
    assert "<title>REFUSED: packetrig gate</title>" in page
    assert "Waived until 2999-12-31: a 100% loop" in page
    assert "ABORTED, which no packet may lead to" in page


def test_a_file_with_a_space_in_its_name_is_still_named_whole(
    packetrig: Command, place: Path
) -> None:
    (place / "my progs").mkdir()
    source = place / "my progs" / "xdp_wrong.bpf.c"
    source.write_text("int x = y;\n")
    (place / "gate.toml").write_text("version = 1\n[build]\n")

    packetrig("gate", "my progs/xdp_wrong.bpf.c", "--policy", "gate.toml", "--sarif", "r.sarif")

    (run,) = json.loads((place / "r.sarif").read_text())["runs"]
    found = run["results"][0]["locations"][0]["physicalLocation"]
    assert found["artifactLocation"]["uri"] == "my%20progs/xdp_wrong.bpf.c"
    assert found["region"]["startLine"] == 1


def test_sarif_has_a_result_a_reason_and_a_doubt_is_no_success(
    packetrig: Command, words: tuple[str, ...], place: Path
) -> None:
    packetrig(*words, "--sarif", "r.sarif")

    (run,) = json.loads((place / "r.sarif").read_text())["runs"]
    told = {(r["ruleId"], r["level"]): r for r in run["results"]}
    assert told.keys() == {("replay", "error"), ("verifier", "note"), ("verifier", "error")}
    rejected = told["verifier", "error"]["locations"][0]["physicalLocation"]
    assert rejected["artifactLocation"]["uri"].endswith("xdp_rejected.bpf.c")
    assert rejected["region"]["startLine"] > 1
    (doubt,) = run["invocations"][0]["toolExecutionNotifications"]
    assert doubt["message"]["text"].startswith("absent: build: no object file absent.o")
    assert run["invocations"][0]["executionSuccessful"] is False


def test_an_object_whose_name_is_no_text_is_in_every_report(
    packetrig: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = os.fsdecode(b"xdp_\xff.bpf.c")
    (place / source).write_text("this is no C\n")
    (place / "gate.toml").write_text("version = 1\n[build]\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place / "summary.md"))
    reports = ("--sarif", "r.sarif", "--junit", "r.xml", "--html", "r.html", "--github")

    ended = packetrig("gate", source, "--policy", "gate.toml", *reports)

    assert ended.code == 1
    assert json.loads((place / "r.sarif").read_text())["runs"][0]["results"]
    for name in ("r.xml", "r.html", "summary.md"):
        assert "xdp_?" in (place / name).read_text()


def test_the_same_refusal_keeps_its_fingerprint(
    packetrig: Command, words: tuple[str, ...], place: Path
) -> None:
    prints = []
    for limit in (1, 2):
        text = RULES.replace("instructions = 1", f"instructions = {limit}")
        (place / "gate.toml").write_text(text)
        packetrig(*words, "--sarif", "r.sarif")
        (run,) = json.loads((place / "r.sarif").read_text())["runs"]
        prints.append(sorted(str(r["partialFingerprints"]) for r in run["results"]))

    assert prints[0] == prints[1]


def test_github_gets_annotations_and_a_summary(
    packetrig: Command, words: tuple[str, ...], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "summary.md").write_text("another step\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place / "summary.md"))
    quiet = packetrig(*words)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")

    ended = packetrig(*words)

    assert quiet.err == ""
    assert ended.out == quiet.out
    lines = ended.err.splitlines()
    assert [line.partition(" ")[0] for line in lines] == [
        "::notice",
        "::error",
        "::error",
        "::warning",
    ]
    assert "(waived until 2999-12-31: a 100%25 loop)" in lines[0]
    assert ",title=replay::xdp_mix: some-in.pcap, packet 1: ABORTED" in lines[1]
    summary = (place / "summary.md").read_text()
    assert summary.startswith(
        "another step\n## packetrig gate: REFUSED\n\n| object | kind | build "
    )
    assert summary.count("<details>") == summary.count("</details>") == 3


def test_json_stays_one_document_for_github(packetrig: Command, words: tuple[str, ...]) -> None:
    ended = packetrig(*words, "--github", "--json")

    assert json.loads(ended.out)["decision"] == "REFUSED"
    assert ended.err.startswith("::notice ")


def test_a_frame_that_decides_nothing_is_a_warning(
    packetrig: Command, words: tuple[str, ...], capture: Capture
) -> None:
    capture(SHORT, name="some-in.pcap")

    ended = packetrig("gate", MIX, "--policy", "gate.toml", "--github")

    assert ended.code == 2
    assert "::warning file=" in ended.err
    assert "title=replay::xdp_mix: could not be told: none of the 1 frames" in ended.err


def test_a_report_that_cannot_be_written_is_named_before_anything_runs(
    packetrig: Command, words: tuple[str, ...], place: Path
) -> None:
    for option in ("--html", "--sarif", "--junit"):
        ended = packetrig(*words, option, "state.toml/r")
        assert ended.err.startswith("packetrig: state.toml/r: cannot be written: ")
        assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert not (place / "build").exists()


def test_two_reports_of_one_file_and_one_over_the_policy_are_refused(
    packetrig: Command, words: tuple[str, ...], place: Path
) -> None:
    for options, error in (
        (("--html", "gate.toml"), "--html gate.toml: is what is gated, or its policy already"),
        (("--sarif", MIX), f"--sarif {MIX}: is what is gated, or its policy already"),
        (("--html", "r", "--junit", "./r"), "--html r: is the file of --junit already"),
    ):
        ended = packetrig(*words, *options)
        assert ended.err == f"packetrig: {error}; name another file\n"
        assert (ended.code, ended.out) == (2, "")
    assert (place / "gate.toml").read_text() == RULES


@pytest.mark.slow
def test_commands_that_repeat_can_be_pasted_whatever_a_file_is_called(
    packetrig: Command, place: Path
) -> None:
    (place / "a&b.bpf.c").write_bytes((place / MIX).read_bytes())
    (place / "test_none.py").write_text("")
    (place / "gate.toml").write_text(
        'version = 1\n[tests]\npaths = ["test_none.py"]\n[coverage]\nmin-lines = 0.5\n'
        '[replay]\npcap = ["x.pcap"]\nsetup = "absent.toml"\n'
    )

    packetrig("run", MIX, "--frame", "00" * 60, "--out", "x.pcap")
    ended = packetrig("gate", "a&b.bpf.c", "--policy", "gate.toml")

    assert " '--bpf-cov=a&b.bpf.c' --bpf-cov-branch" in ended.out
    assert "repeat: packetrig gate 'a&b.bpf.c' --policy gate.toml" in ended.out


def test_what_was_found_out_is_shown_when_a_report_cannot_be_written_after_all(
    packetrig: Command, words: tuple[str, ...]
) -> None:
    ended = packetrig(*words, "--html", "/dev/full")

    assert ended.out.splitlines()[1].endswith("REFUSED")
    assert ended.err == "packetrig: /dev/full: cannot be written: no space left on device\n"
    assert ended.code == 2


def test_a_summary_that_cannot_be_written_is_named(
    packetrig: Command, words: tuple[str, ...], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place))

    ended = packetrig(*words, "--github")

    assert f"packetrig: {place}: cannot be written: is a directory\n" in ended.err
    assert ended.code == 2
