"""The fixture `printed`: what the programs of a test print, in its asserts and when it fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest_plugins = ["pytester"]

Run = Callable[..., pytest.RunResult]

PRINTS = """
from pathlib import Path
Path("progs/xdp_says.bpf.c").write_text('''
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp") int xdp_says(struct xdp_md *ctx)
{
    bpf_printk("%d bytes", (int)(ctx->data_end - ctx->data));
    return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
''')
says = packetrig.fixture("progs/xdp_says.bpf.c")

def test_lines_are_those_of_this_test(says, printed):
    says.run(bytes(60))
    assert printed() == ["60 bytes"]

def test_and_not_of_the_one_before(says, printed):
    assert printed() == []

@settings(max_examples=5)
@given(size=st.integers(14, 99))
def test_in_each_example(says, printed, size):
    says.run(bytes(size))
    assert printed() == [f"{size} bytes"]
"""


def test_a_test_hears_what_its_programs_print(run: Run) -> None:
    run(PRINTS).assert_outcomes(passed=3)


def test_a_test_that_fails_shows_what_was_printed(run: Run) -> None:
    fails = """
def test_it_drops(says, printed):
    says.run(bytes(60))
    printed()
    assert says.run(bytes(61)).verdict is XDP.DROP
"""

    result = run(PRINTS + fails)

    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*repeat  packetrig run*", "printed:", "  60 bytes", "  61 bytes"])
