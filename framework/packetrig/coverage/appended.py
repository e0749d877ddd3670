"""What earlier runs counted: kept in a file, and added to what this one counts.

Runs on other kernels, with other privileges, or of other tests reach other lines. An object counts
by its very bytes, so what a file holds of a source that was changed since is left out, and named.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import files
from ..errors import Error, NotFound
from . import texts
from .gathered import Counted, Gathered
from .measuring import measure

FORMAT = 1


def write(path: Path, gathered: Gathered) -> None:
    """Keep what was counted, its own and what was added.

    Raises:
        Error: The file cannot be written.
    """
    told = {"format": FORMAT, "objects": [_told(each) for each in gathered.objects]}
    files.write(path, json.dumps(told, indent=1, sort_keys=True).encode() + b"\n")


def read(path: Path) -> dict[str, Any]:
    """Read what was kept; a file that is not there yet holds nothing.

    Raises:
        Error: It cannot be read, or was written by something else, or by a newer packetrig.
    """
    try:
        told = json.loads(files.read(path, "file of counts"))
        found, objects = told["format"], told["objects"]
    except NotFound:
        return {"format": FORMAT, "objects": []}
    except (ValueError, KeyError, TypeError) as e:
        raise Error(f"{path}: is no file that --bpf-cov-append wrote; name another") from e
    if found != FORMAT or not isinstance(objects, list):
        raise Error(
            f"{path}: is of format {found}, this packetrig reads {FORMAT}; take a newer one"
        )
    try:
        return {"format": FORMAT, "objects": [_read(each) for each in objects]}
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as e:
        raise Error(f"{path}: is cut short or changed; delete it and begin anew") from e


def add(gathered: Gathered, told: dict[str, Any]) -> Iterator[str]:
    """Add what was read; yield the objects that are left out, with the reason."""
    for each in told["objects"]:
        sources = each["sources"]
        changed = [path for path, was in sources.items() if _hashes([path]).get(path) != was]
        if changed:
            yield f"{each['name']}: earlier counts are left out, {changed[0]} was changed since"
            continue
        counted = (each["name"], each["object"], each["elf"], each["counters"], each["bitmap"])
        gathered.take_over({"objects": [(*counted, each["tests"])], "plain": {}})


def _told(counted: Counted) -> dict[str, Any]:
    profile = counted.profile
    measured = measure(profile, [counted.counters])
    return {
        "name": counted.name,
        "object": str(profile.object),
        "elf": _packed(profile.elf),
        "sources": _hashes(measured.files),
        "counters": _packed(counted.counters),
        "bitmap": _packed(counted.bitmap),
        "tests": {test: _packed(its) for test, its in counted.tests.items()},
    }


def _read(told: dict[str, Any]) -> dict[str, Any]:
    unpacked = {name: _unpacked(told[name]) for name in ("elf", "counters", "bitmap")}
    tests = {test: _unpacked(its) for test, its in told["tests"].items()}
    return {**told, **unpacked, "sources": dict(told["sources"]), "tests": tests}


def _hashes(paths: Any) -> dict[str, str]:
    return {
        path: hashlib.sha256(text.encode()).hexdigest()
        for path, text in texts.read_all(paths).items()
    }


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text, validate=True))
