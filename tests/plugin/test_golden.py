"""Golden packets: readable files that runs are held to, written when they are asked for."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

Run = Callable[..., pytest.RunResult]

PASSES = """
def test_it(door):
    assert door.run(FRAME) == packetrig.golden("through")
"""
DROPS = """
def test_it(door):
    door.maps.blocked["10.0.0.66"] = 0
    assert door.run(FRAME) == packetrig.golden("through")
"""


@pytest.fixture
def file(project: pytest.Pytester) -> Path:
    """The golden file of the tests below."""
    return project.path / "fixtures" / "golden" / "test_it" / "through.toml"


def test_a_golden_file_that_is_missing_is_an_error_that_says_how_to_write_it(run: Run) -> None:
    result = run(PASSES)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E  *NotFound: no golden file fixtures/golden/test_it/through.toml; write it with: *",
            "*packetrig: an error, not a failure*",
        ]
    )
    result.stdout.fnmatch_lines(["E *: pytest --bpf-update-golden 'test_it.py::test_it'"])


def test_it_is_written_when_asked_for_and_then_held_to(run: Run, file: Path) -> None:
    written = run(PASSES, "--bpf-update-golden")
    text = file.read_text()

    written.assert_outcomes(passed=1)
    written.stdout.fnmatch_lines(["wrote fixtures/golden/test_it/through.toml"])
    run(PASSES).assert_outcomes(passed=1)
    assert file.read_text() == text
    assert list(file.parent.iterdir()) == [file], "nothing half written is left"


def test_the_file_is_read_by_people(run: Run, file: Path) -> None:
    run(PASSES, "--bpf-update-golden")

    assert file.read_text().splitlines()[:9] == [
        '# What test_it.py compares with golden("through").',
        "# Written by pytest --bpf-update-golden.",
        "format = 1",
        'verdict = "XDP.PASS"',
        "",
        "[packet.Ether]",
        'dst = "00:00:00:00:00:00"',
        'src = "00:00:00:00:00:00"',
        "type = 0x0800",
    ]
    layers = tomllib.loads(file.read_text())["packet"]
    assert list(layers) == ["Ether", "IP", "UDP"] or list(layers)[:2] == ["Ether", "IP"]
    assert layers["IP"]["src"] == "10.0.0.66"


def test_another_verdict_is_a_failure_that_names_it(run: Run) -> None:
    run(PASSES, "--bpf-update-golden")

    result = run(DROPS)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E  *verdict: XDP.DROP != XDP.PASS",
            "E  *if this is right now: pytest --bpf-update-golden 'test_it.py::test_it'",
        ]
    )
    result.stdout.no_fnmatch_line("*an error, not a failure*")


def test_another_frame_is_a_failure_layer_by_layer(run: Run, file: Path) -> None:
    run(PASSES, "--bpf-update-golden")
    file.write_text(file.read_text().replace('"10.0.0.66"', '"10.0.0.67"'))

    result = run(PASSES)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ['E  *IP.src: "10.0.0.66" != "10.0.0.67"', "- golden: *", "- IP * src=10.0.0.67*"]
    )


def test_bytes_are_held_to_the_frame_alone(run: Run) -> None:
    run(PASSES, "--bpf-update-golden")

    result = run("""
def test_bytes(door):
    assert door.run(FRAME).data == packetrig.golden("through")
    assert packetrig.golden("through") != FRAME[:-1]
    assert packetrig.golden("through") != 5
""")

    result.assert_outcomes(passed=1)


def test_a_file_is_rewritten_only_when_something_changed(run: Run, file: Path) -> None:
    run(PASSES, "--bpf-update-golden")
    before = file.stat().st_ino

    result = run(PASSES, "--bpf-update-golden")

    result.stdout.fnmatch_lines(["no golden file changed"])
    assert file.stat().st_ino == before
    run(DROPS, "--bpf-update-golden").stdout.fnmatch_lines(["wrote *through.toml"])
    assert 'verdict = "XDP.DROP"' in file.read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("format = 2\n", "of format 2, written by a newer packetrig; this one reads 1"),
        ('verdict = "XDP.PASS"\n[packet]\n', "a golden file begins with format = 1"),
        ("format = 1\nverdict = \n", "Invalid value*line 2*"),
        ("<<<<<<< HEAD\n", "Invalid *line 1*"),
        ("format = 1\n[packet.IP]\nttl = 'many'\n", "scapy cannot build this packet: *ttl*"),
        ("format = 1\n[packet.IP]\ntll = 5\n", "no field named 'tll', did you mean 'ttl'*"),
        ("format = 1\n[packet.IPv5]\n", "no layer named 'IPv5', did you mean 'IPv?'*"),
        ("format = 1\n[paket]\n", "unknown key 'paket'*"),
        ("format = 1\n", "it takes a table [[]packet.<layer>[]] for each layer*"),
        ("format = 1\nmetadata = 'xyz'\n[packet]\n", "metadata = 'xyz': *"),
        ("format = 1\nverdict = 5\n[packet]\n", "verdict and metadata are text"),
        ("format = 1\n[context]\nmrak = 5\n[packet]\n", "[[]context[]] holds mark, *not 'mrak'"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_that_names_it(
    run: Run, file: Path, text: str, said: str
) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(text)

    result = run(PASSES)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            f"E  *Error: fixtures/golden/test_it/through.toml: {said}",
            "*packetrig: an error, not a failure*",
        ]
    )


def test_a_file_that_is_no_text_is_an_error(run: Run, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\xff\xfe")

    result = run(PASSES)

    result.stdout.fnmatch_lines(["E  *through.toml: cannot be read: *; write it again: pytest *"])
    run(PASSES, "--bpf-update-golden").assert_outcomes(failed=1)


def test_one_name_for_two_runs_is_an_error_when_it_is_written(run: Run) -> None:
    result = run(
        """
@pytest.mark.parametrize("size", [60, 61])
def test_it(door, size):
    assert door.run(bytes(size)) == packetrig.golden("through")
""",
        "--bpf-update-golden",
    )

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E  *golden 'through' is compared with two different runs*"])


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", ".hidden"])
def test_a_name_is_that_of_a_file(run: Run, name: str) -> None:
    result = run(f"def test_it():\n    packetrig.golden({name!r})\n")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E  *a name is letters, digits, '_', '-' and '.'"])


def test_outside_of_a_test_there_is_no_golden_file(project: pytest.Pytester) -> None:
    project.makepyfile(
        "import packetrig\nGOLDEN = packetrig.golden('through')\ndef test_it(): pass"
    )

    # In a process of its own: in this one, the test above is running.
    result = project.runpytest_subprocess("-p", "no:cacheprovider")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E  *golden(): no test is running*"])


def test_modules_of_one_name_have_folders_of_their_own(project: pytest.Pytester, head: str) -> None:
    for folder in ("tests/one", "tests/two", "checks"):
        path = project.path / folder / "test_same.py"
        path.parent.mkdir(parents=True)
        path.write_text(head + PASSES)

    project.runpytest_inprocess(
        "--bpf-update-golden", "--import-mode=importlib", "-p", "no:cacheprovider"
    ).assert_outcomes(passed=3)

    golden = project.path / "fixtures" / "golden"
    assert sorted(str(p.relative_to(golden).parent) for p in golden.rglob("*.toml")) == [
        "checks/test_same",
        "one/test_same",
        "two/test_same",
    ]


def test_a_file_that_no_test_compares_is_named_after_a_whole_run(run: Run, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.with_name("old.toml").write_text("format = 1\n")
    two = PASSES + "def test_other(): pass\n"

    whole = run(two, "--bpf-update-golden")
    part = run(two, "--bpf-update-golden", "-k", "test_it")

    said = "no test compares fixtures/golden/test_it/old.toml: remove it"
    whole.stdout.fnmatch_lines([said])
    assert "test_other" not in part.stdout.str()
    if "deselected" in part.stdout.str():
        part.stdout.no_fnmatch_line(said)
    run(two).stdout.no_fnmatch_line("*golden files*")


@pytest.mark.slow
def test_workers_of_xdist_write_and_report_as_one_process_does(
    run: Run, file: Path, project: pytest.Pytester
) -> None:
    pytest.importorskip("xdist")
    many = """
@pytest.mark.parametrize("size", range(60, 66))
def test_it(door, size):
    assert door.run(bytes(size)) == packetrig.golden(f"of_{size}")
"""

    result = run(many, "--bpf-update-golden", "-n2")

    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(
        [f"wrote fixtures/golden/test_it/of_{n}.toml" for n in range(60, 66)]
    )
    assert len(list(file.parent.glob("*.toml"))) == 6


def test_a_property_is_held_to_one_file_in_each_example(run: Run) -> None:
    text = """
@given(n=st.integers(0, 5))
def test_it(door, n):
    assert door.run(FRAME) == packetrig.golden("through")
"""
    run(text, "--bpf-update-golden").assert_outcomes(passed=1)

    run(text).assert_outcomes(passed=1)


def test_what_the_context_holds_is_written_and_held_to(project: pytest.Pytester, run: Run) -> None:
    source = project.path / "progs" / "mark.bpf.c"
    source.write_text("""
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("tc") int mark(struct __sk_buff *skb) { skb->mark += 1; skb->cb[1] = 9; return 0; }
char LICENSE[] SEC("license") = "GPL";
""")
    text = """
marker = packetrig.fixture("progs/mark.bpf.c")
def test_it(marker):
    assert marker.run(FRAME, ctx={"mark": MARK}) == packetrig.golden("marked")
"""
    run("MARK = 6" + text, "--bpf-update-golden").assert_outcomes(passed=1)
    file = project.path / "fixtures" / "golden" / "test_it" / "marked.toml"

    assert "[context]\nmark = 7\ncb = [0, 9, 0, 0, 0]\n" in file.read_text()
    run("MARK = 6" + text).assert_outcomes(passed=1)
    run("MARK = 4" + text).stdout.fnmatch_lines(["E  *context.mark: 5 != 7"])


def test_metadata_is_written_and_held_to(project: pytest.Pytester, run: Run) -> None:
    text = """
from packetrig import Run
def test_it(door):
    run = door.run(FRAME)
    assert run._replace(metadata=META) == packetrig.golden("behind")
"""
    run("META = b'\\x01\\x02'" + text, "--bpf-update-golden").assert_outcomes(passed=1)

    assert (
        'metadata = "01 02"'
        in (project.path / "fixtures" / "golden" / "test_it" / "behind.toml").read_text()
    )
    run("META = b'\\x01\\x02'" + text).assert_outcomes(passed=1)
    run("META = b''" + text).stdout.fnmatch_lines(["E  *metadata: '' != '01 02'"])
