from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator

import pytest

import packetrig
from packetrig import XDP, CodecError, MapError, NoSuchName, Object

from .conftest import SOURCES

FRAME = bytes(64)
FLOW = {"saddr": "10.0.0.1", "daddr": "10.0.0.2", "sport": 1234, "dport": 80, "protocol": 6}


@pytest.fixture
def rig() -> Iterator[Object]:
    with packetrig.build(SOURCES / "maps.bpf.c").load() as loaded:
        yield loaded


@pytest.fixture
def one_cpu() -> Iterator[None]:
    """Stay on one CPU: a perf buffer is one a CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def run(rig: Object) -> packetrig.Run:
    return rig.programs.entry.run(FRAME)


def test_a_network_order_key_takes_an_address(rig: Object) -> None:
    rig.maps.blocked["10.0.0.66"] = 3

    assert rig.maps.blocked["10.0.0.66"] == 3
    assert rig.maps.blocked[ipaddress.ip_address("10.0.0.66")] == 3
    assert rig.maps.blocked[0x0A000042] == 3
    assert rig.maps.blocked[bytes([10, 0, 0, 66])] == 3
    assert list(rig.maps.blocked) == ["10.0.0.66"]
    assert dict(rig.maps.blocked) == {0x0A000042: 3}
    assert rig.maps.blocked == {"10.0.0.66": 3}
    assert "10.0.0.66" in rig.maps.blocked
    assert "10.0.0.67" not in rig.maps.blocked


def test_a_struct_is_written_and_read_by_field(rig: Object) -> None:
    state = {
        "packets": 2**63,
        "nested": {"low": 1, "mac": "02:00:00:00:00:66"},
        "word": 0x01020304,
        "colour": "GREEN",
        "flag": 1,
        "rest": 77,
        "peer": "2001:db8::1",
        "ports": [1, 2, 3],
        "name": "eth0",
    }
    rig.maps.flows[FLOW] = state

    read = rig.maps.flows[FLOW]
    assert read.packets == 2**63
    assert read.nested.mac == "02:00:00:00:00:66"
    assert read.octets == [4, 3, 2, 1]
    assert read.colour == "GREEN"
    assert (read.flag, read.rest) == (1, 77)
    assert read.peer == "2001:db8::1"
    assert read.ports == (1, 2, 3)
    assert read.name == "eth0"
    assert list(rig.maps.flows) == [rig.maps.flows.key(FLOW)]
    assert rig.maps.flows.key(FLOW) == FLOW


def test_padding_of_a_key_is_zero_so_the_program_finds_it(rig: Object) -> None:
    assert rig.maps.flows.key(FLOW).raw[13:] == bytes(3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"packets": -1}, "packets"),
        ({"packets": 2**64}, "packets"),
        ({"packest": 1}, "packets"),
        ({"nested": {"mac": "02:00"}}, "mac"),
        ({"colour": "BLUE"}, "colour"),
        ({"flag": 2}, "flag"),
        ({"peer": "10.0.0.1"}, "peer"),
        ({"ports": [1, 2, 3, 4]}, "ports"),
        ({"name": "too long for it"}, "name"),
    ],
)
def test_a_value_that_does_not_fit_names_the_field(
    rig: Object, change: dict[str, object], told: str
) -> None:
    with pytest.raises(CodecError, match=told) as caught:
        rig.maps.flows[FLOW] = change

    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("flows: value")
    assert len(rig.maps.flows) == 0


def test_a_full_map_says_how_much_it_holds(rig: Object) -> None:
    rig.maps.blocked[1] = rig.maps.blocked[2] = 0

    with pytest.raises(MapError, match="full, max_entries is 2"):
        rig.maps.blocked[3] = 0
    assert len(rig.maps.blocked) == 2


def test_an_absent_key_is_a_key_error_that_names_the_map(rig: Object) -> None:
    with pytest.raises(KeyError, match="blocked: no entry"):
        rig.maps.blocked["10.0.0.1"]
    with pytest.raises(KeyError, match="blocked: no entry"):
        del rig.maps.blocked["10.0.0.1"]
    assert rig.maps.blocked.get("10.0.0.1") is None


def test_a_wrong_name_suggests_the_right_one(rig: Object) -> None:
    with pytest.raises(NoSuchName, match="no map named 'blokced', did you mean 'blocked'"):
        rig.maps.blokced  # noqa: B018
    with pytest.raises(KeyError):
        rig.maps["blokced"]
    with pytest.raises(MapError, match="cannot be replaced"):
        rig.maps.blocked = {}  # type: ignore[assignment]


def test_arrays_count_from_zero_and_refuse_what_lies_beyond(rig: Object) -> None:
    rig.maps.numbers[2] = 7

    assert list(rig.maps.numbers.values()) == [0, 0, 7]
    assert len(rig.maps.numbers) == 3
    with pytest.raises(MapError, match="no index 3, it has 3"):
        rig.maps.numbers[3] = 1
    with pytest.raises(MapError, match="assign 0"):
        del rig.maps.numbers[2]
    rig.maps.numbers.clear()
    assert list(rig.maps.numbers.values()) == [0, 0, 0]


def test_a_large_array_is_read_and_cleared_whole() -> None:
    spec = packetrig.build(SOURCES / "maps.bpf.c")
    with spec.load(max_entries={"numbers": 100_000, "drops": 1000}) as rig:
        rig.maps.numbers[0], rig.maps.numbers[99_999], rig.maps.drops[999] = 1, 2, 3
        before = rig.maps.snapshot()

        assert sum(rig.maps.numbers.values()) == 3
        rig.maps.numbers[50_000] = 4
        assert rig.maps.changes(before) == {"numbers": {50_000: (0, 4)}}
        assert len(before["numbers"]) == 100_000
        assert list(before["drops"][999]) == [3] * len(rig.maps.drops[0])
        rig.maps.numbers.clear()
        rig.maps.drops.clear()
        assert not any(rig.maps.numbers.values())
        assert not any(map(any, rig.maps.drops.values()))


def test_a_per_cpu_value_is_a_tuple_of_one_a_cpu(rig: Object) -> None:
    run(rig)
    run(rig)

    assert sum(rig.maps.drops[0]) == 2
    cpus = len(rig.maps.drops[0])
    rig.maps.drops[0] = 5
    assert rig.maps.drops[0] == (5,) * cpus
    rig.maps.drops[0] = range_tuple = tuple(range(cpus))
    assert rig.maps.drops[0] == range_tuple
    with pytest.raises(CodecError, match=f"or {cpus}, one a possible CPU"):
        rig.maps.drops[0] = (1,) * (cpus + 1)
    rig.maps.per_port[80] = 9
    assert rig.maps.per_port == {80: (9,) * cpus}


def test_prefixes_are_written_as_people_write_them(rig: Object) -> None:
    rig.maps.routes["10.0.0.0/8"] = 7
    rig.maps.routes["10.1.0.0/16"] = 8
    rig.maps.routes6["2001:db8::/32"] = 9

    assert rig.maps.routes["10.0.0.0/8"] == 7
    assert set(rig.maps.routes) == {"10.0.0.0/8", "10.1.0.0/16"}
    assert rig.maps.routes["10.1.2.3"] == 8, "a look-up finds the longest prefix"
    assert rig.maps.routes6[ipaddress.ip_network("2001:db8::/32")] == 9
    for wrong in ("10.0.0.1/8", "10.0.0.0/33", "ten", "2001:db8::/32"):
        with pytest.raises(CodecError):
            rig.maps.routes[wrong] = 1
    with pytest.raises(CodecError, match=r"write it as '10\.0\.0\.0/8'$"):
        rig.maps.routes["ten"] = 1
    with pytest.raises(CodecError, match=r"write it as '2001:db8::/32'$"):
        rig.maps.routes6["2001:db8::1/32"] = 1


def test_a_tail_call_goes_to_the_program_that_was_put_into_the_slot(rig: Object) -> None:
    assert run(rig).verdict is XDP.PASS

    rig.maps.jumps[0] = rig.programs.jumped

    assert run(rig).verdict is XDP.DROP
    assert rig.maps.jumps[0] is rig.programs.jumped
    assert list(rig.maps.jumps) == [0]
    del rig.maps.jumps[0]
    assert run(rig).verdict is XDP.PASS


def test_an_inner_map_is_looked_up_by_the_program(rig: Object) -> None:
    table = rig.maps.tables.new_inner()
    table[1] = 3
    rig.maps.tables[0] = table

    assert run(rig).verdict is XDP.TX
    rig.maps.tables[0][1] = 1
    assert run(rig).verdict is XDP.DROP
    assert 1 not in rig.maps.tables


def test_device_and_cpu_maps_hold_numbers(rig: Object) -> None:
    rig.maps.ports[1] = 1  # lo
    rig.maps.cpus[0] = 192

    assert rig.maps.ports[1] == 1
    assert rig.maps.cpus[0] == 192
    with pytest.raises(MapError):
        rig.maps.ports[1] = 4_000_000
    with pytest.raises(MapError):
        rig.maps.sockets[0] = 0


def test_queues_and_stacks_are_pushed_and_popped(rig: Object) -> None:
    for n in (1, 2, 3):
        rig.maps.waiting.push(n)
        rig.maps.piled.push(n)

    with pytest.raises(MapError, match="full"):
        rig.maps.waiting.push(4)
    assert (rig.maps.waiting.peek(), rig.maps.piled.peek()) == (1, 3)
    assert [rig.maps.waiting.pop() for _ in range(3)] == [1, 2, 3]
    assert [rig.maps.piled.pop() for _ in range(3)] == [3, 2, 1]
    assert rig.maps.waiting.peek() is None
    assert rig.maps.waiting.pop(None) is None
    with pytest.raises(KeyError, match="empty"):
        rig.maps.waiting.pop()
    with pytest.raises(MapError, match="push"):
        rig.maps.waiting[0] = 1


def test_a_bloom_filter_knows_what_was_added(rig: Object) -> None:
    rig.maps.met.add(7)

    assert 7 in rig.maps.met
    assert 8 not in rig.maps.met
    with pytest.raises(MapError, match="add"):
        rig.maps.met[0] = 1


def test_a_map_without_types_holds_bytes(rig: Object) -> None:
    rig.maps.untyped[b"abc"] = b"12345"

    assert rig.maps.untyped[b"abc"] == b"12345"
    with pytest.raises(CodecError, match="3 bytes"):
        rig.maps.untyped[b"ab"] = b"12345"
    with pytest.raises(CodecError, match="5 bytes"):
        rig.maps.untyped[b"abc"] = 7
    rig.put({"maps": {"untyped": [{"key": [97, 98, 99], "value": [49, 50, 51, 52, 53]}]}})
    assert rig.maps.untyped[b"abc"] == b"12345"
    for wrong in ([1, 2, 3, 4], [1, 2, 3, 4, 256], [1, 2, 3, 4, "5"]):
        with pytest.raises(CodecError, match="takes 5 bytes, or a list of as many numbers"):
            rig.maps.untyped[b"abc"] = wrong


@pytest.mark.parametrize("name", ["events", "samples"])
def test_events_are_read_as_typed_records_and_then_gone(rig: Object, name: str) -> None:
    run(rig)
    run(rig)

    events = rig.maps[name].read("event")

    assert [event.length for event in events] == [64, 64]
    assert events[0].saddr == "10.0.0.1"
    assert events[0].port == 80
    assert rig.maps[name].read() == []
    run(rig)
    if name == "events":  # a ring buffer keeps the exact size, so the struct can be told
        assert rig.maps[name].read()[0].length == 64
    with pytest.raises(MapError, match=r"read\(\)"):
        rig.maps[name][0]


def test_events_that_did_not_fit_are_not_silently_gone(rig: Object, one_cpu: None) -> None:
    rig.programs.entry.run_many([FRAME] * 12_000)

    with pytest.raises(MapError, match=r"samples: \d+ events were lost") as caught:  # noqa: PT012
        rig.maps.samples.read()
        # Before Linux 6.0 the kernel tells of the lost ones with the next event that fits.
        run(rig)
        rig.maps.samples.read()
    lost = int(str(caught.value).split()[1])
    assert len(rig.maps.samples.read()) in (12_000 - lost, 1), (
        "what arrived is not lost by saying so"
    )


def test_globals_are_live_and_const_ones_frozen(rig: Object) -> None:
    assert (rig.globals.seen, rig.globals.level, rig.globals.limit) == (0, 9, 5)
    run(rig)

    assert rig.globals.seen == 1
    assert rig.globals.hidden == 1
    rig.globals.seen = 41
    run(rig)
    assert rig.globals["seen"] == 42
    assert rig.globals.fixed == {"low": 7, "mac": bytes(6)}
    with pytest.raises(packetrig.Error, match=r"const.*limit=6"):
        rig.globals.limit = 6
    with pytest.raises(NoSuchName, match="did you mean 'level'"):
        rig.globals.levle = 1
    with pytest.raises(CodecError, match="global level"):
        rig.globals.level = 2**32


def test_const_globals_take_their_value_before_loading() -> None:
    spec = packetrig.build(SOURCES / "maps.bpf.c")
    with spec.load(limit=6, level=3) as rig:
        rig.maps.jumps[0] = rig.programs.jumped

        assert (rig.globals.limit, rig.globals.level) == (6, 3)
        assert rig.programs.entry.run(FRAME).verdict is XDP.TX
    with pytest.raises(NoSuchName, match="did you mean 'limit'"):
        spec.load(limti=6)
    with pytest.raises(CodecError, match="global limit"):
        spec.load(limit="many")


def test_a_snapshot_tells_what_changed(rig: Object) -> None:
    rig.maps.blocked["10.0.0.1"] = 1
    rig.maps.blocked["10.0.0.2"] = 2
    before = rig.maps.snapshot()

    rig.maps.blocked["10.0.0.1"] = 5
    del rig.maps.blocked["10.0.0.2"]
    rig.maps.flows[FLOW] = {"packets": 1}
    rig.maps.numbers[1] = 4

    changes = rig.maps.changes(before)
    assert changes["blocked"] == {"10.0.0.1": (1, 5), "10.0.0.2": (2, None)}
    assert changes["numbers"] == {1: (0, 4)}
    assert set(changes) == {"blocked", "numbers", "flows"}
    old, new = changes["flows"][rig.maps.flows.key(FLOW)]
    assert old is None
    assert new.packets == 1
    assert changes["blocked"] != {"10.0.0.1": (1, 5)}
    assert rig.maps.changes(rig.maps.snapshot()) == {}


def test_snapshots_of_two_objects_can_be_compared(rig: Object) -> None:
    with packetrig.build(SOURCES / "maps.bpf.c").load() as other:
        assert other.maps.snapshot() == rig.maps.snapshot()
        other.maps.blocked[1] = 1
        assert other.maps.snapshot() != rig.maps.snapshot()


def test_state_is_put_in_from_a_mapping(rig: Object) -> None:
    rig.put(
        {
            "maps": {"blocked": {"10.0.0.66": 0}, "numbers": {"1": 5}, "routes": {"0.0.0.0/0": 1}},
            "globals": {"level": 2},
        }
    )

    assert rig.maps.blocked == {"10.0.0.66": 0}
    assert rig.maps.numbers[1] == 5
    assert rig.globals.level == 2
    with pytest.raises(packetrig.Error, match="unknown part 'map'"):
        rig.put({"map": {}})


def test_of_state_that_does_not_fit_the_value_is_named_and_not_the_key(rig: Object) -> None:
    with pytest.raises(CodecError, match="^numbers: value "):
        rig.put({"maps": {"numbers": {"1": "five"}}})


def test_a_slot_that_is_put_in_names_its_program(rig: Object) -> None:
    slots = {"maps": {"jumps": {"0": "jumped"}}}
    rig.put(slots)
    assert run(rig).verdict is XDP.DROP
    assert rig.maps.jumps[0] is rig.programs.jumped
    with pytest.raises(NoSuchName, match="no program named 'jumpd', did you mean 'jumped'"):
        rig.put({"maps": {"jumps": {"0": "jumpd"}}})

    with packetrig.build(SOURCES / "maps.bpf.c").load(program="entry") as one:
        for _ in range(2):  # the second time as renewed
            one.put(slots)
            assert list(one.programs) == ["entry"], "what is in a slot is not run by itself"
            assert one.run(FRAME).verdict is XDP.DROP
            one.renew()
        assert one.run(FRAME).verdict is XDP.PASS


def test_loading_for_a_slot_loses_nothing_that_was_put_in() -> None:
    with packetrig.build(SOURCES / "maps.bpf.c").load(program="entry") as one:
        one.maps.numbers[1] = 5
        with pytest.raises(MapError, match="would lose what maps hold: put its slot in first"):
            one.put({"maps": {"jumps": {"0": "jumped"}}})
        assert one.maps.numbers[1] == 5


def test_an_inner_map_is_put_in_as_its_entries(rig: Object) -> None:
    for entries in ({"1": 3}, [{"key": 1, "value": 3}]):
        rig.put({"maps": {"tables": {"0": entries}}})
        assert rig.maps.tables[0] == {1: 3}
        assert run(rig).verdict is XDP.TX
        rig.renew()
