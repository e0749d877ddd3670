"""A finding as a file that people read, edit and commit: `fixtures/crashes/<program>/<id>.toml`.

Beside it stands `<id>.pcap`. Frames are written layer by layer, as golden files are, and built back
from what stands there.
"""

from __future__ import annotations

import difflib
import itertools
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import files
from ..errors import Error, InputRefused, NoSuchName, NotFound
from ..packets import explain, pcap, toml, written
from ..sarif import sentence
from . import repeat
from .finding import Finding, Made, Place

FORMAT = 1
FOLDER = Path("fixtures", "crashes")
_KEPT = re.compile(r"^kept = (true|false)$", re.MULTILINE)
_KEYS = {
    *("format", "id", "kept", "check", "expected", "seen", "said", "details"),
    *("place", "program", "judged", "found", "setup", "frame", "after", "repeat"),
}
_MOST_TIMES = 1 << 20
# What `packetrig replay` cannot do without; and what stands last: without it the file was cut, and
# of its frames some may be missing.
_NEEDED = {
    "": {"check": str, "expected": str, "seen": str},
    "place": {"path": str},
    "program": {"source": str, "name": str},
    "repeat": {"replay": str, "pytest": str},
}


def check(folder: str | os.PathLike[str]) -> None:
    """Look at the crash files of one program, before others join them.

    Raises:
        Error: One is of a newer format, or cannot be read.
    """
    for path in sorted(Path(folder).glob("*.toml")):
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
            raise Error(f"{path}: is no whole crash file: {e}; move it away") from e
        if wrong := _wrong(found):
            raise Error(f"{path}: {wrong}")


def path_of(finding: Finding, folder: str | os.PathLike[str] = FOLDER) -> Path:
    """Tell where a finding is written."""
    return Path(folder) / finding.program / f"{finding.id}.toml"


def write(finding: Finding, folder: str | os.PathLike[str] = FOLDER) -> bool:
    """Write a finding and its capture; tell whether it was new. One that is there is left alone.

    Raises:
        Error: A file cannot be written.
    """
    path = path_of(finding, folder)
    if path.exists():
        return False
    text = text_of(finding, folder)
    files.check(path, makes_folders=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise Error(f"{path}: cannot be written: {files.reason(e)}") from e
    # The file last: it is what says that there is a finding.
    pcap.write(path.with_suffix(".pcap"), finding.frames)
    files.write(path, text.encode())
    return True


def text_of(finding: Finding, folder: str | os.PathLike[str] = FOLDER) -> str:
    """Write down a finding, and make sure that its frames read back the same."""
    text = "\n".join(_lines(finding, folder)) + "\n"
    if parsed(text, finding.id).frames != finding.frames:
        raise Error(f"finding {finding.id}: a frame cannot be written down: {finding.frames!r}")
    return text


def read(path: str | os.PathLike[str]) -> Finding:
    """Read a crash file.

    Raises:
        NotFound: There is no such file.
        Error: It cannot be read, is of a newer format, or is not all there.
    """
    try:
        text = files.read(path, "crash file").decode()
    except UnicodeDecodeError as e:
        raise Error(f"{path}: is no crash file: it is not text") from e
    return parsed(text, str(path))


def keep(path: Path) -> bool:
    """Mark a crash file as a test from now on; tell whether it was none before."""
    text = path.read_text(encoding="utf-8")
    if is_kept(text):
        return False
    changed, count = _KEPT.subn("kept = true", text, count=1)
    if not count:  # somebody edited it away
        changed = re.sub(r"^(format = .*)$", r"\1\nkept = true", text, count=1, flags=re.MULTILINE)
    files.write(path, changed.encode())
    return True


def move(path: Path) -> Path:
    """Give a crash file and its capture the next free name after their own; return it."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(1))
    free = next(each for each in numbered if not each.exists())
    capture = path.with_suffix(".pcap")
    if capture.exists():
        capture.replace(free.with_suffix(".pcap"))
    path.replace(free)
    return free


def is_kept(text: str) -> bool:
    """Tell of the text of a crash file whether it is a test."""
    return (found := _KEPT.search(text)) is not None and found[1] == "true"


def listed(folder: str | os.PathLike[str] = FOLDER) -> list[Path]:
    """List the crash files of a folder, whatever is in them."""
    return sorted(Path(folder).glob("*/*.toml"))


def find(name: str, folder: str | os.PathLike[str] = FOLDER) -> Path:
    """Find the crash file of an id, of the beginning of one, or of a path.

    Raises:
        NotFound: There is none, and which ones there are.
        Error: Several begin like this.
    """
    if name.endswith(".toml"):
        return Path(name)
    there = {path.stem: path for path in listed(folder)}
    found = [each for each in there if name and each.startswith(name.lower())]
    if len(found) == 1 or name.lower() in found:
        return there[name.lower() if name.lower() in found else found[0]]
    if found:
        raise Error(f"'{name}' is the beginning of several findings: {_shown(there, found)}")
    if not there:
        raise NotFound(f"no finding '{name}': {folder} holds none; --crashes names another folder")
    near = difflib.get_close_matches(name, there, n=1)
    hint = f", did you mean {near[0]}?" if near else ""
    raise NotFound(f"no finding '{name}'{hint}; {folder} has: {_shown(there, there)}")


def _shown(there: Mapping[str, Path], ids: Iterable[str]) -> str:
    names = [f"{each} ({there[each].parent.name})" for each in ids]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _lines(finding: Finding, folder: str | os.PathLike[str]) -> Iterator[str]:
    made, place = finding.made, finding.place
    yield f"# {finding.said or sentence(finding.check)}, decided at {place}."
    yield f"# Found by packetrig fuzz. Again: {repeat.replay(finding, folder)}"
    yield from _values(
        format=FORMAT,
        id=finding.id,
        kept=finding.is_kept,
        check=finding.check,
        expected=finding.expected,
        seen=finding.seen,
        said=finding.said,
        details=list(finding.details),
    )
    yield from _table(
        "place",
        path=place.path,
        line=place.line,
        column=place.column,
        function=place.function,
        code=place.code,
    )
    yield from _table(
        "program",
        source=made.source,
        name=made.program,
        kind=made.kind,
        define={name: True if v is None else v for name, v in made.define.items()},
        include=list(made.include),
        object=finding.object_sha256,
    )
    yield from _table(
        "judged",
        checks=list(made.checks),
        without=list(made.without),
        model=made.model,
        against=made.against,
    )
    seed = {} if finding.seed is None else {"seed": finding.seed}
    yield from _table("found", **seed, kernel=finding.kernel, packetrig=finding.version)
    yield from _setup(made)
    yield from _frames(finding)
    yield from ("", "[repeat]")
    yield from _values(
        replay=repeat.replay(finding, folder),
        scapy=[repeat.scapy(frame, times) for frame, times in finding.rows],
        bpftool=repeat.bpftool(finding),
    )
    yield f"pytest = {_literal(repeat.pytest(finding))}"


def _frames(finding: Finding) -> Iterator[str]:
    rows = finding.rows
    for number, (frame, times) in enumerate(rows, 1):
        told = f"# {number} of {len(rows)}: " if len(rows) > 1 else "# "
        yield from ("", f"{told}{explain.summary(frame)} ({len(frame)} bytes)", "[[frame]]")
        yield from [f"times = {times}"] if times > 1 else []
        yield from list(toml.layers(frame, under="frame"))
    if finding.after:
        yield from ("", "# What the program made of the last one.")
        yield from list(toml.layers(finding.after, under="after"))[1:]


def _literal(text: str) -> str:
    # As it stands, to be copied out of the file, where TOML can have it so.
    is_plain = "'''" not in text and all(line.isprintable() for line in text.split("\n"))
    return f"'''\n{text}'''" if is_plain else toml.value(text)


def _values(**given: Any) -> Iterator[str]:
    # What is empty is left out; a seed of 0 and what is not kept are something.
    for name, value in given.items():
        if value or value is False or (name == "seed" and value is not None):
            yield f"{name} = {toml.value(value)}"


def _table(table: str, /, **given: Any) -> Iterator[str]:
    lines = list(_values(**given))
    if lines:
        yield from ("", f"[{table}]", *lines)


def _setup(made: Made) -> Iterator[str]:
    try:
        if made.globals:
            yield from ("", "[setup.globals]")
            yield from (f"{toml.key(name)} = {_plain(v)}" for name, v in made.globals.items())
        yield from _table("setup.max_entries", **made.max_entries)
        for name, entries in made.maps.items():
            if isinstance(entries, Mapping):
                yield from ("", f"[setup.maps.{toml.key(name)}]")
                yield from (f"{toml.key(str(key))} = {_plain(v)}" for key, v in entries.items())
                continue
            for entry in entries:
                yield from ("", f"[[setup.maps.{toml.key(name)}]]")
                yield from (f"{key} = {_plain(v)}" for key, v in entry.items())
    except TypeError as e:
        raise Error(
            f"the set-up of {made.program} cannot be written into a crash file: {e}; use numbers, "
            "text, lists and tables, as a set-up file does"
        ) from e


def _plain(value: Any) -> str:
    if isinstance(value, bytes | bytearray) or value is None:
        raise TypeError(f"{value!r} has no form in TOML")
    return toml.value(value, is_top=False)


def parsed(text: str, where: str) -> Finding:
    """Read the text of a crash file; `where` is how errors call it."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise Error(f"{where}: is no whole crash file: {str(e)[:1].lower()}{str(e)[1:]}") from e
    if wrong := _wrong(found):
        raise Error(f"{where}: {wrong}")
    try:
        frames = tuple(frame for row in found["frame"] for frame in _row(row))
        after = written.rebuilt(found.get("after", {}))
    except (InputRefused, NoSuchName, ValueError) as e:
        raise Error(f"{where}: {e}") from e
    told = found.get("found", {})
    return replace(
        _finding(found),
        frames=frames,
        after=after,
        seed=told.get("seed"),
        kernel=told.get("kernel", ""),
        version=told.get("packetrig", ""),
    )


def _row(row: Mapping[str, Any]) -> list[bytes]:
    times = row.get("times", 1)
    if type(times) is not int or not 1 <= times <= _MOST_TIMES:
        raise InputRefused(
            f"[[frame]] times = {times!r}: it takes a number from 1 to {_MOST_TIMES}"
        )
    return [written.rebuilt({name: each for name, each in row.items() if name != "times"})] * times


def _finding(found: Mapping[str, Any]) -> Finding:
    program, judged, setup = found["program"], found.get("judged", {}), found.get("setup", {})
    define = program.get("define", {})
    return Finding(
        check=found["check"],
        place=Place(**found["place"]),
        frames=(),
        made=Made(
            source=program["source"],
            program=program["name"],
            kind=program.get("kind"),
            define={name: None if value is True else value for name, value in define.items()},
            include=tuple(program.get("include", ())),
            maps=setup.get("maps", {}),
            globals=setup.get("globals", {}),
            max_entries=setup.get("max_entries", {}),
            checks=tuple(judged.get("checks", ())),
            without=tuple(judged.get("without", ())),
            model=judged.get("model", ""),
            against=judged.get("against", ""),
        ),
        expected=found["expected"],
        seen=found["seen"],
        said=found.get("said", ""),
        details=tuple(found.get("details", ())),
        object_sha256=program.get("object", ""),
        is_kept=found.get("kept") is True,
    )


def _wrong(found: Mapping[str, Any]) -> str:
    number = found.get("format")
    if isinstance(number, int) and number > FORMAT:
        return f"of format {number}, written by a newer packetrig; this one reads {FORMAT}"
    if number != FORMAT:
        return f"a crash file begins with format = {FORMAT}"
    if unknown := sorted(set(found) - _KEYS):
        return f"unknown key '{unknown[0]}'; there are: {', '.join(sorted(_KEYS))}"
    for name, needed in _NEEDED.items():
        table = found.get(name, {}) if name else found
        for key, kind in needed.items():
            if not isinstance(table, dict) or not isinstance(table.get(key), kind):
                return f"has no {f'[{name}] ' if name else ''}{key}: was it cut short?"
    for name in ("judged", "found", "setup", "after", "repeat"):
        if not isinstance(found.get(name, {}), dict):
            return f"{name} is no table: write [{name}]"
    if odd := set(found["place"]) - {"path", "line", "column", "function", "code"}:
        return f"[place] holds path, line, column, function, code, not '{min(odd)}'"
    frames = found.get("frame")
    if not isinstance(frames, list) or not frames or not all(isinstance(f, dict) for f in frames):
        return "has no [[frame]]: was it cut short?"
    return ""
