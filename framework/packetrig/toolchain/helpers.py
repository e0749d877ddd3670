"""The kernel's helpers as libbpf's header declares them: names, numbers and signatures."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ..errors import ToolMissing
from .clang import find_clang

HEADER = "bpf/bpf_helper_defs.h"

# `static __u64 (*bpf_ktime_get_ns)(void) = (void *) 5;`, in newer ones `(* const bpf_...)`.
_DECLARATION = re.compile(
    r"^static\s+(?P<returns>[^()=;]*?)\(\s*\*\s*(?:const\s+)?(?P<name>bpf_\w+)\)"
    r"\((?P<takes>[^=;]*)\)\s*=\s*\(void \*\)\s*(?P<number>\d+);",
    re.MULTILINE,
)
_BITS = {"char": 8, "bool": 8, "short": 16, "__wsum": 32, "int": 32, "long": 64, "size_t": 64}
_SIZED = re.compile(r"\b(?:__)?(?P<sign>[us]|be|le)(?P<bits>8|16|32|64)\b")
_UNSIGNED = re.compile(r"\b(?:unsigned|bool|size_t|__wsum)\b")


@dataclass(frozen=True, slots=True)
class Parameter:
    """Describe what a helper takes or returns; `bits` is 0 for nothing (void)."""

    text: str
    bits: int
    is_signed: bool
    is_pointer: bool

    @property
    def least(self) -> int:
        """Return the lowest value that it holds."""
        return -(1 << (self.bits - 1)) if self.is_signed else 0

    @property
    def most(self) -> int:
        """Return the highest value that it holds."""
        return (1 << (self.bits - self.is_signed)) - 1 if self.bits else 0


@dataclass(frozen=True, slots=True)
class Helper:
    """Describe one helper of the kernel."""

    name: str
    number: int
    returns: Parameter
    takes: tuple[Parameter, ...]
    is_variadic: bool


def helpers(include: Iterable[str | os.PathLike[str]] = ()) -> Mapping[str, Helper]:
    """Read the helpers by name, from the first libbpf header that clang would find.

    Args:
        include: Folders that are searched before the system's.

    Raises:
        ToolMissing: There is no such header on this machine.
    """
    for folder in (*include, *find_clang().search):
        path = Path(folder) / HEADER
        try:
            stat = path.stat()
        except OSError:
            continue
        return _read(path, stat.st_mtime_ns, stat.st_size)
    raise ToolMissing(f"no {HEADER} where clang looks for headers; apt-get install libbpf-dev")


@functools.cache
def _read(path: Path, _time: int, _size: int) -> Mapping[str, Helper]:
    text = path.read_text(encoding="utf-8", errors="replace")
    return MappingProxyType({m["name"]: _helper(m) for m in _DECLARATION.finditer(text)})


def _helper(found: re.Match[str]) -> Helper:
    takes = [each.strip() for each in found["takes"].split(",")]
    is_variadic = takes[-1] == "..."
    named = [each for each in takes if each not in ("void", "", "...")]
    return Helper(
        found["name"],
        int(found["number"]),
        _parameter(found["returns"]),
        tuple(map(_parameter, named)),
        is_variadic,
    )


def _parameter(text: str) -> Parameter:
    text = " ".join(text.split())
    if "*" in text:
        return Parameter(text, 64, is_signed=False, is_pointer=True)
    if text.endswith("void"):
        return Parameter(text, 0, is_signed=False, is_pointer=False)
    if sized := _SIZED.search(text):
        return Parameter(text, int(sized["bits"]), sized["sign"] == "s", is_pointer=False)
    bits = next((bits for word, bits in _BITS.items() if re.search(rf"\b{word}\b", text)), 64)
    return Parameter(text, bits, is_signed=not _UNSIGNED.search(text), is_pointer=False)
