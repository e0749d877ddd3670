"""The rules that ask the kernel and a wire about one object: verifier and live."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from .. import live
from ..errors import Error, VerifierError
from ..objects import Object
from ..program import Program
from ..replay import Setup
from ..verifier import Statistics
from . import policy
from .captures import Capture, run_words, setup_for, setup_words
from .outcome import Answer, Candidate, Outcome, Reason

_SHOWN = 3


def verifier(
    candidate: Candidate, rule: policy.Verifier | None
) -> tuple[Outcome, dict[str, dict[str, Any]]]:
    """Load every program of the object, and compare what the verifier counted with the limits."""
    assert candidate.spec is not None
    limits = rule.model_dump(by_alias=True, exclude_none=True) if rule else {}
    try:
        programs = loaded_programs(candidate)
    except VerifierError as e:
        name = str(e).partition(":")[0]
        words = run_words(candidate, name)
        command = shlex.join([words[0], "-v", *words[1:], "--frame", "00"])
        reason = Reason(str(e), command, e.explain())
        return Outcome("verifier", Answer.REFUSED, "rejected", (reason,)), {}
    except Error as e:
        return Outcome("verifier", Answer.UNDECIDED, "cannot tell", (Reason(str(e)),)), {}
    refused = [Reason(text) for text in beyond(programs, limits)]
    unknown = [
        Reason(f"{name}: this kernel does not tell its {key[4:]} ({key})")
        for name, found in programs.items()
        for key in limits
        if found[key.removeprefix("max-")] is None
    ]
    counts = [found["instructions"] for found in programs.values()]
    shown = f"{sum(counts)} insns" if all(count is not None for count in counts) else "accepted"
    # Optional ones (SEC("?xdp")), and those that trace the kernel: nothing is said of them.
    left_out = [name for name in candidate.spec.programs if name not in programs]
    shown += f", without {', '.join(left_out)}" if left_out else ""
    shown += f", {', '.join(candidate.callees)} by tail calls" if candidate.callees else ""
    answer = Answer.REFUSED if refused else Answer.UNDECIDED if unknown else Answer.HELD
    measured = {"limits": limits, "programs": programs, "left-out": left_out}
    measured |= {"callees": list(candidate.callees)} if candidate.callees else {}
    return Outcome("verifier", answer, shown, (*refused, *unknown), measured), programs


def beyond(programs: Mapping[str, Mapping[str, Any]], limits: Mapping[str, int]) -> Iterator[str]:
    """Say which counts of the verifier are more than the policy allows."""
    for name, found in programs.items():
        for key, most in limits.items():
            count = found.get(key.removeprefix("max-"))
            if count is not None and count > most:
                yield f"{name}: {count} {key[4:]} of the verifier are more than {key} = {most}"


def loaded_programs(candidate: Candidate) -> dict[str, dict[str, Any]]:
    assert candidate.spec is not None
    # The verifier's words name C lines: with the source's path, as the user wrote it.
    spec = replace(candidate.spec, source=candidate.source)
    with spec.load(kind=candidate.kind) as loaded:
        return {
            name: {
                "kind": program.kind,
                "section": program.section,
                "tag": program.tag,
                **_counts(program.statistics),
            }
            for name, program in loaded.programs.items()
        }


def _counts(found: Statistics) -> dict[str, int | None]:
    return {
        "instructions": found.instructions,
        "states": found.states,
        "stack": max(found.stack) if found.stack else None,
        "jited": found.jited,
        "xlated": found.xlated,
    }


class _Chosen:
    """Be one program of an object as the live smoke test wants it: it runs, attaches, renews."""

    def __init__(self, loaded: Object, name: str) -> None:
        self._loaded = loaded
        self._program = loaded.programs[name]
        self.name = name
        self.kind = self._program.kind
        self.run = self._program.run
        self.renew = loaded.renew

    @property
    def fd(self) -> int:
        """Return the program's descriptor, which changes when the object is renewed."""
        return self._program.fd


def on_a_wire(
    candidate: Candidate,
    rule: policy.Live,
    replay_rule: policy.Replay | None,
    captures: Sequence[Capture],
) -> Outcome:
    """Attach every program that fits to a veth pair, in each mode, and hold it to its test run."""
    assert candidate.spec is not None
    frames = [
        record.data
        for capture in captures
        for record in capture.records
        if not record.is_snapped  # the beginning of a packet is another packet
    ]
    reports: list[live.SmokeReport] = []
    with candidate.spec.load(kind=candidate.kind) as probe:
        entries = [p for name, p in probe.programs.items() if name not in candidate.callees]
        fitting = [(p.name, mode) for p in entries for mode in _modes(p, rule)]
    for name, mode in fitting:
        setup = setup_for(replay_rule, candidate, name)
        with setup.load(candidate.spec, kind=candidate.kind) as loaded:
            reports.append(
                live.smoke(
                    _Chosen(loaded, name),
                    mode,
                    frames,
                    prepare=partial(_prepare, setup, loaded),
                    traffic=rule.traffic,
                )
            )
    if not reports:
        text = f"none of the hooks {', '.join(rule.modes)} takes a program of kind "
        return Outcome("live", Answer.DOES_NOT_APPLY, "-", (Reason(text + candidate.kinds),))
    modes = " ".join(dict.fromkeys(report.mode.value for report in reports))
    measured = {"reports": [_report(report) for report in reports]}
    reasons = [
        reason for report in reports for reason in _differences(candidate, report, replay_rule)
    ]
    if reasons:
        return Outcome("live", Answer.REFUSED, "differs", tuple(reasons), measured)
    untried = [report for report in reports if not report.sent and not report.traffic]
    if untried:
        why = Reason("no frame could be sent over the wire: nothing was tested")
        return Outcome("live", Answer.UNDECIDED, "0 frames", (why,), measured)
    return Outcome("live", Answer.HELD, modes, (), measured)


def _prepare(setup: Setup, loaded: Object, _: object) -> None:
    setup.put(loaded)


def _modes(program: Program, rule: policy.Live) -> Iterator[str]:
    """Choose the hooks for a program: a TC program's section or name may say which way it looks."""
    is_tc = program.kind in ("tc", "action")
    for mode in rule.modes:
        if mode.startswith("tc") != is_tc or (not is_tc and program.kind != "xdp"):
            continue
        named = f"{program.section} {program.name}"
        own = mode.rpartition("-")[2]
        other = "ingress" if own == "egress" else "egress"
        if is_tc and other in named and own not in named:
            continue
        yield mode


def _report(report: live.SmokeReport) -> dict[str, Any]:
    return {
        "program": report.program,
        "mode": report.mode.value,
        "sent": report.sent,
        "ended": dict(report.ended),
        "refused": dict(report.refused),
        # How many frames real connections take is their own affair: evidence is the same each time.
        "traffic": bool(report.traffic),
        "differing": report.differing,
        "known-differences": sorted({found.reason for found in report.known}),
    }


def _differences(
    candidate: Candidate, report: live.SmokeReport, rule: policy.Replay | None
) -> Iterator[Reason]:
    words = run_words(candidate, report.program)
    for found in report.differences[:_SHOWN]:
        command = [*words, "--frame", found.frame.hex()]
        command += setup_words(rule, candidate, report.program)
        yield Reason(
            f"{report.program} on a veth ({report.mode.value}): {found}", shlex.join(command)
        )
    more = report.differing - min(_SHOWN, len(report.differences))
    if more > 0:
        yield Reason(f"and {more} more frames ({report.mode.value})")
