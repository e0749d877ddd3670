"""What the tests of coverage share: a source that shows everything, and runs of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from packetrig import Object, coverage

Taken = Callable[[Object], bytes]

HEADER = """
static inline int used(int value)
{
	return value > 3 ? 1 : 2;
}

static inline int unused(int value)
{
	if (value)
		return 1;
	return 0;
}

#define IS_SMALL(size) ((size) < 20 || \\
			(size) == 21)
"""

SOURCE = """#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "beside.h"

__u64 limit = 60;
static __noinline int judge(struct xdp_md *ctx)
{
	__u64 size = ctx->data_end - ctx->data;

	if (IS_SMALL(size))
		return XDP_DROP;
	if (size > limit && size < 1000)
		return XDP_TX;
	switch (size) {
	case 30:
		return XDP_ABORTED;
	case 31:
	case 32:
		return XDP_DROP;
	}
	for (int i = 0; i < 3; i++)
		limit += used(i);
	if (!ctx) /* unreachable: there is always one */
		return XDP_ABORTED;
	return XDP_PASS;
}

SEC("xdp")
int shown(struct xdp_md *ctx)
{
	return judge(ctx);
}

char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Write a program with most of what C has, and a header beside it."""
    (tmp_path / "beside.h").write_text(HEADER)
    path = tmp_path / "shown.bpf.c"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def measured() -> Callable[..., coverage.Measured]:
    """Run frames of some lengths through a source's twin, and measure."""

    def measure(source: Path, *sizes: int, mcdc: bool = False) -> coverage.Measured:
        spec = coverage.instrument(source, mcdc=mcdc)
        assert spec.profile is not None
        with spec.load() as found:
            counters = coverage.Counters(found)
            for size in sizes:
                found.run(bytes(size))
            return coverage.measure(spec.profile, [counters.take()])

    return measure
