"""`golden()`: what a run came to, in a readable file that a test is held to.

    assert router.run(packet) == packetrig.golden("forwarded")

The file is TOML: verdict, layers and fields by scapy's names, payload as text or hexadecimal. It is
written by `pytest --bpf-update-golden` and read at every other time; what a review sees in its diff
is fields. It can be edited: it is the fields that the frame is built from.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from .. import files, packets
from ..errors import Error, InputRefused, NoSuchName, NotFound
from ..packets import explain as words
from ..packets import toml, written
from ..run import Run
from . import current

FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# What an skb's context says beside the frame; it is written down where it is not 0.
_CONTEXT = ("mark", "priority", "cb", "tstamp")
_KEYS = {"format", "verdict", "metadata", "context", "packet"}


@dataclass(slots=True)
class Session:
    """Keep what the tests of a session did with their golden files."""

    used: set[Path] = field(default_factory=set)
    rewritten: set[Path] = field(default_factory=set)
    texts: dict[Path, str] = field(default_factory=dict)


_SESSION = pytest.StashKey[Session]()


@dataclass(frozen=True, slots=True)
class Expected:
    """Hold what a golden file says: verdict (as it prints), frame, metadata and context."""

    verdict: str | None
    data: bytes
    metadata: bytes = b""
    context: Mapping[str, Any] = field(default_factory=dict)


class Golden:
    """Stand for a golden file: a Run, or a frame's bytes, is equal to it or not."""

    __hash__ = None  # type: ignore[assignment]  # equal to what is equal to no other

    def __init__(self, name: str, path: Path, item: pytest.Item) -> None:
        self.name = name
        self.path = path
        self._item = item

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Run | bytes):
            return NotImplemented
        self.session.used.add(self.path)
        if self._item.config.getoption("--bpf-update-golden"):
            self._update(other)
            return True
        return not list(self.differences(other))

    @property
    def session(self) -> Session:
        """Return what is kept for the whole pytest session."""
        return session(self._item.config)

    def differences(self, seen: Run | bytes) -> Iterator[str]:
        """Yield a line for each thing that is not as the file says.

        Raises:
            NotFound: There is no such file yet.
            Error: The file cannot be read.
        """
        expected = self.expected()
        if isinstance(seen, Run):
            if expected.verdict not in (None, repr(seen.verdict)):
                yield f"verdict: {seen.verdict!r} != {expected.verdict}"
            if expected.metadata != seen.metadata:
                yield f"metadata: {seen.metadata.hex(' ')!r} != {expected.metadata.hex(' ')!r}"
            has = _context(seen)
            for name in _CONTEXT:
                if (a := has.get(name, 0)) != (b := expected.context.get(name, 0)):
                    yield f"context.{name}: {a!r} != {b!r}"
        data = seen.data if isinstance(seen, Run) else seen
        before, after = written.written(expected.data), written.written(data)
        for name, (was, now) in words.changes(expected.data, data).items():
            yield f"{name}: {_shown(name, now, after)} != {_shown(name, was, before)}"

    def expected(self) -> Expected:
        """Read the file."""
        if not self.path.exists():
            raise NotFound(f"no golden file {self.shown}; write it with: {self.command}")
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as e:
            raise Error(f"{self.shown}: cannot be read: {e}; write it again: {self.command}") from e
        return _parsed(text, str(self.shown))

    @property
    def shown(self) -> Path:
        """Return the path as people write it."""
        root = self._item.config.rootpath
        return self.path.relative_to(root) if self.path.is_relative_to(root) else self.path

    @property
    def command(self) -> str:
        """Return the command that writes the file anew."""
        return f"pytest --bpf-update-golden '{self._item.nodeid}'"

    def _update(self, seen: Run | bytes) -> None:
        text = text_of(seen, self._item.nodeid.partition("::")[0], self.name)
        if self.session.texts.setdefault(self.path, text) != text:
            raise Error(
                f"golden '{self.name}' is compared with two different runs in one session; give "
                "each a name of its own"
            )
        try:
            if self.path.exists() and self.path.read_text(encoding="utf-8") == text:
                return
            files.write(self.path, text.encode())
        except (OSError, UnicodeDecodeError) as e:
            raise Error(f"{self.shown}: cannot be written: {e}") from e
        self.session.rewritten.add(self.path)

    def __repr__(self) -> str:
        return f"<golden {self.shown}>"


def golden(name: str) -> Golden:
    """Name a golden file of the test that runs: `assert run == golden("forwarded")`.

    The file is fixtures/golden/<test module>/<name>.toml, below pytest's rootdir; the module's
    path is without a leading tests/. `pytest --bpf-update-golden` writes it.

    A Run is compared with all of it: verdict, frame, metadata, and mark, priority, cb and tstamp of
    an skb; bytes with the frame alone.

    Raises:
        Error: No test is running, or the name is no file's name.
    """
    item = current.item()
    if item is None:
        raise Error("golden(): no test is running; it belongs to the test that calls it")
    if not _NAME.fullmatch(str(name)):
        raise Error(f"golden({name!r}): a name is letters, digits, '_', '-' and '.'")
    return Golden(name, folder_of(item) / f"{name}.toml", item)


def folder_of(item: pytest.Item) -> Path:
    """Tell where the golden files of a test's module are."""
    root, path = item.config.rootpath, item.path.with_suffix("")
    if not path.is_relative_to(root):
        return path.parent / "golden" / path.name
    parts = path.relative_to(root).parts
    return root.joinpath("fixtures", "golden", *(parts[1:] if parts[0] == "tests" else parts))


def session(config: pytest.Config) -> Session:
    """Return what is kept for the whole pytest session."""
    return config.stash.setdefault(_SESSION, Session())


def take_over(config: pytest.Config, used: list[str], rewritten: list[str]) -> None:
    """Add what a worker of pytest-xdist did to what is kept for the session."""
    found = session(config)
    found.used.update(map(Path, used))
    found.rewritten.update(map(Path, rewritten))


def summary(config: pytest.Config, *, is_whole: bool) -> list[str]:
    """Tell what was written, and, after a whole run, which files no test compared."""
    found = session(config)
    if not config.getoption("--bpf-update-golden"):
        return []
    lines = [f"wrote {_below(path, config)}" for path in sorted(found.rewritten)]
    lines = lines or ["no golden file changed"]
    if is_whole:
        folders = {path.parent for path in found.used}
        there = {path for folder in folders for path in folder.glob("*.toml")}
        unused = sorted(there - found.used)
        lines += [f"no test compares {_below(path, config)}: remove it" for path in unused]
    return lines


def _below(path: Path, config: pytest.Config) -> Path:
    root = config.rootpath
    return path.relative_to(root) if path.is_relative_to(root) else path


def text_of(seen: Run | bytes, module: str, name: str) -> str:
    """Write down a run, or a frame, as a golden file, and make sure that it reads back the same."""
    data = seen.data if isinstance(seen, Run) else seen
    lines = [
        f'# What {module} compares with golden("{name}").',
        "# Written by pytest --bpf-update-golden.",
        f"format = {FORMAT}",
    ]
    if isinstance(seen, Run):
        if seen.program.is_test_build:
            lines.insert(2, f"# Of a test build: {', '.join(seen.program.owner.spec.faked)} faked.")
        lines.append(f"verdict = {toml.value(repr(seen.verdict))}")
        if seen.metadata:
            lines.append(f"metadata = {toml.value(seen.metadata.hex(' '))}")
        if context := _context(seen):
            lines += ["", "[context]"]
            lines += [f"{key} = {toml.value(value)}" for key, value in context.items()]
    if not data:
        lines += ["", "[packet]"]
    lines += toml.layers(data, under="packet")
    text = "\n".join(lines) + "\n"
    if _parsed(text, name).data != data:
        raise Error(
            f"golden '{name}': the frame cannot be written down: {packets.to_bytes(data)!r}"
        )
    return text


def _context(run: Run) -> dict[str, Any]:
    context = run.context
    if not isinstance(context, Mapping) or run.program.kind == "xdp":
        return {}
    values = {name: context[name] for name in _CONTEXT if name in context}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if (any(value) if isinstance(value, tuple) else value)
    }


def _parsed(text: str, where: str) -> Expected:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise Error(f"{where}: {e}") from e
    number, layers, context = found.get("format"), found.get("packet"), found.get("context", {})
    verdict, metadata = found.get("verdict"), found.get("metadata", "")
    unknown = [*sorted(set(found) - _KEYS)]
    wrong = ""
    if isinstance(number, int) and number > FORMAT:
        wrong = f"of format {number}, written by a newer packetrig; this one reads {FORMAT}"
    elif number != FORMAT:
        wrong = f"a golden file begins with format = {FORMAT}"
    elif unknown:
        wrong = f"unknown key '{unknown[0]}'; there are: {', '.join(sorted(_KEYS))}"
    elif not isinstance(layers, dict) or not isinstance(context, dict):
        wrong = "it takes a table [packet.<layer>] for each layer, and a table [context]"
    elif set(context) - set(_CONTEXT):
        wrong = f"[context] holds {', '.join(_CONTEXT)}, not '{min(set(context) - set(_CONTEXT))}'"
    elif not isinstance(verdict, str | None) or not isinstance(metadata, str):
        wrong = "verdict and metadata are text"
    if wrong:
        raise Error(f"{where}: {wrong}")
    try:
        return Expected(verdict, written.rebuilt(layers or {}), bytes.fromhex(metadata), context)
    except (InputRefused, NoSuchName) as e:
        raise Error(f"{where}: {e}") from e
    except ValueError as e:
        raise Error(f"{where}: metadata = {metadata!r}: {e}") from e


def _shown(name: str, value: Any, layers: Mapping[str, Mapping[str, Any]]) -> str:
    # As it stands in the file, if it does.
    layer, _, key = name.rpartition(".")
    return toml.value(layers[layer][key]) if key in layers.get(layer, {}) else repr(value)
