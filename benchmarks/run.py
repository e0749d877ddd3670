"""Measure the promised figures and say which are held: `make bench`.

Each module here that has `figures()` is run in turn. Exit code: 0 all held, 1 one was missed,
2 one could not be measured. What was measured is also written to build/bench.json.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys

from figures import HERE, Figure, table

MODULES = (
    "run_calls",
    "start_up",
    "building",
    "examples",
    "wires",
    "campaigns",
    "several_workers",
    "replacing",
)


def write(figures: list[Figure]) -> None:
    target = HERE.parent / "build" / "bench.json"
    target.parent.mkdir(exist_ok=True)
    rows = [
        {
            "figure": figure.name,
            "unit": figure.unit.strip(),
            "target": figure.target,
            "median": round(figure.median, 4),
            "min": round(min(figure.samples), 4),
            "max": round(max(figure.samples), 4),
            "held": figure.is_held,
        }
        for figure in figures
    ]
    fresh = target.with_suffix(".tmp")
    fresh.write_text(json.dumps({"format": 1, "figures": rows}, indent=2) + "\n")
    fresh.replace(target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", choices=[[], *MODULES], help="these modules alone")
    only = parser.parse_args().only or MODULES
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # people's pytest keeps its .pyc files

    figures: list[Figure] = []
    unknown: list[str] = []
    for name in only:
        try:
            for figure in importlib.import_module(name).figures():
                figures.append(figure)
                if sys.stderr.isatty():
                    print(f"measured: {figure.name}", file=sys.stderr)
        except Exception as error:  # whatever it is: the other figures are still worth having
            unknown.append(f"{name}: could not be measured: {type(error).__name__}: {error}")

    print(table([("figure", "target", "median (min to max)", "held"), *(f.row() for f in figures)]))
    print(*unknown, sep="\n", end="\n" if unknown else "")
    write(figures)
    if unknown:
        return 2
    return 0 if all(figure.is_held for figure in figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
