"""packetrig: a test-first rig for XDP and TC programs.

The house, from the top; an import only points down:

    5 faces    _packetrig_plugin + testing (pytest) | cli
    4 deploy   on a real interface, with a way back
      gate     may this object be deployed?
    3 work     bench | fuzz (campaigns) | live (netns, veth, attach)
    2 core     spec objects maps run state models checks belt replay coverage differential ...
    1 leaves   _bpf (cffi, libbpf) | packets (scapy, hypothesis) | toolchain (clang, llvm)
    0 words    errors verdicts files

Every public name is here once, and loaded when it is first used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unittest.mock import ANY as ANY

    from . import checks as checks
    from . import coverage as coverage
    from . import fuzz as fuzz
    from . import live as live
    from . import mocks as mocks
    from . import packets as packets
    from .belt import Belt as Belt
    from .belt import belt as belt
    from .checks import check as check
    from .differential import XDP_TC as XDP_TC
    from .differential import same as same
    from .errors import CaptureError as CaptureError
    from .errors import CodecError as CodecError
    from .errors import CompileError as CompileError
    from .errors import Error as Error
    from .errors import Failure as Failure
    from .errors import InputRefused as InputRefused
    from .errors import InternalError as InternalError
    from .errors import LoadError as LoadError
    from .errors import MapError as MapError
    from .errors import NoSuchName as NoSuchName
    from .errors import NotFound as NotFound
    from .errors import PermissionDenied as PermissionDenied
    from .errors import PolicyError as PolicyError
    from .errors import ToolMissing as ToolMissing
    from .errors import Unsupported as Unsupported
    from .errors import VerifierError as VerifierError
    from .maps import Map as Map
    from .models import Answer as Answer
    from .models import model as model
    from .objects import Object as Object
    from .packets import strategies as strategies
    from .program import Program as Program
    from .run import Run as Run
    from .spec import Spec as Spec
    from .spec import build as build
    from .testing import fixture as fixture
    from .testing import stateful as stateful
    from .testing import table as table
    from .testing.engines import engines as engines
    from .testing.golden import golden as golden
    from .verdicts import CGROUP as CGROUP
    from .verdicts import FLOW as FLOW
    from .verdicts import LWT as LWT
    from .verdicts import NF as NF
    from .verdicts import SK as SK
    from .verdicts import TC as TC
    from .verdicts import XDP as XDP

# Where each public name lives. A name alone is a module of that name.
_HOMES = {
    "ANY": "unittest.mock",
    "checks": ".checks",
    "coverage": ".coverage",
    "fuzz": ".fuzz",
    "live": ".live",
    "mocks": ".mocks",
    "packets": ".packets",
    "strategies": ".packets.strategies",
    **dict.fromkeys(("Belt", "belt"), ".belt"),
    "check": ".checks",
    **dict.fromkeys(("XDP_TC", "same"), ".differential"),
    **dict.fromkeys(
        (
            "CaptureError",
            "CodecError",
            "CompileError",
            "Error",
            "Failure",
            "InputRefused",
            "InternalError",
            "LoadError",
            "MapError",
            "NoSuchName",
            "NotFound",
            "PermissionDenied",
            "PolicyError",
            "ToolMissing",
            "Unsupported",
            "VerifierError",
        ),
        ".errors",
    ),
    "Map": ".maps",
    **dict.fromkeys(("Answer", "model"), ".models"),
    "Object": ".objects",
    "Program": ".program",
    "Run": ".run",
    **dict.fromkeys(("Spec", "build"), ".spec"),
    **dict.fromkeys(("fixture", "stateful", "table"), ".testing"),
    "engines": ".testing.engines",
    "golden": ".testing.golden",
    **dict.fromkeys(("CGROUP", "FLOW", "LWT", "NF", "SK", "TC", "XDP"), ".verdicts"),
}
_MODULES = {"checks", "coverage", "fuzz", "live", "mocks", "packets", "strategies"}

__all__ = sorted(_HOMES)  # noqa: PLE0605  # the one list of public names


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'packetrig' has no attribute '{name}'")
    module = importlib.import_module(home, __name__)
    value = module if name in _MODULES else getattr(module, name)
    # Importing a module sets it under its own name, where a function of that name (belt) belongs.
    own = home.lstrip(".")
    if own in _HOMES and own not in _MODULES:
        globals()[own] = getattr(module, own)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
