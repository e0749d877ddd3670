"""One program in the place of another, in one step: only where the expected one stands."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from packetrig import Object, Spec
from packetrig.deploy import kernel
from packetrig.errors import Error
from packetrig.live import Wire, hooks

pytestmark = pytest.mark.live


@pytest.fixture
def index() -> Iterator[int]:
    """Stand in the namespace of an interface without programs."""
    with Wire() as wire, wire.right.namespace.inside():
        yield hooks.interface("right").index


@pytest.fixture
def ours(filters: Spec) -> Iterator[Object]:
    with filters.load() as loaded:
        yield loaded


@pytest.fixture
def theirs(filters: Spec) -> Iterator[Object]:
    with filters.load() as loaded:
        yield loaded


def standing() -> list[int]:
    return list(hooks.interface("right").xdp.values())


def test_a_link_is_given_another_program_in_the_place_of_the_expected_one_alone(
    index: int, ours: Object, theirs: Object
) -> None:
    old, new = ours.programs.old_xdp, ours.programs.new_xdp
    strange = theirs.programs.old_xdp
    link = kernel.create_link(old.fd, index, "native", hook="xdp", doing="a test")
    try:
        with pytest.raises(Error, match="another program than the expected one stands there"):
            kernel.update_link(link, new.fd, expected=strange.fd, doing="a test")
        assert standing() == [old.id]
        kernel.update_link(link, new.fd, expected=old.fd, doing="a test")
        assert standing() == [new.id]
    finally:
        os.close(link)


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_over_netlink_neither_a_strangers_program_is_replaced_nor_an_empty_place_taken_twice(
    index: int, ours: Object, theirs: Object, mode: str
) -> None:
    old, new = ours.programs.old_xdp, ours.programs.new_xdp
    strange = theirs.programs.old_xdp

    hooks.set_xdp(index, strange.fd, mode, expected=None, doing="somebody else")
    for fd, expected in ((new.fd, None), (new.fd, old.fd), (-1, old.fd)):
        with pytest.raises(Error, match="a test"):
            hooks.set_xdp(index, fd, mode, expected=expected, doing="a test")
    assert standing() == [strange.id]

    hooks.set_xdp(index, new.fd, mode, expected=strange.fd, doing="a test")
    assert standing() == [new.id]
    hooks.set_xdp(index, -1, mode, expected=new.fd, doing="a test")
    assert standing() == []
