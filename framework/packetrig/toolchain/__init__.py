"""Compile C programs for BPF with the clang of this machine, and keep what was compiled.

clang.py     which clang, and the LLVM tools of the same version
cache.py     what was compiled before, found again by what went into it
compiler.py  one C file to one object
"""

from __future__ import annotations

from .cache import Cache, folder
from .clang import Clang, find_clang, tool
from .compiler import Built, compile  # noqa: A004 - toolchain.compile() is what it does

__all__ = ["Built", "Cache", "Clang", "compile", "find_clang", "folder", "tool"]
