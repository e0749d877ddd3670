"""Lines, branches and functions: held to llvm-cov, and what packetrig knows beyond it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from packetrig import Error, coverage
from packetrig._bpf import covmap
from packetrig.coverage import Share
from packetrig.packets.malformed import catalogue
from packetrig.toolchain import llvm

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted((ROOT / "progs").glob("*.bpf.c"))
Measure = Callable[..., coverage.Measured]


def line_of(path: Path, text: str) -> int:
    lines = path.read_text().split("\n")
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_lines_and_branches_tell_what_ran(source: Path, measured: Measure) -> None:
    found = measured(source, 14, 40, 40).files[str(source)]
    judged = {b.line: (b.true_count, b.false_count) for b in found.branch_list}

    assert found.line_counts[line_of(source, "return XDP_DROP")] == 1
    assert found.line_counts[line_of(source, "return XDP_TX")] == 0
    assert found.line_counts[line_of(source, "limit += used(i)")] == 6
    assert judged[line_of(source, "for (int i")] == (6, 2)
    assert judged[line_of(source, "case 30:")] == (0, 2)
    assert [(f.name, f.count) for f in found.function_list] == [("judge", 3), ("shown", 3)]


def test_a_missing_side_is_named_by_its_place(source: Path, measured: Measure) -> None:
    found = measured(source, 14, 40).files[str(source)]
    line = line_of(source, "size > limit")

    assert f"{line}:6->true" in found.missing_branches
    assert f"{line}:6->false" not in found.missing_branches
    # The second condition was never asked.
    assert {f"{line}:22->true", f"{line}:22->false"} <= set(found.missing_branches)


def test_a_branch_in_a_macro_belongs_to_the_line_it_is_written_on(
    source: Path, measured: Measure
) -> None:
    header = source.parent / "beside.h"

    found = measured(source, 14, 40).files[str(header)]

    line = line_of(header, "#define IS_SMALL")
    assert {b.line for b in found.branch_list if b.line >= line} == {line, line + 1}


def test_a_function_of_a_header_that_nothing_uses_does_not_count(
    source: Path, measured: Measure
) -> None:
    header = source.parent / "beside.h"

    found = measured(source, 40).files[str(header)]

    assert [f.name for f in found.function_list] == ["used"]
    assert max(n for n in found.line_counts) < line_of(header, "int unused") or all(
        n < line_of(header, "int unused") or n > line_of(header, "return 0;")
        for n in found.line_counts
    )


def test_the_systems_headers_are_left_out(source: Path, measured: Measure) -> None:
    assert sorted(measured(source, 40).files) == sorted(
        [str(source), str(source.parent / "beside.h")]
    )


def test_only_files_below_a_place_are_measured(source: Path) -> None:
    profile = coverage.instrument(source).profile
    assert profile is not None

    found = coverage.measure(profile, [], below=[source.parent / "beside.h"])

    assert [Path(path).name for path in found.files] == ["beside.h"]
    assert found.lines.covered == 0


def test_an_unreachable_line_does_not_count_nor_what_it_guards(
    source: Path, measured: Measure
) -> None:
    found = measured(source, 40).files[str(source)]
    line = line_of(source, "unreachable: there")

    assert [(e.line, e.lines, e.reason, e.is_reached) for e in found.excluded] == [
        (line, (line, line + 1), "there is always one", False)
    ]
    assert not {line, line + 1} & found.line_counts.keys()
    assert not any(b.line == line for b in found.branch_list)


@pytest.mark.parametrize(
    ("mark", "sizes", "is_reached"),
    [
        ("return XDP_TX;", (40,), False),
        ("return XDP_TX;", (40, 100), True),
        ("if (size > limit && size < 1000)", (40, 100), False),
        ("if (size > limit && size < 1000)", (40, 100, 1200), True),
    ],
)
def test_an_unreachable_line_that_is_reached_is_told(
    source: Path, measured: Measure, mark: str, sizes: tuple[int, ...], is_reached: bool
) -> None:
    source.write_text(source.read_text().replace(mark, f"{mark} /* unreachable: so they say */"))

    marked = {e.reason: e for e in measured(source, *sizes).excluded}["so they say"]

    assert marked.is_reached is is_reached


@pytest.mark.parametrize(
    ("sizes", "is_reached"), [((40,), False), ((40, 14), False), ((40, 14, 21), True)]
)
def test_a_mark_where_a_macro_is_used_is_about_the_branches_in_the_macro(
    source: Path, measured: Measure, sizes: tuple[int, ...], is_reached: bool
) -> None:
    mark = "if (IS_SMALL(size))"
    text = source.read_text().replace(mark, f"{mark} // unreachable: none is small")
    source.write_text(text)
    line = line_of(source, "none is small")

    found = measured(source, *sizes)

    marked = {e.line: e for e in found.excluded}[line]
    assert (marked.reason, marked.is_reached) == ("none is small", is_reached)
    header = found.files[str(source.with_name("beside.h"))]
    macro = line_of(source.with_name("beside.h"), "#define IS_SMALL")
    assert not any(b.line >= macro for b in header.branch_list)


def test_another_use_of_a_macro_counts_where_it_is_not_marked(
    source: Path, measured: Measure
) -> None:
    text = source.read_text().replace(
        "if (IS_SMALL(size))",
        "if (IS_SMALL(limit)) // unreachable: it is 60\n\t\treturn XDP_TX;\n\tif (IS_SMALL(size))",
    )
    source.write_text(text)

    header = measured(source, 14).files[str(source.with_name("beside.h"))]

    macro = line_of(source.with_name("beside.h"), "#define IS_SMALL")
    sides = {b.line: (b.true_count, b.false_count) for b in header.branch_list if b.line >= macro}
    assert sides == {macro: (1, 0), macro + 1: (0, 0)}


def test_a_mark_without_a_reason_is_none(source: Path, measured: Measure) -> None:
    source.write_text(
        source.read_text().replace("unreachable: there is always one", "unreachable:")
    )

    assert measured(source, 40).excluded == ()


def test_snapshots_are_added_up(source: Path) -> None:
    spec = coverage.instrument(source)
    assert spec.profile is not None
    taken = []
    for size in (14, 100):
        with spec.load() as found:
            counters = coverage.Counters(found)
            found.run(bytes(size))
            taken.append(counters.take())

    both = coverage.measure(spec.profile, taken).files[str(source)]

    assert both.line_counts[line_of(source, "return XDP_TX")] == 1
    assert both.line_counts[line_of(source, "if (IS_SMALL")] == 2


def test_objects_of_one_source_are_joined(source: Path) -> None:
    text = source.read_text()
    source.write_text(
        text.replace("	switch (size)", "#ifdef MORE\n\tlimit++;\n#endif\n\tswitch (size)")
    )
    plain, more = (coverage.instrument(source, define=d).profile for d in ({}, {"MORE": 1}))
    assert plain is not None and more is not None

    one = coverage.measure(plain, [])
    both = coverage.measure_all([(plain, b""), (more, b"")])

    assert both.lines.total == one.lines.total + 3  # from #ifdef to #endif
    assert both.functions == one.functions
    assert both.branches == one.branches


@pytest.mark.parametrize(
    ("share", "percent"), [(Share(0, 0), 100.0), (Share(1, 4), 25.0), (Share(4, 4), 100.0)]
)
def test_a_share_of_nothing_is_all_of_it(share: Share, percent: float) -> None:
    assert share.percent == percent


def test_a_mapping_of_a_newer_version_is_named(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = coverage.instrument(source, define={"ANOTHER": 1}).profile
    assert profile is not None
    monkeypatch.setattr(covmap, "_OLDEST", 1)
    monkeypatch.setattr(covmap, "_NEWEST", 2)

    with pytest.raises(Error, match=r"a coverage mapping of version \d; known are 2 to 3: use"):
        covmap.read(profile)


# --- held to llvm-cov


def exported(profile: coverage.Profile, counters: bytes, folder: Path) -> tuple[dict, str]:
    profdata = llvm.merge([profile.proftext(counters)], folder / "p.profdata")
    trimmed = folder / "trimmed.o"
    trimmed.write_bytes(profile.for_llvm_cov())
    return llvm.export(trimmed, profdata)["data"][0], llvm.lcov(trimmed, profdata)


def lines_of(lcov: str) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for line in lcov.splitlines():
        kind, _, rest = line.partition(":")
        if kind == "SF":
            own = found.setdefault(os.path.normpath(rest), {})
        elif kind == "DA":
            number, count = rest.split(",")
            own[int(number)] = int(count)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name.partition(".")[0])
def test_llvm_cov_counts_the_same_lines_branches_and_regions(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("packetrig.coverage.measuring.marks_of", lambda _: {})
    spec = coverage.instrument(path)
    assert spec.profile is not None
    with spec.load() as found:
        counters = coverage.Counters(found)
        for program in found.programs.values():
            if program.kind in ("xdp", "tc"):
                program.run_many([m.frame for m in catalogue() if not m.refused_by(program.kind)])
        taken = counters.take()

    ours = coverage.measure(spec.profile, [taken], below=["/"])
    theirs, lcov = exported(spec.profile, taken, tmp_path)

    for name, lines in lines_of(lcov).items():
        own = dict(ours.files[name].line_counts)
        # llvm-cov leaves out a file's last line with code where a macro of the system stands on it.
        assert {n: own[n] for n in lines} == lines
        assert len(own) - len(lines) <= 1
    branches: dict[tuple, tuple[int, int]] = {}
    regions: dict[tuple, int] = {}
    for function in theirs["functions"]:
        files = [os.path.normpath(name) for name in function["filenames"]]
        for *place, yes, no, file, _, _ in function["branches"]:
            if place[:2] == place[2:]:
                continue  # inside of a macro of the system: nobody wrote it here
            before = branches.get((files[file], *place), (0, 0))
            branches[files[file], *place] = (before[0] + yes, before[1] + no)
        for *place, count, file, _, kind in function["regions"]:
            if kind == 0:
                key = (files[file], *place)
                regions[key] = regions.get(key, 0) + count
    assert branches == {
        (b.file, b.line, b.column, b.end_line, b.end_column): (b.true_count, b.false_count)
        for b in ours.branch_list
    }
    assert ours.regions == Share(sum(map(bool, regions.values())), len(regions))
    assert ours.functions.total == len(theirs["functions"])
