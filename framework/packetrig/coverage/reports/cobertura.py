"""Cobertura's XML, which CI servers read."""

from __future__ import annotations

import os
import time
from pathlib import PurePath
from xml.etree import ElementTree

from ..measured import Branch, FileMeasure, Share
from .report import Report

_DTD = "http://cobertura.sourceforge.net/xml/coverage-04.dtd"


def cobertura(report: Report, *, version: str) -> str:
    """Write each folder as a package and each file as a class."""
    measured = report.measured
    root = ElementTree.Element("coverage", _rates(measured.lines, measured.branches))
    if not measured.files:  # a CI server would show all of nothing as 100%
        root.attrib |= {"line-rate": "0", "branch-rate": "0"}
    for kind, share in (("lines", measured.lines), ("branches", measured.branches)):
        root.set(f"{kind}-covered", str(share.covered))
        root.set(f"{kind}-valid", str(share.total))
    root.set("complexity", "0")
    root.set("version", version)
    # A build that is to come out the same twice says so (reproducible-builds.org).
    root.set("timestamp", os.environ.get("SOURCE_DATE_EPOCH") or str(int(time.time())))
    sources = ElementTree.SubElement(root, "sources")
    ElementTree.SubElement(sources, "source").text = str(report.root)
    packages = ElementTree.SubElement(root, "packages")
    for folder, files in sorted(_by_folder(report).items()):
        lines = sum((each.lines for _, each in files), Share(0, 0))
        branches = sum((each.branches for _, each in files), Share(0, 0))
        package = ElementTree.SubElement(packages, "package", {"name": folder})
        package.attrib |= {**_rates(lines, branches), "complexity": "0"}
        classes = ElementTree.SubElement(package, "classes")
        for name, found in files:
            _class(classes, name, found)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" ?>\n<!DOCTYPE coverage SYSTEM "{_DTD}">\n{text}\n'


def _by_folder(report: Report) -> dict[str, list[tuple[str, FileMeasure]]]:
    found: dict[str, list[tuple[str, FileMeasure]]] = {}
    for path, each in report.measured.files.items():
        name = report.name(path)
        found.setdefault(str(PurePath(name).parent), []).append((name, each))
    return found


def _class(classes: ElementTree.Element, name: str, found: FileMeasure) -> None:
    made = ElementTree.SubElement(classes, "class", {"name": PurePath(name).name, "filename": name})
    made.attrib |= {**_rates(found.lines, found.branches), "complexity": "0"}
    methods = ElementTree.SubElement(made, "methods")
    for function in found.function_list:
        method = ElementTree.SubElement(methods, "method", {"name": function.name, "signature": ""})
        rate = "1" if function.count else "0"
        method.attrib |= {"line-rate": rate, "branch-rate": rate, "complexity": "0"}
        own = ElementTree.SubElement(method, "lines")
        hits = str(function.count)
        ElementTree.SubElement(own, "line", {"number": str(function.line), "hits": hits})
    lines = ElementTree.SubElement(made, "lines")
    branches: dict[int, list[Branch]] = {}
    for branch in found.branch_list:
        branches.setdefault(branch.line, []).append(branch)
    for number, count in found.line_counts.items():
        _line(lines, number, count, branches.get(number, []))


def _line(lines: ElementTree.Element, number: int, count: int, branches: list[Branch]) -> None:
    line = ElementTree.SubElement(lines, "line", {"number": str(number), "hits": str(count)})
    if not branches:
        line.set("branch", "false")
        return
    line.set("branch", "true")
    line.set("condition-coverage", _share(sum((each.share for each in branches), Share(0, 0))))
    conditions = ElementTree.SubElement(line, "conditions")
    for index, each in enumerate(branches):
        shown = f"{each.share.percent:.0f}%"
        ElementTree.SubElement(
            conditions, "condition", {"number": str(index), "type": "jump", "coverage": shown}
        )


def _share(share: Share) -> str:
    return f"{share.percent:.0f}% ({share.covered}/{share.total})"


def _rates(lines: Share, branches: Share) -> dict[str, str]:
    return {
        "line-rate": f"{lines.percent / 100:.4g}",
        "branch-rate": f"{branches.percent / 100:.4g}",
    }
