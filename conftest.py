"""Settle what every test of the project shares: no test depends on the clock, nor on its shell."""

from __future__ import annotations

import signal

from hypothesis import settings

# A deadline would make a slow machine fail a correct test.
settings.register_profile("packetrig", deadline=None, print_blob=True)
settings.load_profile("packetrig")

# A shell starts what it puts into the background with SIGINT ignored, and so would every child be
# that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
