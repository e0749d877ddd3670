"""What LLVM's own tools make of counters: llvm-profdata joins them, llvm-cov reports them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import Error
from .clang import find_clang, run, tool

# Added to a command that compiles for BPF. The triple bpf-unknown-linux gives the same code as bpf,
# and asks for no run-time library; without the -fno- it would define __PIC__.
INSTRUMENT = (
    "-target",
    "bpf-unknown-linux",
    "-fno-pic",
    "-fno-pie",
    "-fprofile-instr-generate",
    "-fcoverage-mapping",
)
MCDC = "-fcoverage-mcdc"
MCDC_SINCE = 18


def has_mcdc() -> bool:
    """Tell whether the clang that is used knows conditions and decisions (MC/DC)."""
    return find_clang().major >= MCDC_SINCE


def merge(proftexts: list[str], output: Path) -> Path:
    """Join profiles to one that llvm-cov reads.

    Raises:
        ToolMissing: There is no llvm-profdata of clang's version.
        Error: It refuses them.
    """
    inputs = []
    for index, text in enumerate(proftexts):
        path = output.with_name(f"{output.stem}-{index}.proftext")
        path.write_text(text, encoding="utf-8")
        inputs.append(str(path))
    _call("llvm-profdata", ["merge", *inputs, "-o", str(output)])
    return output


def export(elf: Path, profdata: Path, *, sources: Sequence[str] = ()) -> dict[str, Any]:
    """Return llvm-cov's JSON export, of all sources or of these."""
    text = _call("llvm-cov", ["export", "-instr-profile", str(profdata), str(elf), *sources])
    found: dict[str, Any] = json.loads(text)
    return found


def lcov(elf: Path, profdata: Path) -> str:
    """Return llvm-cov's lcov export."""
    return _call("llvm-cov", ["export", "-format=lcov", "-instr-profile", str(profdata), str(elf)])


def show_html(
    elf: Path, profdata: Path, folder: Path, *, sources: Sequence[str], mcdc: bool = False
) -> None:
    """Write llvm-cov's pages of these sources (files, or folders above them) into a folder."""
    options = ["-show-branches=count", *(["-show-mcdc"] if mcdc else [])]
    _call(
        "llvm-cov",
        [
            *("show", "-format=html", f"-output-dir={folder}", *options),
            *("-instr-profile", str(profdata), str(elf), *sources),
        ],
    )


def _call(name: str, arguments: list[str]) -> str:
    answer = run([str(tool(name)), *arguments])
    if answer.returncode != 0:
        words = answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"]
        raise Error(f"{name} {arguments[0]}: {words[0].removeprefix('error: ')}")
    return answer.stdout
