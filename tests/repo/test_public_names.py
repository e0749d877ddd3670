"""Pin the public names: adding or losing one is a decision, and is seen in a diff."""

from __future__ import annotations

import inspect
import subprocess
import sys
from enum import IntEnum

import packetrig

NAMES = """
    build fixture table engines check belt checks model Answer same XDP_TC stateful golden
    Spec Object Program Map Run Belt
    XDP TC CGROUP SK LWT FLOW NF
    strategies packets live mocks coverage fuzz
    ANY
    Error CompileError LoadError VerifierError Unsupported PermissionDenied InputRefused CodecError
    MapError NoSuchName NotFound ToolMissing CaptureError PolicyError InternalError
    Failure
"""


def test_the_public_names_are_these() -> None:
    assert sorted(packetrig.__all__) == sorted(NAMES.split())


def test_every_public_name_is_there_and_is_listed_by_dir() -> None:
    assert [name for name in packetrig.__all__ if not hasattr(packetrig, name)] == []
    assert set(packetrig.__all__) <= set(dir(packetrig))


def test_every_public_name_says_what_it_is() -> None:
    silent = [
        name
        for name in packetrig.__all__
        if name != "ANY" and not inspect.getdoc(getattr(packetrig, name))
    ]

    assert silent == []


def test_the_two_trees_of_what_can_go_wrong_do_not_meet() -> None:
    classes = [c for name in packetrig.__all__ if inspect.isclass(c := getattr(packetrig, name))]
    wrong = {c.__name__ for c in classes if issubclass(c, Exception)}

    assert issubclass(packetrig.Failure, AssertionError)
    assert not issubclass(packetrig.Failure, packetrig.Error)
    assert {n for n in wrong if not issubclass(getattr(packetrig, n), packetrig.Error)} == {
        "Failure"
    }


def test_a_verdict_prints_as_people_write_it() -> None:
    assert [repr(packetrig.XDP.DROP), str(packetrig.TC.OK)] == ["XDP.DROP", "TC.OK"]
    assert issubclass(packetrig.XDP, IntEnum)


def test_importing_packetrig_loads_nothing_heavy() -> None:
    heavy = ("scapy", "hypothesis", "pytest", "pyroute2", "click", "rich", "pydantic", "jinja2")
    code = f"import sys, packetrig; print(sorted(set({heavy!r}) & set(sys.modules)))"

    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert seen.stdout == "[]\n"
