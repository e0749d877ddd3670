"""Checks: what must hold for every packet, written once, used by tests, campaigns and the gate.

rules.py      Check, and `@packetrig.check`
builtin.py    those that hold for every program: `checks.builtin`, and the fast ones, `checks.cheap`
declared.py   those that a program declares: `only_change("IP.ttl")`, `length_changes(by=-4)`
fields.py     where fields stand in headers
judging.py    `object.judge(packet)`: run, and apply what has to be applied
"""

from __future__ import annotations

from .builtin import BUILTIN as builtin
from .builtin import CHEAP as cheap
from .builtin import (
    a_dropped_packet_grows_no_map,
    a_forwarded_packet_loses_one_hop,
    drops_grow_only,
    equal_packets_are_treated_equally,
    it_never_aborts,
    loses_one_hop,
    right_checksums_stay_right,
    the_output_parses_as_far_as_the_input,
    the_verdict_is_a_legal_one,
    what_a_device_summed_up_stays_right,
)
from .declared import a_second_pass_changes_nothing, length_changes, only_change
from .judging import judge, transition
from .rules import Check, CheckFunction, check

__all__ = [
    "Check",
    "CheckFunction",
    "a_dropped_packet_grows_no_map",
    "a_forwarded_packet_loses_one_hop",
    "a_second_pass_changes_nothing",
    "builtin",
    "cheap",
    "check",
    "drops_grow_only",
    "equal_packets_are_treated_equally",
    "it_never_aborts",
    "judge",
    "length_changes",
    "loses_one_hop",
    "only_change",
    "right_checksums_stay_right",
    "the_output_parses_as_far_as_the_input",
    "the_verdict_is_a_legal_one",
    "transition",
    "what_a_device_summed_up_stays_right",
]
