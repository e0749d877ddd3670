"""`table()`: rows of packets with the verdict that each must get."""

from __future__ import annotations

from typing import Any

import pytest

from ..errors import Error
from ..packets._scapy import is_scapy


def table(*rows: tuple[str, Any, Any]) -> pytest.MarkDecorator:
    """Run a test once a row, with the row's packet and verdict.

        @packetrig.table(
            ("listed host",      Ether() / IP(src=BAD) / UDP(),      XDP.DROP),
            ("header cut short", bytes(Ether() / IP(src=BAD))[:20],  XDP.PASS))
        def test_verdicts(firewall, packet, verdict):
            assert firewall.run(packet).verdict is verdict

    The first column is the test's id, the second a scapy packet or bytes, the last the verdict.

    Raises:
        Error: A row has other columns, or two rows have one id; the row is told.
    """
    if not rows:
        raise Error("table: it has no rows; each is (id, packet, verdict)")
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        _check(number, row)
        name = row[0]
        if name in seen:
            raise Error(f"table: rows {seen[name]} and {number} have the same id '{name}'")
        seen[name] = number
    return pytest.mark.parametrize(
        ("packet", "verdict"),
        [pytest.param(packet, verdict, id=name) for name, packet, verdict in rows],
    )


def _check(number: int, row: object) -> None:
    if not isinstance(row, tuple | list) or len(row) != 3:
        size = f"{len(row)} columns" if isinstance(row, tuple | list) else repr(row)
        raise Error(f"table: row {number}: it takes (id, packet, verdict), got {size}")
    name, packet, verdict = row
    if not isinstance(name, str) or not name:
        raise Error(f"table: row {number}: the first column is the test's id, got {name!r}")
    if not (isinstance(packet, bytes | bytearray | memoryview) or is_scapy(packet)):
        kind = type(packet).__name__
        raise Error(f"table: row {number} '{name}': a packet is bytes or of scapy, not {kind}")
    if not isinstance(verdict, int) or isinstance(verdict, bool):
        raise Error(f"table: row {number} '{name}': the last column is a verdict, got {verdict!r}")
