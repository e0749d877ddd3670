"""What a campaign needs, as bytes that another process can make use of.

Objects travel as the bytes that were compiled here, so a worker needs no clang. Checks and models
are functions, and travel by where they are written: a module that the worker can import as well,
or else the text of the one file that they stand in, which the worker runs as a module of its own.
What such a file imports has to be there where it runs.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any

from ..checks import Check
from ..errors import Error
from ..models import Model
from ..spec import Spec

# Where files that came along are held, by their text.
_PREFIX = "_packetrig_travelled_"


def pack(thing: object) -> bytes:
    """Turn a recipe, or anything made of such parts, into bytes.

    Raises:
        Error: A check or a model in it cannot be found again by its file and name.
    """
    room = io.BytesIO()
    try:
        _Packer(room, protocol=pickle.HIGHEST_PROTOCOL).dump(thing)
    except (pickle.PicklingError, TypeError, AttributeError) as e:
        raise Error(
            f"this campaign cannot be given to other processes: {e}; write what it uses at the top "
            "of a module"
        ) from e
    return room.getvalue()


def unpack(data: bytes) -> Any:
    """Make the thing again.

    Raises:
        Error: A module that it needs cannot be imported here, or is another one.
    """
    try:
        return pickle.loads(data)
    except (ImportError, AttributeError, pickle.UnpicklingError, EOFError) as e:
        raise Error(f"what the campaign uses is not here: {type(e).__name__}: {e}") from e


class _Packer(pickle.Pickler):
    """Pickle, with words of its own for what pickle cannot do."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Check):
            # One that stands somewhere is that very one there; what a call made is made again.
            if obj.made and not _place(*_home(obj.function), obj):
                return obj.made, ()
            return _by_name(obj, obj.function)
        if isinstance(obj, Model):
            return _by_name(obj, obj.function)
        if isinstance(obj, FunctionType) and not _is_ours(obj.__module__):
            return _by_name(obj, obj)
        if isinstance(obj, MappingProxyType):
            return _read_only, (dict(obj),)
        if isinstance(obj, Spec):
            return _spec(obj)
        return NotImplemented


def _read_only(values: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(values)  # a class that pickle does not find by its name


def _spec(spec: Spec) -> tuple[Any, ...]:
    # Without what was worked out from the bytes: it can be large, and is as quickly done again.
    values = {each.name: getattr(spec, each.name) for each in fields(spec) if each.init}
    return partial(type(spec), **values), ()


def _by_name(thing: object, function: Callable[..., Any]) -> tuple[Any, ...]:
    """Say where a thing stands: module, name in it, file, text of the file.

    The text is left out where the module is a part of packetrig.
    """
    name = getattr(thing, "name", function.__name__)
    module, qualname = _home(function)
    place = _place(module, qualname, thing)
    if module is None or not place:
        raise Error(
            f"{name} cannot be given to other processes: it has no name at the top of a module; "
            "write it there"
        )
    if _is_ours(module.__name__):
        return _named, (module.__name__, place, "", "")
    file = getattr(module, "__file__", None) or f"module {module.__name__}"
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise Error(
            f"{name} cannot be given to other processes: it stands in no file that can be read "
            f"({file}); write it in one"
        ) from e
    return _named, (module.__name__, place, file, text)


def _home(function: Callable[..., Any]) -> tuple[ModuleType | None, str]:
    return sys.modules.get(function.__module__), function.__qualname__


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == __name__.partition(".")[0]


def _place(module: ModuleType | None, place: str, thing: object) -> str:
    if module is None:
        return ""
    if _found(module, place) is thing:
        return place
    return next((name for name, each in vars(module).items() if each is thing), "")


def _found(module: ModuleType | None, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _named(module: str, place: str, file: str, text: str) -> Any:
    """Find a check, a model or a function where it was said to be."""
    found = _found(_module(module, file, text), place)
    if found is None:
        raise AttributeError(f"{file or module} has no {place}")
    return found


def _module(name: str, file: str, text: str) -> ModuleType:
    if not text:
        return importlib.import_module(name)
    own = _PREFIX + hashlib.sha256(f"{file}\0{text}".encode()).hexdigest()[:16]
    if own in sys.modules:
        return sys.modules[own]
    with _beside(file, name):
        if _is_here(name, text):
            return importlib.import_module(name)
        module = ModuleType(own)
        module.__file__ = file
        module.__package__ = name.rpartition(".")[0]
        sys.modules[own] = module
        try:
            exec(compile(text, file, "exec"), module.__dict__)
        except BaseException as e:
            del sys.modules[own]
            raise ImportError(f"{file} cannot be run here: {type(e).__name__}: {e}") from e
    return module


@contextmanager
def _beside(file: str, name: str) -> Iterator[None]:
    """Let a file import what stands beside it, and the package that it is in, if they are here."""
    path = Path(file)
    parts = name.split(".")
    folders = [path.parent]
    if path.with_suffix("").parts[-len(parts) :] == tuple(parts):
        folders.append(path.parents[len(parts) - 1])
    before = list(sys.path)
    sys.path.extend(str(folder) for folder in folders if str(folder) not in before)
    try:
        yield
    finally:
        sys.path[:] = before


def _is_here(name: str, text: str) -> bool:
    """Tell whether importing the name gives a module of that very text."""
    if name == "__main__":
        return False
    try:
        spec = importlib.util.find_spec(name)
        return spec is not None and Path(spec.origin or "").read_text(encoding="utf-8") == text
    except (ImportError, ValueError, AttributeError, OSError):
        return False
