"""The line at the top of a pytest run: what this kernel can do, as its own answers say."""

from __future__ import annotations

import os
from pathlib import Path

from .._bpf import capability_missing, probes
from ..errors import Error
from ..toolchain import elsewhere, find_clang


def line() -> str:
    """Describe the kernel, the kinds of programs it runs, and clang, on one line."""
    # What the kernel is called is shown, and decides nothing.
    kernel = Path("/proc/sys/kernel/osrelease").read_text(encoding="utf-8").strip()
    return f"Linux {kernel}, {', '.join([*_runs(), _clang(), *_cache()])}"


def _runs() -> list[str]:
    answers = probes.features()
    runs = " test run"
    kinds = [
        found.name.removesuffix(runs)
        for found in answers
        if found.name.endswith(runs) and found.answer is probes.Answer.YES
    ]
    if not kinds:
        reason = next((found.reason for found in answers if found.reason), "for no known reason")
        missing = capability_missing()
        return [
            f"nothing can be run: {f'{missing} is missing, run it as root' if missing else reason}"
        ]
    told = [_kinds(kinds)]
    if any(
        found.name == "XDP multi-buffer" and found.answer is probes.Answer.YES for found in answers
    ):
        told.append(f"multi-buffer to {probes.xdp_most()} bytes")
    return told


def _kinds(kinds: list[str]) -> str:
    # `packetrig doctor` names them all.
    first = [kind for kind in kinds if kind in ("xdp", "tc")] or kinds[:1]
    rest = len(kinds) - len(first)
    return " ".join([*first, f"and {rest} more kinds"] if rest else first)


def _cache() -> list[str]:
    try:
        told = elsewhere(os.environ)
    except Error as e:
        return [str(e)]
    return [told] if told else []


def _clang() -> str:
    try:
        return f"clang {find_clang().major}"
    except Error as e:
        return f"no clang ({str(e).partition(':')[0]})"
