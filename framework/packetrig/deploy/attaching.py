"""Attach a program to an interface so that there is always a way back."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import pwd
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .._bpf.kinds import BEHIND_REDIRECT
from ..errors import Error
from ..live import hooks
from ..live.offloads import offloads
from ..objects import Object
from ..program import Program
from ..replay import Setup
from ..spec import Spec
from . import carry, kernel, places, preflight, recovery, reuse, stopping, watch
from . import journal as journals
from .guardian import Guardian
from .journal import CHANGING, NOTHING, OURS, PREPARING, STRANGER, WATCHING, Generation, Journal
from .permit import Permit
from .places import Spot

_MOST_GENERATIONS = 5  # the ground, and those that one can go back to


@dataclass(frozen=True, slots=True)
class Request:
    """Say what is to be attached where, why it may be, and how it is watched.

    `permit` is asked with the name of the program and of the driver, once both are known.
    """

    spec: Spec
    interface: str
    mode: str
    permit: Callable[[str, str], Permit]
    program: str | None = None
    kind: str | None = None
    setup: Setup = field(default_factory=Setup)
    keeps_maps: bool = False
    is_dry: bool = False  # look at everything, and change nothing
    replaces: int = 0
    allowed: frozenset[str] = frozenset()
    plan: watch.Watch = field(default_factory=watch.Watch)


@dataclass(frozen=True, slots=True)
class Checked:
    """Tell what was found before anything was changed."""

    findings: tuple[preflight.Finding, ...]


@dataclass(frozen=True, slots=True)
class Attached:
    """Tell that the program stands there, and what stood there before."""

    spot: Spot
    program: Generation
    before: Generation
    seconds: float


@dataclass(frozen=True, slots=True)
class Settled:
    """Tell that the program held, and stays."""

    spot: Spot
    program: Generation


Event = Checked | Attached | Settled


def attach(request: Request) -> Generator[Event, None, None]:
    """Attach a program, watch it, and put back what was there when it does not hold.

    Raises:
        Failure: It did not hold: what was there before is back.
        Error: It cannot be attached, or not be watched; what was there before is there.
    """
    spot = places.here(request.interface, places.hook_of(request.mode))
    request = dataclasses.replace(request, interface=spot.interface)
    if not journals.is_known(spot):
        hooks.interface(request.interface)  # no lock, and no folder for it, where none is
    with stopping.noted() as stop, journals.locked(spot) as lock:
        before = ready(spot)
        if before is not None and request.replaces:
            raise Error(
                f"{spot.name}: packetrig has attached {before.top.told} there: --replace-foreign "
                "is for a first attach; `packetrig detach --all` first"
            )
        interface = hooks.interface(request.interface)
        with _loaded(request, before) as loaded:
            yield from _attach(_Attaching(request, spot, interface, loaded, stop, lock), before)


def ready(spot: Spot) -> Journal | None:
    """Read the journal of a spot that a new work is to begin at.

    Raises:
        Error: There is work that nobody finished, or it is about another boot or interface.
    """
    found = journals.read(spot)
    if found is None:
        return None
    what = "`packetrig attach --recover`"
    if not found.is_of_this_boot:
        raise Error(
            f"{spot.name}: its journal is from another boot, and its programs are gone: {what} "
            "forgets it"
        )
    if found.work is not None:
        raise Error(
            f"{spot.name}: {found.work.kind} by process {found.work.pid} was not finished: {what} "
            "completes or undoes it"
        )
    try:
        there = carry.standing(found)
    except hooks.Gone as e:
        raise hooks.Gone(f"{e}; {what} forgets the one that is gone") from e
    if there != found.top.id:
        seen = f"program {there}" if there else "nothing"
        raise Error(
            f"{spot.name}: {seen} stands there and not {found.top.told}, as the journal says: "
            f"somebody else changed it; {what} puts it back where it can"
        )
    return found


@contextlib.contextmanager
def _loaded(request: Request, before: Journal | None) -> Iterator[Object]:
    if request.spec.is_test_build:
        raise Error(f"{request.spec.name}: is a test build, its helpers are faked: never attach it")
    if request.spec.is_instrumented:
        raise Error(f"{request.spec.name}: counts what it executes, for coverage: never attach it")
    shared = before.pins / f"generation-{before.top.number}" / "maps" if before else None
    if request.keeps_maps and shared is None:
        raise Error(f"--keep-maps: packetrig has attached nothing to {request.interface} yet")
    kept = shared if request.keeps_maps else None
    with reuse.loaded(
        request.spec, request.setup, program=request.program, kind=request.kind, maps=kept
    ) as made:
        yield made


@dataclass(frozen=True, slots=True)
class _Attaching:
    request: Request
    spot: Spot
    interface: hooks.Interface
    loaded: Object
    stop: stopping.Stop
    lock: int

    @property
    def program(self) -> Program:
        return reuse.program_of(self.loaded, self.request.program)


def _attach(run: _Attaching, before: Journal | None) -> Iterator[Event]:
    request, program = run.request, run.program
    has = offloads(request.interface)
    candidate = preflight.Candidate(
        program.name,
        program.kind,
        program.has_frags,
        request.mode,
        request.replaces,
        BEHIND_REDIRECT.get(run.loaded.loaded.attach_types[program.name], ""),
    )
    findings = preflight.preflight(candidate, run.interface, has, before)
    findings = preflight.allow(findings, request.allowed)
    yield Checked(tuple(findings))
    preflight.check(findings)
    permit = request.permit(program.name, has.driver)
    for limit in request.plan.counters:
        limit.value(run.loaded)  # a name that is wrong is told now
    if request.is_dry:
        return
    guardian = Guardian(run.spot, run.lock)
    try:
        yield from _watched(run, before, permit, guardian)
    finally:
        guardian.release()


def _watched(
    run: _Attaching, before: Journal | None, permit: Permit, guardian: Guardian
) -> Iterator[Event]:
    request = run.request
    measured = _well_before(run, guardian)
    journal = _prepared(run, before, permit)
    try:
        guardian.ensure()
        journal = _changed(run, journal)
        assert journal.work is not None
        # Whoever reads that it is attached may change things: what was is looked at before.
        watcher = watch.Watcher(
            request.plan,
            journal,
            run.loaded,
            run.stop,
            before=measured,
            had_carrier=run.interface.has_carrier,
        )
        if request.plan.seconds:
            guardian.beat()  # whoever is told below may never come back
        yield Attached(
            run.spot, journal.top, journal.generation(journal.work.origin), request.plan.seconds
        )
        if request.plan.seconds:
            watcher.watch(guardian)
        guardian.quiet()
        run.stop.check()
        settled = recovery.settle(journal, _kept(journal), f"{journal.top.told} was attached")
    except BaseException as e:
        guardian.quiet()
        _taken_back(run, e)
        raise
    assert settled is not None
    yield Settled(run.spot, settled.top)


def _well_before(run: _Attaching, guardian: Guardian) -> tuple[watch.Sample, watch.Sample] | None:
    # A command that fails now says nothing about the program.
    plan = run.request.plan
    if plan.command and plan.seconds:
        try:
            watch.run_command(plan, run.stop, guardian)
        except watch.Unhealthy as e:
            raise Error(f"before anything was changed: {e}") from e
    return watch.traffic(plan, run.request.interface, run.stop)


def _prepared(run: _Attaching, before: Journal | None, permit: Permit) -> Journal:
    """Write down what is to be done, and pin what it needs."""
    base = before or _ground(run)
    goal = _generation(run, max(each.number for each in base.generations) + 1, permit)
    work = journals.begin("attach", base.top.number, goal.number, phase=PREPARING)
    journal = dataclasses.replace(
        base, mode=run.request.mode, generations=(*base.generations, goal), work=work
    )
    run.stop.check()
    if before is None:
        journals.unpin(journal.pins)  # of somebody who died, and whose journal is gone
    journals.write(journal)
    try:
        journals.durable(places.kept_object(run.request.spec.sha256), run.request.spec.data)
        if before is None and base.top.what == STRANGER:
            journal = carry.borrow(journal, run.interface, base.top.id)
        folder = journal.pins / f"generation-{goal.number}"
        kernel.pin(run.program.fd, folder / "program")
        for name, found in run.loaded.maps.items():
            if "." not in name:
                kernel.pin(found.fd, folder / "maps" / name)
    except BaseException as e:
        recovery.undo(journal, str(e) or type(e).__name__)
        raise
    return journal


def _ground(run: _Attaching) -> Journal:
    spot, replaces = run.spot, run.request.replaces
    if replaces:
        carrier = carry.carrier_of(run.interface, spot.hook, replaces)
        with kernel.program(replaces) as fd:
            _, tag = kernel.program_tag(fd)
        name = carry.name_of(run.interface, spot.hook, replaces)
        ground = Generation(0, STRANGER, program=name, id=replaces, tag=tag)
    else:
        carrier = carry.carrier_for(run.interface, spot.hook)
        ground = Generation(0, NOTHING)
    return Journal(
        interface=spot.interface,
        index=run.interface.index,
        netns=spot.netns,
        hook=spot.hook,
        mode=run.request.mode,
        carrier=carrier,
        generations=(ground,),
        boot=places.boot(),
        cookie=places.cookie(),
    )


def _generation(run: _Attaching, number: int, permit: Permit) -> Generation:
    spec = run.request.spec
    return Generation(
        number=number,
        what=OURS,
        program=run.program.name,
        id=run.program.id,
        tag=run.program.tag,
        object=str(Path(spec.path).resolve()) if spec.path else spec.name,
        sha256=spec.sha256,
        evidence=permit.evidence,
        globals=dict(run.request.setup.globals),
        forced=permit.forced,
        user=_user(),
        at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _user() -> str:
    # Behind sudo, the one who called it.
    uid = int(os.environ.get("SUDO_UID") or os.getuid())
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _changed(run: _Attaching, journal: Journal) -> Journal:
    run.stop.check()
    journal = journal.to(CHANGING)
    journals.write(journal)
    assert journal.work is not None
    origin = journal.generation(journal.work.origin)
    doing = f"{run.spot.name}: attaching {journal.top.program}"
    journal = carry.put(journal, origin, journal.top, doing=doing).to(WATCHING)
    journals.write(journal)
    there = carry.standing(journal)
    if there != journal.top.id:
        raise Error(f"{doing}: the kernel reports program {there}, not {journal.top.id}")
    return journal


def _kept(journal: Journal) -> tuple[Generation, ...]:
    ground, *others = journal.generations
    return (ground, *others[-(_MOST_GENERATIONS - 1) :])


def _taken_back(run: _Attaching, why: BaseException) -> None:
    said = str(why) or type(why).__name__
    try:
        # The journal on the disk is the true one: a step may have gone further than we know.
        journal = journals.read(run.spot)
        if journal is None:
            return
        if journal.work is None:
            ends = f"{journal.top.told} is attached, and stays"
        else:
            origin = journal.generation(journal.work.origin)
            recovery.undo(journal, said)
            ends = f"{origin.told} stands there again, as before"
    except hooks.Gone as e:
        found = journals.read(run.spot)
        if found is not None:
            recovery.lose(found, e)
        raise Error(said if str(e) in said else f"{e}: {said}") from why
    except Error as e:
        raise Error(
            f"{said}; and putting back what was there could not be completed"
            f"{'' if str(e) in said else f': {e}'}; `packetrig attach --recover` tries again, "
            "`packetrig status` tells what stands there"
        ) from why
    if isinstance(why, watch.Unhealthy):
        raise watch.Unhealthy(f"{said}: {ends}", check=why.check) from why
    if isinstance(why, Error):
        raise Error(f"{said}: {ends}") from why
