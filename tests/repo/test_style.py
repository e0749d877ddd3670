"""Hold the parts of the house style that a machine can hold."""

from __future__ import annotations

import ast
import functools
import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "framework" / "packetrig"
TREES = ("framework", "progs", "tests", "benchmarks", "fixtures")
PYTHON = sorted(path for tree in TREES for path in (ROOT / tree).rglob("*.py"))
MODULES = sorted((ROOT / "framework").rglob("*.py"))
PROGRAMS = sorted((ROOT / "progs").rglob("*.[ch]"))

# Where output is written and pytest or a person reads it.
MAY_PRINT = ("cli", "_packetrig_plugin.py")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tracked() -> list[Path]:
    """List what git knows; outside a clone, what is not built."""
    listed = ["git", "-C", str(ROOT), "ls-files", "-z"]
    if shutil.which("git") and (ROOT / ".git").exists():
        run = subprocess.run(listed, capture_output=True, text=True, check=False)
        if run.returncode == 0:
            return [
                path for path in (ROOT / each for each in run.stdout.split("\0")) if path.is_file()
            ]
    built = {".git", ".venv", "build", "dist", "__pycache__"}
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        if not built & set(path.parts) and not path.name.startswith("_kernel.")
        if not any(part.endswith((".egg-info", "_cache")) for part in path.parts)
    ]


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (function.end_lineno or 0) - function.lineno + 1
    return lines - len((ast.get_docstring(function, clean=False) or "").splitlines())


def begins_with_the_future(tree: ast.Module) -> bool:
    first, *rest = [*tree.body, None, None]
    start = rest[0] if isinstance(first, ast.Expr) else first  # behind the docstring
    return start is None or ast.unparse(start) == "from __future__ import annotations"


def test_modules_are_under_400_lines() -> None:
    counts = {name(path): len(path.read_text().splitlines()) for path in MODULES}

    assert {path: count for path, count in counts.items() if count >= 400} == {}


def test_functions_are_under_50_lines_without_their_docstrings() -> None:
    long = {
        f"{name(path)}:{each.lineno}: {each.name}": lines
        for path in MODULES
        for each in functions(tree_of(path))
        if (lines := length(each)) >= 50
    }

    assert long == {}


def test_files_begin_with_the_future() -> None:
    assert [name(path) for path in PYTHON if not begins_with_the_future(tree_of(path))] == []


def test_nobody_imports_a_star() -> None:
    stars = [
        f"{name(path)}:{node.lineno}"
        for path in PYTHON
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
    ]

    assert stars == []


def test_only_the_faces_print() -> None:
    prints = [
        f"{name(path)}:{node.lineno}"
        for path in MODULES
        if not any(part in MAY_PRINT for part in path.parts)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        if isinstance(node.func, ast.Name) and node.func.id == "print"
    ]

    assert prints == []


def test_the_kernel_version_decides_nothing() -> None:
    asks = re.compile(r"os\.uname|platform\.(?:release|uname)|LINUX_VERSION")

    asking = [path for path in MODULES if asks.search(path.read_text())]

    # doctor and the matrix show it to people
    assert [name(path) for path in asking if path.parent.name not in ("cli", "kernels")] == []


def test_sources_name_their_licence_first() -> None:
    spdx = re.compile(r"(?:/\* (?:FAULT|EXPECT): .*\n)?(?://|/\*) SPDX-License-Identifier: ")

    assert [name(path) for path in PROGRAMS if not spdx.match(path.read_text())] == []


def is_a_faulty_twin(path: Path) -> bool:
    """Tell whether it is the program itself, with one part put in its place."""
    twin = re.search(r'^#include "\.\./(\w+)\.bpf\.c"$', path.read_text(), re.MULTILINE)
    return twin is not None and path.parent.name == "faulty" and path.stem.startswith(f"{twin[1]}_")


def test_programs_have_the_stem_of_their_file_as_entry_and_a_licence() -> None:
    sources = [path for path in PROGRAMS if path.suffix == ".c" and not is_a_faulty_twin(path)]
    entry = r"\bint {0}\(|^BPF_PROG\({0}\b"
    licence = re.compile(r'^char LICENSE\[\] SEC\("license"\) = "', re.MULTILINE)

    assert [name(path) for path in PROGRAMS if not path.name.endswith((".bpf.c", ".h"))] == []
    assert [
        name(path)
        for path in sources
        if not re.search(
            entry.format(path.name.removesuffix(".bpf.c")), path.read_text(), re.MULTILINE
        )
    ] == []
    assert [name(path) for path in sources if not licence.search(path.read_text())] == []


@pytest.mark.parametrize("folder, word", [("faulty", "FAULT"), ("rejected", "EXPECT")])
def test_a_wrong_program_says_first_what_is_wrong(folder: str, word: str) -> None:
    silent = [
        path.name
        for path in (ROOT / "progs" / folder).glob("*.c")
        if not path.read_text().startswith(f"/* {word}: ")
    ]

    assert silent == []


def test_no_file_names_a_place_that_only_one_machine_has() -> None:
    # Assembled here, so that this file does not contain what it looks for.
    places = re.compile(
        "|".join(["/" + "work/", "/home/" + r"\w", "index" + "-url", "artifact" + "registry"])
    )
    found = [
        f"{name(path)}: {match[0]}"
        for path in tracked()
        if path.suffix in (".py", ".md", ".toml", ".c", ".h", ".lock", ".cfg", "")
        and path.name != "lock"
        if (match := places.search(path.read_text(errors="replace")))
    ]

    assert found == []


def test_the_lock_pins_every_package_by_hash() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    code = [line for line in lines if line and not line.lstrip().startswith("#")]

    assert [line for line in code if "://" in line or line.startswith("--")] == []
    for before, line in itertools.pairwise(code):
        if "==" in before:
            assert line.startswith("    --hash=sha256:"), before


def test_objects_are_not_committed() -> None:
    assert tracked() != []
    assert [name(path) for path in tracked() if path.suffix in (".o", ".so")] == []
