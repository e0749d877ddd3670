"""`packetrig bench`: what it measures, and what it says of what it cannot measure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from .given import GOOD, SHORT, Ended

Command = Callable[..., Ended]
Capture = Callable[..., str]

MIX = "progs/xdp_mix.bpf.c"
FEW = ("--rounds", 3)


def test_a_program_is_shown_with_its_nanoseconds_and_what_the_verifier_counted(
    packetrig: Command,
) -> None:
    ended = packetrig("bench", MIX, *FEW)

    assert (ended.code, ended.err) == (0, "")
    head, columns, row = ended.out.splitlines()
    assert head == "1 packet, repeated, 3 samples each"
    assert columns.split() == (
        ["program", "of", "ns/packet", "spread", "insns", "states", "stack", "jited", "verdicts"]
    )
    assert re.fullmatch(
        rf"xdp_mix +{MIX} +\d+\.\d +-?\d+\.\d to \d+\.\d +\d+ +\d+ +\d+ +\d+ +PASS", row
    )


def test_two_programs_are_measured_in_turn(packetrig: Command, capture: Capture) -> None:
    words = ("--packet", capture(GOOD, GOOD, SHORT), "--setup", "state.toml")

    ended = packetrig("bench", MIX, "--against", MIX, *words, *FEW, "--json")

    found = json.loads(ended.out)
    assert ended.code == 0
    assert [each["program"] for each in found["programs"]] == ["xdp_mix", "xdp_mix"]
    assert {(e["method"], e["packets"], e["refused"]) for e in found["programs"]} == {
        ("one by one", 2, 1)
    }
    assert found["ratio"]["low"] <= found["ratio"]["median"] <= found["ratio"]["high"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ((MIX, "--packet", "absent.pcap"), "absent.pcap"),
        ((MIX, "--packet", "nothing.pcap"), "nothing.pcap: is empty"),
        ((MIX, "--packet", "no-packet.pcap"), "no-packet.pcap: holds no whole packet"),
        ((MIX, "--frame", "00"), "xdp_mix: a frame of 1 bytes"),
        ((MIX, "--frame", "zz"), "is not hexadecimal"),
        ((MIX, "--frame", "00", "--packet", "in.pcap"), "give one of them"),
        ((MIX, "--against", "absent.o"), "no object file absent.o"),
        ((MIX, "--rounds", "2"), "2 is not in the range 3<=x<=10000"),
        (("progs/two.bpf.c",), "holds several programs: way_in, way_out_egress"),
        (("progs/cgroup_connect.bpf.c",), "no packet can be given to a cgroup_sock_addr program"),
        (("absent.bpf.c",), "absent.bpf.c: there is no such file"),
    ],
)
def test_what_cannot_be_measured_is_one_line_and_exit_2(
    packetrig: Command, words: tuple[str, ...], error: str
) -> None:
    ended = packetrig("bench", *words)

    assert error in ended.err
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
