"""The policy: what is written is read strictly, and a mistake names file, key and what fits."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from packetrig import gate
from packetrig.errors import NotFound, PolicyError
from packetrig.gate.outcome import RULES, Answer, Outcome, Waiver
from packetrig.gate.waivers import waived

PROJECT = Path(__file__).parents[2]

WHOLE = """
version = 1
[build]
warnings = "error"
[verifier]
max-instructions = 4096
max-states = 100
max-stack = 256
[tests]
paths = ["tests"]
min-tests = 5
max-skipped = 0
[replay]
pcap = ["fixtures/pcap/*.pcap"]
setup = "fixtures/policy/{program}.toml"
against = "deployed/{object}.o"
checksums = true
[live]
modes = ["native", "generic", "tc-ingress", "tc-egress"]
traffic = false
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gate.toml"


def test_every_key_is_read(file: Path) -> None:
    file.write_text(WHOLE)

    rules = gate.read(file).rules

    assert rules.verifier and rules.verifier.max_instructions == 4096
    assert rules.tests and (rules.tests.min_tests, rules.tests.max_skipped) == (5, 0)
    assert rules.replay and rules.replay.against == "deployed/{object}.o"
    assert rules.live and rules.live.traffic is False


def test_a_rule_that_is_not_written_is_off(file: Path) -> None:
    file.write_text("version = 1\n[live]\nmodes = ['native']\n")

    rules = gate.read(file).rules

    assert (rules.build, rules.verifier, rules.tests, rules.replay) == (None,) * 4


def test_the_project_s_own_policy_is_one() -> None:
    rules = gate.read(PROJECT / "fixtures" / "policy" / "gate.toml").rules

    # Not kernels: they would have to be fetched and booted first. `make matrix` does.
    assert rules.on == tuple(rule for rule in RULES if rule != "kernels")


@pytest.mark.parametrize(
    ("text", "key", "allowed"),
    [
        ("[build]", "version", "1"),
        ("version = 2\n[build]", "version", "1"),
        ("version = 2\n[kernels]", "version", "1"),
        ("version = true\n[build]", "version", "1"),
        ("version = '1'\n[build]", "version", "1"),
        ("version = 1", "", "build, verifier, tests, coverage, replay"),
        ("version = 1\nbuild = 3", "build", "a table: [build]"),
        ("version = 1\n[verifer]", "verifer", "version, build, verifier, tests, replay"),
        ("version = 1\n[build]\nwarnings = true", "[build] warnings", "'error' or 'show'"),
        (
            "version = 1\n[verifier]\nmax_stack = 5",
            "[verifier] max_stack",
            "max-instructions, max-states, max-stack",
        ),
        (
            "version = 1\n[verifier]\nmax-instructions = '5'",
            "[verifier] max-instructions",
            "a whole number from 1",
        ),
        (
            "version = 1\n[verifier]\nmax-instructions = 0",
            "[verifier] max-instructions",
            "a whole number from 1",
        ),
        ("version = 1\n[verifier]\nmax-stack = 1.5", "[verifier] max-stack", "a number of bytes"),
        ("version = 1\n[tests]\npaths = []", "[tests] paths", "a list of at least one text"),
        ("version = 1\n[tests]\npaths = 'tests'", "[tests] paths", "a list of at least one text"),
        ("version = 1\n[tests]\npath = ['tests']", "[tests] path", "paths, min-tests, max-skipped"),
        (
            "version = 1\n[tests]\npaths = ['t']\nmin-tests = 0",
            "[tests] min-tests",
            "a whole number from 1",
        ),
        (
            "version = 1\n[tests]\npaths = ['t']\nmax-skipped = true",
            "[tests] max-skipped",
            "a whole number from 0",
        ),
        ("version = 1\n[replay]", "[replay] pcap", "a list of at least one text"),
        (
            "version = 1\n[live]\nmodes = ['nativ']",
            "[live] modes",
            "a list of: native, generic, tc-ingress, tc-egress, tcx-ingress, tcx-egress",
        ),
        ("version = 1\n[kernels]", "[kernels] releases", "a list of releases (6.1), images"),
        (
            "version = 1\n[kernels]\nreleases = ['6.1']\nrules = ['speed']",
            "[kernels] rules",
            "a list of: verifier, tests, replay, fuzz, live",
        ),
        (
            "version = 1\n[kernels]\nreleases = ['6.1']\ntimeout = 60",
            "[kernels] timeout",
            "a time for each kernel: '90s'",
        ),
        (
            "version = 1\n[kernels]\nreleases = ['6.1']\nmemory = '2 GB'",
            "[kernels] memory",
            "a size: '512M' or '2G'",
        ),
    ],
)
def test_a_mistake_names_the_file_the_key_and_what_is_allowed(
    file: Path, text: str, key: str, allowed: str
) -> None:
    file.write_text(text)

    with pytest.raises(PolicyError) as caught:
        gate.read(file)

    error = caught.value
    assert (error.file, error.key) == (str(file), key)
    assert error.allowed.startswith(allowed)
    assert str(error).startswith(f"{file}: {key}")
    assert error.allowed in str(error)
    assert "\n" not in str(error)


SPEED = "version = 1\n[speed]\npacket = 'p.toml'\n"
COVERAGE = "version = 1\n[tests]\npaths = ['t']\n[coverage]\n"
WAIVER = "version = 1\n[build]\n[[waiver]]\nrule = 'build'\nreason = 'known'\nexpires = "
DAY = datetime.date(2026, 7, 1)


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("version = 1\n[speed]\nmax-ratio = 1.1", "[speed] packet", "is missing"),
        (SPEED, "[speed] max-ns-per-packet", "max-ns-per-packet or max-ratio"),
        (f"{SPEED}max-ratio = 1.1", "[speed] baseline", "the object that max-ratio is to"),
        (f"{SPEED}max-ns-per-packet = 9\nbaseline = 'b.o'", "[speed] max-ratio", "is missing"),
        (f"{SPEED}max-ratio = 0", "[speed] max-ratio", "0 does not fit; allowed: a number above 0"),
        (f"{SPEED}max-ratio = inf\nbaseline = 'b.o'", "[speed] max-ratio", "inf does not fit"),
        (f"{SPEED}max-ns-per-packet = inf", "[speed] max-ns-per-packet", "a number above 0"),
        (f"{SPEED}max-ns-per-packet = nan", "[speed] max-ns-per-packet", "a number above 0"),
        ('version = 1\n[replay]\npcap = ["a\\u0000"]', "[replay] pcap", "does not fit"),
        (f"version = 1\n[tests]\npaths = ['{'a' * 300}']", "[tests] paths", "does not fit"),
        (f"version = 1\n[fuzz]\nruns = 1\nsetup = '{'a/' * 3000}'", "[fuzz] setup", "a path; {"),
        (
            "version = 1\n[replay]\npcap = ['p']\nsetup = '{prog}.toml'",
            "[replay] setup",
            "'{prog}.toml' does not fit; allowed: a path; {program} and {object} are filled in",
        ),
        (
            "version = 1\n[fuzz]\nruns = 1\nsetup = '{}.toml'",
            "[fuzz] setup",
            "'{}.toml' does not fit",
        ),
        (f"{SPEED}max-ns-per-packet = '9'", "[speed] max-ns-per-packet", "'9' does not fit"),
        (f"{SPEED}max-ns-per-packet = true", "[speed] max-ns-per-packet", "True does not fit"),
        (
            "version = 1\n[tests]\npaths = ['t']\n[coverage]",
            "[coverage] min-branches",
            "is missing",
        ),
        (f"{COVERAGE}min-lines = 90", "[coverage] min-lines", "90 does not fit"),
        (f"{COVERAGE}min-lines = '0.9'", "[coverage] min-lines", "a share from 0 to 1"),
        ("version = 1\n[coverage]\nmin-lines = 0.9", "[tests] paths", "the tests whose coverage"),
        ("version = 1\n[fuzz]", "[fuzz] time", "time = '60s' or runs = 20000"),
        ("version = 1\n[fuzz]\ntime = 60", "[fuzz] time", "60 does not fit"),
        ("version = 1\n[fuzz]\ntime = '60'", "[fuzz] time", "'30s', '5m' or '1h'"),
        ("version = 1\n[fuzz]\ntime = '0s'", "[fuzz] time", "'0s' does not fit"),
        ("version = 1\n[fuzz]\nruns = 0", "[fuzz] runs", "0 does not fit"),
        (
            "version = 1\n[fuzz]\nruns = 1\nwithout = { xdp_nat = ['hops'] }",
            "[fuzz] without.xdp_nat",
            "a_forwarded_packet_loses_one_hop, ",
        ),
        ("version = 1\n[fuzz]\nruns = 1\nworkers = 0", "[fuzz] workers", "from 1"),
        ("version = 1\n[fuzz]\nruns = 1\nseed = -1", "[fuzz] seed", "a whole number from 0"),
        ("version = 2\n[kernels]", "version", "2 is newer than this packetrig"),
        (
            "version = 1\n[kernels]\nreleases = ['6.1']\nrules = ['verifier', 'live']",
            "[live]",
            "is missing; allowed: the rule that [kernels] rules asks for",
        ),
        ("version = 1\n[matrix]\nmin = 1", "matrix", "there is no such key"),
        (f"{WAIVER}2026-06-30", "[[waiver]] expires", "the waiver of build ended on 2026-06-30"),
        (f"{WAIVER}'2027-01-31'", "[[waiver]] expires", "no waiver without an end"),
        (f"{WAIVER}true", "[[waiver]] expires", "a day, as 2027-01-31"),
        (
            "version = 1\n[build]\n[[waiver]]\nrule = 'build'\nreason = 'x'",
            "[[waiver]] expires",
            "is missing; allowed: a day, as 2027-01-31",
        ),
        (
            "version = 1\n[build]\n[[waiver]]\nrule = 'build'\nexpires = 2027-01-31",
            "[[waiver]] reason",
            "is missing",
        ),
        (
            WAIVER.replace("'build'", "'live'") + "2027-01-31",
            "[[waiver]] rule",
            "'live' is no rule that is on; allowed: build, verifier",
        ),
        (
            f"{WAIVER}2027-01-31\n[[waiver]]\nrule = 'build'\nreason = 'x'\nexpires = 2027-01-31",
            "[[waiver]] rule",
            "'build' is waived twice",
        ),
        (f"{WAIVER}2027-01-31".replace("known", "  "), "[[waiver]] reason", "'  ' does not fit"),
        (f"{WAIVER}2027-01-31\nuntil = 1", "[[waiver]] until", "allowed: rule, reason, expires"),
        ("version = 1\n[build]\n[waiver]\nrule = 'build'", "waiver", "tables: [[waiver]]"),
        ("version = 1\n[[waiver]]\nrule = 'x'\nreason = 'x'\nexpires = 2027-01-31", "", "no rule"),
    ],
)
def test_limits_and_waivers_are_read_strictly(file: Path, text: str, key: str, said: str) -> None:
    file.write_text(text)

    with pytest.raises(PolicyError) as caught:
        gate.read(file, day=DAY)

    assert caught.value.key == key
    assert str(caught.value).startswith(f"{file}: {key}")
    assert said in str(caught.value)


def test_a_waiver_holds_through_its_last_day(file: Path) -> None:
    file.write_text(f"{WAIVER}2026-07-01")

    (waiver,) = gate.read(file, day=DAY).rules.waiver

    assert (waiver.rule, waiver.reason, waiver.expires) == ("build", "known", DAY)


def test_a_waiver_lets_through_the_refusal_of_its_own_rule_alone(file: Path) -> None:
    more = WAIVER.removeprefix("version = 1\n[build]\n").replace("'build'", "'verifier'")
    file.write_text(f"{WAIVER}2026-07-01\n{more.replace('known', 'new')}2026-07-02")
    build, verifier = gate.read(file, day=DAY).rules.waiver
    refused = Outcome("verifier", Answer.REFUSED, "rejected")

    assert waived(refused, [build]) == refused
    found = waived(refused, [build, verifier])
    assert (found.answer, found.shown) == (Answer.WAIVED, "rejected (waived to 2026-07-02)")
    assert found.waiver == Waiver("new", datetime.date(2026, 7, 2))


@pytest.mark.parametrize("answer", sorted(set(Answer) - {Answer.REFUSED}, key=lambda a: a.value))
def test_what_is_no_refusal_is_waived_by_nothing(file: Path, answer: Answer) -> None:
    file.write_text(f"{WAIVER}2026-07-01")
    outcome = Outcome("build", answer, "as it is")

    assert waived(outcome, gate.read(file, day=DAY).rules.waiver) == outcome


def test_a_byte_order_mark_is_no_part_of_a_policy(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfversion = 1\n[build]\n")

    assert gate.read(file).rules.on == ("build", "verifier")


def test_the_nearest_key_is_suggested(file: Path) -> None:
    file.write_text("version = 1\n[tests]\npaths = ['t']\nmax-skiped = 1\n")

    with pytest.raises(PolicyError, match="no such key, did you mean 'max-skipped'[?]"):
        gate.read(file)


def test_several_mistakes_are_counted(file: Path) -> None:
    file.write_text("version = 1\n[verifier]\nmax-stack = 'a'\nmax-states = 'b'\n")

    with pytest.raises(PolicyError, match=r"\(and 1 more\)$"):
        gate.read(file)


def test_a_file_that_is_no_toml_or_not_there_is_named(file: Path, tmp_path: Path) -> None:
    file.write_bytes(b"version = \xff")

    with pytest.raises(PolicyError, match="is not TOML: "):
        gate.read(file)
    with pytest.raises(PolicyError, match="cannot be read: is a directory"):
        gate.read(tmp_path)
    with pytest.raises(NotFound, match="there is no such policy"):
        gate.read(tmp_path / "absent.toml")
