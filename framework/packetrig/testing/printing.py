"""The fixture `printed`: what programs print with bpf_printk, test by test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .._bpf.printing import Printing

_HEARD: pytest.StashKey[Printing] = pytest.StashKey()


@contextmanager
def heard(config: pytest.Config) -> Iterator[Printing]:
    """Hear programs until the session ends."""
    printing = Printing()
    config.stash[_HEARD] = printing
    try:
        yield printing
    finally:
        del config.stash[_HEARD]
        printing.close()


def forget(config: pytest.Config) -> None:
    """Begin a test: what was printed before is not its own."""
    if (printing := config.stash.get(_HEARD, None)) is not None:
        printing.forget()


def lines(config: pytest.Config) -> list[str]:
    """Return what was printed in this test, if anybody listens."""
    printing = config.stash.get(_HEARD, None)
    return printing.of_test if printing is not None else []
