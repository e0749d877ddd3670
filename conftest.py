"""Settle what every test of the project shares: no test depends on the clock."""

from __future__ import annotations

from hypothesis import settings

# A deadline would make a slow machine fail a correct test.
settings.register_profile("packetrig", deadline=None, print_blob=True)
settings.load_profile("packetrig")
