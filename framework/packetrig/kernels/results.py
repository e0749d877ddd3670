"""What pytest told on each kernel, and which tests tell kernels apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as Xml

# What makes pytest write a report, whatever command runs it; with files, which the newer one lacks.
OPTIONS = "-o junit_family=xunit1 --junitxml={path}"


@dataclass(frozen=True, slots=True)
class Tested:
    """Tell how a test ended: "passed", "failed", "error" or "skipped", and why."""

    name: str
    outcome: str
    why: str = ""


def read(path: Path) -> dict[str, Tested]:
    """Read a report that pytest wrote; empty when there is none, or none that is whole."""
    try:
        root = Xml.parse(path).getroot()
    except (OSError, Xml.ParseError):
        return {}
    found: dict[str, Tested] = {}
    for case in root.iter("testcase"):
        name = _name(case)
        for outcome, tag in (("failed", "failure"), ("error", "error"), ("skipped", "skipped")):
            if (said := case.find(tag)) is not None:
                found[name] = Tested(name, outcome, _first_line(said.get("message", "")))
                break
        else:
            found.setdefault(name, Tested(name, "passed"))
    return found


def differing(cells: Mapping[str, Mapping[str, Tested]]) -> Iterator[tuple[str, dict[str, Tested]]]:
    """Yield each test that did not end alike in all cells, with how it ended in each.

    A test that a cell does not have is not in its part: it was not collected there.
    """
    names = dict.fromkeys(name for tests in cells.values() for name in tests)
    for name in names:
        found = {cell: tests[name] for cell, tests in cells.items() if name in tests}
        if len(found) < len(cells) or len({each.outcome for each in found.values()}) > 1:
            yield name, found


def joined(reports: Mapping[str, Path]) -> str:
    """Put several reports into one of JUnit's kind: a suite for each cell, named after it."""
    top = Xml.Element("testsuites", name="packetrig matrix")
    for name, path in reports.items():
        try:
            root = Xml.parse(path).getroot()
        except (OSError, Xml.ParseError):
            suite = Xml.SubElement(top, "testsuite", name=name, tests="1", errors="1")
            case = Xml.SubElement(suite, "testcase", classname=name, name="report")
            Xml.SubElement(case, "error", message="there is no report of this cell")
            continue
        for suite in root.iter("testsuite"):
            suite.set("name", name)
            for case in suite.iter("testcase"):
                case.set("classname", f"{name}.{case.get('classname', '')}")
            top.append(suite)
    return Xml.tostring(top, encoding="unicode", xml_declaration=True) + "\n"


def _name(case: Xml.Element) -> str:
    # As pytest takes it: the file, the class if there is one, the test.
    file, module = case.get("file", ""), case.get("classname", "")
    inside = module.removeprefix(file.removesuffix(".py").replace("/", ".")).strip(".")
    parts = [file or module, *(inside.split(".") if inside and file else []), case.get("name", "")]
    return "::".join(parts)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
