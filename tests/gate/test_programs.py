"""The gate on the project's own programs: what is known to be wrong is not deployed."""

from __future__ import annotations

from pathlib import Path

import pytest

from packetrig import gate
from packetrig.packets import pcap

PROJECT = Path(__file__).parents[2]
REJECTED = sorted((PROJECT / "progs" / "rejected").glob("*.bpf.c"))

# Faults that show on the traffic of fixtures/pcap; the others show in the programs' tests.
SEEN_ON_CAPTURES = [
    "tc_egress_marker_checksum_not_updated",
    "xdp_http_data_offset_ignored",
    "xdp_http_off_by_one",
    "xdp_http_protocol_as_ethertype",
    "xdp_router_checksum_not_updated",
]


def judged(
    given: list[Path], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, gate.Judged]:
    monkeypatch.chdir(PROJECT)
    (tmp_path / "gate.toml").write_text(f"version = 1\n{text}")
    events = gate.judge(gate.read(tmp_path / "gate.toml"), given, into=tmp_path / "build", seed=7)
    return {e.candidate.name: e for e in events if isinstance(e, gate.Judged)}


@pytest.mark.slow
def test_what_the_verifier_refuses_is_refused_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = judged(REJECTED, "[verifier]\n", tmp_path, monkeypatch)

    assert {each.decision for each in found.values()} == {gate.Decision.REFUSED}
    for name, each in found.items():
        (reason,) = each.outcome("verifier").reasons
        assert f"{name}: rejected by the verifier: " in reason.text
        assert f"progs/rejected/{name}.bpf.c:" in reason.text
        assert reason.details


@pytest.mark.slow
def test_a_fault_that_recorded_traffic_meets_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = (
        '[replay]\npcap = ["fixtures/pcap/*.pcap"]\nchecksums = true\n'
        'setup = "fixtures/policy/{program}.toml"\n'
    )
    given = [PROJECT / "progs" / "faulty" / f"{name}.bpf.c" for name in SEEN_ON_CAPTURES]

    found = judged(given, rule, tmp_path, monkeypatch)

    assert {name: each.decision for name, each in found.items()} == dict.fromkeys(
        SEEN_ON_CAPTURES, gate.Decision.REFUSED
    )


@pytest.mark.slow
def test_an_object_that_the_wire_treats_otherwise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xdp_moody.bpf.c").write_text(
        """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int xdp_moody(struct xdp_md *ctx)
{
	/* A test run gives it interface 1, the loopback; a wire does not. */
	return ctx->ingress_ifindex == 1 ? XDP_PASS : XDP_DROP;
}
SEC("xdp") int other(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
"""
    )

    found = judged(
        [tmp_path / "xdp_moody.bpf.c"],
        '[live]\nmodes = ["native", "generic"]\n',
        tmp_path,
        monkeypatch,
    )["xdp_moody"]

    assert found.decision is gate.Decision.REFUSED
    reason = found.outcome("live").reasons[0]
    assert reason.text.startswith("xdp_moody on a veth (native): XDP.PASS should end in stack")
    assert ".bpf.o --program xdp_moody --frame " in reason.repeat


@pytest.mark.slow
def test_a_wire_over_which_nothing_went_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [PROJECT / "progs" / "xdp_mac_filter.bpf.c"]
    rule = '[live]\nmodes = ["native"]\ntraffic = false\n'

    found = judged(given, rule, tmp_path, monkeypatch)["xdp_mac_filter"]

    assert found.decision is gate.Decision.UNDECIDED
    assert found.outcome("live").shown == "0 frames"
    assert "nothing was tested" in found.outcome("live").reasons[0].text


@pytest.mark.slow
def test_packets_that_the_snap_length_cut_decide_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = bytes(60)
    whole, cut = pcap.Record(1, 0, frame, 60), pcap.Record(2, 0, frame, 1500)
    pcap.write(tmp_path / "cut.pcap", [cut, cut])
    rule = f"[replay]\npcap = ['{tmp_path}/cut.pcap']\n"
    given = [PROJECT / "progs" / "xdp_mac_filter.bpf.c"]

    found = judged(given, rule, tmp_path, monkeypatch)["xdp_mac_filter"]
    pcap.write(tmp_path / "cut.pcap", [whole, cut])
    some = judged(given, rule, tmp_path, monkeypatch)["xdp_mac_filter"]

    assert found.decision is gate.Decision.UNDECIDED
    assert found.outcome("replay").shown == "0 frames"
    assert "; the first: only 60 of 1500 bytes" in found.outcome("replay").reasons[0].text
    assert some.decision is gate.Decision.DEPLOY
    measured = some.outcome("replay").measured
    assert (measured["tested"], measured["refused"]) == (1, 1)


@pytest.mark.slow
def test_an_object_needs_tests_that_used_exactly_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = PROJECT / "progs" / "xdp_mac_filter.bpf.c"
    (tmp_path / "test_it.py").write_text(
        f"import packetrig\n"
        f"mac_filter = packetrig.fixture({str(source)!r})\n"
        f"def test_it_runs(mac_filter):\n    assert mac_filter.run(bytes(60)).verdict == 2\n"
    )
    rule = f"[tests]\npaths = [{str(tmp_path)!r}]\nmax-skipped = 0\n"
    given = [source, PROJECT / "progs" / "xdp_untag.bpf.c"]

    found = judged(given, rule, tmp_path, monkeypatch)

    assert found["xdp_mac_filter"].decision is gate.Decision.DEPLOY
    assert found["xdp_mac_filter"].outcome("tests").shown == "1 passed"
    assert found["xdp_untag"].decision is gate.Decision.REFUSED
    assert found["xdp_untag"].outcome("tests").shown == "none used it"


CALLS = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1);
	__type(key, __u32); __type(value, __u32); } seen SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 2);
	__type(key, __u32); __type(value, __u32); } next SEC(".maps");
SEC("xdp") int begin(struct xdp_md *ctx)
{
	__u32 zero = 0, *length = bpf_map_lookup_elem(&seen, &zero);
	if (length)
		*length = ctx->data_end - ctx->data;
	bpf_tail_call(ctx, &next, 1);
	return XDP_PASS;
}
/* Relies on its caller: nobody else runs it. */
SEC("xdp") int decide(struct xdp_md *ctx)
{
	__u32 zero = 0, *length = bpf_map_lookup_elem(&seen, &zero);
	(void)ctx;
	return length && *length ? XDP_DROP : XDP_ABORTED;
}
char LICENSE[] SEC("license") = "GPL";
"""
RULES = """
[verifier]
[replay]
pcap = ["fixtures/pcap/dns.pcap"]
setup = "{setup}"
[fuzz]
runs = 2000
[speed]
packet = "fixtures/pcap/dns.pcap"
max-ns-per-packet = 1000000
[live]
modes = ["generic"]
traffic = false
"""


@pytest.mark.slow
def test_a_program_that_only_tail_calls_reach_is_run_through_its_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xdp_calls.bpf.c").write_text(CALLS)
    (tmp_path / "calls.toml").write_text('format = 1\n[maps.next]\n1 = "decide"\n')
    rules = RULES.replace("{setup}", str(tmp_path / "calls.toml"))

    found = judged([tmp_path / "xdp_calls.bpf.c"], rules, tmp_path, monkeypatch)["xdp_calls"]

    assert found.decision is gate.Decision.DEPLOY, [each.reasons for each in found.outcomes]
    assert found.outcome("verifier").shown.endswith(" insns, decide by tail calls")
    assert found.outcome("verifier").measured["callees"] == ["decide"]
    for rule in ("fuzz", "speed"):
        assert set(found.outcome(rule).measured["programs"]) == {"begin"}
    assert {each["program"] for each in found.outcome("live").measured["reports"]} == {"begin"}


@pytest.mark.slow
def test_a_program_in_no_slot_is_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xdp_calls.bpf.c").write_text(CALLS)

    found = judged([tmp_path / "xdp_calls.bpf.c"], "[fuzz]\nruns = 2000\n", tmp_path, monkeypatch)[
        "xdp_calls"
    ]

    assert found.decision is gate.Decision.REFUSED
    (reason,) = found.outcome("fuzz").reasons
    assert "decide: it_never_aborts" in reason.text


@pytest.mark.slow
def test_a_check_that_is_not_a_programs_to_hold_is_left_out_for_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xdp_calls.bpf.c").write_text(CALLS)
    rule = '[fuzz]\nruns = 2000\nwithout = { decide = ["it_never_aborts"] }\n'

    found = judged([tmp_path / "xdp_calls.bpf.c"], rule, tmp_path, monkeypatch)["xdp_calls"]

    assert found.decision is gate.Decision.DEPLOY
    programs = found.outcome("fuzz").measured["programs"]
    assert "it_never_aborts" in programs["begin"]["checks"]
    assert "it_never_aborts" not in programs["decide"]["checks"]
