"""Hold the pages to the project: links, options, keys, and lists of what is in a folder."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

import _packetrig_plugin
import packetrig
from packetrig.cli.main import packetrig as command
from packetrig.gate.policy import Rules

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "framework" / "packetrig"
FOLDERS = ("benchmarks", "docs", "fixtures", "framework", "progs", "tests")
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(page for folder in FOLDERS for page in sorted((ROOT / folder).glob("*.md"))),
]
FOR_USERS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MANUAL = "\n".join(page.read_text() for page in FOR_USERS)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")

# What the pages tell people to give to other commands.
OF_OTHERS = {"--full-trace", "--hypothesis-seed", "--nthreads", "--nworkers"}


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def options(
    of: click.Command, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Option]]:
    """Yield each option of a command and of the commands below it."""
    yield from ((words, each) for each in of.params if isinstance(each, click.Option))
    if isinstance(of, click.Group):
        context = click.Context(of)
        for name in of.list_commands(context):
            below = of.get_command(context, name)
            assert below is not None
            yield from options(below, (*words, name))


OPTIONS = [(" ".join(words), each) for words, each in options(command)]
OF_PYTEST = set(re.findall(r'"(--bpf-[a-z-]+)"', inspect.getsource(_packetrig_plugin)))


def keys(model: type[BaseModel]) -> Iterator[str]:
    """Yield the keys of a policy as they are written in gate.toml."""
    for field in model.model_fields.values():
        yield str(field.alias)
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from keys(part)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_of_a_page_is_broken(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        if "://" in target:
            continue
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)

    assert broken == []


def test_every_option_of_a_command_is_in_the_manual() -> None:
    told = set(OPTION.findall(MANUAL))

    silent = [
        f"packetrig {words} {name}"
        for words, option in OPTIONS
        for name in option.opts
        if name.startswith("--") and name not in told
    ]

    assert silent == []


def test_every_option_says_what_it_does() -> None:
    assert [f"{words} {each.opts[0]}" for words, each in OPTIONS if not each.help] == []


def test_every_option_of_pytest_is_in_the_manual() -> None:
    assert OF_PYTEST - set(OPTION.findall(MANUAL)) == set()


def test_the_manual_names_no_option_that_does_not_exist() -> None:
    known = {name for _, option in OPTIONS for name in option.opts} | OF_PYTEST | OF_OTHERS

    assert set(OPTION.findall(MANUAL)) - known - {"--help"} == set()


def test_every_key_of_a_policy_is_on_its_page() -> None:
    page = (ROOT / "docs" / "gate.md").read_text()

    assert [key for key in keys(Rules) if not re.search(rf"\b{key}\b", page)] == []


def test_every_argument_of_a_fixture_is_on_its_page() -> None:
    page = (ROOT / "docs" / "testing.md").read_text()
    arguments = [
        each.name
        for each in inspect.signature(packetrig.fixture).parameters.values()
        if each.kind is each.KEYWORD_ONLY
    ]

    assert [name for name in arguments if f"| `{name}=" not in page] == []


def test_every_public_name_is_in_the_manual() -> None:
    # A class is known by what makes it; of errors, the page of testing tells the two kinds.
    values = {"Spec", "Object", "Program", "Map", "Belt"}
    errors = {n for n in packetrig.__all__ if inspect.isclass(e := getattr(packetrig, n))
              and issubclass(e, Exception)}  # fmt: skip
    silent = [
        name
        for name in sorted(set(packetrig.__all__) - values - errors)
        if not re.search(rf"\b{name}\b", MANUAL)
    ]

    assert silent == []


@pytest.mark.parametrize(
    "package",
    [path.parent for path in sorted(PACKAGE.rglob("__init__.py")) if path.parent != PACKAGE],
    ids=lambda package: str(package.relative_to(PACKAGE)),
)
def test_a_package_says_what_each_of_its_modules_holds(package: Path) -> None:
    layout = (package / "__init__.py").read_text().split("from __future__")[0]
    modules = [path.name for path in package.glob("*.[pc]*") if path.suffix in (".py", ".c")]

    named = set(re.findall(r"(?<![\w/.])[\w.]+\.(?:py|c)\b", layout))
    assert set(modules) - named - {"__init__.py", "_kernel.c"} == set()
    assert {name for name in named if not (package / name).exists()} == set()


def test_the_page_of_the_house_names_each_module_of_the_core() -> None:
    page = (ROOT / "framework" / "README.md").read_text()
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}

    assert [
        name for name in sorted(modules | packages) if not re.search(rf"\b{name}\b", page)
    ] == []


def test_decisions_are_numbered_once_and_in_order() -> None:
    page = (ROOT / "framework" / "README.md").read_text()
    numbers = [
        int(number) for number in re.findall(r"^(\d+)\. \*\*\d{4}-\d\d-\d\d, ", page, re.MULTILINE)
    ]

    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(
    "folder, pattern, shown",
    [
        ("progs", "*.bpf.c", "`{stem}`"),
        ("progs", "socket/*.bpf.c", "`socket/{stem}`"),
        ("progs", "include/*.h", "`include/{stem}.h`"),
        ("progs", "*/", "{stem}"),
        ("tests", "*/", "`{stem}/`"),
        ("fixtures", "*/", "{stem}/"),
        ("docs", "*.md", "(docs/{stem}.md)"),
    ],
)
def test_a_page_lists_what_is_in_its_folder(folder: str, pattern: str, shown: str) -> None:
    page = (ROOT / "README.md" if folder == "docs" else ROOT / folder / "README.md").read_text()
    found = [
        shown.format(stem=path.name.split(".")[0])
        for path in sorted((ROOT / folder).glob(pattern))
        if not path.name.startswith((".", "__"))
    ]

    assert [entry for entry in found if entry not in page] == []


def test_the_page_of_the_benchmarks_names_what_is_measured() -> None:
    page = (ROOT / "benchmarks" / "README.md").read_text()
    modules = [
        path.name
        for path in sorted((ROOT / "benchmarks").glob("*.py"))
        if "def figures() -> " in path.read_text()
    ]

    assert modules != []
    assert [name for name in modules if f"`{name}`" not in page] == []
