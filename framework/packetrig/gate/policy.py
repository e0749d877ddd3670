"""The policy: what an object must hold to be deployed. A rule is off until it is written."""

from __future__ import annotations

import datetime
import difflib
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from .. import checks, files
from ..errors import Error, NotFound, PolicyError
from . import waivers
from .outcome import RULES

ModeName = Literal["native", "generic", "tc-ingress", "tc-egress", "tcx-ingress", "tcx-egress"]
_Text = Annotated[str, Field(pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]
_VERSION = 1
_UNKNOWN_NAME = re.compile(r"\{(?!(?:program|object)\})\w*\}")


def _filled_in(path: str) -> str:
    # A pattern without a file means no set-up: a misspelt name would never be seen.
    if _UNKNOWN_NAME.search(path):
        raise ValueError(path)
    return path


def _of_a_file(path: str) -> str:
    # No file system has longer ones: Linux says so in an error of another kind than "not there".
    if len(path.encode()) > 4095 or any(len(part.encode()) > 255 for part in path.split("/")):
        raise ValueError(path)
    return path


def _on_one_line(text: str) -> str:
    return " ".join(text.split())  # as reports show it: TOML's texts may have several


def _a_check(name: str) -> str:
    if all(name != each.name for each in checks.builtin):
        raise ValueError(name)
    return name


_OneLine = Annotated[_Text, AfterValidator(_on_one_line)]
_File = Annotated[_Text, AfterValidator(_of_a_file)]
_Path = Annotated[_File, AfterValidator(_filled_in)]
_Limit = Annotated[float, Field(gt=0, allow_inf_nan=False)]

# `description` is what a PolicyError says is allowed.
_Count = Annotated[int, Field(ge=1)]
_FROM_ONE = "a whole number from 1"
# What [replay] may be against, beside paths.
DEPLOYED = "deployed"
_TEXTS = "a list of at least one text"
_SOURCES = "a list of at least one path; {program} and {object} are filled in"
_Share = Annotated[float, Field(ge=0, le=1)]
_A_SHARE = "a share from 0 to 1"
_DURATION = r"^[1-9]\d{0,5}[smh]$"
_UNITS = {"s": 1, "m": 60, "h": 3600}


def _seconds(text: str) -> float:
    return int(text[:-1]) * _UNITS[text[-1]]


class _Section(BaseModel):
    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        alias_generator=lambda name: name.replace("_", "-"),
    )


class Build(_Section):
    """Say what the compiler may complain about: `warnings = "error"` refuses any."""

    warnings: Literal["error", "show"] = Field("show", description="'error' or 'show'")


class Verifier(_Section):
    """Limit what the verifier counted: instructions processed, states, bytes of stack."""

    max_instructions: _Count | None = Field(None, description=_FROM_ONE)
    max_states: _Count | None = Field(None, description=_FROM_ONE)
    max_stack: int | None = Field(None, ge=0, description="a number of bytes from 0")


class Tests(_Section):
    """Run pytest on `paths`: `min_tests` must have used exactly this object; all that did pass."""

    paths: list[_File] = Field(min_length=1, description=_TEXTS)
    min_tests: _Count = Field(1, description=_FROM_ONE)
    max_skipped: int | None = Field(None, ge=0, description="a whole number from 0")


class Replay(_Section):
    """Replay captures, with `setup` put in first; `against` is an object that must do the same.

    "deployed" is what packetrig attached to the interface `iface`.
    `checksums`: what was right before a program rewrote a packet is right afterwards.
    """

    pcap: list[_File] = Field(min_length=1, description=_TEXTS)
    setup: _Path | None = Field(None, description="a path; {program} and {object} are filled in")
    against: _Path | None = Field(
        None, description="a path; {program} and {object} are filled in; or 'deployed'"
    )
    iface: _Text | None = Field(None, description="the name of an interface, for 'deployed'")
    checksums: bool = Field(False, description="true or false")


class Coverage(_Section):
    """Ask the tests of [tests] to execute at least these shares of the source, from 0 to 1.

    They run once more for it: afterwards, or `beside_tests`, when two runs do not get in each
    other's way.
    """

    min_lines: _Share | None = Field(None, description=_A_SHARE)
    min_branches: _Share | None = Field(None, description=_A_SHARE)
    min_functions: _Share | None = Field(None, description=_A_SHARE)
    beside_tests: bool = Field(False, description="true or false")


class Fuzz(_Section):
    """Search for what the object handles wrongly, for a `time` or a number of `runs`.

    It begins with the frames of `corpus` and `seeds` too.
    """

    time: Annotated[str, Field(pattern=_DURATION)] | None = Field(
        None, description="a time: '30s', '5m' or '1h'"
    )
    runs: _Count | None = Field(None, description=_FROM_ONE)
    max_findings: int = Field(0, ge=0, description="a whole number from 0")
    seed: int | None = Field(None, ge=0, lt=2**64, description="a whole number from 0")
    workers: _Count = Field(1, le=1024, description=_FROM_ONE)
    setup: _Path | None = Field(None, description="a path; {program} and {object} are filled in")
    corpus: _Path | None = Field(
        None, description="a folder, which is read alone; {program} and {object} are filled in"
    )
    seeds: list[_Path] | None = Field(None, min_length=1, description=_SOURCES)
    crashes: _File | None = Field(None, description="a folder, where findings are written")
    without: dict[str, list[Annotated[str, AfterValidator(_a_check)]]] | None = Field(
        None,
        description="for programs by name, built-in checks that are not theirs to hold: "
        + ", ".join(each.name for each in checks.builtin),
    )

    @property
    def seconds(self) -> float | None:
        """Return `time` in seconds."""
        return _seconds(self.time) if self.time else None


class Speed(_Section):
    """Limit what a packet costs, in ns or as a ratio to `baseline`, which is measured in turn."""

    packet: _Path = Field(
        description="a path of a packet (.toml) or a capture; {program} and {object} are filled in"
    )
    max_ns_per_packet: _Limit | None = Field(None, description="a number above 0")
    max_ratio: _Limit | None = Field(None, description="a number above 0")
    baseline: _Path | None = Field(None, description="a path; {program} and {object} are filled in")
    setup: _Path | None = Field(None, description="a path; {program} and {object} are filled in")


class Live(_Section):
    """Attach it to a veth pair, and hold it to its test run: the captures' and real traffic."""

    modes: list[ModeName] = Field(
        min_length=1, description=f"a list of: {', '.join(get_args(ModeName))}"
    )
    traffic: bool = Field(True, description="true or false")


class Kernels(_Section):
    """Hold the very object to rules of this policy on other kernels, in virtual machines.

    `rules` are those that are on, of verifier, tests, replay, fuzz and live, when nothing is said.
    """

    releases: list[_Text] = Field(
        min_length=1, description="a list of releases (6.1), images or packages of kernels"
    )
    rules: list[Literal["verifier", "tests", "replay", "fuzz", "live"]] | None = Field(
        None, min_length=1, description="a list of: verifier, tests, replay, fuzz, live"
    )
    timeout: Annotated[str, Field(pattern=_DURATION)] = Field(
        "30m", description="a time for each kernel: '90s', '30m' or '1h'"
    )
    memory: Annotated[str, Field(pattern=r"^[1-9]\d*[MG]$")] = Field(
        "2G", description="a size: '512M' or '2G'"
    )

    @property
    def seconds(self) -> float:
        """Return `timeout` in seconds."""
        return _seconds(self.timeout)


class Waiver(_Section):
    """Let a refusal of one rule through, for a reason, until a day: [[waiver]]."""

    rule: _Text = Field(description="the name of a rule that is on")
    reason: _OneLine = Field(description="a text")
    expires: datetime.date = Field(description="a day, as 2027-01-31: no waiver without an end")


class Rules(_Section):
    """Hold the rules of a policy; None is a rule that is off."""

    version: int = Field(ge=1, le=_VERSION, description="1")  # Literal[1] would take `true`
    build: Build | None = Field(None, description="a table: [build]")
    verifier: Verifier | None = Field(None, description="a table: [verifier]")
    tests: Tests | None = Field(None, description="a table: [tests]")
    replay: Replay | None = Field(None, description="a table: [replay]")
    coverage: Coverage | None = Field(None, description="a table: [coverage]")
    fuzz: Fuzz | None = Field(None, description="a table: [fuzz]")
    speed: Speed | None = Field(None, description="a table: [speed]")
    live: Live | None = Field(None, description="a table: [live]")
    kernels: Kernels | None = Field(None, description="a table: [kernels]")
    waiver: list[Waiver] = Field([], description="tables: [[waiver]]")

    @property
    def on(self) -> tuple[str, ...]:
        """Name the rules that are on; that an object is built and loads is always asked."""
        return tuple(rule for rule in RULES if rule in ("build", "verifier") or getattr(self, rule))


@dataclass(frozen=True, slots=True)
class Policy:
    """Hold a policy with the file it came from and that file's hash."""

    path: Path
    sha256: str
    rules: Rules


def read(path: str | Path, *, day: datetime.date | None = None) -> Policy:
    """Read a policy, as of a day: today.

    Raises:
        NotFound: There is no such file.
        PolicyError: It is not TOML; a key is unknown or missing, or has a wrong value; a waiver has
            ended. The message names the file, the key, and what was allowed.
    """
    path = Path(path)
    try:
        data = files.read(path, "policy")
        parts = files.parsed(data, path)
    except NotFound:
        raise
    except Error as e:
        raise PolicyError(str(e), file=str(path)) from e
    _check_version(path, parts.get("version"))
    try:
        rules = Rules.model_validate(parts)
    except ValidationError as e:
        raise _explained(path, e) from e
    if not rules.model_fields_set - {"version", "waiver"}:
        names = ", ".join(RULES)
        raise PolicyError(
            f"{path}: no rule is written, so nothing would be decided; there are: {names}",
            file=str(path),
            allowed=names,
        )
    _check_pairs(path, rules)
    waivers.check(path, rules.waiver, rules.on, day=day or waivers.today())
    return Policy(path, hashlib.sha256(data).hexdigest(), rules)


def _check_version(path: Path, version: object) -> None:
    # First: a newer policy may well have keys that are not known here.
    if type(version) is int and version > _VERSION:
        raise PolicyError(
            f"{path}: version: {version} is newer than this packetrig; allowed: {_VERSION}",
            file=str(path),
            key="version",
            allowed=str(_VERSION),
        )


def _check_pairs(path: Path, rules: Rules) -> None:
    """Say which key is missing for one that is written, or is written for nothing."""
    if rules.coverage:
        if not rules.coverage.model_fields_set - {"beside_tests"}:
            raise _missing(path, "[coverage] min-branches", ", ".join(_names(Coverage)[:3]))
        if rules.tests is None:
            raise _missing(path, "[tests] paths", "the tests whose coverage it is")
    replay = rules.replay
    if replay and replay.iface and replay.against != DEPLOYED:
        raise _missing(path, "[replay] against", f"'{DEPLOYED}', on the interface {replay.iface}")
    if rules.fuzz and rules.fuzz.time is None and rules.fuzz.runs is None:
        raise _missing(path, "[fuzz] time", "an end: time = '60s' or runs = 20000")
    for rule in (rules.kernels and rules.kernels.rules) or ():
        if rule != "verifier" and getattr(rules, rule) is None:
            raise _missing(path, f"[{rule}]", "the rule that [kernels] rules asks for")
    found = rules.speed
    if found is None:
        return
    if found.max_ratio is None and found.max_ns_per_packet is None:
        raise _missing(path, "[speed] max-ns-per-packet", "a limit: max-ns-per-packet or max-ratio")
    if found.max_ratio is not None and found.baseline is None:
        raise _missing(path, "[speed] baseline", "the object that max-ratio is to")
    if found.baseline is not None and found.max_ratio is None:
        raise _missing(path, "[speed] max-ratio", "a number above 0, for the baseline")


def _missing(path: Path, key: str, allowed: str) -> PolicyError:
    return PolicyError(
        f"{path}: {key}: is missing; allowed: {allowed}", file=str(path), key=key, allowed=allowed
    )


def _explained(path: Path, e: ValidationError) -> PolicyError:
    # A key that was written wrong is named before the one that is missing for it.
    found = e.errors(include_url=False)
    first = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
    where = [str(part) for part in first["loc"] if not isinstance(part, int)]
    key = _written(where)
    field_allowed = _allowed(where)
    if first["type"] == "extra_forbidden":
        names = _names(_section(where[:-1]))
        near = difflib.get_close_matches(where[-1], names, n=1)
        hint = f", did you mean '{near[0]}'?" if near else ""
        said, field_allowed = f"there is no such key{hint}", ", ".join(names)
    elif first["type"] == "missing":
        said = "is missing"
    else:
        said = f"{_shown(first['input'])} does not fit"
    more = f" (and {e.error_count() - 1} more)" if e.error_count() > 1 else ""
    return PolicyError(
        f"{path}: {key}: {said}; allowed: {field_allowed}{more}",
        file=str(path),
        key=key,
        allowed=field_allowed,
    )


def _written(where: Sequence[str]) -> str:
    # As it stands in the file: a key in its table.
    if len(where) < 2:
        return where[0]
    table = f"[[{where[0]}]]" if where[0] == "waiver" else f"[{where[0]}]"
    return f"{table} {'.'.join(where[1:])}"


def _section(where: Sequence[str]) -> type[BaseModel]:
    if not where:
        return Rules
    tables: dict[str, type[BaseModel]] = {
        "build": Build,
        "verifier": Verifier,
        "tests": Tests,
        "replay": Replay,
        "coverage": Coverage,
        "fuzz": Fuzz,
        "speed": Speed,
        "live": Live,
        "kernels": Kernels,
        "waiver": Waiver,
    }
    return tables[where[0]]


def _names(section: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]


def _allowed(where: Sequence[str]) -> str:
    section, key = _section(where[:-1]), where[:2][-1:]  # below a key there is what it allows
    for name, field in section.model_fields.items():
        if key and key[0] in (name, field.alias):
            return field.description or "see docs/gate.md"
    return "see docs/gate.md"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
