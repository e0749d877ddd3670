"""What the tests of attaching share: a machine to attach on, and an object of filters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import packetrig
from packetrig import Spec
from packetrig.live import hooks

from .rig import Ended, Rig, rig

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def filters() -> Spec:
    return packetrig.build(HERE / "filters.bpf.c")


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Start a machine once for the tests of a module: that takes longer than a test."""
    with rig(tmp_path_factory.mktemp("state")) as made:
        yield made


@pytest.fixture
def machine(machines: Rig, tmp_path: Path) -> Iterator[Rig]:
    """Give the machine to a test as new, and hold the test to leaving nothing attached."""
    machines.state = tmp_path / "state"
    yield machines
    if machines.lost_its_journal:
        machines.ask({"run": ["rm", "-rf", "/sys/fs/bpf/packetrig"]})  # as status says
        machines.lost_its_journal = False
    machines("attach", "--recover")
    for spot in machines.status():
        if "generations" in spot:
            mode = spot["mode"]
            machines("detach", "--iface", spot["interface"], "--mode", mode, "--all")
    assert machines.status() == []
    assert machines.pins() == []


@pytest.fixture
def path(filters: Spec, tmp_path: Path) -> Path:
    """Write the object as the file that ships."""
    made = tmp_path / "filters.o"
    made.write_bytes(filters.data)
    return made


@pytest.fixture
def attach(machine: Rig, path: Path) -> Callable[..., Ended]:
    """Attach a program of the object to `right`, without evidence."""

    def call(program: str, *words: object, mode: str = "native", **how: object) -> Ended:
        common = ("--iface", "right", "--force", "a test", "--program", program, "--mode", mode)
        return machine("attach", path, *common, *words, **how)

    return call


@pytest.fixture
def standing(machine: Rig) -> Callable[[], list[int]]:
    """Ask the kernel itself which XDP programs stand on `right`."""

    def ask() -> list[int]:
        with machine.wire.right.namespace.inside():
            return list(hooks.interface("right").xdp.values())

    return ask
