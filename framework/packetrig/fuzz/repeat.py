"""All that shows a finding again: a command, a test to paste, a line for the kernel's own tool."""

from __future__ import annotations

import keyword
import os
import shlex
from pathlib import Path

from .. import files
from ..errors import Error
from ..packets import explain
from ..spec import build
from .finding import Finding, Made

_FOLDER = Path("fixtures", "crashes")
# What packetrig.fixture() takes beside globals.
_TAKEN = {"source", "program", "kind", "define", "include", "mocks", "netns", "max_entries"}


def replay(finding: Finding, folder: str | os.PathLike[str] = _FOLDER) -> str:
    """Return the command that runs the finding again."""
    words = ["packetrig", "replay", finding.id]
    if Path(folder) != _FOLDER:
        words += ["--crashes", str(folder)]
    return shlex.join(words)


def scapy(frame: bytes, times: int = 1) -> str:
    """Return scapy source text that builds a frame, or a list of as many of it."""
    text = explain.expression(frame)
    return f"[{text}] * {times}" if times > 1 else text


def bpftool(finding: Finding) -> str:
    """Return a shell line that shows the judged frame to the program with nothing but bpftool.

    It knows no set-up, and one frame: where the story needs either, it says so.
    """
    made, name = finding.made, finding.id
    pin = f"/sys/fs/bpf/{name}"
    object_file = made.source if files.is_object(made.source) else f"build/{name}.o"
    steps = [_compile(made, object_file)] if object_file != made.source else []
    kind = f" type {made.kind}" if made.kind else ""
    steps += [
        f"bpftool prog loadall {shlex.quote(object_file)} {pin}{kind}",
        f"echo {finding.frames[-1].hex()} | xxd -r -p >build/{name}.bin",
        f"bpftool prog run pinned {pin}/{made.program} data_in build/{name}.bin data_out /dev/null",
        f"rm -r {pin}",
    ]
    lacks = [
        *(["the set-up"] if made.maps or made.globals or made.max_entries else []),
        *(["the frames before it"] if len(finding.frames) > 1 else []),
    ]
    caution = f"  # without {' and '.join(lacks)}" if lacks else ""
    return " && ".join(["mkdir -p build", *steps]) + caution


def _compile(made: Made, object_file: str) -> str:
    try:
        spec = build(made.source, define=dict(made.define), include=made.include)
    except Error:  # what cannot be built here can be repeated elsewhere
        return f"clang -target bpf -O2 -g -c {shlex.quote(made.source)} -o {object_file}"
    here = f"{Path.cwd()}/"
    words = [word.removeprefix(here).replace(f"={here}", "=") for word in spec.command]
    words = [word for word in words if not word.startswith("-fdebug-compilation-dir")]
    return shlex.join([Path(words[0]).name, *words[1:], "-o", object_file])


def pytest(finding: Finding) -> str:
    """Return a test file that fails as long as the finding is there, for whoever wants one."""
    made = finding.made
    name = made.program if made.program.isidentifier() else "program"
    both = [name, "other"] if finding.is_of_comparing else [name]
    lines = [f'"""{finding.summary}"""'.replace("\\", "/"), "", *_imports(finding), ""]
    for each, source in zip(both, ("", made.against), strict=False):
        lines.append(f"{each} = packetrig.fixture({_fixture(made, source)})")
    lines.append("FRAMES = [")
    for frame, times in finding.rows:
        text = f'bytes.fromhex("{frame.hex()}")'
        text = f"*[{text}] * {times}" if times > 1 else text
        lines += [f"    # {explain.summary(frame)}", f"    {text},"]
    word = "".join(each if each.isalnum() else "_" for each in finding.rule)
    lines += ["]", "", "", f"def test_{word}_{finding.id}({', '.join(both)}):"]
    if made.maps:
        lines += [f"    {each}.put({{'maps': {made.maps!r}}})" for each in both]
    lines += ["    for frame in FRAMES:", f"        {_judging(finding, name)}"]
    return "\n".join(lines) + "\n"


def _judging(finding: Finding, name: str) -> str:
    if finding.is_of_comparing:
        return f"packetrig.same(other, {name}, frame)"
    names = [_name_in(each) for each in finding.made.checks]
    # By the way people write Python, a name in capitals is of several.
    given = [f"*{each}" if each.isupper() else each for each in names]
    given += [f"without={list(finding.made.without)!r}"] if finding.made.without else []
    given += ["model=model"] if finding.made.model else []
    return f"{name}.judge({', '.join(['frame', *given])})"


def _imports(finding: Finding) -> list[str]:
    if finding.is_of_comparing:
        return ["import packetrig"]
    lines = [f"from {_module_in(each)} import {_name_in(each)}" for each in finding.made.checks]
    if model := finding.made.model:
        lines.append(f"from {_module_in(model)} import {_name_in(model)} as model")
    return ["import packetrig", *dict.fromkeys(lines)]


def _module_in(named: str) -> str:
    return ".".join(Path(named.rpartition(":")[0]).with_suffix("").parts)


def _name_in(named: str) -> str:
    return named.rpartition(":")[2]


def _fixture(made: Made, source: str = "") -> str:
    words = [repr(source or made.source)]
    if not source:
        words += [f"program={made.program!r}"]
        words += [f"define={dict(made.define)!r}"] if made.define else []
        words += [f"include={made.include!r}"] if made.include else []
    words += [f"kind={made.kind!r}"] if made.kind else []
    words += [f"max_entries={dict(made.max_entries)!r}"] if made.max_entries else []
    plain = {n: v for n, v in made.globals.items() if _is_keyword_argument(n)}
    words += [f"{name}={value!r}" for name, value in plain.items()]
    if odd := {n: v for n, v in made.globals.items() if n not in plain}:
        words += [f"**{odd!r}"]
    return ", ".join(words)


def _is_keyword_argument(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name) and name not in _TAKEN
