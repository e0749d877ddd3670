"""From failures to findings: small, at their place, told once, and told again later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from packetrig import Failure
from packetrig.fuzz import Found, campaign, crashfile, place
from packetrig.fuzz.again import Status, again, recipe_of
from packetrig.fuzz.finding import Finding, Made
from packetrig.fuzz.report import Reporter, made_of
from packetrig.fuzz.target import Target
from packetrig.packets import craft
from packetrig.replay import Setup

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "tests" / "cli" / "sources"
MIX = "progs/xdp_mix.bpf.c"


def udp(last: int, payload: bytes = b"hello") -> bytes:
    network = craft.Network(bytes((10, 0, 0, last)), bytes((10, 0, 0, 9)))
    return network.frame(craft.udp(payload, network), craft.UDP)


ABORTED = bytes(12) + b"\x88\xb5" + bytes(range(46))
ILLEGAL = bytes(12) + b"\x88\xb6" + bytes(46)
RULES = """
import packetrig
from packetrig import XDP

@packetrig.check
def nobody_is_dropped(before, run):
    return run.verdict is not XDP.DROP
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the programs of the tests of the commands, and a check."""
    (tmp_path / "progs").symlink_to(SOURCES)
    (tmp_path / "rules.py").write_text(RULES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def target(here: Path) -> Iterator[Target]:
    """xdp_mix, which forwards UDP with a hop less and a stale checksum, in a set-up state."""
    made = Made(
        MIX,
        "xdp_mix",
        maps={"blocked": {"10.0.0.66": 0}},
        globals={"hop": 1, "limit": 4},
        checks=("rules.py:nobody_is_dropped",),
    )
    with recipe_of(made).open() as opened:
        yield opened


def failing(target: Target, *frames: bytes) -> Failure:
    failure = target.check(frames)
    assert failure is not None
    return failure


def found(target: Target, *frames: bytes) -> Finding:
    made = Reporter(target, seed=7).finding(frames, failing(target, *frames))
    assert made is not None
    return made


def line(text: str) -> int:
    lines = (SOURCES / "xdp_mix.bpf.c").read_text().split("\n")
    return next(number for number, each in enumerate(lines, 1) if text in each)


def test_a_finding_is_small_and_stands_at_the_line_that_decides(target: Target) -> None:
    made = found(target, udp(66)[:20], ABORTED)

    assert made.frames == (craft.MAC_DESTINATION + craft.MAC_SOURCE + b"\x88\xb5",)
    assert str(made.place) == f"{MIX}:{line('return XDP_ABORTED')}"
    assert (made.place.function, made.place.code) == ("xdp_mix", "return XDP_ABORTED;")
    assert (made.check, made.seen, made.seed) == ("it_never_aborts", "XDP.ABORTED", 7)


@pytest.mark.parametrize(
    ("frame", "code"),
    [(ILLEGAL, "return 77"), (udp(1), "ip->ttl--"), (udp(66), "return XDP_DROP")],
    ids=["a verdict that is none", "a stale checksum", "a drop"],
)
def test_the_place_is_what_no_passing_packet_executes(
    target: Target, frame: bytes, code: str
) -> None:
    made = found(target, frame)

    assert made.place.code.startswith(code)


def test_a_story_whose_state_matters_keeps_the_frames_that_make_it(target: Target) -> None:
    passing = bytes(12) + b"\x88\xb7" + bytes(46)

    made = found(target, *[passing] * 9)

    assert (made.check, len(made.frames)) == ("nobody_is_dropped", 5)
    assert made.place.line == line("return XDP_DROP")
    assert again(made).status is Status.FAILS
    fewer = again(replace(made, frames=(made.frames[0],) * 4))
    assert fewer.status is Status.FIXED, "the fifth packet is the one too many"


def test_a_finding_is_told_once_whatever_packet_shows_it(target: Target) -> None:
    reporter = Reporter(target)
    first = reporter.finding([ABORTED], failing(target, ABORTED))

    longer = bytes(12) + b"\x88\xb5" + bytes(300)
    assert first is not None
    assert reporter.finding([longer], failing(target, longer)) is None
    assert reporter.finding([udp(1), longer], failing(target, longer)) is None


def test_another_check_at_another_place_is_another_finding(target: Target) -> None:
    reporter = Reporter(target)
    made = [reporter.finding([frame], failing(target, frame)) for frame in (ABORTED, ILLEGAL)]

    assert None not in made
    assert len({each.id for each in made if each}) == 2


def test_without_counters_the_place_is_the_file(target: Target) -> None:
    blind = replace(target.recipe, counting=None, why_plain="it was asked for")
    with blind.open() as opened:
        made = place.of(opened, [ABORTED])

    assert str(made) == MIX
    assert made.line == 0


def test_a_recipe_is_told_in_words_that_make_it_again(target: Target) -> None:
    made = made_of(target.recipe)

    assert made.source == MIX
    assert made.checks == ("rules.py:nobody_is_dropped",)
    assert made_of(recipe_of(made)) == made


def test_a_check_that_stands_in_no_file_is_named_so_and_cannot_be_replayed(
    target: Target,
) -> None:
    import packetrig

    @packetrig.check
    def inner(before: bytes, run: object) -> bool:
        return True

    made = made_of(replace(target.recipe, checks=(inner,)))

    assert made.checks == ("(in no file):inner",)
    lost = replace(found(target, ABORTED), made=made)
    assert again(lost).status is Status.ERROR
    assert "(in no file): there is no such file" in again(lost).reason


def test_a_finding_fails_again_until_the_program_is_right(target: Target) -> None:
    made = found(target, ABORTED)
    crashfile.write(made)

    done = again(crashfile.read(crashfile.path_of(made)))

    assert (done.status, done.is_another, done.is_same_object) == (Status.FAILS, False, True)
    right = replace(made, made=replace(made.made, source="progs/xdp_warned.bpf.c", program=""))
    fixed = again(replace(right, made=replace(right.made, maps={}, globals={})))
    assert (fixed.status, fixed.is_same_object) == (Status.FIXED, False)


def test_what_fails_by_another_check_now_is_told_so(target: Target) -> None:
    made = replace(found(target, ABORTED), check="the_verdict_is_a_legal_one")

    assert again(made).is_another


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"source": "progs/xdp_mux.bpf.c"}, "did you mean xdp_mix.bpf.c?; paths in a crash file"),
        ({"program": "xdp_mux"}, "no program named 'xdp_mux', did you mean 'xdp_mix'?"),
        ({"maps": {"blokced": {}}}, "no map named 'blokced', did you mean 'blocked'?"),
        ({"globals": {"hop": "high"}}, "hop"),
        ({"against": "absent.o"}, "no object file absent.o"),
        ({"model": "absent.py"}, "absent.py: there is no such file"),
    ],
)
def test_what_cannot_be_told_is_an_error_that_says_why(
    target: Target, change: dict[str, object], told: str
) -> None:
    made = found(target, ABORTED)

    done = again(replace(made, made=replace(made.made, **change)))  # type: ignore[arg-type]

    assert done.status is Status.ERROR
    assert told in done.reason


def test_a_frame_that_the_kernel_refuses_says_nothing_about_the_program(target: Target) -> None:
    made = replace(found(target, ABORTED), frames=(bytes(9),))

    done = again(made)

    assert done.status is Status.ERROR
    assert "a frame of 9 bytes" in done.reason


def test_a_program_that_does_otherwise_than_another_is_found_and_replayed(here: Path) -> None:
    made = Made(MIX, "xdp_mix", define={"VERDICT": "XDP_TX"}, against=MIX)
    with recipe_of(made).open() as opened:
        finding = found(opened, udp(1))

    assert finding.expected == f"the program does the same as {MIX}"
    assert finding.details == (f"verdict: XDP.TX, and in {MIX} XDP.PASS",)
    assert (finding.seen, finding.rule) == ("XDP.TX", "does_the_same")
    assert again(finding).status is Status.FAILS
    assert again(replace(finding, made=replace(made, define={}))).status is Status.FIXED


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "line"), [("xdp_http_off_by_one", 18), ("xdp_http_vlan_not_parsed", 10)]
)
def test_a_fault_is_the_same_finding_whatever_the_seed(
    monkeypatch: pytest.MonkeyPatch, fault: str, line: int
) -> None:
    monkeypatch.chdir(ROOT)
    setup = Setup.read("fixtures/policy/xdp_http.toml")
    source = f"progs/faulty/{fault}.bpf.c"
    model = "progs/models/xdp_http.py"
    made = Made(source, "", maps=setup.maps, globals=setup.globals, model=model)
    recipe = recipe_of(made)

    told = [
        event.finding
        for seed in (1, 2)
        for event in campaign(recipe, runs=2000, seed=seed)
        if isinstance(event, Found) and event.finding
    ]

    assert [str(each.place) for each in told] == [f"{source}:{line}"] * 2
    assert len({each.id for each in told}) == 1
