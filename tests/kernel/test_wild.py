"""What programs in the wild do that ours do not: found with them, shown here in a few lines."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from packetrig import TC, XDP, LoadError, Object, Unsupported

Load = Callable[..., Object]
FRAME = bytes(64)

REDIRECTED = """
SEC("xdp") int first(struct xdp_md *ctx) { return XDP_PASS; }
SEC("%s") int behind(struct xdp_md *ctx) { return ctx->egress_ifindex == 7 ? XDP_DROP : XDP_PASS; }
"""


@pytest.mark.parametrize("section", ["xdp/devmap", "xdp_devmap/egress"])
def test_a_devmap_program_loads_with_the_others_and_says_why_it_cannot_run(
    load: Load, section: str
) -> None:
    rig = load(REDIRECTED % section)

    assert rig.programs.first.run(FRAME).verdict is XDP.PASS
    with pytest.raises(Unsupported, match=r"behind a redirect.*program='behind', kind='xdp'"):
        rig.programs.behind.run(FRAME)
    with pytest.raises(Unsupported, match="xdp/devmap"):
        rig.programs.behind.run_many([FRAME])


@pytest.mark.parametrize("section", ["xdp/cpumap", "xdp_cpumap/pass"])
def test_a_cpumap_program_runs_as_a_plain_one(load: Load, section: str) -> None:
    text = f'SEC("{section}") int behind(struct xdp_md *ctx) {{ return XDP_DROP; }}'

    with pytest.raises(Unsupported, match="xdp/cpumap"):
        load(text).run(FRAME)
    assert load(text, kind="xdp").run(FRAME).verdict is XDP.DROP


def test_a_kind_is_about_the_programs_whose_sections_tell_none(load: Load) -> None:
    rig = load(
        """
        SEC("xdp") int known(struct xdp_md *ctx) { return XDP_PASS; }
        SEC("prog") int unknown(struct __sk_buff *ctx) { return ctx->len == 64 ? 2 : 0; }
        """,
        kind="tc",
    )

    assert rig.programs.known.run(FRAME).verdict is XDP.PASS
    assert rig.programs.unknown.run(FRAME).verdict is TC.SHOT
    assert rig.programs.known.statistics.instructions
    assert rig.programs.unknown.statistics.instructions


def test_an_object_that_only_traces_the_kernel_is_not_told_to_be_xdp(load: Load) -> None:
    with pytest.raises(LoadError, match=r"trace the kernel.*SEC\(\"fentry/f\"\).*program='traces'"):
        load('SEC("fentry/f") int traces(void *ctx) { return 0; }')
