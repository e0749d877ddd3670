"""Fakes: time, randomness and any other helper, answered by the test in place of the kernel.

A program with fakes is a test build. It is compiled once more, with a header in front that turns
each call of `bpf_ktime_get_ns()` into a read of a variable; the variables stand in a section of
their own, which is how a test build is known, and are written while the program is loaded. The
object that ships is another file, with another hash, and never has that section.
"""

from __future__ import annotations

import difflib
import os
import struct
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from . import toolchain
from .errors import Error, no_such

if TYPE_CHECKING:
    from .objects import Object

SECTION = ".data.packetrig"
PREFIX = "packetrig_mock_"

# Powers of two: how many values of a sequence, and how many calls' arguments, there is room for.
_VALUES = 512
_CALLS = 256
_WORD = 8
# Before the values: value, given, used, calls.
_HEAD = struct.Struct("=QQQQ")

# What declares its helpers itself would be warned that nobody uses them now.
_TOP = """/* Made by packetrig for a test build; see packetrig.mocks. */
#pragma clang diagnostic ignored "-Wunused-variable"
#pragma clang diagnostic ignored "-Wunneeded-internal-declaration"
"""
# A macro with arguments: a declaration, `(*bpf_x)(void)`, has none behind the name and stays what
# it is. Inside its own expansion the name is the helper again: its type, and no call of it.
_MOCK = """
struct packetrig_mock_{name} {{
	unsigned long long value, given, used, calls, values[{values}]{log};
}};
volatile struct packetrig_mock_{name} packetrig_mock_{name}
	__attribute__((section("{section}"), used));
static inline __attribute__((always_inline, unused)) unsigned long long
packetrig_fake_{name}({parameters})
{{
	volatile struct packetrig_mock_{name} *mock = &packetrig_mock_{name};
	unsigned long long call = mock->calls, at = mock->used;

	mock->calls = call + 1;{keep}
	if (!mock->given)
		return {null}mock->value;
	mock->used = at + 1;
	return {null}(at < mock->given ? mock->values[at & {last}] : mock->value);
}}
#define {name}({macro}) \\
	((__typeof__({name}({arguments})))packetrig_fake_{name}({passed}))
"""


class Value:
    """Hold what a faked helper answers; a test sets it, also while the program is attached.

        clock = packetrig.mocks.Value(0)
        limiter = packetrig.fixture("progs/xdp_ratelimit.bpf.c", mocks={"bpf_ktime_get_ns": clock})

        def test_time_refills_the_bucket(limiter):
            clock.now = 5
            clock.advance(1_000_000)

    A list of numbers is answered one after the other; a program that asks for more than there are
    has been told nothing, which is an Error of the test. When an object that uses the value is
    renewed, it has its first value again. Several helpers, and several objects, may share one.
    """

    def __init__(self, now: int | Sequence[int] = 0) -> None:
        self._start = self._now = _state(now)
        self._fakes: weakref.WeakSet[Fake] = weakref.WeakSet()

    @property
    def now(self) -> Any:
        """Return what was set last: a number, or a tuple of those that are answered in turn."""
        return self._now

    @now.setter
    def now(self, now: int | Sequence[int]) -> None:
        state = _state(now)
        for fake in self._fakes:
            check(fake.helper, state)
        self._now = state
        for fake in self._fakes:
            fake.write(state)

    def advance(self, by: int) -> None:
        """Add to a number: a clock goes on by so many nanoseconds."""
        if isinstance(self._now, tuple):
            raise Error("advance() is for one number; this value is a sequence: set .now instead")
        self.now = self._now + by

    @property
    def start(self) -> Any:
        """Return the first value, which renewal gives back."""
        return self._start

    @property
    def calls(self) -> list[tuple[int | None, ...]]:
        """List the calls of the helper, each with its arguments; see Fake.calls."""
        used = [fake for fake in self._fakes if not fake.owner.is_closed]
        if len(used) == 1:
            return used[0].calls
        if not used:
            raise Error("no loaded object uses this value: give it to build(mocks=) or fixture()")
        names = ", ".join(sorted(f"{f.owner.spec.name}'s {f.helper.name}" for f in used))
        raise Error(f"several use this value ({names}): say which: object.mocks.<helper>.calls")

    def renew(self) -> None:
        """Take the first value again; objects do it when they are renewed."""
        if self._now != self._start:
            self.now = self._start

    def used_by(self, fake: Fake) -> None:
        """Answer for one more helper of one more object; loading does it."""
        self._fakes.add(fake)
        if self._now != self._start:
            fake.write(self._now)

    def __repr__(self) -> str:
        return f"Value({self._now if isinstance(self._now, int) else list(self._now)!r})"


@dataclass(frozen=True, slots=True)
class Mock:
    """Pair a helper of the kernel with the value that answers for it in a test build."""

    helper: toolchain.Helper
    value: Value


class Fake:
    """Stand for one faked helper of one loaded object: `limiter.mocks.bpf_ktime_get_ns`."""

    def __init__(self, owner: Object, mock: Mock, offset: int) -> None:
        self.owner = owner
        self.helper = mock.helper
        self.value = mock.value
        self._offset = offset

    @property
    def calls(self) -> list[tuple[int | None, ...]]:
        """List the calls since the last renewal, each a tuple of its arguments.

        Numbers are as the helper's declaration has them; a pointer is None. Only the first 256
        calls have their arguments kept.

        Raises:
            Error: There were more calls of a helper with arguments than are kept.
        """
        count, taken = self._words()[3], self.helper.takes
        if not taken:
            return [()] * count
        if count > _CALLS:
            raise Error(f"{self.helper.name} was called {count} times, {_CALLS} calls are kept")
        words = self._words(_HEAD.size // _WORD + _VALUES, count * len(taken))
        rows = [words[at : at + len(taken)] for at in range(0, len(words), len(taken))]
        return [
            tuple(_argument(each, word) for each, word in zip(taken, row, strict=True))
            for row in rows
        ]

    def write(self, state: int | tuple[int, ...]) -> None:
        """Answer this from the next call on."""
        if self.owner.is_closed:
            return
        loaded = self.owner.loaded
        loaded.is_dirty = True
        head, values = _encoded(state)
        if values:
            loaded.write_section(SECTION, self._offset + _HEAD.size, values)
        loaded.write_section(SECTION, self._offset, head)

    def complain(self) -> None:
        """Say so if the program asked for more values than the test gave.

        Raises:
            Error: It did.
        """
        _, given, used, _ = self._words()
        if used > given:
            raise Error(
                f"{self.owner.spec.name}: {self.helper.name} was asked {used} times, its fake has "
                f"{given} values: what the program did after the last one is about nothing"
            )

    def _words(self, first: int = 0, count: int = 4) -> tuple[int, ...]:
        start = self._offset + first * _WORD
        raw = self.owner.loaded.read_section(SECTION)[start : start + count * _WORD]
        return struct.unpack(f"={count}Q", raw)

    def __repr__(self) -> str:
        return f"<Fake {self.helper.name}: {self.value!r}>"


class Fakes(Mapping[str, Fake]):
    """Hold the faked helpers of a loaded object: `limiter.mocks.bpf_redirect.calls`."""

    def __init__(self, owner: Object) -> None:
        self._owner = owner
        offsets = offsets_in(owner.spec)
        self._fakes = {
            name: Fake(owner, mock, offsets[name]) for name, mock in owner.spec.mocks.items()
        }
        for fake in self._fakes.values():
            fake.value.used_by(fake)

    def renewed(self) -> None:
        """Give every value its first state; what the object's own section holds is new already."""
        for value in {id(fake.value): fake.value for fake in self._fakes.values()}.values():
            value.renew()

    def complain(self) -> None:
        """Say so if a program asked for more values than the test gave."""
        for fake in self._fakes.values():
            fake.complain()

    def __getitem__(self, name: str) -> Fake:
        if name not in self._fakes:
            raise no_such("fake", name, self._fakes, owner=self._owner.spec.name)
        return self._fakes[name]

    def __getattr__(self, name: str) -> Fake:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fakes)

    def __len__(self) -> int:
        return len(self._fakes)

    def __repr__(self) -> str:
        return f"<Fakes: {', '.join(self)}>"


def given(
    wanted: Mapping[str, Any],
    called: Collection[int],
    include: Iterable[str | os.PathLike[str]] = (),
    *,
    owner: str,
) -> Mapping[str, Mock]:
    """Look up the helpers that are to be faked, and take the values for them.

    Args:
        wanted: By the helper's name: an int, a sequence of ints, or a `Value`.
        called: The numbers of the helpers that the program calls.
        include: Folders whose libbpf header comes before the system's.
        owner: The program, for messages.

    Raises:
        Error: There is no such helper, the program never calls it, or the value does not fit.
    """
    known = toolchain.helpers(include)
    mine = [helper.name for helper in known.values() if helper.number in called]
    mocks = {}
    for name, value in wanted.items():
        found = known.get(name)
        if found is None:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f", did you mean '{near[0]}'?" if near else ""
            raise Error(
                f"mocks: the kernel has no helper named '{name}'{hint}; {owner} calls: "
                f"{', '.join(mine) or 'none'}"
            )
        if found.number not in called:
            raise Error(
                f"mocks: {owner} never calls {name}; it calls: {', '.join(mine) or 'no helper'}"
            )
        holder = value if isinstance(value, Value) else Value(value)
        check(found, holder.start)
        check(found, holder.now)
        mocks[name] = Mock(found, holder)
    return MappingProxyType(mocks)


def check(helper: toolchain.Helper, state: int | tuple[int, ...]) -> None:
    """Hold values against what the helper can return.

    Raises:
        Error: One is out of range; a pointer other than NULL cannot be faked.
    """
    returns = helper.returns
    values = (state,) if isinstance(state, int) else state
    if returns.is_pointer:
        if state != 0:
            raise Error(
                f"mocks: {helper.name} returns a pointer, of which the verifier must know where it "
                "came from: the only fake of it is 0, NULL"
            )
        return
    for each in values if returns.bits else ():
        if not returns.least <= each <= returns.most:
            raise Error(
                f"mocks: {helper.name} returns {returns.text}, from {returns.least} to "
                f"{returns.most}: it cannot return {each}"
            )


def header(mocks: Mapping[str, Mock]) -> Path:
    """Write the header that stands in front of a test build, into the cache."""
    text = _TOP + "".join(_mock(mock.helper) for mock in mocks.values())
    return toolchain.Cache(toolchain.folder(os.environ)).header(text)


def _mock(helper: toolchain.Helper) -> str:
    takes = helper.takes
    names = [f"a{number}" for number in range(1, len(takes) + 1)]
    kinds = [
        "const volatile void *" if each.is_pointer else "unsigned long long " for each in takes
    ]
    numbers = [(i, name) for i, name in enumerate(names) if not takes[i].is_pointer]
    keep = "".join(
        f"\n\t\tmock->arguments[call & {_CALLS - 1}][{i}] = {name};" for i, name in numbers
    )
    unused = "".join(
        f"\n\t(void){name};" for i, name in enumerate(names) if (i, name) not in numbers
    )
    return _MOCK.format(
        name=helper.name,
        section=SECTION,
        values=_VALUES,
        last=_VALUES - 1,
        log=f", arguments[{_CALLS}][{len(takes)}]" if takes else "",
        parameters=", ".join(map("".join, zip(kinds, names, strict=True))) or "void",
        keep=(f"\n\tif (call < {_CALLS}) {{{keep}\n\t}}" if keep else "") + unused,
        # The compiler has to see that a pointer is NULL: what it proves, the verifier need not.
        null="0 & " if helper.returns.is_pointer else "",
        macro=", ".join([*names, "..."]) if helper.is_variadic else "...",
        arguments=", ".join([*names, "##__VA_ARGS__"]) if helper.is_variadic else "__VA_ARGS__",
        passed=", ".join(names) if helper.is_variadic else "__VA_ARGS__",
    )


def offsets_in(spec: Any) -> dict[str, int]:
    """Tell where the variables of each faked helper stand in the section."""
    if spec.btf is None:
        return {}
    found = spec.btf.datasec(SECTION)
    return {name.removeprefix(PREFIX): offset for name, (offset, _, _) in found.items()}


def first_values(spec: Any) -> Iterator[tuple[int, bytes]]:
    """Yield what the section holds when the object is loaded: offset and bytes."""
    offsets = offsets_in(spec)
    for name, mock in spec.mocks.items():
        head, values = _encoded(mock.value.start)
        yield offsets[name], head
        yield offsets[name] + _HEAD.size, values


def _state(value: object) -> int | tuple[int, ...]:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        values = tuple(value)
        if not values:
            raise Error("mocks: an empty sequence answers nothing: give it values, or a number")
        if len(values) > _VALUES:
            raise Error(f"mocks: a sequence has at most {_VALUES} values, this has {len(values)}")
        if all(isinstance(each, int) for each in values):
            return values
    what = "a function" if callable(value) else f"{type(value).__name__} {value!r}"
    raise Error(
        f"mocks: a fake is a number, a sequence of numbers or a packetrig.mocks.Value, not {what}: "
        "the kernel cannot call Python"
    )


def _encoded(state: int | tuple[int, ...]) -> tuple[bytes, bytes]:
    # All but the count of calls, which a new value does not touch.
    if isinstance(state, int):
        return struct.pack("=3Q", state & (1 << 64) - 1, 0, 0), b""
    words = [each & (1 << 64) - 1 for each in state]
    return struct.pack("=3Q", words[-1], len(words), 0), struct.pack(f"={len(words)}Q", *words)


def _argument(parameter: Any, word: int) -> int | None:
    if parameter.is_pointer:
        return None
    word &= (1 << parameter.bits) - 1
    is_negative = parameter.is_signed and word >> (parameter.bits - 1)
    return word - (1 << parameter.bits) if is_negative else word
