"""Reference models: what a program should answer, said a second time, in Python."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

from .errors import Error, Failure, InputRefused, PermissionDenied, Unsupported, no_such
from .packets import explain, to_bytes
from .verdicts import Verdict, is_legal

if TYPE_CHECKING:
    from .maps import Map
    from .members import Maps
    from .program import Program
    from .run import Run

# What a model may ask for by name, beside the frame and the maps.
_ASKABLE = ("globals", "ctx", "meta")


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what a model says. What is left as it is here is not compared, but for the frame.

    `data` is the frame afterwards; left out, it is the frame before. `changes` are those of the
    maps, `{map: {key: (old, new)}}`, all of them (`{}`: none); of a per-CPU map the sums are
    compared. `metadata` are the bytes in front of the frame, `context` fields of the context by
    name. ANY fits everything.

        return Answer(TC.OK, changes={"traffic": {7: (before, ANY)}}, context={"mark": 7})
    """

    verdict: Any
    data: Any = None
    changes: Mapping[str, Any] | None = None
    metadata: bytes | None = None
    context: Mapping[str, Any] | None = None


class Model:
    """Hold one reference model; made by `@packetrig.model`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.name = function.__name__
        self.__doc__ = function.__doc__
        names = list(inspect.signature(function).parameters)
        if len(names) < 2 or (wrong := [each for each in names[2:] if each not in _ASKABLE]):
            raise Error(
                f"model {self.name}({', '.join(names)}): it takes (frame, maps), and may ask for "
                f"{', '.join(_ASKABLE)} by name{f', not for {wrong[0]}' if names[2:] else ''}"
            )
        self._asks = names[2:]

    def __call__(self, frame: bytes, maps: Any, **given: Any) -> Any:
        """Call the function as it is."""
        return self.function(frame, maps, **given)

    def answer(
        self, frame: bytes, program: Program, *, ctx: Any = None, meta: bytes = b""
    ) -> Answer:
        """Ask what the program should say to a frame, from its maps as they are now.

        Raises:
            Error: The model crashed, or what it said is no answer. Nothing is known about the
                program then, whatever was raised.
        """
        owner = program.owner
        given = {"globals": owner.globals, "ctx": ctx or {}, "meta": meta}
        try:
            said = self.function(
                frame, MapsBefore(owner.maps), **{name: given[name] for name in self._asks}
            )
        except (Unsupported, PermissionDenied):
            raise
        except Exception as e:
            raise self._crashed(program, f"{type(e).__name__}: {e}") from e
        return self._read(said, frame, program)

    def _read(self, said: Any, frame: bytes, program: Program) -> Answer:
        if isinstance(said, Answer):
            found = said
        elif isinstance(said, tuple) and 1 < len(said) <= 3:
            found = Answer(*said)
        else:
            found = Answer(said)
        is_verdict = isinstance(found.verdict, int) and not isinstance(found.verdict, bool)
        if not is_verdict and found.verdict is not ANY:
            raise self._crashed(
                program,
                f"it answered {said!r}, and a verdict is wanted, or (verdict, frame), or (verdict, "
                "frame, changes of maps)",
            )
        if not is_legal(program.kind, found.verdict) and isinstance(found.verdict, Verdict):
            why = f"it answered {found.verdict}, which is no verdict of {program.kind} programs"
            raise self._crashed(program, why)
        maps = program.owner.maps
        if unknown := [name for name in found.changes or () if name not in maps]:
            raise self._crashed(program, str(no_such("map", unknown[0], maps)))
        data = frame if found.data is None else found.data
        if data is not ANY and type(data) is not bytes:
            try:
                data = to_bytes(data)
            except InputRefused as e:
                raise self._crashed(program, f"its frame: {e}") from e
        return Answer(found.verdict, data, found.changes, found.metadata, found.context)

    def _crashed(self, program: Program, why: str) -> Error:
        return Error(
            f"model {self.name} itself failed: {why}; nothing is known about {program.name}"
        )

    def compare(self, answer: Answer, run: Run, changes: Mapping[str, Any]) -> None:
        """Compare an answer with what the program did; Failure tells the differences."""
        told = list(_differences(answer, run, changes))
        if told or answer.data != run.data:
            raise Failure(
                lambda: self._told(told, answer, run),
                check=f"the model {self.name}",
                packet=run.frame,
                run=run,
                repeat=run.repeat,
            )

    def _told(self, told: list[str], answer: Answer, run: Run) -> str:
        head = [f"{run.program.name}: the model {self.name} says otherwise", *told]
        if answer.data != run.data:
            names = ("model", "program")
            head.append(explain.difference(answer.data, run.data, names=names))
        return "\n".join([*head, run.explain()])

    def __repr__(self) -> str:
        return f"<Model {self.name}>"


def _differences(answer: Answer, run: Run, changes: Mapping[str, Any]) -> Iterator[str]:
    # But for those of the frame, which take long to tell.
    if answer.verdict != run.verdict:
        yield f"  verdict   model {answer.verdict!r}, program {run.verdict!r}"
    if answer.metadata is not None and answer.metadata != run.metadata:
        shown = answer.metadata.hex(" ") or "none"
        yield f"  metadata  model {shown}, program {run.metadata.hex(' ') or 'none'}"
    for name, value in (answer.context or {}).items():
        seen = getattr(run.context, name)
        if seen != value:
            yield f"  context   {name}: model {value!r}, program {seen!r}"
    if answer.changes is not None:
        yield from _map_differences(answer.changes, changes)


def _map_differences(expected: Mapping[str, Any], changes: Mapping[str, Any]) -> Iterator[str]:
    for name in [*expected, *(each for each in changes if each not in expected)]:
        wanted, seen = expected.get(name, {}), changes.get(name, {})
        if wanted is ANY:
            continue
        matched = set()
        for key, pair in wanted.items():
            found = seen[key] if key in seen else ()
            if found == ():
                yield f"  map       {name}[{key!r}]: model {_step(pair)}, program leaves it"
                continue
            matched.add(_index(seen, key))
            if not _is_same(pair, found):
                yield f"  map       {name}[{key!r}]: model {_step(pair)}, program {_step(found)}"
        for key, pair in seen.items():
            if key not in matched:
                yield f"  map       {name}[{key!r}]: model leaves it, program {_step(pair)}"


def _index(seen: Any, key: Any) -> Any:
    # The key as the map itself has it.
    own = getattr(seen, "_own_key", None)
    return own(key) if own else key


def _step(pair: Any) -> str:
    old, new = pair if isinstance(pair, tuple) and len(pair) == 2 else (None, pair)
    return f"{old!r} -> {new!r}"


def _is_same(wanted: Any, seen: Any) -> bool:
    if wanted == seen:
        return True
    # A per-CPU value is a tuple, one a processor; which one counted is nobody's promise.
    pairs = zip(wanted, seen, strict=True) if isinstance(wanted, tuple) and len(wanted) == 2 else ()
    sums = [(a, _summed(b)) for a, b in pairs]
    return bool(sums) and all(a == b for a, b in sums)


def _summed(value: Any) -> Any:
    # Numbers are added up, records field by field; anything else stays a value for each processor.
    if not isinstance(value, tuple) or not value:
        return value
    if all(isinstance(each, int) for each in value):
        return sum(value)
    if all(isinstance(each, Mapping) for each in value):
        return {name: _summed(tuple(each[name] for each in value)) for name in value[0]}
    return value


class MapsBefore(Mapping[str, Any]):
    """Show a model the maps of an object, to read: `maps.blocked`, `maps["blocked"]`."""

    __slots__ = ("_maps",)

    def __init__(self, maps: Maps) -> None:
        self._maps = maps

    def __getitem__(self, name: str) -> MapBefore:
        return MapBefore(self._maps[name])

    def __getattr__(self, name: str) -> MapBefore:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._maps)

    def __len__(self) -> int:
        return len(self._maps)


class MapBefore(Mapping[Any, Any]):
    """Show a model one map, to read; keys are written as people write them.

    Looking up in a longest-prefix map finds the longest prefix, as it does for the program.
    """

    __slots__ = ("_map",)

    def __init__(self, found: Map) -> None:
        self._map = found

    def __getitem__(self, key: Any) -> Any:
        return self._map[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._map)

    def __len__(self) -> int:
        return len(self._map)

    def key(self, value: Any) -> Any:
        """Turn a key as people write it into one that a dict of changes can hold."""
        return self._map.key(value)

    def __repr__(self) -> str:
        return repr(self._map)


def model(function: Callable[..., Any]) -> Model:
    """Turn a function of (frame, maps) into a reference model of a program.

    It answers a verdict (the frame then stays as it is), or (verdict, frame), or (verdict, frame,
    changes of maps), or an `Answer`:

        @packetrig.model
        def xdp_mac_filter(frame, maps):
            return XDP.DROP if frame[6:12] in maps.blocked else XDP.PASS

        mac_filter.judge(frame, model=xdp_mac_filter)

    `maps` are those before the run, to read. By name it may ask for `globals`, `ctx` and `meta`.
    A model that crashes is an Error: nothing is known about the program then.
    """
    return Model(function)
