"""Runs of one frame: verdicts, bytes, contexts, and each input that the kernel would lie about."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether

import packetrig
from packetrig import TC, XDP, Error, InputRefused, NoSuchName, Object, refusals
from packetrig._bpf import OUTPUT_ROOM

from .conftest import SOURCES

FRAME = bytes(range(64))
IPV4 = bytes(12) + b"\x08\x00" + bytes(50)


@pytest.fixture(scope="module")
def rig() -> Iterator[Object]:
    with packetrig.build(SOURCES / "edit.bpf.c").load() as loaded:
        yield loaded


def test_the_rewritten_bytes_come_back(rig: Object) -> None:
    run = rig.programs.count_first_byte.run(bytes(64))

    assert run.verdict is XDP.TX
    assert run.data == b"\1" + bytes(63)
    assert run.frame == bytes(64)
    assert run.is_rewritten


def test_a_run_is_a_value_and_time_does_not_count(rig: Object) -> None:
    first, second = (rig.programs.count_first_byte.run(FRAME) for _ in range(2))

    assert first == second
    assert hash(first) == hash(second)
    assert first != rig.programs.count_first_byte.run(bytes(64))
    with pytest.raises(AttributeError):
        first.verdict = XDP.PASS  # type: ignore[misc]


def test_a_run_in_the_place_of_its_verdict_is_an_error(rig: Object) -> None:
    run = rig.programs.any_verdict.run(FRAME)
    comparisons = (
        lambda: run == XDP.DROP,
        lambda: run != XDP.DROP,
        lambda: XDP.DROP != run,  # noqa: SIM300
        lambda: run in (XDP.PASS, XDP.DROP),
    )

    for compare in comparisons:
        with pytest.raises(Error, match=r"a Run is no verdict: write \.verdict is XDP\."):
            compare()
    assert run != 1


def test_a_scapy_packet_and_its_bytes_give_the_same_run(rig: Object) -> None:
    packet = (
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        / IP(src="10.0.0.2", dst="10.0.0.1")
        / UDP()
    )

    assert rig.programs.mark_it.run(packet) == rig.programs.mark_it.run(bytes(packet))


@pytest.mark.parametrize("delta", [4, 216])
def test_a_grown_head_and_a_cut_tail_change_the_length(delta: int) -> None:
    with packetrig.build(SOURCES / "edit.bpf.c").load(delta=delta) as rig:
        frame = bytes(300)
        assert len(rig.programs.grow_head.run(frame).data) == 300 + delta
        assert len(rig.programs.cut_tail.run(frame).data) == 300 - delta


def test_headroom_ends_where_the_kernel_says(rig: Object) -> None:
    with packetrig.build(SOURCES / "edit.bpf.c").load(delta=260) as rig:
        assert rig.programs.grow_head.run(FRAME).verdict is XDP.ABORTED


def test_a_number_that_is_no_verdict_is_shown_as_it_is(rig: Object) -> None:
    run = rig.programs.any_verdict.run(FRAME)

    assert run.verdict == 77
    assert not isinstance(run.verdict, XDP)


def test_unspec_is_minus_one_and_not_four_billion(rig: Object) -> None:
    assert rig.programs.unspec.run(FRAME).verdict is TC.UNSPEC


@pytest.mark.parametrize("size", [0, 1, 13])
@pytest.mark.parametrize("name", ["count_first_byte", "mark_it"])
def test_a_frame_below_the_ethernet_header_is_refused(rig: Object, name: str, size: int) -> None:
    with pytest.raises(InputRefused, match=f"a frame of {size} bytes: .* no less than 14"):
        rig.programs[name].run(bytes(size))
    with pytest.raises(InputRefused, match=f"frame 1: a frame of {size} bytes"):
        rig.programs[name].run_many([FRAME, bytes(size), FRAME])


def test_a_short_frame_with_a_context_never_reaches_the_kernel(rig: Object) -> None:
    # Linux fe9544ed1a2e leaked memory at each such call, until 7f9ee5fc97e1.
    with pytest.raises(InputRefused, match="no less than 14"):
        rig.programs.count_first_byte.run(bytes(13), ctx={"ingress_ifindex": 1})
    with pytest.raises(InputRefused, match="no less than 14"):
        rig.programs.count_first_byte.run(bytes(13), meta=bytes(4))


@pytest.mark.parametrize(
    ("ethertype", "name", "least"), [(b"\x08\x00", "IPv4", 34), (b"\x86\xdd", "IPv6", 54)]
)
def test_a_short_ip_frame_for_tc_is_refused_by_name(
    rig: Object, ethertype: bytes, name: str, least: int
) -> None:
    frame = bytes(12) + ethertype + bytes(least - 14)

    assert rig.programs.mark_it.run(frame).verdict is TC.OK
    with pytest.raises(InputRefused, match=f"an {name} frame of {least - 1} bytes.* {least} "):
        rig.programs.mark_it.run(frame[:-1])
    with pytest.raises(InputRefused, match=f"frame 2: .*{name} frame of {least - 1} bytes"):
        rig.programs.mark_it.run_many([frame, frame, frame[:-1]])
    assert rig.programs.count_first_byte.run(frame[:-1]).verdict is XDP.TX


def test_a_frame_that_no_driver_would_give_in_one_piece_is_refused(rig: Object) -> None:
    linear = refusals.limits().xdp_linear

    assert rig.programs.count_first_byte.run(bytes(linear)).verdict is XDP.TX
    with pytest.raises(InputRefused, match=rf"without multi-buffer.* {linear} bytes.*xdp\.frags"):
        rig.programs.count_first_byte.run(bytes(linear + 1))
    with pytest.raises(InputRefused, match="frame 1: .*without multi-buffer"):
        rig.programs.count_first_byte.run_many([FRAME, bytes(linear + 1)])


@pytest.mark.parametrize("size", [70_000, 1_000_000])
@pytest.mark.parametrize("name", ["count_first_byte", "last_byte", "mark_it"])
def test_a_frame_larger_than_any_is_refused(rig: Object, name: str, size: int) -> None:
    most = {"last_byte": refusals.limits().xdp_most, "mark_it": refusals.limits().skb_most}
    if size <= most.get(name, 0):
        return
    with pytest.raises(InputRefused, match=f"a frame of {size} bytes"):
        rig.programs[name].run(bytes(size))


@pytest.mark.parametrize("value", [5, "00", None, [1, 2], 1.5])
def test_what_is_no_packet_is_refused(rig: Object, value: object) -> None:
    with pytest.raises(InputRefused, match="a packet is bytes or a scapy packet, not"):
        rig.programs.mark_it.run(value)


def test_a_frame_in_several_pieces_comes_back_whole(rig: Object) -> None:
    # bpf_xdp_store_bytes() itself reaches no further than 65535.
    for size in (14, 3520, 3521, 9000, 65535):
        run = rig.programs.last_byte.run(bytes(size))
        assert run.verdict is XDP.PASS
        assert run.data == bytes(size - 1) + b"\xee"


def test_an_output_without_room_is_an_error_and_never_a_verdict(rig: Object) -> None:
    # With fragments the kernel writes no verdict on ENOSPC: 0 would read as XDP.ABORTED.
    program = rig.programs.last_byte
    program.run(FRAME)
    program._runner.out_capacity = 100
    try:
        with pytest.raises(packetrig.InternalError, match="the output is larger"):
            program.run(bytes(9000))
    finally:
        program._runner.out_capacity = OUTPUT_ROOM
    assert program.run(bytes(9000)).verdict is XDP.PASS


def test_a_larger_frame_after_a_smaller_one_is_not_short_of_room(rig: Object) -> None:
    sizes = [14, 64, 3000, 15, 3520]

    assert [len(rig.programs.count_first_byte.run(bytes(n)).data) for n in sizes] == sizes
    assert [len(r.data) for r in rig.programs.count_first_byte.run_many(map(bytes, sizes))] == sizes


def test_metadata_is_read_and_written(rig: Object) -> None:
    assert rig.programs.read_meta.run(FRAME, meta=b"\1\2\3\4").verdict is XDP.PASS
    assert rig.programs.read_meta.run(FRAME).verdict is XDP.DROP

    run = rig.programs.leave_meta.run(FRAME)
    assert run.metadata == bytes.fromhex("44332211")
    assert run.data == FRAME, "metadata is not part of the frame"
    assert rig.programs.leave_meta.run(FRAME, meta=b"abcd").metadata == b"\x44\x33\x22\x11abcd"
    assert rig.programs.leave_meta.run_many([FRAME] * 3)[2] == run


@pytest.mark.parametrize("meta", [b"abc", bytes(220), bytes(400)])
def test_metadata_that_the_kernel_refuses_is_named(rig: Object, meta: bytes) -> None:
    with pytest.raises(InputRefused, match=f"meta of {len(meta)} bytes"):
        rig.programs.read_meta.run(FRAME, meta=meta)
    with pytest.raises(InputRefused, match="meta= is for XDP"):
        rig.programs.mark_it.run(FRAME, meta=b"abcd")


@pytest.mark.parametrize("meta", ["abcd", [1, 2, 3, 4], 4])
def test_metadata_that_is_not_bytes_is_named(rig: Object, meta: object) -> None:
    with pytest.raises(InputRefused, match="^read_meta: meta= takes bytes, got "):
        rig.programs.read_meta.run(FRAME, meta=meta)  # type: ignore[arg-type]


def test_an_xdp_context_never_leaves_the_frame_empty(rig: Object) -> None:
    # A context with data_end 0 runs the program on nothing, and it passes everything.
    program = rig.programs.linear_is_empty

    assert program.run(FRAME).verdict is XDP.PASS
    assert program.run(FRAME, ctx={"ingress_ifindex": 1}).verdict is XDP.PASS
    assert program.run(FRAME, meta=bytes(8)).verdict is XDP.PASS
    assert {r.verdict for r in program.run_many([FRAME] * 3)} == {XDP.PASS}


def test_an_skb_context_goes_in_and_comes_out(rig: Object) -> None:
    run = rig.programs.mark_it.run(IPV4, ctx={"mark": 41, "cb": [7]})

    assert run.context.mark == 42
    assert run.context["priority"] == 3
    assert run.context.cb == (7, 8, 0, 0, 0)
    assert rig.programs.mark_it.run(IPV4).context.mark == 1, "a context is of one run only"
    assert rig.programs.mark_it.run_many([IPV4])[0] == rig.programs.mark_it.run(IPV4)
    assert rig.programs.mark_it.run(IPV4) != run


@pytest.mark.parametrize(
    ("ctx", "told"),
    [
        ({"protocol": 8}, "protocol .* cannot be set: the kernel derives it"),
        ({"vlan_tci": 5}, "vlan_tci .* put the tag into the frame"),
        ({"data_meta": 5}, "data_meta .* cannot be set"),
        ({"hash": 5}, "hash .* cannot be set"),
        ({"mark": -1}, "mark=-1: it takes 0 to 4294967295"),
        ({"mark": 2**32}, "mark=4294967296"),
        ({"mark": "5"}, "it takes an int, got str"),
        ({"cb": [1] * 6}, "cb holds 5 numbers, 6 were given"),
        ({"wire_len": 10}, "wire_len=10: the kernel refuses less than the frame's 64"),
        ({"wire_len": 65537}, "wire_len=65537"),
        ({"gso_segs": 65536}, "gso_segs=65536"),
        ({"ifindex": 99999}, "no interface has that ifindex"),
    ],
)
def test_a_context_that_the_kernel_refuses_is_named_by_field(
    rig: Object, ctx: dict[str, object], told: str
) -> None:
    with pytest.raises(InputRefused, match=told):
        rig.programs.mark_it.run(IPV4, ctx=ctx)


@pytest.mark.parametrize(
    ("ctx", "told"),
    [
        ({"data_end": 0}, "data_end .* linear=14.* splits the frame"),
        ({"egress_ifindex": 1}, "egress_ifindex .* only 0"),
        ({"rx_queue_index": 1}, "rx_queue_index needs an ingress_ifindex"),
        ({"ingress_ifindex": 99999}, "no interface has that ifindex"),
    ],
)
def test_an_xdp_context_that_the_kernel_refuses_is_named(
    rig: Object, ctx: dict[str, object], told: str
) -> None:
    with pytest.raises(InputRefused, match=told):
        rig.programs.any_verdict.run(FRAME, ctx=ctx)


def test_an_unknown_context_field_suggests_the_near_one(rig: Object) -> None:
    with pytest.raises(NoSuchName, match="did you mean 'mark'"):
        rig.programs.mark_it.run(IPV4, ctx={"makr": 1})
    with pytest.raises(NoSuchName, match="no field named 'mark'"):
        rig.programs.any_verdict.run(FRAME, ctx={"mark": 1})


def test_all_settable_skb_fields_are_taken_by_this_kernel(rig: Object) -> None:
    ctx = {
        "mark": 1,
        "priority": 2,
        "ingress_ifindex": 3,
        "ifindex": 1,
        "cb": [1, 2, 3, 4, 5],
        "tstamp": 2**40,
        "wire_len": 1500,
        "gso_segs": 2,
        "gso_size": 700,
        "hwtstamp": 2**41,
    }
    after = rig.programs.protocol_and_vlan.run(IPV4, ctx=ctx).context

    assert {name: after[name] for name in ctx if name not in ("mark", "cb")} == {
        name: value for name, value in ctx.items() if name not in ("mark", "cb")
    }


def test_the_frame_s_vlan_tag_stays_in_the_frame(rig: Object) -> None:
    # Documented: a real TC ingress has the outer tag out of band; a test run never has.
    packet = Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02") / Dot1Q(vlan=5) / IP() / UDP()

    run = rig.programs.protocol_and_vlan.run(packet)

    assert run.verdict is TC.OK
    assert run.context.mark == 0x8100


def test_an_ordinary_destination_reads_as_another_host_s(rig: Object) -> None:
    # Documented: the device is lo, whose MAC is zero.
    assert int(rig.programs.packet_type.run(b"\2" + bytes(5) + IPV4[6:]).verdict) == 3
    assert int(rig.programs.packet_type.run(IPV4).verdict) == 0


def test_repeat_does_not_give_the_packet_back(rig: Object) -> None:
    # Documented: katran runs with repeat=1 in a loop for this reason.
    assert rig.programs.count_first_byte.run(bytes(64), repeat=100).data[0] == 100
    assert rig.programs.count_first_byte.run(bytes(64)).data[0] == 1


@pytest.mark.parametrize("repeat", [0, -1, 10**8, 1.5, "3"])
def test_a_repeat_out_of_range_is_refused(rig: Object, repeat: object) -> None:
    with pytest.raises(InputRefused, match="repeat="):
        rig.programs.any_verdict.run(FRAME, repeat=repeat)  # type: ignore[arg-type]


def test_a_signal_in_the_middle_does_not_lose_the_verdict(rig: Object) -> None:
    # The kernel stops a repeated run at a pending signal: EINTR, and retval 0, XDP.ABORTED.
    seen: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: seen.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        run = rig.programs.any_verdict.run(FRAME, repeat=1_000_000)
        while not seen:
            rig.programs.any_verdict.run_many([FRAME] * 1000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert run.verdict == 77
    assert seen, "the signal came, after the run"


def test_many_runs_are_the_same_as_one_by_one(rig: Object) -> None:
    frames = [bytes([n % 256]) * (14 + n % 900) for n in range(20_000)]

    many = rig.programs.count_first_byte.run_many(frames)

    assert len(many) == 20_000
    assert set(many.verdicts) == {XDP.TX}
    assert len(many.nanoseconds) == 20_000
    for number in (0, 1, 8191, 8192, 16_384, 19_999):
        assert many[number] == rig.programs.count_first_byte.run(frames[number])
    assert many[-1] == many[19_999]
    assert [r.frame for r in many[3:5]] == frames[3:5]
    with pytest.raises(IndexError):
        many[20_000]
    assert len(rig.programs.count_first_byte.run_many([])) == 0


def test_the_repr_tells_what_came_out(rig: Object) -> None:
    packet = Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02") / IP(dst="10.0.0.1") / UDP()

    assert repr(rig.programs.count_first_byte.run(packet)) == (
        "<Run XDP.TX of count_first_byte on Ether / IP / UDP, 42 bytes, rewritten>"
    )


def test_changes_name_the_fields(rig: Object) -> None:
    packet = Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02") / IP(dst="10.0.0.1") / UDP()

    run = rig.programs.count_first_byte.run(packet)

    assert run.changes == {"Ether.dst": ("02:00:00:00:00:01", "03:00:00:00:00:01")}
    assert run.bad_checksums == []
    assert run.looks_like(Ether(dst="03:00:00:00:00:01") / IP() / UDP(), only=("Ether.dst",))
    assert not run.looks_like(Ether(dst="02:00:00:00:00:01"), only=("Ether.dst",))
    assert "--program count_first_byte --frame 0200000000010200" in run.repeat
    assert "Ether.dst" in run.explain() or "dst" in run.explain()


def test_the_command_that_repeats_a_run_builds_and_loads_it_the_same_way() -> None:
    spec = packetrig.build(
        SOURCES / "edit.bpf.c", define={"LEVEL": 3, "QUIET": None}, include=(SOURCES,)
    )
    with spec.load(program="any_verdict", kind="xdp", verdict=2) as rig:
        run = rig.run(bytes(14))

    assert run.repeat == (
        f"packetrig run {shlex.quote(str(SOURCES / 'edit.bpf.c'))} --program any_verdict "
        f"--kind xdp --define LEVEL=3 --define QUIET --include {shlex.quote(str(SOURCES))} "
        f"--set verdict=2 --frame {'00' * 14}"
    )
