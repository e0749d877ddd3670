"""Measure what a person waits for: `packetrig --help`, and the plugin in a pytest run."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from figures import FRAME, SMALL, Figure, command_ms, pair_by_pair

TESTS = 1_000
HEAD = f"""from __future__ import annotations

import packetrig
from packetrig import XDP

small = packetrig.fixture({str(SMALL)!r})
FRAME = bytes.fromhex("{FRAME.hex()}")
"""


def kernel_test(number: int) -> str:
    return f"""

def test_{number}(small):
    assert small.run(FRAME).verdict is XDP.PASS
"""


def empty_test(number: int) -> str:
    return f"""

def test_{number}():
    pass
"""


def figures() -> Iterator[Figure]:
    packetrig = str(Path(sys.executable).parent / "packetrig")
    command_ms([packetrig, "--help"])
    helps = tuple(command_ms([packetrig, "--help"]) for _ in range(11))
    yield Figure("packetrig --help", " ms", 150, helps)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\n")
        pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]

        (folder / "test_one.py").write_text("def test_nothing():\n    pass\n")
        # Alone: what other plugins of this machine take varies by more than what is looked for.
        alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        pairs = pair_by_pair(
            lambda: command_ms([*pytest, "test_one.py"], cwd=folder, environment=alone),
            lambda: command_ms(
                [*pytest, "-p", "packetrig", "test_one.py"], cwd=folder, environment=alone
            ),
            pairs=50,
        )
        costs = tuple(with_it - without for without, with_it in pairs)
        yield Figure("the plugin in an empty pytest run", " ms", 30, costs)

        (folder / "test_kernel.py").write_text(HEAD + "".join(map(kernel_test, range(TESTS))))
        (folder / "test_empty.py").write_text("".join(map(empty_test, range(TESTS))))
        pairs = pair_by_pair(
            lambda: command_ms([*pytest, "test_empty.py"], cwd=folder),
            lambda: command_ms([*pytest, "test_kernel.py"], cwd=folder),
            pairs=5,
        )
        ratios = tuple(kernel / empty for empty, kernel in pairs)
        yield Figure(f"{TESTS:,} one-line kernel tests / {TESTS:,} empty ones", "x", 2.5, ratios)
