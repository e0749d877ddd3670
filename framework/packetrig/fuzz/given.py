"""Frames to begin with, from files: captures, golden files, crash files, corpora."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import Error, InputRefused, NoSuchName, NotFound
from ..files import toml
from ..packets import pcap, written
from .corpus import SUFFIX, entry

_CAPTURES = (".pcap", ".pcapng", ".cap")
_KNOWN = (*_CAPTURES, ".toml", SUFFIX)


def frames_of(path: str | Path) -> tuple[bytes, ...]:
    """Read the frames of a file, or of all files below a folder that hold any.

    Of a capture, packets that the snap length cut are left out: the beginning of a packet is
    another packet. In a folder, what holds no frames (a set-up file) is passed over.

    Raises:
        NotFound: There is no such file.
        Error: A file cannot be read, or there is no frame in it.
    """
    path = Path(path)
    if not path.exists():
        raise NotFound(f"{path}: there is no such file to take seeds from")
    files = [path]
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if is_known(each))
    found = [frame for each in files for frame in _frames(each, is_asked=each == path)]
    if not found:
        kinds = ", ".join(_KNOWN)
        raise Error(f"{path}: no seeds in it: no frame in any {kinds}")
    return tuple(found)


def is_known(path: Path) -> bool:
    """Tell whether a file in a folder is one that `frames_of` looks into."""
    return path.suffix in _KNOWN


def _frames(path: Path, *, is_asked: bool) -> Iterator[bytes]:
    if path.suffix == SUFFIX:
        yield entry(path)
    elif path.suffix == ".toml":
        yield from _written(path, is_asked=is_asked)
    else:
        yield from (record.data for record in pcap.read(path) if not record.is_snapped)


def _written(path: Path, *, is_asked: bool) -> Iterator[bytes]:
    found = toml(path, "seed")
    layers: list[dict[str, Any]] = [*_tables(found.get("frame")), *_tables(found.get("packet"))]
    if is_asked and not layers:
        raise Error(f"{path}: no golden packet, and no crash file: it holds no frame")
    for each in layers:
        try:
            yield written.rebuilt(each)
        except (InputRefused, NoSuchName) as e:
            raise Error(f"{path}: {e}") from e


def _tables(value: Any) -> list[dict[str, Any]]:
    # A golden file has one packet, a crash file a list of frames, each so many times in a row.
    several = value if isinstance(value, list) else [value]
    tables = [
        {name: layer for name, layer in each.items() if name != "times"}
        for each in several
        if isinstance(each, dict)
    ]
    return [each for each in tables if each and all(isinstance(v, dict) for v in each.values())]
