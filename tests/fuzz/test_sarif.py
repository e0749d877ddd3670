"""Findings for machines: SARIF 2.1.0, and annotations of GitHub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from packetrig import sarif
from packetrig.errors import Error
from packetrig.sarif import Level, Result

ONE = Result(
    "it_never_aborts",
    "xdp_mix: it never aborts does not hold",
    "progs/xdp_mix.bpf.c",
    48,
    10,
    fingerprint="0123456789ab",
)


def run_of(*results: Result, **given: Any) -> dict[str, Any]:
    made = sarif.document(results, **given)
    assert made["version"] == "2.1.0"
    assert made["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = made["runs"]
    return dict(run)


def test_a_result_has_its_rule_its_line_and_its_fingerprint() -> None:
    (result,) = run_of(ONE)["results"]

    assert result == {
        "ruleId": "it_never_aborts",
        "ruleIndex": 0,
        "level": "error",
        "message": {"text": "xdp_mix: it never aborts does not hold"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {
                        "uri": "progs/xdp_mix.bpf.c",
                        "uriBaseId": "%SRCROOT%",
                    },
                    "region": {"startLine": 48, "startColumn": 10},
                }
            }
        ],
        "partialFingerprints": {"packetrig/v1": "0123456789ab"},
    }


def test_each_rule_is_described_once_and_results_point_at_it() -> None:
    other = Result("the_verdict_is_a_legal_one", "9 is none", "a.c")

    run = run_of(ONE, other, ONE, rules={"it_never_aborts": "It never aborts."})

    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["it_never_aborts", "the_verdict_is_a_legal_one"]
    assert rules[0]["shortDescription"] == {"text": "It never aborts."}
    assert rules[1]["shortDescription"] == {"text": "the verdict is a legal one"}
    assert [result["ruleIndex"] for result in run["results"]] == [0, 1, 0]


def test_a_file_of_which_no_line_is_known_has_no_region() -> None:
    (result,) = run_of(Result("a_rule", "no line", "build/x.bpf.o"))["results"]

    place = result["locations"][0]["physicalLocation"]
    assert "region" not in place
    assert result["partialFingerprints"] == {"packetrig/v1": "a_rule: no line"}


def test_nothing_found_is_a_document_and_what_could_not_be_told_marks_it() -> None:
    assert run_of()["results"] == []
    assert run_of()["invocations"] == [{"executionSuccessful": True}]

    (invocation,) = run_of(undecided=["x.bpf.c: no clang"])["invocations"]

    assert invocation["executionSuccessful"] is False
    assert invocation["toolExecutionNotifications"] == [
        {"level": "error", "message": {"text": "x.bpf.c: no clang"}}
    ]


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("progs/a b.c", {"uri": "progs/a%20b.c", "uriBaseId": "%SRCROOT%"}),
        ("/src/project/progs/x.c", {"uri": "progs/x.c", "uriBaseId": "%SRCROOT%"}),
        ("/usr/include/x.h", {"uri": "file:///usr/include/x.h"}),
        ("../x.h", {"uri": "file:///src/x.h"}),
        ("progs/\udcff.c", {"uri": "progs/%FF.c", "uriBaseId": "%SRCROOT%"}),
    ],
)
def test_paths_are_those_of_the_repository(path: str, uri: dict[str, str]) -> None:
    (result,) = run_of(Result("a_rule", "text", path), root="/src/project")["results"]

    assert result["locations"][0]["physicalLocation"]["artifactLocation"] == uri


def test_the_file_is_json_and_the_same_for_the_same_findings(tmp_path: Path) -> None:
    sarif.write(tmp_path / "reports" / "x.sarif", [ONE])

    text = (tmp_path / "reports" / "x.sarif").read_text()
    assert text == sarif.text([ONE])
    assert json.loads(text)["runs"][0]["results"][0]["ruleId"] == "it_never_aborts"
    assert [path.name for path in tmp_path.rglob("*.sarif")] == ["x.sarif"]


def test_a_file_name_that_is_no_text_can_be_reported(tmp_path: Path) -> None:
    sarif.write(tmp_path / "x.sarif", [Result("a_rule", "x\udcff.c: wrong", "x\udcff.c")])

    (result,) = json.loads((tmp_path / "x.sarif").read_text())["runs"][0]["results"]
    assert result["message"]["text"] == "x?.c: wrong"


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(Error, match="is a folder; name a file"):
        sarif.write(tmp_path, [ONE])


def test_an_annotation_stands_on_the_line_of_c() -> None:
    assert sarif.annotation(ONE) == (
        "::error file=progs/xdp_mix.bpf.c,line=48,col=10,title=it never aborts"
        "::xdp_mix: it never aborts does not hold"
    )


def test_an_annotation_escapes_what_would_end_it() -> None:
    result = Result("a,b:c", "100 %\nof two lines", "a.c", level=Level.NOTE)

    assert sarif.annotation(result) == ("::notice file=a.c,title=a%2Cb%3Ac::100 %25%0Aof two lines")
