"""Checks and models by where they are written: `FILE.py:name`, or `FILE.py` for all it holds."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ..checks import Check
from ..errors import Error, NotFound, no_such
from ..models import Model

_PREFIX = "_packetrig_given_"


def checks_of(named: str) -> dict[str, tuple[Check, ...]]:
    """Find checks: one, a tuple of them, or all that a file defines; by their whole names.

    Raises:
        NotFound: There is no such file.
        NoSuchName: It has no such check.
        Error: The file cannot be imported, or holds no check.
    """
    file, name = _split(named)
    module = _module(file)
    if name:
        found = getattr(module, name, None)
        if _as_checks(found):
            return {f"{file}:{name}": _as_checks(found)}
        there = [each for each, value in vars(module).items() if _as_checks(value)]
        raise no_such("check", name, there, owner=file)
    own = {
        f"{file}:{each}": _as_checks(value)
        for each, value in vars(module).items()
        if _as_checks(value) and _is_own(module, value)
    }
    if not own:
        raise Error(f"{file}: defines no check: decorate one with @packetrig.check")
    return own


def model_of(named: str) -> tuple[str, Model]:
    """Find a model: the one of this name, or the only one that a file defines; and its whole name.

    Raises:
        NotFound: There is no such file.
        NoSuchName: It has no such model.
        Error: The file cannot be imported, or holds no model, or several.
    """
    file, name = _split(named)
    module = _module(file)
    models = {each: value for each, value in vars(module).items() if isinstance(value, Model)}
    own = {each: value for each, value in models.items() if _is_own(module, value)}
    if name and name not in models:
        raise no_such("model", name, models, owner=file)
    if not name and len(own) != 1:
        told = f"{', '.join(own)}: say which: {file}:{next(iter(own))}" if own else "no model"
        raise Error(f"{file}: defines {told}")
    name = name or next(iter(own))
    return f"{file}:{name}", models[name]


def _split(named: str) -> tuple[str, str]:
    file, colon, name = named.rpartition(":")
    if not colon or name.endswith(".py"):
        return named, ""
    return file, name


def _as_checks(value: Any) -> tuple[Check, ...]:
    if isinstance(value, Check):
        return (value,)
    is_several = isinstance(value, tuple | list) and all(isinstance(each, Check) for each in value)
    return tuple(value) if is_several else ()


def _is_own(module: ModuleType, value: Any) -> bool:
    # What a file imports is not what it means by its checks; a tuple of them is.
    function = getattr(value, "function", None)
    return function is None or function.__module__ == module.__name__


def _module(file: str) -> ModuleType:
    path = Path(file)
    if not path.is_file():
        raise NotFound(f"{file}: there is no such file; name checks and models as FILE.py:name")
    try:
        return _imported(path) or _loaded(path)
    except Exception as e:  # whatever the user's file does
        raise Error(f"{file}: cannot be imported: {type(e).__name__}: {e}") from e


def _imported(path: Path) -> ModuleType | None:
    """Import a file as a module of the package that it is in, seen from here or from above it."""
    # As `python` in this folder would: relative imports work, and so do those of its siblings.
    for base in _bases(path):
        parts = Path(os.path.normpath(path.absolute())).relative_to(base).with_suffix("").parts
        if len(parts) < 2 or not all(part.isidentifier() for part in parts):
            continue
        module = _module_of(base, ".".join(parts))
        file = getattr(module, "__file__", None)
        if file and Path(file).resolve() == path.resolve():
            return module
    return None


def _bases(path: Path) -> Iterator[Path]:
    whole = Path(os.path.normpath(path.absolute()))
    if whole.is_relative_to(Path.cwd()):
        yield Path.cwd()
    above = whole.parent
    while (above / "__init__.py").exists():
        above = above.parent
    if above != whole.parent:
        yield above


def _module_of(base: Path, name: str) -> ModuleType | None:
    sys.path.insert(0, str(base))
    try:
        importlib.invalidate_caches()
        return importlib.import_module(name)
    except ModuleNotFoundError as e:
        # A folder of that name is known from elsewhere; what the file itself lacks is its fault.
        if e.name and f"{name}.".startswith(f"{e.name}."):
            return None
        raise
    finally:
        sys.path.remove(str(base))


def _loaded(path: Path) -> ModuleType:
    whole = path.resolve()
    name = _PREFIX + hashlib.sha256(str(whole).encode()).hexdigest()[:16]
    found = importlib.util.spec_from_file_location(name, whole)
    if found is None or found.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    sys.path.insert(0, str(whole.parent))  # it may import what stands beside it
    try:
        found.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(whole.parent))
    return module
