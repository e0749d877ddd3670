"""The speed rule: held, broken or not to be told, by the spread of what was measured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from packetrig import Run, bench, build, gate, refusals
from packetrig.bench import frames as measured_on
from packetrig.bench.speed import Compared, Speed
from packetrig.errors import Error, InputRefused, NotFound
from packetrig.gate.outcome import Answer, Decision, Outcome
from packetrig.packets import pcap

PROJECT = Path(__file__).parents[2]
ROUTER = PROJECT / "progs" / "xdp_router.bpf.c"
MAC_FILTER = PROJECT / "progs" / "xdp_mac_filter.bpf.c"
FRAME = measured_on.smallest()
REWRITES = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int xdp_counts(struct xdp_md *ctx)
{
	__u8 *at = (void *)(long)ctx->data;
	if ((void *)(at + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	(*at)++;
	return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
"""


def spread(*samples: float) -> Speed:
    return Speed(samples, bench.Method.REPEATED, ("PASS",), 1, 0)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with a capture of one small packet."""
    monkeypatch.chdir(tmp_path)
    pcap.write(tmp_path / "small.pcap", [FRAME])
    return tmp_path


def judged(rule: str, *, given: Path = MAC_FILTER, more: str = "") -> gate.Judged:
    Path("gate.toml").write_text(f'version = 1\n[speed]\npacket = "small.pcap"\n{rule}\n{more}')
    events = gate.judge(gate.read("gate.toml"), [given], into=Path("build"), seed=7)
    (found,) = [event for event in events if isinstance(event, gate.Judged)]
    return found


def speed_of(found: gate.Judged) -> Outcome:
    return found.outcome("speed")


@pytest.mark.slow
def test_limits_that_hold_and_limits_that_do_not(place: Path) -> None:
    (place / "old.o").write_bytes(build(MAC_FILTER).data)

    held = judged('max-ns-per-packet = 1e9\nmax-ratio = 1e6\nbaseline = "old.o"')
    refused = judged('max-ns-per-packet = 1e-3\nmax-ratio = 1e-6\nbaseline = "old.o"')

    assert (held.decision, refused.decision) == (Decision.DEPLOY, Decision.REFUSED)
    measured = speed_of(held).measured["programs"]["xdp_mac_filter"]
    assert measured["new"]["method"] == "repeated"
    assert measured["new"]["low"] <= measured["new"]["nanoseconds"] <= measured["new"]["high"]
    assert measured["ratio"]["low"] <= measured["ratio"]["median"] <= measured["ratio"]["high"]
    texts = [reason.text for reason in speed_of(refused).reasons]
    assert [text.partition(", ")[2] for text in texts] == [
        "max-ns-per-packet is 0.001",
        "max-ratio is 1e-06",
    ]
    assert speed_of(refused).reasons[0].repeat == (
        "packetrig bench build/xdp_mac_filter.bpf.o --packet small.pcap --against old.o"
    )


@pytest.mark.parametrize(
    ("samples", "answer"),
    [
        ((10, 11, 12, 13), Answer.HELD),
        ((10, 11, 12, 13, 90), Answer.HELD),
        ((30, 31, 32, 33), Answer.REFUSED),
        ((10, 11, 30, 31), Answer.UNDECIDED),
        ((19.9, 20, 20, 20.1), Answer.UNDECIDED),
    ],
)
def test_what_the_spread_reaches_across_is_not_decided(
    place: Path, monkeypatch: pytest.MonkeyPatch, samples: tuple[float, ...], answer: Answer
) -> None:
    monkeypatch.setattr(bench, "speed", lambda _: spread(*samples))

    found = speed_of(judged("max-ns-per-packet = 20"))

    assert found.answer is answer
    assert ("measure on a machine that idles" in str(found.reasons)) is (answer is Answer.UNDECIDED)


def test_ratios_are_of_the_pairs_and_not_of_the_medians() -> None:
    found = Compared(spread(20, 40, 60, 80), spread(10, 20, 30, 40))

    assert (found.ratio, found.ratios) == (2.0, (2.0,) * 4)
    assert found.low < 2 < found.high  # the clock's own resolution
    assert found.new.low == pytest.approx(34.5)


def test_a_refusal_that_is_waived_is_deployed_and_says_so(place: Path) -> None:
    waiver = "[[waiver]]\nrule = 'speed'\nreason = 'a new parser'\nexpires = 2999-12-31\n"

    found = judged("max-ns-per-packet = 1e-3", more=waiver)

    assert found.decision is Decision.DEPLOY
    assert speed_of(found).answer is Answer.WAIVED
    assert speed_of(found).shown.endswith(" ns (waived to 2999-12-31)")
    lines = list(gate.reasons(found, policy="gate.toml"))
    assert lines[0] == "xdp_mac_filter: DEPLOY"
    assert lines[1] == "  speed: waived until 2999-12-31: a new parser"
    document = gate.evidence.document(found, gate.read("gate.toml"), seed=7)
    assert document["rules"]["speed"]["answer"] == "waived"
    assert document["rules"]["speed"]["waiver"] == {
        "reason": "a new parser",
        "expires": "2999-12-31",
    }


def test_what_the_verifier_rejects_is_waived_by_nobody(place: Path) -> None:
    rejected = PROJECT / "progs" / "rejected" / "xdp_stale_pointer.bpf.c"
    waiver = "[[waiver]]\nrule = 'verifier'\nreason = 'known'\nexpires = 2999-12-31\n"

    found = judged("max-ns-per-packet = 1e9", given=rejected, more=waiver)

    assert found.outcome("verifier").answer is Answer.REFUSED


def test_doubt_is_waived_by_nobody(place: Path) -> None:
    waiver = "[[waiver]]\nrule = 'speed'\nreason = 'known'\nexpires = 2999-12-31\n"

    found = judged("max-ratio = 1.1\nbaseline = 'absent.o'", more=waiver)

    assert found.decision is Decision.UNDECIDED
    (reason,) = speed_of(found).reasons
    assert reason.text == (
        "[speed] baseline: there is no absent.o to measure xdp_mac_filter against"
    )


def test_a_program_that_sees_no_packets_is_not_measured(place: Path) -> None:
    given = PROJECT / "progs" / "socket" / "cgroup_connect.bpf.c"

    assert speed_of(judged("max-ns-per-packet = 1", given=given)).answer is Answer.DOES_NOT_APPLY


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("p.toml", b"x", "p.toml: is not TOML: "),
        ("p.toml", b"format = 2\n[packet.Ether]", "p.toml: is no packet: it takes format = 1"),
        ("p.toml", b"format = 1", "p.toml: is no packet: "),
        ("p.toml", b"format = 1\n[packet.Ethre]\ntype = 1", "p.toml: no layer named 'Ethre'"),
        ("p.pcap", b"", "p.pcap: is empty"),
    ],
)
def test_a_packet_that_cannot_be_read_is_named(
    place: Path, name: str, content: bytes, error: str
) -> None:
    (place / name).write_bytes(content)

    with pytest.raises(Error) as caught:
        measured_on.read(name)

    assert str(caught.value).startswith(error)


def test_a_packet_is_read_from_what_golden_packets_are_kept_in() -> None:
    golden = sorted((PROJECT / "fixtures" / "golden").rglob("*.toml"))

    assert all(len(measured_on.read(path)[0]) >= 14 for path in golden)
    with pytest.raises(NotFound, match="absent.toml: there is no such packet"):
        measured_on.read("absent.toml")


def test_a_program_that_rewrites_is_measured_packet_by_packet(place: Path) -> None:
    (place / "xdp_counts.bpf.c").write_text(REWRITES)

    with build(place / "xdp_counts.bpf.c").load() as rewrites, build(MAC_FILTER).load() as plain:
        one, other = bench.Subject(rewrites, [FRAME]), bench.Subject(plain, [FRAME])
        assert one.method is bench.Method.ONE_BY_ONE
        assert other.method is bench.Method.REPEATED
        found = bench.compare(one, other, rounds=3)

    assert found.new.method is found.old.method is bench.Method.ONE_BY_ONE
    assert len(found.ratios) == 3


def test_a_run_that_was_stopped_in_the_middle_is_measured_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with build(MAC_FILTER).load() as loaded:
        subject = bench.Subject(loaded, [FRAME])
        run, signals = subject.program.run, [None] * 2

        def interrupted(frame: bytes, **how: int) -> Run:
            if signals:
                signals.pop()
                raise refusals.Interrupted("a signal")
            return run(frame, **how)

        monkeypatch.setattr(subject, "program", SimpleNamespace(run=interrupted))

        assert subject.repeated() > 0
        assert signals == []


def test_a_capture_is_measured_packet_by_packet_without_what_is_refused() -> None:
    with build(MAC_FILTER).load() as loaded:
        subject = bench.Subject(loaded, [FRAME, bytes(13), FRAME])

        assert (subject.method, subject.refused) == (bench.Method.ONE_BY_ONE, 1)
        with pytest.raises(InputRefused, match="a frame of 13 bytes"):
            bench.Subject(loaded, [bytes(13)])
        with pytest.raises(Error, match="there is no packet to measure with"):
            bench.Subject(loaded, [])


def test_measuring_leaves_no_state_and_starts_from_the_set_up(place: Path) -> None:
    state = place / "state.toml"
    state.write_text('format = 1\n[maps.blocked]\n"02:00:00:00:00:01" = 0\n')

    found = speed_of(judged('max-ns-per-packet = 1e9\nsetup = "state.toml"'))

    assert found.measured["programs"]["xdp_mac_filter"]["new"]["verdicts"] == ["DROP"]
