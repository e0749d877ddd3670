"""Checks, models and objects in another process, which knows nothing of the files of this one."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import pytest

import packetrig
from packetrig import checks
from packetrig.errors import Error
from packetrig.fuzz import travel

MODULE = """
import packetrig

LIMIT = 7

@packetrig.check
def it_is_short(before, run):
    return len(before) < LIMIT

@packetrig.model
def decided(frame, maps):
    return LIMIT

other = packetrig.model(lambda frame, maps: LIMIT + 1)
"""
READ = """
import sys
from packetrig.fuzz import travel
print(travel.unpack(sys.stdin.buffer.read()))
"""


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a user's file the way pytest does: by its path, which no other process can."""
    file = tmp_path / "users_checks.py"
    file.write_text(MODULE)
    spec = importlib.util.spec_from_file_location("tests_of_a_user.users_checks", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[[bytes], str]:
    """Read in a new process, in a folder that holds nothing."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()

    def read(data: bytes) -> str:
        done = subprocess.run(
            [sys.executable, "-c", READ], input=data, cwd=folder, capture_output=True, check=False
        )
        return done.stdout.decode() + done.stderr.decode()

    return read


def test_a_check_and_a_model_go_with_the_file_that_they_stand_in(
    users: ModuleType, elsewhere: Callable[[bytes], str]
) -> None:
    packed = travel.pack([users.it_is_short, users.decided])
    Path(str(users.__file__)).unlink()

    assert elsewhere(packed) == "[<Check it_is_short>, <Model decided>]\n"


def test_a_model_without_a_name_of_its_own_goes_by_that_of_the_variable(users: ModuleType) -> None:
    assert travel.unpack(travel.pack(users.other)).function(b"", {}) == 8


def test_a_file_imports_what_stands_beside_it(
    users: ModuleType, elsewhere: Callable[[bytes], str]
) -> None:
    file = Path(str(users.__file__))
    file.with_name("users_limits.py").write_text("LIMIT = 7\n")
    file.write_text("from users_limits import LIMIT as OWN\n" + MODULE)

    assert elsewhere(travel.pack(users.it_is_short)) == "<Check it_is_short>\n"


def test_what_is_here_already_is_not_run_a_second_time() -> None:
    assert travel.unpack(travel.pack(test_what_is_here_already_is_not_run_a_second_time)) is (
        test_what_is_here_already_is_not_run_a_second_time
    )


def test_built_in_and_declared_checks_need_no_file(elsewhere: Callable[[bytes], str]) -> None:
    declared = [
        checks.only_change("IP.ttl", adds=("IP",)),
        checks.length_changes(by=-4),
        checks.loses_one_hop(on=[packetrig.XDP.TX]),
        checks.drops_grow_only("buckets"),
    ]
    there = [*checks.builtin, *declared]

    assert elsewhere(travel.pack(there)) == f"{there}\n"
    assert travel.unpack(travel.pack(checks.builtin)) == checks.builtin


@pytest.mark.parametrize("wraps", [packetrig.check, packetrig.model, lambda made: made])
def test_what_is_made_inside_a_function_is_named(wraps: Callable[[Any], Any]) -> None:
    def hidden(before: bytes, run: Any) -> bool:
        return True

    with pytest.raises(Error) as told:
        travel.pack(wraps(hidden))

    assert str(told.value) == (
        "hidden cannot be given to other processes: it has no name at the top of a module; "
        "write it there"
    )


def test_a_file_that_does_not_run_elsewhere_is_named(
    users: ModuleType, elsewhere: Callable[[bytes], str]
) -> None:
    file = Path(str(users.__file__))
    file.write_text("import a_module_that_only_one_machine_has\n" + MODULE)

    told = elsewhere(travel.pack(users.it_is_short))

    assert told.endswith(
        f"packetrig.errors.Error: what the campaign uses is not here: ImportError: {file} cannot "
        "be run here: ModuleNotFoundError: No module named 'a_module_that_only_one_machine_has'\n"
    )


def test_an_object_goes_as_its_bytes_without_what_was_read_from_them() -> None:
    spec = packetrig.build("progs/xdp_mac_filter.bpf.c", define={"LIMIT": 5})
    size = len(travel.pack(spec))
    assert spec.programs and spec.globals is not None

    there = travel.unpack(travel.pack(spec))

    assert len(travel.pack(spec)) == size
    assert there.data == spec.data and there.sha256 == spec.sha256
    assert there.define == MappingProxyType({"LIMIT": 5})
