"""Every program does what its model says: on malformed frames, on real traffic, on any frame."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

import packetrig
from packetrig import InputRefused, Object, checks
from packetrig import strategies as net
from packetrig.packets import pcap
from packetrig.packets.malformed import catalogue
from packetrig.replay import Setup

ROOT = Path(__file__).parents[2]
MODELS = sorted(
    path.stem
    for path in (ROOT / "progs" / "models").glob("*.py")
    if (ROOT / "progs" / f"{path.stem}.bpf.c").exists()
)
each_program = pytest.mark.parametrize("name", MODELS)


class Held:
    """Hold a program in its set-up to its model and to what it declares."""

    def __init__(self, name: str, loaded: Object, setup: Setup) -> None:
        module = importlib.import_module(f"progs.models.{name}")
        self.model, self.checks = getattr(module, name), module.CHECKS
        self.loaded, self.setup = loaded, setup

    def begin(self) -> None:
        self.loaded.renew()
        self.setup.put(self.loaded)

    def to(self, frame: bytes, *, builtin: Any = checks.builtin) -> bool:
        """Judge a frame; False where the kernel does not take it: nothing was tested."""
        try:
            self.loaded.judge(frame, *self.checks, model=self.model, builtin=builtin)
        except InputRefused:
            return False
        return True


@contextmanager
def held(name: str) -> Iterator[Held]:
    setup = Setup.read(ROOT / "fixtures" / "policy" / f"{name}.toml")
    with setup.load(packetrig.build(ROOT / "progs" / f"{name}.bpf.c")) as loaded:
        yield Held(name, loaded, setup)


@functools.cache
def recorded() -> tuple[bytes, ...]:
    captures = sorted((ROOT / "fixtures" / "pcap").glob("*.pcap"))
    return tuple(record.data for path in captures for record in pcap.read(path))


def test_each_program_has_a_model() -> None:
    programs = {path.name.removesuffix(".bpf.c") for path in (ROOT / "progs").glob("*.bpf.c")}

    assert set(MODELS) == programs


@pytest.mark.slow
@each_program
def test_a_program_does_what_its_model_says_of_malformed_frames(name: str) -> None:
    with held(name) as program:
        tested = 0
        for number, case in enumerate(catalogue()[::3]):
            if number % 50 == 0:
                program.begin()
            tested += program.to(case.frame, builtin=checks.cheap)

    assert tested > 500


@pytest.mark.slow
@each_program
def test_a_program_does_what_its_model_says_of_real_traffic(name: str) -> None:
    with held(name) as program:
        tested = [program.to(frame, builtin=checks.cheap) for frame in recorded()]

    assert all(tested)
    assert len(tested) > 200


@pytest.mark.slow
@each_program
def test_a_program_does_what_its_model_says_of_any_frame(name: str) -> None:
    with held(name) as program:

        @settings(max_examples=50)
        @given(frame=net.frames())
        def it_does(frame: bytes) -> None:
            program.begin()
            program.to(frame)

        it_does()
