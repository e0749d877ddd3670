"""What the reports say: table, lcov, Cobertura, llvm-cov's JSON and pages, MC/DC."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from packetrig import coverage, toolchain
from packetrig.coverage import Share, reports
from packetrig.coverage.gathered import Gathered, minus, plus
from packetrig.coverage.measuring import is_wanted
from packetrig.coverage.reports.table import percent

# What the elements of Cobertura's DTD (coverage-04) hold, in this order.
DTD = {
    "coverage": ["sources", "packages"],
    "sources": ["source"],
    "source": [],
    "packages": ["package"],
    "package": ["classes"],
    "classes": ["class"],
    "class": ["methods", "lines"],
    "methods": ["method"],
    "method": ["lines"],
    "lines": ["line"],
    "line": ["conditions"],
    "conditions": ["condition"],
    "condition": [],
}
ATTRIBUTES = {
    "coverage": "line-rate branch-rate lines-covered lines-valid branches-covered branches-valid "
    "complexity version timestamp",
    "package": "name line-rate branch-rate complexity",
    "class": "name filename line-rate branch-rate complexity",
    "method": "name signature line-rate branch-rate complexity",
    "condition": "number type coverage",
}


def gathered(source: Path, *sizes: int, mcdc: bool = False) -> Gathered:
    found = Gathered()
    spec = coverage.instrument(source, mcdc=mcdc)
    assert spec.profile is not None
    counted = found.note(spec.name, spec.profile)
    with spec.load() as loaded:
        counters = coverage.Counters(loaded)
        for size in sizes:
            loaded.run(bytes(size))
            counted.add(counters.take(), counters.take_bitmap(), f"test_{size}")
            counters.clear()
    return found


def report_of(found: Gathered, source: Path, **more: object) -> reports.Report:
    below = (str(source.parent),)
    return reports.Report(found, found.measured(below), source.parent, below, **more)  # type: ignore[arg-type]


def test_the_table_has_a_line_for_each_file(source: Path) -> None:
    table = reports.table(report_of(gathered(source, 40), source), missing=True)

    head, _, beside, shown, _, total, unreachable = table
    assert " ".join(head.split()) == "Name Lines Miss Branches Miss Functions Miss Cover Missing"
    assert beside.split()[:8] == ["beside.h", "5", "0", "6", "3", "1", "0", "100%"]
    assert shown.split()[:8] == ["shown.bpf.c", "20", "7", "14", "7", "2", "0", "65%"]
    assert total.split() == ["TOTAL", "25", "7", "20", "10", "3", "0", "72%"]
    assert unreachable == "unreachable: shown.bpf.c:24-25: there is always one"


def test_with_branches_their_sides_count_and_are_named(source: Path) -> None:
    table = reports.table(report_of(gathered(source, 40), source, has_branches=True), missing=True)

    assert table[5].split()[-1] == "62.2%"
    assert "13:6->true" in table[3]
    assert "12:" not in table[3]


def test_all_and_nothing_are_written_only_of_all_and_nothing() -> None:
    assert percent(Share(9_999, 10_000)) == "99.9%"
    assert percent(Share(1, 10_000)) == "0.1%"
    assert percent(Share(0, 10)) == "0%"
    assert percent(Share(10, 10)) == "100%"


def test_a_line_marked_unreachable_that_ran_is_told_loudly(source: Path) -> None:
    source.write_text(
        source.read_text().replace("return XDP_TX;", "return 3; /* unreachable: x */")
    )

    for missing in (False, True):
        lines = reports.table(report_of(gathered(source, 100), source), missing=missing)
        assert "REACHED all the same: shown.bpf.c:14 is marked unreachable: x" in lines


def test_lcov_has_functions_branches_and_lines(source: Path) -> None:
    found = reports.lcov(report_of(gathered(source, 40, 100), source)).splitlines()

    assert found[0] == "TN:"
    assert {"SF:beside.h", "SF:shown.bpf.c", "FNDA:2,judge", "DA:14,1"} <= set(found)
    assert {"BRDA:13,0,0,1", "BRDA:13,0,1,1", "BRDA:13,1,0,1", "BRDA:13,1,1,0"} <= set(found)
    assert found.count("end_of_record") == 2
    assert (found[-3][:3], found[-2][:3]) == ("LF:", "LH:")


def test_cobertura_has_the_shape_of_its_dtd(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "5")
    text = reports.cobertura(report_of(gathered(source, 40), source), version="packetrig 1")
    root = ElementTree.fromstring(text)

    assert text.splitlines()[1] == (
        '<!DOCTYPE coverage SYSTEM "http://cobertura.sourceforge.net/xml/coverage-04.dtd">'
    )
    assert root.get("timestamp") == "5"
    for element in root.iter():
        order = [DTD[element.tag].index(child.tag) for child in element]
        assert order == sorted(order)
        if element.tag in ATTRIBUTES:
            assert element.keys() == ATTRIBUTES[element.tag].split()
    assert root.findtext("sources/source") == str(source.parent)
    assert [c.get("filename") for c in root.iter("class")] == ["beside.h", "shown.bpf.c"]
    line = root.find(".//class[@name='shown.bpf.c']/lines/line[@number='13']")
    assert line is not None
    assert line.get("condition-coverage") == "25% (1/4)"
    assert [c.get("coverage") for c in line.iter("condition")] == ["50%", "0%"]


def test_json_is_llvm_covs_and_says_more_beside_it(source: Path) -> None:
    found = gathered(source, 14, 40)
    found.plain["other.o"] = "an object file"
    report = report_of(found, source, contexts=found.contexts([source.parent]))

    told = json.loads(reports.json_report(report))

    assert told["type"] == "llvm.coverage.json.export"
    files = told["data"][0]["files"]
    assert sorted(Path(f["filename"]).name for f in files) == ["beside.h", "shown.bpf.c"]
    own = told["packetrig"]
    assert own["format"] == 1
    # Functions of headers that nothing uses are in neither.
    assert own["totals"]["functions"] == [3, 3]
    assert told["data"][0]["totals"]["functions"]["count"] == 3
    assert own["not_measured"] == {"other.o": "an object file"}
    assert own["tests"] == ["test_14", "test_40"]
    drop = own["contexts"]["shown.bpf.c"]
    assert (drop["11"], drop["12"], drop["13"]) == ([0, 1], [0], [1])
    assert own["unreachable"][0]["reason"] == "there is always one"


def test_html_is_llvm_covs_with_a_page_in_front(source: Path, tmp_path: Path) -> None:
    found = gathered(source, 14, 40)
    report = report_of(found, source, contexts=found.contexts([source.parent]))

    reports.html(report, tmp_path / "pages")

    front = (tmp_path / "pages/index.html").read_text()
    assert '<a href="shown/index.html">' in front
    assert "Which of them reached shown.bpf.c" in front
    page = next((tmp_path / "pages/shown").rglob("shown.bpf.c.html")).read_text()
    assert "Branch" in page
    assert "unused" not in (tmp_path / "pages/shown/index.html").read_text()


def test_a_header_that_is_included_by_another_way_is_in_llvm_covs_reports(
    source: Path, tmp_path: Path
) -> None:
    (tmp_path / "deep").mkdir()
    deep = tmp_path / "deep/shown.bpf.c"
    deep.write_text(source.read_text().replace('"beside.h"', '"../beside.h"'))
    found = gathered(deep, 40)
    report = reports.Report(
        found, found.measured([tmp_path]), tmp_path, (str(tmp_path),), has_branches=True
    )

    exported = json.loads(reports.json_report(report))["data"][0]["files"]
    reports.html(report, tmp_path / "pages")

    assert list(report.measured.files) == [str(tmp_path / "beside.h"), str(deep)]
    assert len(exported) == 2
    assert list((tmp_path / "pages/shown").rglob("beside.h.html"))


def test_a_source_that_is_gone_is_left_out_of_llvm_covs_reports(
    source: Path, tmp_path: Path
) -> None:
    report = report_of(gathered(source, 40), source)
    (source.parent / "beside.h").unlink()

    reports.html(report, tmp_path / "pages")

    assert not list((tmp_path / "pages").rglob("beside.h.html"))


def test_mcdc_counts_conditions_that_decided_on_their_own(source: Path) -> None:
    name = str(source)
    wanted = is_wanted([source.parent])

    few = reports.conditions(gathered(source, 40, mcdc=True), wanted)
    more = reports.conditions(gathered(source, 40, 100, 1200, mcdc=True), wanted)

    assert few[name] == Share(0, 2)
    assert more[name] == Share(2, 2)
    assert str(source.parent / "beside.h") in more


def test_what_processes_gathered_is_added_up(source: Path) -> None:
    one, other, both = (gathered(source, *s, mcdc=True) for s in ((14, 40), (100,), (14, 40, 100)))

    one.take_over(other.told())

    assert one.told() == both.told()


def test_counters_are_added_and_taken_away() -> None:
    a, b = b"\1" + bytes(7) + b"\5" + bytes(7), b"\2" + bytes(7) + b"\3" + bytes(7)

    assert plus(a, b)[::8] == b"\3\x08"
    assert minus(plus(a, b), b) == a


def test_genhtml_reads_our_lcov(source: Path, tmp_path: Path) -> None:
    # Where it is installed; the shape is held above.
    (tmp_path / "x.lcov").write_text(reports.lcov(report_of(gathered(source, 40), source)))
    if genhtml := shutil.which("genhtml"):
        command = [genhtml, "--branch-coverage", "-q", "-o", str(tmp_path / "o"), "x.lcov"]
        subprocess.run(command, check=True, cwd=source.parent)


def test_llvm_cov_of_another_version_is_not_taken(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clang = toolchain.find_clang().path
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/clang").symlink_to(clang)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("CLANG", str(tmp_path / "bin/clang"))
    monkeypatch.setattr(
        "packetrig.toolchain.clang.os.access", lambda path, _: "llvm-" not in str(path)
    )

    with pytest.raises(toolchain.clang.ToolMissing, match=r"no llvm-profdata of LLVM \d+.*apt-get"):
        reports.json_report(report_of(gathered(source, 40), source))
