"""Rows of packets with the verdict of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from scapy.all import IP, UDP, Ether

import packetrig
from packetrig import XDP

pytest_plugins = ["pytester"]

PACKET = Ether() / IP() / UDP()


def test_each_row_is_a_test_with_its_id(run: Callable[..., pytest.RunResult]) -> None:
    result = run(
        """
from scapy.all import IP, UDP, Ether

@packetrig.table(
    ("a host that is not listed", Ether() / IP(src="10.0.0.1") / UDP(), XDP.PASS),
    ("bytes, cut short",          FRAME[:20],                           XDP.PASS),
    ("a listed host",             bytearray(FRAME),                     XDP.DROP),
)
def test_verdicts(door, packet, verdict):
    door.maps.blocked["10.0.0.66"] = 0
    assert door.run(packet).verdict is verdict
""",
        "-v",
    )

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [
            "*::test_verdicts[[]a host that is not listed[]] PASSED*",
            "*::test_verdicts[[]bytes, cut short[]] PASSED*",
            "*::test_verdicts[[]a listed host[]] PASSED*",
        ]
    )


WRONG: dict[str, tuple[list[Any], str]] = {
    "no rows": ([], "it has no rows"),
    "two columns": ([("a", b"")], "row 1: it takes (id, packet, verdict), got 2 columns"),
    "no tuple": ([PACKET], "row 1: it takes (id, packet, verdict), got <Ether"),
    "id of bytes": ([(b"a", b"", XDP.PASS)], "row 1: the first column is the test's id, got b'a'"),
    "empty id": ([("", b"", XDP.PASS)], "row 1: the first column is the test's id, got ''"),
    "columns swapped": (
        [("a", XDP.PASS, PACKET)],
        "row 1 'a': a packet is bytes or of scapy, not XDP",
    ),
    "text": ([("a", "00ff", XDP.PASS)], "row 1 'a': a packet is bytes or of scapy, not str"),
    "no verdict": ([("a", PACKET, "DROP")], "row 1 'a': the last column is a verdict, got 'DROP'"),
    "bool": ([("a", PACKET, True)], "row 1 'a': the last column is a verdict, got True"),
    "one id twice": (
        [("a", PACKET, XDP.PASS), ("b", PACKET, XDP.PASS), ("a", PACKET, XDP.DROP)],
        "rows 1 and 3 have the same id 'a'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_row_is_named(name: str) -> None:
    rows, message = WRONG[name]

    with pytest.raises(packetrig.Error) as caught:
        packetrig.table(*rows)

    assert str(caught.value).startswith(f"table: {message}")
