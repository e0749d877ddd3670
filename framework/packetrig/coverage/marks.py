"""Lines that their author marked unreachable: `/* unreachable: the array has this place */`.

`// unreachable: the array has this place` is one as well.
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

from . import texts

_MARK = re.compile(r"/\*\s*unreachable:\s*(\S.*?)\s*\*/|//\s*unreachable:\s*(\S.*?)\s*$")


def marks_of(path: str) -> dict[int, str]:
    """Find the lines of a source that are marked unreachable, each with its reason."""
    if (text := texts.given(path)) is not None:
        return _marks_in(text)
    try:
        stat = os.stat(path)  # noqa: PTH116  # asked of each function: a Path costs more
    except OSError:
        return {}
    return _marks(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=1024)
def _marks(path: str, _time: int, _size: int) -> dict[int, str]:
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    return _marks_in(text)


@functools.lru_cache(maxsize=256)
def _marks_in(text: str) -> dict[int, str]:
    if "unreachable:" not in text:
        return {}
    numbered = ((n, _MARK.search(line)) for n, line in enumerate(text.split("\n"), 1))
    return {number: found[1] or found[2] for number, found in numbered if found}
