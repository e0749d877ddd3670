"""What campaigns of the rule `fuzz` begin with beside their own frames: read, and never written."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import Error, PolicyError
from ..fuzz import Corpus, given
from . import policy
from .captures import filled
from .outcome import Candidate

_SEEDS = "patterns that match captures, golden files, crash files, or folders of them"


@dataclass(frozen=True, slots=True)
class Begun:
    """Hold what was read for one program; `digests` has the hash of each file and folder."""

    seeds: tuple[bytes, ...] = ()
    corpus: tuple[bytes, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)


def check(found: policy.Policy) -> None:
    """Read what the policy names for every program alike, before any work is done.

    Raises:
        PolicyError: Nothing is there by that name.
        Error: It cannot be read, or holds no frames.
    """
    rule = found.rules.fuzz
    if rule is None:
        return
    for pattern in rule.seeds or ():
        if "{" not in pattern:
            paths = _matching(pattern)
            if not paths:
                raise _nothing(found, "seeds", pattern, _SEEDS)
            for path in paths:
                given.frames_of(path)
    if rule.corpus and "{" not in rule.corpus:
        if not Path(rule.corpus).exists():
            raise _nothing(found, "corpus", rule.corpus, "the folder of a corpus")
        Corpus(rule.corpus).load()


def read(rule: policy.Fuzz, candidate: Candidate, program: str) -> Begun:
    """Read what a campaign on one program begins with; a name with no file behind it means none.

    Raises:
        Error: What is there cannot be read, or holds no frames.
    """
    patterns = [str(filled(each, candidate, program)) for each in rule.seeds or ()]
    paths = list(dict.fromkeys(path for each in patterns for path in _matching(each)))
    seeds = [frame for path in paths for frame in given.frames_of(path)]
    digests = {path: digest(path) for path in paths}
    folder = filled(rule.corpus, candidate, program) if rule.corpus else None
    if folder is None or not folder.exists():
        return Begun(tuple(seeds), (), digests)
    corpus = tuple(Corpus(folder).load())
    return Begun(tuple(seeds), corpus, {**digests, str(folder): digest(folder)})


def digest(path: str | Path) -> str:
    """Hash a file; or what a folder holds, by name.

    Raises:
        OSError: It cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    whole = hashlib.sha256()
    for name, each in _below(path):
        whole.update(f"{each} {name}\n".encode(errors="surrogateescape"))
    return whole.hexdigest()


def _below(folder: Path) -> Iterator[tuple[str, str]]:
    for each in sorted(each for each in folder.rglob("*") if given.is_known(each)):
        yield str(each.relative_to(folder)), digest(each)


def _matching(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  # may be absolute


def _nothing(found: policy.Policy, key: str, pattern: str, allowed: str) -> Error:
    return PolicyError(
        f"{found.path}: [fuzz] {key}: nothing is at '{pattern}' in {Path.cwd()}",
        file=str(found.path),
        key=f"[fuzz] {key}",
        allowed=f"{allowed}, from the folder where the gate runs",
    )
