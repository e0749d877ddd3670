"""Recorded traffic through a program: one event a packet, and the verdicts that are expected."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import files, packets, refusals
from .errors import (
    CaptureError,
    CodecError,
    Error,
    Failure,
    InputRefused,
    MapError,
    NoSuchName,
)
from .objects import Object
from .packets.pcap import Record
from .program import Program
from .run import Run
from .spec import Spec
from .verdicts import Verdict

# One call of the C loop: its results wait in memory until they are looked at.
_BATCH = 1024
# Ethernet and IPv6: an skb of less may be refused, depending on the kernel and what it holds.
_SURE = 54

_REPEATED = re.compile(r"(\w+)(?:\*([1-9]\d{0,8}))?")


@dataclass(frozen=True, slots=True)
class Replayed:
    """Tell what became of one packet of a capture.

    `run` is what the program answered, or None: then `refusal` says why the kernel was not given
    the frame, and nothing was tested. `other` and `other_refusal` are the same of the program that
    it is compared with. `failure` says what is wrong with a run that the kernel gave no verdict of.
    """

    number: int
    record: Record
    run: Run | None
    refusal: str = ""
    other: Run | None = None
    other_refusal: str = ""
    failure: Failure | None = None

    @property
    def is_tested(self) -> bool:
        """Tell whether the program saw the frame."""
        return self.run is not None

    @property
    def differs(self) -> bool:
        """Tell whether the two programs did not do the same: verdict, bytes, metadata, context."""
        if self.other is None and not self.other_refusal:
            return False
        return self.run != self.other

    @property
    def differences(self) -> dict[str, tuple[Any, Any]]:
        """Name what differs: {"verdict": (XDP.DROP, XDP.PASS), "IP.ttl": (63, 62)}."""
        if not self.differs:
            return {}
        if self.run is None or self.other is None:
            one = self.run.verdict if self.run else f"refused ({self.refusal})"
            two = self.other.verdict if self.other else f"refused ({self.other_refusal})"
            return {"verdict": (one, two)}
        found: dict[str, tuple[Any, Any]] = {}
        if self.run.verdict != self.other.verdict:
            found["verdict"] = (self.run.verdict, self.other.verdict)
        found |= packets.explain.changes(self.run.data, self.other.data)
        if self.run.metadata != self.other.metadata:
            found["metadata"] = (self.run.metadata, self.other.metadata)
        return found or {"context": (self.run.context, self.other.context)}


@dataclass(frozen=True, slots=True)
class Setup:
    """Hold the state that maps and globals have before the first packet.

        format = 1
        [globals]
        port = 80
        [max_entries]
        flows = 1024
        [maps.allowed]
        "/index.html" = 1
        [[maps.rules]]
        key = { port = 80 }
        value = 1

    `const volatile` globals are among them: they are set when the object is loaded, and so are
    the sizes of maps that are left to who loads them.
    """

    maps: Mapping[str, Any] = field(default_factory=dict)
    globals: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    max_entries: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path) -> Setup:
        """Read a set-up file.

        Raises:
            NotFound: There is no such file.
            Error: It is not TOML, has no format, or other parts than `maps`, `globals` and
                `max_entries`.
        """
        path = Path(path)
        parts = files.toml(path, "set-up file")
        for name, part in parts.items():
            if name not in ("format", "maps", "globals", "max_entries"):
                raise Error(
                    f"{path}: unknown part '{name}'; a set-up has format, maps, globals, "
                    "max_entries"
                )
            if name != "format" and not isinstance(part, dict):
                raise Error(f"{path}: {name} is no table: write [{name}]")
        if "format" not in parts:
            raise Error(f"{path}: has no format: begin a set-up file with `format = 1`")
        if parts["format"] != 1:
            raise Error(f"{path}: format {parts['format']!r} is not known; this packetrig reads 1")
        maps = parts.get("maps", {})
        for name, entries in maps.items():
            if isinstance(entries, list):
                if any(not isinstance(e, dict) or set(e) != {"key", "value"} for e in entries):
                    raise Error(f"{path}: each [[maps.{name}]] has a key and a value, and no more")
            elif not isinstance(entries, dict):
                raise Error(f"{path}: maps.{name} is no table: write [maps.{name}], key = value")
        return cls(maps, parts.get("globals", {}), path, parts.get("max_entries", {}))

    def load(
        self,
        spec: Spec,
        *,
        program: str | None = None,
        kind: str | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> Object:
        """Load an object in this state; `values` of globals go before those of the file."""
        given = {**self.globals, **(values or {})}
        try:
            loaded = spec.load(program=program, kind=kind, max_entries=self.max_entries, **given)
        except (NoSuchName, CodecError, MapError) as e:
            raise self._blamed(e) from e
        try:
            self.put(loaded)
        except BaseException:
            loaded.close()
            raise
        return loaded

    def put(self, loaded: Object) -> None:
        """Fill the maps of an object that was just loaded or renewed."""
        try:
            loaded.put({"maps": self.maps})
        except (NoSuchName, CodecError, MapError) as e:
            raise self._blamed(e) from e

    def _blamed(self, e: Error) -> Error:
        return Error(f"{self.path}: {e}") if self.path else e


def replay(
    program: Program,
    records: Iterable[Record],
    *,
    against: Program | None = None,
    renew: bool = False,
    setup: Setup | None = None,
    checksum_complete: bool = False,
) -> Iterator[Replayed]:
    """Run a program on the packets of a capture, in their order, and yield what became of each.

    Maps keep their state from one packet to the next, as they do on an interface; where they have
    a value for each processor, all packets go to one. A frame that
    cannot be given to the program is yielded with the reason, never left out, never an error; nor
    is a packet given of which the capture has only the beginning (`Record.is_snapped`).

    Args:
        against: Another program that gets the same packets, each with its own maps.
        renew: Give every packet the object as it was loaded, with `setup` put in again.
        setup: What `renew` puts in; before the first packet it is there already (`Setup.load`).
        checksum_complete: Give a TC program each packet with the sum that a device made; a packet
            that leaves it stale is yielded with the failure. Not together with `against`.
    """
    if checksum_complete:
        if against:
            raise Error("checksum_complete is for one program: it compares with no other")
        for record in records:
            if renew:
                _begin(program, setup or Setup())
            yield _summed(program, record)
        return
    with ExitStack() as stack:
        for each in filter(None, (program, against)):
            stack.enter_context(each.owner.state.on_one_cpu())
        if renew:
            yield from (_alone(program, record, against, setup or Setup()) for record in records)
        else:
            yield from _in_batches(program, records, against)


def _in_batches(
    program: Program, records: Iterable[Record], against: Program | None
) -> Iterator[Replayed]:
    for batch in _batches(records):
        answers = _answers(program, batch)
        others = _answers(against, batch) if against else itertools.repeat((None, ""))
        for record, mine, its in zip(batch, answers, others, strict=False):
            yield Replayed(record.number, record, *mine, *its)


def _alone(program: Program, record: Record, against: Program | None, setup: Setup) -> Replayed:
    found: list[tuple[Run | None, str]] = []
    for each in (program, against):
        if each is None:
            found.append((None, ""))
            continue
        _begin(each, setup)
        found.append(_answer(each, record))
    return Replayed(record.number, record, *found[0], *found[1])


def _begin(program: Program, setup: Setup) -> None:
    program.owner.renew()
    setup.put(program.owner)


def _summed(program: Program, record: Record) -> Replayed:
    try:
        run, refusal = _answer(program, record, checksum_complete=True)
    except Failure as e:
        return Replayed(record.number, record, None, failure=e)
    return Replayed(record.number, record, run, refusal)


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    each = iter(records)
    while batch := list(itertools.islice(each, _BATCH)):
        yield batch


def _answers(program: Program, records: list[Record]) -> Iterator[tuple[Run | None, str]]:
    # Frames that the kernel surely takes go through the loop in C. A refusal in its middle would
    # lose the answers before it, so each doubtful one goes alone.
    for sure, group in itertools.groupby(records, key=lambda record: _is_sure(program, record)):
        if sure:
            yield from ((run, "") for run in program.run_many([each.data for each in group]))
        else:
            yield from (_answer(program, record) for record in group)


def _answer(
    program: Program, record: Record, *, checksum_complete: bool = False
) -> tuple[Run | None, str]:
    # The beginning of a packet is another packet: its lengths and checksums are wrong.
    if record.is_snapped:
        return None, (
            f"only {len(record.data)} of {record.original_length} bytes were captured (snap "
            "length): capture whole packets with `tcpdump -s 0`"
        )
    try:
        return program.run(record.data, checksum_complete=checksum_complete), ""
    except InputRefused as e:
        return None, str(e).removeprefix(f"{program.name}: ")


def _is_sure(program: Program, record: Record) -> bool:
    size = len(record.data)
    if record.is_snapped:
        return False
    if program.kind == "xdp":
        return not refusals.before("xdp", size, has_frags=program.has_frags)
    if program.kind not in refusals.SKB_KINDS:
        return False
    return _SURE < size <= refusals.limits().skb_most


def name_of(verdict: int) -> str:
    """Name a verdict as expectations write it: "PASS"; one without a name by its number."""
    return verdict.name if isinstance(verdict, Verdict) else str(int(verdict))


def expected(text: str) -> tuple[str, ...]:
    """Read verdicts that were written run by run: "PASS*7 DROP" is seven PASS and one DROP.

    Raises:
        CaptureError: A word is none of NAME and NAME*n.
    """
    names: list[str] = []
    for word in text.split():
        found = _REPEATED.fullmatch(word)
        if found is None:
            raise CaptureError(f"'{word}' is no verdict: write PASS, or PASS*7 for seven in a row")
        names += [found[1]] * int(found[2] or 1)
    return tuple(names)


def run_lengths(names: Iterable[str]) -> str:
    """Write verdicts run by run, as `expected()` reads them."""
    groups = ((name, len(list(group))) for name, group in itertools.groupby(names))
    return " ".join(name if count == 1 else f"{name}*{count}" for name, count in groups)


def expectations(capture: Path) -> Mapping[str, tuple[str, ...]]:
    """Read, from the TOML file beside a capture, what each program should say to its packets.

    Without such a file nothing is expected. With one, it must be of this very capture.

    Raises:
        CaptureError: The file is broken, of a newer format, or belongs to other packets.
    """
    beside = capture.with_suffix(".toml")
    if not beside.exists():
        return {}
    parts = files.toml(beside, "expectations")
    if parts.get("format") != 1:
        raise CaptureError(
            f"{beside}: format {parts.get('format')!r} is not known; this packetrig reads 1"
        )
    digest = hashlib.sha256(capture.read_bytes()).hexdigest()
    if parts.get("sha256", digest) != digest:
        raise CaptureError(f"{beside}: it describes another {capture.name}: their hashes differ")
    count = parts.get("packets")
    found = {}
    for program, text in parts.get("verdicts", {}).items():
        try:
            found[program] = expected(str(text))
        except CaptureError as e:
            raise CaptureError(f"{beside}: verdicts.{program}: {e}") from e
        if count is not None and len(found[program]) != count:
            raise CaptureError(
                f"{beside}: verdicts.{program}: {len(found[program])} verdicts for {count} packets"
            )
    return found
