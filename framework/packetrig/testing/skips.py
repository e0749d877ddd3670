"""Turn what this kernel or machine lacks into a skip that says why, or into a failure."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ..errors import PermissionDenied, Unsupported


@dataclass(frozen=True, slots=True)
class Place:
    """Name a line of a test file."""

    path: str
    line: int


class Skipped(pytest.skip.Exception):  # type: ignore[name-defined, misc]  # typed as a value
    """Skip a test for lack of something; `place` is the fixture's where a fixture lacks it."""

    # As pytest's own: the summary shows a name without its module.
    __module__ = "builtins"

    place: Place | None = None


def outcome(
    error: BaseException, config: pytest.Config, place: Place | None = None
) -> BaseException | None:
    """Make of an error what the test becomes; None when it stays the error that it is."""
    if not isinstance(error, Unsupported | PermissionDenied):
        return None
    if config.getoption("--bpf-require"):
        return pytest.fail.Exception(
            f"bpf: {error}\nThis would be a skip, but --bpf-require turns it into a failure.",
            pytrace=False,
        )
    skipped = Skipped(f"bpf: {error}", _use_item_location=place is None)
    skipped.place = place
    return skipped
