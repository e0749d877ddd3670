"""What the tests on the kernel share: sources beside them, and objects that are closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import packetrig
from packetrig import Object, Spec

SOURCES = Path(__file__).parent / "sources"

PREAMBLE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., Path]:
    """Write C text into a file of the test's own."""

    def write(text: str, *, name: str = "written.bpf.c", preamble: str = PREAMBLE) -> Path:
        path = tmp_path / name
        path.write_text(preamble + text)
        return path

    return write


@pytest.fixture
def load(source: Callable[..., Path]) -> Iterator[Callable[..., Object]]:
    """Compile C text and load it; closed after the test."""
    objects: list[Object] = []

    def compile_and_load(text: str, **options: object) -> Object:
        spec: Spec = packetrig.build(source(text))
        objects.append(spec.load(**options))  # type: ignore[arg-type]
        return objects[-1]

    yield compile_and_load
    for made in objects:
        made.close()
