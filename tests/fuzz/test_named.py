"""Checks and models by where they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from packetrig.errors import Error, NoSuchName, NotFound
from packetrig.fuzz.named import checks_of, model_of

RULES = """
import packetrig
from packetrig import XDP, checks
from packetrig.checks import it_never_aborts

@packetrig.check
def it_is_short(before, run):
    return len(run.data) < 60

CHECKS = (checks.only_change(), it_is_short)

@packetrig.model
def door(frame, maps):
    return XDP.PASS
"""


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file of checks and a model, named as from its project's folder."""
    monkeypatch.chdir(tmp_path)
    Path("judges").mkdir()
    Path("judges", "rules.py").write_text(RULES)
    return "judges/rules.py"


def test_a_check_is_found_by_its_name(rules: str) -> None:
    found = checks_of(f"{rules}:it_is_short")

    assert [(name, [c.name for c in each]) for name, each in found.items()] == [
        ("judges/rules.py:it_is_short", ["it_is_short"])
    ]


def test_a_tuple_of_checks_has_a_name_too(rules: str) -> None:
    (found,) = checks_of(f"{rules}:CHECKS").values()

    assert [each.name for each in found] == ["only_declared_fields_change", "it_is_short"]


def test_a_file_alone_means_all_that_it_defines_and_not_what_it_imports(rules: str) -> None:
    assert list(checks_of(rules)) == ["judges/rules.py:it_is_short", "judges/rules.py:CHECKS"]


def test_the_only_model_of_a_file_needs_no_name(rules: str) -> None:
    assert model_of(rules)[0] == "judges/rules.py:door"
    assert model_of(f"{rules}:door")[1].name == "door"


def test_a_file_outside_of_the_project_is_found_by_its_path(
    rules: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = str(tmp_path / rules)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert list(checks_of(f"{whole}:it_is_short")) == [f"{whole}:it_is_short"]


@pytest.mark.parametrize(
    ("named", "kind", "told"),
    [
        ("judges/absent.py", NotFound, "judges/absent.py: there is no such file; name checks"),
        ("judges/rules.py:it_is_shirt", NoSuchName, "did you mean 'it_is_short'?"),
        ("judges/rules.py:door", NoSuchName, "no check named 'door'"),
        ("judges/broken.py", Error, "judges/broken.py: cannot be imported: NameError: name 'this'"),
        ("judges/syntax.py", Error, "judges/syntax.py: cannot be imported: SyntaxError"),
        ("judges/empty.py", Error, "judges/empty.py: defines no check: decorate one"),
    ],
)
def test_what_is_not_there_is_named(rules: str, named: str, kind: type[Error], told: str) -> None:
    Path("judges/broken.py").write_text("this\n")
    Path("judges/syntax.py").write_text("def\n")
    Path("judges/empty.py").write_text("")

    with pytest.raises(kind) as caught:
        checks_of(named)
    assert told in str(caught.value)


def test_a_file_with_no_model_or_several_is_told_so(rules: str) -> None:
    Path("judges/none.py").write_text("")
    Path("judges/two.py").write_text(RULES + RULES.replace("def door", "def gate"))

    with pytest.raises(Error, match=r"judges/none.py: defines no model"):
        model_of("judges/none.py")
    with pytest.raises(Error, match=r"judges/two.py: defines door, gate: say which: .*py:door"):
        model_of("judges/two.py")
    with pytest.raises(NoSuchName, match="no model named 'dor', did you mean 'door'"):
        model_of(f"{rules}:dor")


def test_a_file_may_import_from_its_own_package_from_wherever_it_is_named(
    rules: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "judging_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "words.py").write_text("MOST = 60\n")
    (package / "short.py").write_text(
        RULES.replace("import packetrig\n", "from .words import MOST\nimport packetrig\n", 1)
    )
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "linked_package").symlink_to(package)

    assert model_of("judging_package/short.py")[1].name == "door"
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert model_of("linked_package/short.py")[1].name == "door"
    assert model_of(str(package / "short.py"))[1].name == "door"
