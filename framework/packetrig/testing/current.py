"""Say which test runs, at the price of next to nothing: every test of every session pays it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

_item: ContextVar[pytest.Item | None] = ContextVar("packetrig_item", default=None)


def item() -> pytest.Item | None:
    """Return the test that runs; None outside of one."""
    return _item.get()


@contextmanager
def running(test: pytest.Item) -> Iterator[None]:
    """Say which test runs, for the length of a with block."""
    token = _item.set(test)
    try:
        yield
    finally:
        _item.reset(token)
