"""docs/attach.md, typed in on an interface of its own."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from packetrig.live.rtnl import netlink
from tests.repo.test_docs import ROOT, agrees, blocks, commands, first_lie, workplace

from .rig import Rig

pytestmark = [pytest.mark.live, pytest.mark.slow]

PAGE = ROOT / "docs" / "attach.md"


@pytest.fixture
def eth0(machine: Rig) -> Iterator[None]:
    """Make an interface named as on the page, and leave none."""
    with netlink(machine.wire.right.namespace, "making eth0") as route:
        route.link("add", kind="veth", ifname="eth0", peer={"ifname": "peer"})
        (index,) = route.link_lookup(ifname="eth0")
        route.link("set", index=index, state="up")
    yield
    with netlink(machine.wire.right.namespace, "removing eth0") as route:
        route.link("del", index=index)


def test_the_page_shows_what_happens(machine: Rig, eth0: None, tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    folder = workplace(PAGE, tmp_path / "page")
    ours = [block for block in blocks(PAGE) if "test_page.py" in block.detail]
    code = 0
    assert len(ours) == 2

    for block in ours:
        for command, shown in commands(block):
            if command == "echo $?":
                assert shown.strip() == str(code)
                continue
            ended = machine(*shlex.split(command)[1:], folder=str(folder))
            code = ended.code
            printed = ended.out + ended.err
            assert agrees(printed, shown), (command, first_lie(printed, shown), printed)
