"""Run every example in README.md and docs/, and compare what it prints.

A page is a story. Its ```python blocks are one file, read from top to bottom: a later block sees
the imports and the fixtures of the earlier ones, and every `def test_` in it is run by pytest. Its
```console blocks are typed in, from a folder where progs/ and fixtures/ are the project's, and what
is printed must be what the page shows; `...` stands for any text, alone on a line for any lines.

A comment in the line before a block changes that, in sight of whoever reads the source:

    <!-- not run: it needs a second machine -->   it is only looked at; the reason is needed
    <!-- file: tests/test_x.py -->                it becomes this file, for the commands below
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [page for page in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))] if page.exists()]
LANGUAGES = {"python", "console", "c", "toml", "text", "yaml", "json", "pytb", "diff", "make"}
COMMANDS = {"packetrig", "pytest", "python", "cat", "ls", "clang"}

BLOCK = re.compile(
    r"^(?:<!-- (?P<what>[a-z ]+): (?P<detail>.*?) -->\n)?"
    r"^(?P<fence>```+)(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    page: Path
    line: int
    language: str
    text: str
    what: str
    detail: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(
            page=page,
            line=text.count("\n", 0, match.start("fence")) + 1,
            language=match["language"].strip(),
            text=match["text"],
            what=match["what"] or "",
            detail=match["detail"] or "",
        )
        for match in BLOCK.finditer(text)
    ]


def examples(page: Path, language: str) -> list[Block]:
    return [b for b in blocks(page) if b.language == language and b.what == ""]


def workplace(page: Path, folder: Path) -> Path:
    """Make a folder that looks like the project, with the page's files in it."""
    for shared in ("progs", "fixtures"):
        (folder / shared).mkdir()
        for entry in (ROOT / shared).iterdir():
            if entry.name in ("golden", "crashes"):
                continue  # a page writes its own
            (folder / shared / entry.name).symlink_to(entry)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    for block in blocks(page):
        if block.what == "file":
            target = folder / block.detail
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text)
    return folder


def environment() -> dict[str, str]:
    # Unbuffered: what goes to stderr stands where a terminal would show it.
    quiet = {
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "COLUMNS": "100",
        "PYTHONDONTWRITEBYTECODE": "1",
        # Hypothesis' own profile: the same examples each time, and no deadline on a loaded machine.
        "PYTEST_ADDOPTS": "--hypothesis-profile=ci",
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("PYTEST_", "FORCE_COLOR", "GITHUB_"))
    }
    return kept | quiet | {"PATH": path}


def type_in(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def pattern(shown: str) -> re.Pattern[str]:
    """Turn a page's text into what it stands for: `...` is any text, alone on a line any lines."""
    lines = [line.rstrip() for line in shown.strip("\n").split("\n")]
    parts = [
        r"(?:.*\n)*?"
        if line.strip() == "..."
        else r".*".join(map(re.escape, line.split("..."))) + "\n"
        for line in lines
    ]
    return re.compile("".join(parts))


def agrees(printed: str, shown: str) -> bool:
    # After a minute pytest adds to a line what it took once more: `in 77.41s (0:01:17)`.
    printed = re.sub(r"( in [\d.]+s) \(\d+:\d\d:\d\d\)", r"\1", printed)
    seen = "\n".join(line.rstrip() for line in printed.strip("\n").split("\n")) + "\n"
    return pattern(shown).fullmatch(seen) is not None


def first_lie(printed: str, shown: str) -> str:
    """Find the first line of the page that is not printed where the page has it."""
    lines = shown.strip("\n").split("\n")
    for count in range(1, len(lines) + 1):
        if not agrees(printed, "\n".join([*lines[:count], "..."])):
            return lines[count - 1]
    return "(the page ends before the output does)"


def commands(block: Block) -> list[tuple[str, str]]:
    """Split a console block into (command, what the page shows below it)."""
    text = re.sub(r"\\\n\s*>?\s*", "", block.text)
    parts = re.split(r"^\$ (.*)\n?", text, flags=re.MULTILINE)
    assert parts[0].strip() == "", f"{block.place}: a console block begins with `$ `"
    return list(zip(parts[1::2], parts[2::2], strict=True))


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_a_block_has_a_known_language_and_a_reason_not_to_run(page: Path) -> None:
    odd = []
    for block in blocks(page):
        if block.language not in LANGUAGES:
            odd.append(
                f"{block.place}: language {block.language!r}, not one of {sorted(LANGUAGES)}"
            )
        if block.what not in ("", "not run", "file"):
            odd.append(f"{block.place}: <!-- {block.what}: --> is neither `not run:` nor `file:`")
        if block.what == "not run" and len(block.detail.split()) < 2:
            odd.append(f"{block.place}: `not run:` needs its reason")

    assert odd == []


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if examples(p, "python")], ids=page_id)
def test_the_python_of_a_page_runs_as_it_stands(page: Path, tmp_path: Path) -> None:
    code, tests = "from __future__ import annotations\n", []
    for block in examples(page, "python"):
        body = textwrap.dedent(block.text).replace("from __future__ import annotations\n", "")
        tests += re.findall(r"^def (test_\w+)", body, re.MULTILINE)
        code += (
            "\n" * max(0, block.line - code.count("\n")) + body
        )  # a traceback names the page's line
    twice = sorted({each for each in tests if tests.count(each) > 1})
    folder = workplace(page, tmp_path)
    target = folder / f"test_{page.stem.lower().replace('-', '_')}_page.py"
    target.write_text(code if tests else f"{code}\n\ndef test_the_page_runs():\n    pass\n")

    assert twice == [], "two tests of one name on a page: the first would never run"
    command = [sys.executable, "-m", "pytest", "-q", "--bpf-require", "-p", "no:cacheprovider"]
    run = type_in([*command, "-p", "no:xdist", target.name], folder)
    assert run.returncode == 0, run.stdout
    assert f"{max(1, len(tests))} passed" in run.stdout or "def test" in code, run.stdout


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if examples(p, "console")], ids=page_id)
def test_the_commands_of_a_page_print_what_it_shows(page: Path, tmp_path: Path) -> None:
    folder = workplace(page, tmp_path)

    for block in examples(page, "console"):
        code = 0
        for command, shown in commands(block):
            if command == "echo $?":
                assert shown.strip() == str(code), f"{block.place}: the exit code is {code}"
                continue
            word = shlex.split(command)[0]
            assert word in COMMANDS, (
                f"{block.place}: `{word}` is not run here; say <!-- not run: why -->"
            )
            run = type_in(["bash", "-c", command], folder)
            code = run.returncode
            if not agrees(run.stdout, shown):
                lie = first_lie(run.stdout, shown)
                pytest.fail(
                    f"{block.place}: $ {command}\nthe page says: {lie}\nit prints:\n{run.stdout}",
                    pytrace=False,
                )


# The comparison itself, so that a page cannot agree by accident.


@pytest.mark.parametrize(
    ("printed", "shown", "is_same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a \nb\n\n", "a\nb", True),
        ("a\nb\nc\n", "a\n...\n", True),
        ("a\nb\nc\n", "...\nc\n", True),
        ("took 12 ms\n", "took ... ms\n", True),
        ("took 12 ms\nmore\n", "took ... ms\n", False),
        ("1 passed in 77.41s (0:01:17)\n", "1 passed in ...s\n", True),
        ("1 passed in 77.41s (slow)\n", "1 passed in ...s\n", False),
        ("a\nb\n", "a\n", False),
        ("DEPLOY\n", "REFUSED\n", False),
        ("", "", True),
        ("something\n", "", False),
    ],
)
def test_three_dots_stand_for_text_and_nothing_else_does(
    printed: str, shown: str, is_same: bool
) -> None:
    assert agrees(printed, shown) is is_same


def test_a_comment_before_a_block_says_what_becomes_of_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n\n```python\nx = 1\n```\n\n"
        "<!-- not run: it needs a second machine -->\n```console\n$ packetrig attach x.o\n```\n\n"
        "<!-- file: tests/test_x.py -->\n```python\ndef test_x():\n    pass\n```\n"
    )

    assert [(b.line, b.language, b.what, b.detail) for b in blocks(page)] == [
        (3, "python", "", ""),
        (8, "console", "not run", "it needs a second machine"),
        (13, "python", "file", "tests/test_x.py"),
    ]


def test_a_console_block_is_commands_and_what_they_print(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ ls \\\n    progs\na\nb\n$ echo $?\n0\n```\n")

    assert commands(blocks(page)[0]) == [("ls progs", "a\nb\n"), ("echo $?", "0\n")]


def test_the_first_line_that_is_not_printed_is_named() -> None:
    assert first_lie("a\nb\nc\n", "a\n...\nd\n") == "d"
    assert first_lie("a\nb\n", "a\n") == "(the page ends before the output does)"
