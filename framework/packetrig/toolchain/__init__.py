"""Compile C programs for BPF with the clang of this machine, and keep what was compiled.

clang.py     which clang, and the LLVM tools of the same version
cache.py     what was compiled before, found again by what went into it
compiler.py  one C file to one object
helpers.py   the kernel's helpers, as libbpf's header declares them
llvm.py      llvm-profdata and llvm-cov, for coverage
"""

from __future__ import annotations

from .cache import Cache, elsewhere, folder
from .clang import Clang, find_clang, tool
from .compiler import ENDING, FLAGS, Built, compile  # noqa: A004 - toolchain.compile() is it
from .helpers import Helper, helpers

__all__ = [
    "ENDING",
    "FLAGS",
    "Built",
    "Cache",
    "Clang",
    "Helper",
    "compile",
    "elsewhere",
    "find_clang",
    "folder",
    "helpers",
    "tool",
]
