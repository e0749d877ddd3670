"""Settle what every test shares: none depends on the clock, on chance, nor on its shell."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

# A deadline would make a slow machine fail a correct test.
settings.register_profile("packetrig", deadline=None, print_blob=True)
settings.load_profile("packetrig")
settings.register_profile("packetrig, the same each time", derandomize=True)

# A shell starts what it puts into the background with SIGINT ignored, and so would every child be
# that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Give Hypothesis the same examples each time, but for who asks for others by a seed."""
    if config.getoption("hypothesis_seed", None) is None:
        settings.load_profile("packetrig, the same each time")
