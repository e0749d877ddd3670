"""The reference models of progs/models, by the name of their file."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

MODELS = Path(__file__).parents[2] / "progs" / "models"


def model(name: str) -> ModuleType:
    """Load a file of models, once."""
    known = f"packetrig_models_{name}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, MODELS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[known] = module
        spec.loader.exec_module(module)
    return sys.modules[known]
