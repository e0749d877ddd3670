"""`packetrig.fixture()`: where it finds a program, what of it is loaded, what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import packetrig

pytest_plugins = ["pytester"]

Run = Callable[..., pytest.RunResult]
HEAD = "import packetrig\nfrom packetrig import XDP\n"


def test_a_source_is_found_from_the_rootdir_then_beside_the_test(
    project: pytest.Pytester,
) -> None:
    project.mkdir("tests")
    here = project.path / "tests" / "near.bpf.c"
    here.write_text((project.path / "progs" / "two.bpf.c").read_text())
    absolute = project.path / "progs" / "xdp_door.bpf.c"
    (project.path / "tests" / "test_it.py").write_text(f"""{HEAD}
rooted = packetrig.fixture("progs/xdp_door.bpf.c")
near = packetrig.fixture("near.bpf.c", program="two")
absolute = packetrig.fixture({str(absolute)!r})

def test_all(rooted, near, absolute):
    assert rooted.spec.sha256 == absolute.spec.sha256
    assert near.run(bytes(64)).verdict is XDP.TX
""")

    for folder in (project.path, project.path / "tests"):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            result = project.runpytest_inprocess("--rootdir", str(project.path))
        result.assert_outcomes(passed=1)


def test_a_fixture_may_stand_in_conftest_and_be_an_object_built_elsewhere(
    project: pytest.Pytester,
) -> None:
    built = packetrig.build(project.path / "progs" / "xdp_door.bpf.c")
    (project.path / "build").mkdir()
    (project.path / "build" / "door.bpf.o").write_bytes(built.data)
    project.makeconftest('import packetrig\ndoor = packetrig.fixture("build/door.bpf.o")\n')
    project.makepyfile(test_it="def test_it(door):\n    assert door.run(bytes(64)).verdict == 2\n")

    project.runpytest_inprocess().assert_outcomes(passed=1)


def test_program_kind_define_and_globals_choose_what_is_loaded(run: Run) -> None:
    result = run(
        """
one = packetrig.fixture("progs/two.bpf.c", program="one", kind="xdp")
drop = packetrig.fixture("progs/two.bpf.c", program="one", kind="xdp", define={"LIMIT": "XDP_DROP"})
both = packetrig.fixture("progs/two.bpf.c", kind="xdp")
once = packetrig.fixture("progs/xdp_door.bpf.c", open_until=1)

def test_all(one, drop, both, once):
    assert one.run(FRAME).verdict is XDP.PASS
    assert drop.run(FRAME).verdict is XDP.DROP
    assert both.programs.two.run(FRAME).verdict is XDP.TX
    assert [once.run(FRAME).verdict for _ in range(2)] == [XDP.PASS, XDP.DROP]
"""
    )

    result.assert_outcomes(passed=1)


WRONG = {
    'packetrig.fixture("progs/none.bpf.c")': "NotFound: no file progs/none.bpf.c: neither in the "
    "rootdir * nor in *",
    'packetrig.fixture("/nowhere/none.bpf.c")': "NotFound: no file /nowhere/none.bpf.c",
    'packetrig.fixture("progs/xdp_door.bpf.c", open_untli=1)': "NoSuchName: no global named "
    "'open_untli', did you mean 'open_until'?; *has: *seen*",
    'packetrig.fixture("progs/xdp_door.bpf.c", open_until="x")': "CodecError: global open_until: *",
    'packetrig.fixture("progs/two.bpf.c", program="tow")': "NoSuchName: no program named 'tow', "
    "did you mean 'two'?; *",
    'packetrig.fixture("progs/two.bpf.c", program="one")': "LoadError: *kind='xdp'*",
    'packetrig.fixture("progs/two.bpf.c", kind="xpd")': "LoadError: no program kind 'xpd'; *",
    'packetrig.fixture("progs/two.bpf.c", include=("nowhere",))': "NotFound: no file nowhere: *",
}


@pytest.mark.parametrize("call", WRONG)
def test_a_wrong_fixture_is_an_error_that_names_the_line_and_what_is_wrong(
    run: Run, call: str
) -> None:
    result = run(f"wrong = {call}\n\ndef test_it(wrong):\n    pass\n")

    result.assert_outcomes(errors=1)
    source = call.split('"')[1]
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_it*",
            f"test_it.py:*: packetrig.fixture('{source}')",
            f"E   {WRONG[call]}",
            "*packetrig: an error, not a failure*",
        ]
    )
    result.stdout.no_fnmatch_line("*framework/packetrig*")  # no traceback through our own code


def test_a_wrong_map_name_suggests_and_shows_the_line_of_the_test(run: Run) -> None:
    result = run("def test_it(door):\n    door.maps.blokced[1] = 2\n")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">       door.maps.blokced[1] = 2",
            "E       packetrig.errors.NoSuchName: no map named 'blokced', did you mean 'blocked'?*",
            "test_it.py:*: NoSuchName",
        ]
    )


def test_pytest_fixtures_lists_it_with_its_source(run: Run) -> None:
    result = run("def test_it(door): pass\n", "--fixtures")

    result.stdout.fnmatch_lines(
        ["door *scope*", "*The object of progs/xdp_door.bpf.c, as new in each test."]
    )
