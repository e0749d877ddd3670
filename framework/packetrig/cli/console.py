"""The only place that prints: text and tables on stdout, one line about an error on stderr."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# Rows of a table that are held back to find out how wide its columns are.
_BLOCK = 500
_GAP = "  "

_STYLES = {
    "DEPLOY": "bold green",
    "REFUSED": "bold red",
    "UNDECIDED": "bold yellow",
    "yes": "green",
    "no": "red",
    "cannot tell": "yellow",
    "refused": "yellow",
    "DROP": "red",
    "SHOT": "red",
    "ABORTED": "bold red",
    "PASS": "green",
    "OK": "green",
}


def say(text: str = "", *, at_once: bool = False) -> None:
    """Print a line on stdout; `at_once` where somebody waits for it, in a pipe too."""
    print(_clean(text, sys.stdout), flush=at_once)


def complain(text: str) -> None:
    """Print one line on stderr, with the command's name before it."""
    detail(f"packetrig: {' '.join(text.split())}")


def detail(text: str) -> None:
    """Print on stderr what was asked for beyond the one line: clang's text, a traceback.

    Nobody may be left to read it, as when a terminal is closed; the exit code still tells.
    """
    with contextlib.suppress(OSError):
        print(_clean(text.rstrip("\n"), sys.stderr), file=sys.stderr, flush=True)


def document(value: Any) -> None:
    """Print a JSON document: sorted, so that two of them can be compared line by line."""
    print(json.dumps(value, indent=1, sort_keys=True))


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: str = "", title: str = ""
) -> None:
    """Print a table: plain aligned text in a pipe, rich's on a terminal.

    `right` names the columns that are set to the right, with spaces between. `title` is a line
    above it, which is not printed when there is no first row because of an error.
    """
    texts = ([_clean(str(cell), sys.stdout) for cell in row] for row in rows)
    block = list(itertools.islice(texts, _BLOCK))
    following = list(itertools.islice(texts, 1))
    if title:
        say(title)
    if sys.stdout.isatty() and not following:
        _rich_table(columns, block, right.split())
        return
    widths = [len(name) for name in columns]
    is_right = [name in right.split() for name in columns]
    block.insert(0, list(columns))
    while block:
        widths = [max(w, *(len(row[i]) for row in block)) for i, w in enumerate(widths)]
        for row in block:
            say(_aligned(row, widths, is_right))
        block = [*following, *itertools.islice(texts, _BLOCK)]
        following = []


def what_broke(e: OSError) -> str:
    """Say which output could not be written, if that is what happened: the disk is full, mostly."""
    if e.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        return ""
    return f"{e.filename or 'stdout'}: cannot be written: {(e.strerror or str(e)).lower()}"


def _aligned(row: Sequence[str], widths: Sequence[int], is_right: Sequence[bool]) -> str:
    cells = zip(row, widths, is_right, strict=True)
    return _GAP.join(c.rjust(w) if right else c.ljust(w) for c, w, right in cells).rstrip()


def _rich_table(columns: Sequence[str], rows: list[list[str]], right: Sequence[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(made)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is being done; silent in a pipe. Yields the function that tells."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status("") as status:
        yield lambda text: status.update(escape(text))


@contextmanager
def ticker() -> Iterator[Callable[[str], None]]:
    """Keep one line on the terminal up to date while other lines are printed; silent in a pipe.

    Yields the function that tells; with no text it takes the line away, for others to be printed.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return

    def tell(text: str) -> None:
        width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
        print(
            f"\r\x1b[2K{_clean(text, sys.stderr)[: width - 1]}", end="", file=sys.stderr, flush=True
        )

    try:
        yield tell
    finally:
        tell("")


def line_of(value: Any) -> None:
    """Print a JSON document on one line, for whoever reads line by line while it happens."""
    print(json.dumps(value, sort_keys=True), flush=True)


def close_quietly() -> None:
    """Leave without a word when the reader of stdout has gone: the flush at exit would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _clean(text: str, stream: Any) -> str:
    # Names of files and bytes of packets may hold what a terminal cannot show, or would obey.
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
    encoding = stream.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)
