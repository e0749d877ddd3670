"""State never passes from one test, or one Hypothesis example, to the next."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from packetrig._bpf import lib
from packetrig.live import finish

pytest_plugins = ["pytester"]

Run = Callable[..., pytest.RunResult]


def test_a_test_begins_with_empty_maps_and_first_values(run: Run) -> None:
    result = run("""
def test_fills(door):
    door.maps.blocked["10.0.0.66"] = 5
    door.run(FRAME)
    door.globals.seen += 10

def test_is_as_new(door):
    assert dict(door.maps.blocked) == {}
    assert door.globals.seen == 0
""")

    result.assert_outcomes(passed=2)


def test_two_objects_of_one_source_are_renewed_and_do_not_share(run: Run) -> None:
    result = run("""
other = packetrig.fixture("progs/xdp_door.bpf.c")

def test_fills(door, other):
    door.run(FRAME)
    other.run_many([FRAME, FRAME])
    assert (door.globals.seen, other.globals.seen) == (1, 2)

def test_is_as_new(door, other):
    assert (door.globals.seen, other.globals.seen) == (0, 0)
""")

    result.assert_outcomes(passed=2)


def test_what_a_fixture_of_the_user_puts_into_maps_is_there_in_the_test(run: Run) -> None:
    result = run("""
@pytest.fixture
def barred(door):
    door.maps.blocked["10.0.0.66"] = 0
    return door

@pytest.mark.parametrize("time", [1, 2])
def test_it_is_dropped(barred, time):
    assert barred.run(FRAME).verdict is XDP.DROP
    assert barred.maps.blocked == {"10.0.0.66": 1}

class TestAClass:
    def setup_method(self):
        self.count = 0

    def test_without_it_passes(self, door):
        assert door.run(FRAME).verdict is XDP.PASS
""")

    result.assert_outcomes(passed=3)


def test_an_example_begins_as_new(run: Run) -> None:
    result = run("""
@given(count=st.integers(0, 20))
def test_counts(door, count):
    assert door.globals.seen == 0
    assert len(door.maps.blocked) == 0
    door.maps.blocked[count] = 1
    for _ in range(count):
        door.run(FRAME)
    assert door.globals.seen == count

class TestMethods:
    @given(st.integers(0, 5))
    def test_counts(self, door, count):
        assert door.globals.seen == 0
        door.run_many([FRAME] * count)
""")

    result.assert_outcomes(passed=2)


def test_hypothesis_finds_the_least_example_and_sees_no_flakiness(run: Run) -> None:
    result = run("""
@given(count=st.integers(0, 50))
def test_never_sees_ten(door, count):
    for _ in range(count):
        door.run(FRAME)
    assert door.globals.seen < 10
""")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*count=10,*"])
    result.stdout.no_fnmatch_line("*[Ff]laky*")
    result.stdout.fnmatch_lines(["*seen=10*"])  # the section tells the least example's run


def test_the_function_that_hypothesis_calls_is_put_back(run: Run) -> None:
    result = run("""
@given(st.integers())
def test_one(door, n):
    pass

KEPT = test_one.hypothesis.inner_test

def test_two():
    assert test_one.hypothesis.inner_test is KEPT
""")

    result.assert_outcomes(passed=2)


@pytest.fixture
def default_settings() -> Iterator[None]:
    """Hypothesis as it is for who chooses nothing."""
    used = settings.get_current_profile_name()
    settings.load_profile("default")
    yield
    settings.load_profile(used)


@pytest.mark.usefixtures("default_settings")
def test_a_deadline_holds_if_somebody_chose_it(run: Run) -> None:
    result = run("""
from datetime import timedelta

@given(n=st.just(0))
def test_renewal_is_on_nobodys_time(door, n):
    assert settings.default.deadline is None

class Test:
    @settings(max_examples=3)
    @given(n=st.integers())
    def test_other_settings_are_kept(self, door, n):
        assert settings.default.deadline is None
        assert settings.default.max_examples == 3

@settings(deadline=60_000)
@given(n=st.just(0))
def test_chosen(door, n):
    assert settings.default.deadline == timedelta(seconds=60)

def test_afterwards():
    used = test_renewal_is_on_nobodys_time._hypothesis_internal_use_settings
    assert used.deadline == settings.default.deadline == timedelta(milliseconds=200)
""")

    result.assert_outcomes(passed=4)


def test_a_coroutine_stays_one_for_the_plugins_that_await_it(run: Run) -> None:
    # As such plugins do: they look whether it is a coroutine function, and replace it.
    result = run("""
import asyncio, inspect

def awaiting(inner):
    def call(*args, **kwargs):
        asyncio.run(inner(*args, **kwargs))
    return call

@given(count=st.integers(0, 3))
async def test_counts(door, count):
    assert door.globals.seen == 0
    door.run_many([FRAME] * count)
    assert door.globals.seen == count

class Plugin:
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_pyfunc_call(self, pyfuncitem):
        handle = pyfuncitem.obj.hypothesis
        kept = handle.inner_test
        assert inspect.iscoroutinefunction(kept)
        handle.inner_test = awaiting(kept)
        try:
            return (yield)
        finally:
            handle.inner_test = kept

@pytest.fixture(autouse=True, scope="session")
def plugin(pytestconfig):
    pytestconfig.pluginmanager.register(Plugin())
""")

    result.assert_outcomes(passed=1)


def test_an_object_that_the_user_loads_is_the_users(run: Run) -> None:
    result = run("""
@pytest.fixture(scope="module")
def mine():
    with packetrig.build("progs/xdp_door.bpf.c").load() as loaded:
        yield loaded

def test_one(mine, door):
    mine.run(FRAME)
    assert mine.globals.seen == 1

def test_two(mine, door):
    mine.run(FRAME)
    assert mine.globals.seen == 2
""")

    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("ending", ["pass", "assert False", "pytest.exit('enough')"])
def test_nothing_is_left_when_the_session_ends(
    run: Run, project: pytest.Pytester, ending: str
) -> None:
    finish()  # as the end of the session does: programs of tests before this one are parked
    gc.collect()  # what they have dropped
    before = descriptors()
    result = run(f"""
from pathlib import Path

def test_it(door):
    door.run(FRAME)
    ids = [door.program.id]
    Path("ids").write_text(" ".join(map(str, ids)))
    assert not door.is_closed
    {ending}
""")
    ids = [int(word) for word in (project.path / "ids").read_text().split()]

    assert result.ret in (0, 1, 2)
    assert len(ids) == 1
    assert [each for each in ids if is_loaded(each)] == []
    assert descriptors() == before


def is_loaded(program_id: int) -> bool:
    fd = lib.bpf_prog_get_fd_by_id(program_id)
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def descriptors() -> list[str]:
    """List what this process holds of BPF and of network namespaces."""
    held = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue  # the one that lists the folder
        if "bpf" in target or "net:" in target:
            held.append(target)
    return sorted(held)


def test_a_test_stays_on_one_processor_if_its_object_counts_on_each(
    run: Run, project: pytest.Pytester
) -> None:
    (project.path / "progs" / "xdp_tally.bpf.c").write_text(TALLY)

    result = run("""
import os
tally = packetrig.fixture("progs/xdp_tally.bpf.c")
HOME = os.sched_getaffinity(0)

@pytest.mark.parametrize("time", [1, 2])
def test_it_counts_in_one_place(tally, time):
    assert len(os.sched_getaffinity(0)) == 1
    for _ in range(3):
        tally.run(FRAME)
    assert sorted(tally.maps.hits[0])[-1] == 3

def test_others_go_where_they_like(door):
    assert os.sched_getaffinity(0) == HOME
""")

    result.assert_outcomes(passed=3)


TALLY = """#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1);
  __type(key, __u32); __type(value, __u64); } hits SEC(".maps");
SEC("xdp") int xdp_tally(struct xdp_md *ctx)
{ __u32 k = 0; __u64 *hit = bpf_map_lookup_elem(&hits, &k); (void)ctx; if (hit) ++*hit; return 2; }
"""
