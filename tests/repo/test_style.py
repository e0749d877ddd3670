"""Hold the parts of the house style that a machine can hold."""

from __future__ import annotations

import ast
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


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (function.end_lineno or 0) - function.lineno + 1
    return lines - len((ast.get_docstring(function, clean=False) or "").splitlines())


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_is_under_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 400


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_function_is_under_50_lines_without_its_docstring(path: Path) -> None:
    long = {
        f"{each.name} (line {each.lineno})": lines
        for each in functions(ast.parse(path.read_text()))
        if (lines := length(each)) >= 50
    }

    assert long == {}


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_a_file_begins_with_the_future_and_imports_no_star(path: Path) -> None:
    tree = ast.parse(path.read_text())
    body = [n for n in tree.body if not (isinstance(n, ast.Expr) and n is tree.body[0])]
    stars = [
        n.lineno for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"
    ]

    assert stars == []
    assert not body or ast.unparse(body[0]) == "from __future__ import annotations"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_the_faces_print(path: Path) -> None:
    if any(part in MAY_PRINT for part in path.parts):
        return
    tree = ast.parse(path.read_text())

    prints = [
        f"line {n.lineno}"
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "print"
    ]

    assert prints == []


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_the_kernel_version_decides_nothing(path: Path) -> None:
    asked = re.findall(r"os\.uname|platform\.(?:release|uname)|LINUX_VERSION", path.read_text())

    assert asked == [] or path.parent.name == "cli"  # doctor shows it to people


@pytest.mark.parametrize("path", PROGRAMS, ids=name)
def test_a_source_names_its_licence_first(path: Path) -> None:
    first, second, *_ = [*path.read_text().splitlines(), "", ""]
    spdx = second if first.startswith(("/* FAULT: ", "/* EXPECT: ")) else first

    assert re.match(r"(//|/\*) SPDX-License-Identifier: ", spdx)


@pytest.mark.parametrize("path", [p for p in PROGRAMS if p.suffix == ".c"], ids=name)
def test_a_program_has_the_stem_of_its_file_as_entry_and_a_licence(path: Path) -> None:
    text = path.read_text()
    stem = path.name.removesuffix(".bpf.c")
    twin = re.search(r'^#include "\.\./(\w+)\.bpf\.c"$', text, re.MULTILINE)

    assert path.name.endswith(".bpf.c")
    if twin and path.parent.name == "faulty":  # the program itself, with one part put in its place
        assert stem.startswith(f"{twin[1]}_")
        return
    assert re.search(rf"\bint {stem}\(|^BPF_PROG\({stem}\b", text, re.MULTILINE)
    assert re.search(r'^char LICENSE\[\] SEC\("license"\) = "', text, re.MULTILINE)


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
