"""Hold the layers of framework/README.md: imports point down, a dependency has one door."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "framework"

# From the bottom up. A module may import what stands in a line above its own (closer to the top
# of this table), never its own line: those are siblings. A package counts as one module.
LAYERS = """
0  errors
0  verdicts files
1  _bpf packets toolchain
2  mocks sarif
2  spec refusals
2  mapcodec verifier
2  counters
2  entries loaded callers
2  maps cost run asked
2  state models redirects
2  checks
2  program
2  members
2  objects
2  carried
2  belt replay coverage differential
3  fuzz live bench kernels
4  gate
4  deploy
5  testing cli
5  __init__
5  _packetrig_plugin
""".strip()
RANK = {name: rank for rank, line in enumerate(LAYERS.split("\n")) for name in line.split()[1:]}

# Each dependency, and the modules that may import it.
DOORS = {
    "cffi": {"_bpf"},
    "_kernel": {"_bpf"},
    "scapy": {"packets"},
    "hypothesis": {"packets.strategies", "testing.stateful", "_packetrig_plugin"},
    "pytest": {"testing", "_packetrig_plugin"},
    "_pytest": set(),
    "pyroute2": {"live"},
    "dask": {"fuzz"},
    "distributed": {"fuzz"},
    "subprocess": {"toolchain", "live", "kernels", "gate", "deploy.watch", "fuzz.processes"},
    "click": {"cli"},
    "rich": {"cli"},
    "pydantic": {"gate"},
    "jinja2": {"gate"},
    "cryptography": {"gate.signing"},
    "ctypes": set(),
    "logging": set(),
}

# The lazy doors: (who, what) may be imported inside a function, because it costs more time to
# import than a test run takes, or because two halves of one thing need each other.
LAZY = {
    ("packets", "scapy"),
    ("packets", "packetrig.packets"),
    ("spec", "packetrig.objects"),  # Spec.load() makes an Object
    ("gate.signing", "cryptography"),  # optional: only who signs has it
    ("fuzz.cluster", "distributed"),  # an extra, and half a second
    ("cli", "rich"),
    ("cli", "packetrig"),  # a command loads what it needs, --help nothing
    ("_packetrig_plugin", "packetrig.testing"),
    ("_packetrig_plugin", "packetrig.live"),
}
UPWARD = {("spec", "objects")}


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCES).with_suffix("").parts
    parts = parts[1:] if parts[0] == "packetrig" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(
    node: ast.AST, package: str, *, inside: bool = False
) -> Iterator[tuple[str, bool, int]]:
    """Yield (dotted name, is inside a function, line) for each import that really happens."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name, inside, child.lineno) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) + 1 - child.level]
            start = ".".join([*(base if child.level else []), *filter(None, [child.module])])
            yield from ((f"{start}.{alias.name}", inside, child.lineno) for alias in child.names)
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from imports(child, package, inside=inside or is_function)


@functools.cache
def imports_of(path: Path) -> list[tuple[str, bool, int]]:
    package = ".".join(path.relative_to(SOURCES).parts[:-1])
    return list(imports(ast.parse(path.read_text()), package))


def unit(dotted: str) -> str | None:
    """Name the row of LAYERS that an import lands in; None for what is not packetrig."""
    parts = dotted.split(".")
    if parts[0] == "packetrig":
        return parts[1] if len(parts) > 1 and parts[1] in RANK else "__init__"
    return parts[0] if parts[0] in RANK else None


def passes(door: set[str], module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in door)


MODULES = {module_of(path): path for path in sorted(SOURCES.rglob("*.py"))}
# It runs at install time, before there is a package.
LATER = {name: path for name, path in MODULES.items() if name != "_bpf.build"}


def test_every_module_has_a_place_in_the_layers() -> None:
    strange = {name.split(".")[0] for name in MODULES} - RANK.keys()

    assert strange == set(), f"new: give it a line in LAYERS of {Path(__file__).name}"


def test_imports_point_down() -> None:
    up = [
        f"{path}:{line}: {here} imports {dotted}"
        for name, path in LATER.items()
        for dotted, _, line in imports_of(path)
        if (here := name.split(".")[0]) and (there := unit(dotted)) and there != here
        if RANK[there] >= RANK[here] and (here, there) not in UPWARD
    ]

    assert up == []


def test_a_dependency_is_imported_at_its_door() -> None:
    astray = [
        f"{path}:{line}: {dotted} belongs to {', '.join(sorted(DOORS[word])) or 'nobody'}"
        for name, path in MODULES.items()
        for dotted, _, line in imports_of(path)
        for word in set(dotted.split(".")) & DOORS.keys()
        if not passes(DOORS[word], name)
    ]

    assert astray == []


def test_an_import_inside_a_function_is_a_listed_lazy_door() -> None:
    hidden = [
        f"{path}:{line}: {dotted}"
        for name, path in MODULES.items()
        for dotted, inside, line in imports_of(path)
        if inside
        if not any(passes({who}, name) and passes({what}, dotted) for who, what in LAZY)
    ]

    assert hidden == []
