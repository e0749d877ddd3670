"""What the kernel's verifier said: why it refused a program, and what an accepted one costs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ._bpf import CAP_PERFMON, is_capable, probes
from ._bpf.btf import line_info
from ._bpf.kinds import ARRAYS, OF_MAPS, MapKind
from .errors import Error, LoadError, PermissionDenied, Unsupported, VerifierError
from .spec import MapSpec, Spec

_BEGIN = re.compile(
    r"prog '([^']+)': -- BEGIN PROG LOAD LOG --\n(.*?)-- END PROG LOAD LOG --", re.DOTALL
)
_NOT_TAKEN = re.compile(
    r"map '([^']+)': failed to initialize slot \[(\d+)\] to prog '([^']+)' fd=\d+: (?:-22|-EINVAL)"
)
_LOOP = re.compile(r"infinite loop detected at insn \d+")
_NOT_MADE = re.compile(r"map '([^']+)': failed to create: Invalid argument")
_FAILED = re.compile(r"prog '([^']+)': BPF program load failed: (.*)")
_PLACE = re.compile(r"^; (?P<text>.*?)(?: @ (?P<file>[^@:]+):(?P<line>\d+))?$")
_STEP = re.compile(r"^(\d+): \([0-9a-f]{2}\) ")
_STATE = re.compile(r"^(\d+: )?(R\d|\(\d|fp-|frame\d|from \d|\d+: R|last_idx|regs=|mark_precise)")
_COUNTED = re.compile(
    r"processed (\d+) insns \(limit \d+\) max_states_per_insn (\d+) total_states (\d+) "
    r"peak_states (\d+)"
)
_STACK = re.compile(r"stack depth ([\d+]+)")
_NOISE = ("processed ", "verification time", "stack depth", "arg#")

# Refused without CAP_PERFMON alone: arithmetic that could tell where the kernel's memory is.
_LEFT_TO_PERFMON = re.compile(r"prohibited|leaks addr|back-edge")

# What the commonest refusals mean, in words that say what to change.
_ADVICE = (
    (
        r"invalid access to packet",
        "compare the end of what is read with data_end before reading it",
    ),
    (
        r"math between pkt pointer",
        "bound the offset (a mask, or an if) before adding it to a pointer",
    ),
    (r"unbounded memory access|min value is negative", "bound the offset or the length first"),
    (r"infinite loop|back-edge|loop is not bounded", "give the loop a bound the verifier can see"),
    (r"invalid mem access 'map_value_or_null'", "test the looked-up pointer for NULL first"),
    (r"invalid (indirect )?read from stack|!read_ok", "initialise the variable: = {}"),
    (
        r"unknown func|helper .* not allowed|program of this type cannot use helper",
        "this kind of program, or this kernel, does not have that helper",
    ),
    (r"too large|processed 1000001|limit 1000000", "split it with tail calls or global functions"),
    (r"combined stack size|stack limit", "the stack is 512 bytes: put large structs into a map"),
    (r"R0 .*(should|must) have been|At program exit the register R0", "return one of the verdicts"),
    (r"cannot call GPL", 'give it a license: char LICENSE[] SEC("license") = "GPL";'),
)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Hold what an accepted program costs; None is what this kernel does not tell.

    `instructions` are those that the verifier processed, `xlated` and `jited` bytes of code,
    `stack` bytes of stack a frame.
    """

    instructions: int | None = None
    states: int | None = None
    peak_states: int | None = None
    states_per_instruction: int | None = None
    stack: tuple[int, ...] = ()
    xlated: int | None = None
    jited: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Hold a C line of the verifier's log with the instructions that came from it."""

    file: str
    line: int
    text: str
    instructions: tuple[str, ...]


def refused(spec: Spec, error: LoadError, kinds: Mapping[str, str]) -> Error:
    """Turn libbpf's account of a failed load into a VerifierError, where the verifier spoke.

    `kinds` are those of the programs: where the kernel knows none of such a kind, that is said.
    """
    found = _BEGIN.search(error.log)
    if slot := _NOT_TAKEN.search(error.log):
        array, number, name = slot.groups()
        return LoadError(
            f"{spec.name}: map '{array}' does not take {name} in slot {number}: its programs must "
            'be of one kind, and all with frags or none (SEC("xdp.frags"))',
            log=error.log,
        )
    if found is None:
        failed = _FAILED.search(error.log)
        kind = kinds.get(failed[1], "") if failed and failed[2] == "Invalid argument" else ""
        if kind and not probes.has_kind(kind):
            return Unsupported(f"loading {kind} programs", f"this kernel has none ({spec.name})")
        made = _NOT_MADE.search(error.log)
        lacking = spec.maps.get(made[1]) if made else None
        if lacking is None or not (reason := _lacks(lacking)):
            return error
        text = f"{spec.name}: map '{lacking.name}' cannot be made: {reason}"
        return LoadError(text, log=error.log)
    name, log = found.groups()
    if not _verifier_lines(log):
        return error
    if _LEFT_TO_PERFMON.search(log) and not is_capable(CAP_PERFMON):
        return PermissionDenied(
            f"{name}: the verifier leaves this to CAP_PERFMON, which this process lacks: "
            f"{summarise(log)}; run it as root or grant CAP_PERFMON",
            capability="CAP_PERFMON",
        )
    summary = summarise(log)
    steps = list(_steps(log, spec, name))
    place = ""
    told = [step for step in steps if step.line]
    if told:
        place = f" ({told[-1].file}:{told[-1].line})"
    return VerifierError(
        f"{name}: rejected by the verifier: {summary}{place}",
        log=log,
        summary=summary,
        statistics=counted(log),
        explanation=_explanation(name, summary, steps),
    )


# Maps that hold descriptors or numbers of 4 bytes, in slots of 4 bytes.
_FOURS = {MapKind.PROG_ARRAY, MapKind.PERF_EVENT_ARRAY, MapKind.CGROUP_ARRAY, *OF_MAPS}
_NO_ENTRIES = {
    MapKind.CGROUP_STORAGE,
    MapKind.PERCPU_CGROUP_STORAGE,
    MapKind.SK_STORAGE,
    MapKind.INODE_STORAGE,
    MapKind.TASK_STORAGE,
    MapKind.CGRP_STORAGE,
}
_NO_KEYS = {MapKind.QUEUE, MapKind.STACK, MapKind.BLOOM_FILTER, MapKind.RINGBUF}


def _lacks(found: MapSpec) -> str:
    """Say why the kernel makes no such map, to which it says "Invalid argument"; "" if unknown."""
    kind = found.kind
    if kind in OF_MAPS and found.inner is None:
        return "it has no template for its inner maps: __array(values, struct inner_map);"
    if not found.max_entries and kind not in _NO_ENTRIES:
        return (
            "it has no max_entries: __uint(max_entries, ...); where that is left to who loads it, "
            f"max_entries={{'{found.name}': 1024}}, or [max_entries] in a --setup file"
        )
    if kind in _FOURS and (found.key_size, found.value_size) != (4, 4):
        return (
            f"its keys and values have 4 bytes each, not {found.key_size} and {found.value_size}: "
            "__uint(key_size, 4); __uint(value_size, 4);"
        )
    if kind in ARRAYS and found.key_size != 4:
        return f"an array's keys have 4 bytes, not {found.key_size}: __type(key, __u32);"
    if not found.key_size and kind not in _NO_KEYS:
        return "it has no key: __type(key, ...);"
    if not found.value_size:
        return "it has no value: __type(value, ...);"
    if kind is MapKind.LPM_TRIE and not found.flags & 1:
        return "a longest-prefix map takes __uint(map_flags, BPF_F_NO_PREALLOC);"
    return ""


def summarise(log: str) -> str:
    """Pick the lines of a log that tell why: the last, and the one before if it helps."""
    lines = _verifier_lines(log)
    if not lines:
        return "the log is empty"
    # Two lines of registers follow what it says of a loop, behind the last instruction.
    if found := _LOOP.search("\n".join(lines[-3:])):
        return found[0]
    last = lines[-1]
    if len(lines) > 1 and not last.startswith("BPF program is too large"):
        before = lines[-2]
        # "R2 offset is outside of the packet" says little without the access before it.
        if not _STEP.match(before) and not _STATE.match(before) and not before.startswith(";"):
            return f"{before.split(', R')[0]}: {last}"
    return last


def counted(log: str) -> Statistics:
    """Read the verifier's own counts from the end of a log."""
    found = _COUNTED.search(log)
    stack = _STACK.search(log)
    depths = tuple(int(part) for part in stack.group(1).split("+") if part) if stack else ()
    if found is None:
        return Statistics(stack=depths)
    instructions, per_instruction, states, peak = map(int, found.groups())
    return Statistics(instructions, states, peak, per_instruction, depths)


def _verifier_lines(log: str) -> list[str]:
    lines = [line.rstrip() for line in log.splitlines()]
    return [line for line in lines if line and not line.startswith(_NOISE)]


def _steps(log: str, spec: Spec, program: str) -> Iterator[Step]:
    """Group a log's instructions under the C lines that they came from."""
    lines = _lines_of(spec, program)
    held: list[str] = []
    file, number, text = "", 0, ""
    for row in log.splitlines():
        place = _PLACE.match(row)
        if place:
            if held:
                yield Step(file, number, text, tuple(held))
            held, text = [], place["text"].strip()
            file, number = _shown(spec, place["file"] or ""), int(place["line"] or 0)
        elif step := _STEP.match(row):
            if not number and int(step.group(1)) in lines:
                full, number, text = lines[int(step.group(1))]
                file = _shown(spec, full)
            held.append(row)
    if held:
        yield Step(file, number, text, tuple(held))


def _lines_of(spec: Spec, program: str) -> dict[int, tuple[str, int, str]]:
    """Say which C line each instruction of a program came from, by the object's own BTF.

    Kernels before 6.9 print the text of a line and not its place.
    """
    found = spec.sections.get(".BTF.ext")
    if found is None or spec.btf is None or program not in spec.programs:
        return {}
    known = line_info(found[1], spec.btf)
    rows = known.get(spec.programs[program].section, ())
    places: dict[int, tuple[str, int, str]] = {}
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        end = following.instruction if following else row.instruction + 1
        for at in range(row.instruction, end):
            places[at] = (row.file, row.line, row.text.strip())
    return places


def _shown(spec: Spec, file: str) -> str:
    """Write a source's path as the user named it: the log has only the file's own name."""
    if spec.source is not None and file and Path(file).name == spec.source.name:
        return str(spec.source)
    return file


def _explanation(name: str, summary: str, steps: list[Step]) -> str:
    rows = [f"{name}: the verifier refused it", f"  {summary}", ""]
    shown = steps[-8:]
    if len(steps) > len(shown):
        rows.append(f"  ... {len(steps) - len(shown)} lines before")
    for step in shown:
        place = f"{step.file}:{step.line}" if step.line else step.file or "?"
        mark = "   <-- refused here" if step is shown[-1] else ""
        rows.append(f"  {place:<32} {step.text}{mark}")
        rows += [f"      {row}" for row in step.instructions[-6:]]
    for sign, advice in _ADVICE:
        if re.search(sign, summary):
            rows += ["", f"  to try: {advice}"]
            break
    return "\n".join(rows)
