"""The built-in and the declared checks, each on a program that it must object to, and one not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether

import packetrig
from packetrig import TC, XDP, Error, Failure, NoSuchName, Object, Run, checks
from packetrig.checks.builtin import made_wrong

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
PACKET = bytes(ETHER / IP(src="10.0.0.1", dst="10.0.0.2", ttl=9) / UDP(sport=5, dport=6) / b"data")
NO_CHECKSUM = bytes(ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(chksum=0) / b"data")
Judged = Callable[[str], Object]


@pytest.fixture(scope="module")
def spec() -> packetrig.Spec:
    return packetrig.build(Path(__file__).parent / "sources" / "judged.bpf.c")


@pytest.fixture
def judged(spec: packetrig.Spec) -> Iterator[Judged]:
    """Load one of the programs."""
    loaded: list[Object] = []

    def load(name: str) -> Object:
        loaded.append(spec.load(program=name))
        return loaded[-1]

    yield load
    for each in loaded:
        each.close()


# Each built-in check has something that it objects to


@pytest.mark.parametrize(
    "program, packet, check, said",
    [
        ("illegal", PACKET, "the_verdict_is_a_legal_one", "77 is no verdict of a xdp program"),
        ("aborts", PACKET, "it_never_aborts", ""),
        ("spoils_checksum", PACKET, "right_checksums_stay_right", "IP.chksum made wrong"),
        ("spoils_ports", PACKET, "right_checksums_stay_right", "UDP.chksum made wrong"),
        ("updates_no_checksum", NO_CHECKSUM, "right_checksums_stay_right", "UDP.chksum"),
        ("tunnels", PACKET, "right_checksums_stay_right", "IP.chksum made wrong"),
        ("redirects", PACKET, "a_forwarded_packet_loses_one_hop", "IP.ttl was 9 and is 9"),
        ("shifts", PACKET, "the_output_parses_as_far_as_the_input", "Ether / IP / UDP"),
        ("collects", PACKET, "a_dropped_packet_grows_no_map", "sources by [10.0.0.1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_built_in_check_objects(
    judged: Judged, program: str, packet: bytes, check: str, said: str
) -> None:
    with pytest.raises(Failure, match=check.replace("_", " ")) as caught:
        judged(program).judge(packet)

    assert caught.value.check == check
    assert said in str(caught.value).splitlines()[0]


ECHO4 = bytes(ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(type=0, id=7))
ECHO6 = bytes(ETHER / IPv6(src="2001:db8::1", dst="2001:db8::2") / ICMPv6EchoReply(id=7))


@pytest.mark.parametrize(("one", "other"), [(ECHO4, ECHO6), (ECHO6, ECHO4)])
def test_a_translated_echo_may_be_as_wrong_as_it_came(one: bytes, other: bytes) -> None:
    broken, worse = (bytes((*each[:-5], each[-5] ^ 1, *each[-4:])) for each in (one, other))

    assert made_wrong(broken, worse) == []
    assert made_wrong(broken, other) == []
    assert len(made_wrong(one, worse)) == 1


def test_a_write_that_leaves_the_sum_of_a_device_is_objected_to(judged: Judged) -> None:
    with pytest.raises(Failure) as caught:
        judged("writes_directly").judge(bytes(ETHER / IPv6() / UDP()))

    assert caught.value.check == "what_a_device_summed_up_stays_right"


@pytest.mark.parametrize(
    "program, packet",
    [
        ("passes", PACKET),
        ("passes", PACKET[:20]),
        ("bridges", PACKET),  # a redirect that keeps the MAC addresses is no routing
        ("remembers", PACKET),  # what a run leaves in maps is taken back before the next
        ("takes_turns", PACKET),  # from the same state it answers the same
        ("rolls_dice", PACKET),  # it asks for a random number: to differ is its nature
        ("starts_a_timer", PACKET),  # what the timer writes comes when it comes
        ("takes_a_cookie", PACKET),  # each skb of a test run has a socket of its own
        ("updates_no_checksum", PACKET[:30]),  # what was cut is not looked at
        ("redirects", bytes(ETHER / b"no IP at all, so no hop can be lost")),
    ],
)
def test_no_check_objects(judged: Judged, program: str, packet: bytes) -> None:
    assert judged(program).judge(packet).frame == packet


def test_a_program_with_a_timer_is_not_run_twice_to_compare(judged: Judged) -> None:
    applies = checks.equal_packets_are_treated_equally.applies

    assert applies is not None
    assert not applies(judged("starts_a_timer").program)
    assert applies(judged("remembers").program)


def test_what_differs_from_the_same_state_is_objected_to(judged: Judged) -> None:
    passed, dropped = judged("passes").run(PACKET), judged("collects").run(PACKET)
    equal = checks.equal_packets_are_treated_equally

    equal(PACKET, passed, again=lambda: passed)
    with pytest.raises(Failure, match=r"XDP.PASS, and XDP.DROP the second time"):
        equal(PACKET, passed, again=lambda: dropped)


def test_what_a_second_run_makes_or_leaves_otherwise_is_objected_to(judged: Judged) -> None:
    passed = judged("passes").run(PACKET)
    equal = checks.equal_packets_are_treated_equally

    class Leaves:
        differs = ("counts",)

        def __call__(self) -> Run:
            return passed

    with pytest.raises(Failure, match="the second time it makes other bytes of it"):
        equal(PACKET, passed, again=lambda: passed._replace(data=PACKET[:-1]))
    with pytest.raises(Failure, match="the second time it leaves something else in counts"):
        equal(PACKET, passed, again=Leaves())


def test_a_wrong_checksum_may_stay_wrong(judged: Judged) -> None:
    wrong = PACKET[:24] + b"\xab\xcd" + PACKET[26:]

    judged("spoils_checksum").judge(wrong)


def test_an_answer_that_is_shorter_needs_right_checksums_too(judged: Judged) -> None:
    asked = bytes(ETHER / IP() / UDP() / bytes(60))
    answer = ETHER / IP() / ICMP(type=3, code=4) / asked[14:42]
    run = judged("bridges").run(asked)

    checks.right_checksums_stay_right(asked, run._replace(data=bytes(answer)))
    answer[ICMP].chksum = 1
    with pytest.raises(Failure, match="ICMP.chksum made wrong"):
        checks.right_checksums_stay_right(asked, run._replace(data=bytes(answer)))


def test_what_was_inside_all_along_is_not_laid_to_the_program(judged: Judged) -> None:
    inside = bytes(ETHER / IP() / ICMP(chksum=1) / b"data")
    asked = bytes(ETHER / IP() / UDP(dport=7) / b"a tunnel of their own" / inside)
    run = judged("bridges").run(asked)

    checks.right_checksums_stay_right(asked, run._replace(data=inside))


V4, V6 = ETHER / IP(src="10.0.0.1", dst="10.0.0.2"), ETHER / IPv6()
NO_V4, NO_V6 = bytes(V4 / b"data")[:23] + b"\xfd" + bytes(14), bytes(V6)[:20] + b"\xfd" + bytes(33)
INSIDE = IP(src="10.8.0.1", dst="10.8.0.2", proto=253) / b"no transport"
# Behind its IP header something begins that looks like another one.
NAKED = bytes(V4 / UDP(sport=0x4500) / bytes(30))
WRAPPED = bytes(V4 / UDP(dport=7) / b"a tunnel of their own" / INSIDE)


@pytest.mark.parametrize(
    ("before", "after", "objects"),
    [
        (V4 / UDP(), NO_V4, True),
        (V6 / UDP(), NO_V6, True),
        (V4 / UDP(), ETHER / b"neither", True),
        (V4 / UDP(), bytes(V4 / UDP())[:40], True),  # cut in its transport header
        (V4 / UDP(), ETHER / Dot1Q(vlan=7) / IP() / ICMP(), False),  # tags come, answers differ
        (bytes(V4 / UDP())[:40], NO_V4, False),  # it was cut before
        (ETHER / IP(len=19) / UDP(), NO_V4, False),  # its length lies
        (ETHER / IP(len=29) / UDP(), NO_V4, False),
        (ETHER / IPv6(plen=0) / UDP(), NO_V6, False),
        (ETHER / IPv6(plen=9) / UDP(), NO_V6, False),
        (ETHER / IPv6(plen=8) / UDP(), NO_V6, True),
        (V4 / UDP(), ETHER, True),
        (V4 / UDP(), bytes(12) + b"\x00\x30" + bytes(48), False),  # an 802.3 frame
        (NAKED, NAKED[:14] + NAKED[34:], True),  # its IP header alone was taken off
        (WRAPPED, ETHER / INSIDE, False),  # taken out of a tunnel that nobody knows
        (WRAPPED, bytes(ETHER / INSIDE)[:-1], True),  # and cut
        (WRAPPED, ETHER / IP(src="10.8.0.9", dst="10.8.0.2", proto=253) / b"no transport", True),
    ],
)
def test_headers_that_were_there_are_there_afterwards(
    judged: Judged, before: Any, after: Any, objects: bool
) -> None:
    run = judged("bridges").run(bytes(before))._replace(data=bytes(after))

    with pytest.raises(Failure, match="and reaches") if objects else nullcontext():
        checks.the_output_parses_as_far_as_the_input(bytes(before), run)
    # What ended here is not looked at.
    dropped = run._replace(verdict=XDP.DROP)
    checks.the_output_parses_as_far_as_the_input(bytes(before), dropped)


def test_a_packet_at_its_end_is_not_forwarded(judged: Judged) -> None:
    frame = bytes(ETHER / IP(ttl=0) / UDP())
    moved = frame[:5] + b"\x07" + frame[6:22] + b"\xff" + frame[23:]
    run = judged("bridges").run(frame)._replace(data=moved)

    with pytest.raises(Failure, match="IP.ttl was 0"):
        checks.a_forwarded_packet_loses_one_hop(frame, run)


def test_the_cheap_checks_are_the_beginning_of_the_built_in_ones() -> None:
    assert checks.builtin[: len(checks.cheap)] == checks.cheap
    assert not any(check.asks for check in checks.cheap)


# What judge() takes


def test_a_check_can_be_left_out(judged: Judged) -> None:
    judged("aborts").judge(PACKET, without=[checks.it_never_aborts])
    judged("aborts").judge(PACKET, without=["it_never_aborts"])
    judged("aborts").judge(PACKET, without="it_never_aborts")
    judged("aborts").judge(PACKET, without=checks.it_never_aborts)


def test_leaving_out_a_check_that_is_not_there_is_an_error(judged: Judged) -> None:
    with pytest.raises(NoSuchName, match="did you mean 'it_never_aborts'"):
        judged("aborts").judge(PACKET, without=["it_never_abort"])


def test_a_given_check_takes_the_place_of_the_built_in_one(judged: Judged) -> None:
    judged("collects").judge(PACKET, checks.drops_grow_only("sources"))

    with pytest.raises(Failure):
        judged("redirects").judge(PACKET, checks.loses_one_hop(on=[XDP.REDIRECT]))
    judged("redirects").judge(PACKET, checks.loses_one_hop(on=[XDP.TX]))


def test_what_is_no_check_is_an_error(judged: Judged) -> None:
    with pytest.raises(Error, match="takes checks, made by @packetrig.check"):
        judged("passes").judge(PACKET, len)


def test_the_cheap_checks_alone(judged: Judged) -> None:
    judged("takes_turns").judge(PACKET, builtin=checks.cheap)


def test_a_failure_tells_the_check_the_layers_the_difference_and_how_to_repeat_it(
    judged: Judged,
) -> None:
    with pytest.raises(Failure) as caught:
        judged("spoils_checksum").judge(PACKET)

    told = str(caught.value)
    assert told.startswith("spoils_checksum: right checksums stay right does not hold: IP.chksum")
    assert "Ether / IP 10.0.0.1 > 10.0.0.2 / UDP 5 > 6" in told
    assert "+ IP     tos=0x4" in told
    assert "repeat  packetrig run" in told
    assert caught.value.packet == PACKET


# A check of one's own


def test_a_check_may_ask_what_changed_in_the_maps(judged: Judged) -> None:
    seen = []

    @packetrig.check
    def it_counts(before: bytes, run: Run, maps: object, grown: object) -> None:
        seen.append((dict(maps), dict(grown)))

    judged("collects").judge(PACKET, it_counts, without=["a_dropped_packet_grows_no_map"])

    assert seen[0][0] == {"sources": {"10.0.0.1": (None, 1)}}
    assert seen[0][1] == {"sources": ["10.0.0.1"]}


def test_a_change_that_did_not_happen_is_what_was_held_twice(judged: Judged) -> None:
    @packetrig.check
    def it_counts(before: bytes, run: Run, maps: Mapping[str, Any]) -> None:
        assert "counts" not in maps
        assert maps.get("counts") is None
        old, new = maps["counts"][0]
        assert sum(new) == sum(old) + 1
        assert maps["sources"]["10.0.0.1"] == (None, None)

    with pytest.raises(Failure, match="it counts does not hold: assert 0 == "):
        judged("passes").judge(PACKET, it_counts)


def test_a_map_that_got_no_entry_has_grown_by_none(judged: Judged) -> None:
    @packetrig.check
    def it_remembers(before: bytes, run: Run, grown: Mapping[str, Any]) -> bool:
        assert "sources" not in grown
        assert grown.get("sources") is None
        return grown["sources"] != []

    with pytest.raises(Failure, match="it remembers does not hold"):
        judged("passes").judge(PACKET, it_remembers)


def test_a_map_that_there_is_not_is_an_error_of_the_check(judged: Judged) -> None:
    @packetrig.check
    def it_counts(before: bytes, run: Run, maps: Mapping[str, Any]) -> bool:
        return bool(maps["count"])

    with pytest.raises(Error, match="itself failed: NoSuchName: no map named 'count', did you"):
        judged("passes").judge(PACKET, it_counts)


def test_a_check_may_run_the_packet_again_and_leaves_no_trace(judged: Judged) -> None:
    program = judged("remembers")
    answers = []

    @packetrig.check
    def again_and_again(before: bytes, run: Run, again: Callable[..., Run]) -> None:
        answers.extend([again(), again(PACKET[:20])])

    run = program.judge(PACKET, again_and_again)

    assert [each.frame for each in answers] == [PACKET, PACKET[:20]]
    assert sum(program.maps.counts[0]) == 1
    assert program.maps.events.read() == [(7).to_bytes(4, "little")]
    assert program.program.last is run


def test_running_again_tells_what_it_left_otherwise(judged: Judged) -> None:
    told = []

    @packetrig.check
    def it_collects(before: bytes, run: Run, again: Any) -> None:
        again()
        told.append(again.differs)
        again(PACKET[:29] + b"\x07" + PACKET[30:])  # from 10.0.0.7
        told.append(again.differs)

    program = judged("collects")
    program.judge(PACKET, it_collects, builtin=checks.cheap)

    assert told == [(), ("sources",)]
    assert program.maps.sources == {"10.0.0.1": 1}


def test_what_is_run_again_with_values_of_each_processor_stays_on_one(judged: Judged) -> None:
    before = os.sched_getaffinity(0)
    seen = []

    @packetrig.check
    def it_stays(before: bytes, run: Run, again: Callable[..., Run]) -> None:
        seen.append(len(os.sched_getaffinity(0)))

    judged("remembers").judge(PACKET, it_stays)

    assert seen == [1]
    assert os.sched_getaffinity(0) == before


def test_running_again_is_from_the_state_before(judged: Judged) -> None:
    program = judged("takes_turns")
    answers = []

    @packetrig.check
    def again_is_as_before(before: bytes, run: Run, again: Callable[..., Run]) -> None:
        answers.append(again().verdict)

    program.globals.turn = 6
    run = program.judge(PACKET, again_is_as_before, builtin=checks.cheap)

    assert answers == [run.verdict] == [XDP.PASS]
    assert program.globals.turn == 7


def test_a_check_that_breaks_is_an_error_and_no_failure(judged: Judged) -> None:
    @packetrig.check
    def it_divides(before: bytes, run: Run) -> bool:
        return len(before) / 0 > 1

    with pytest.raises(Error, match="check it_divides itself failed: ZeroDivisionError"):
        judged("passes").judge(PACKET, it_divides)


@pytest.mark.parametrize("answer", [0, 1, [], "", iter(())])
def test_a_check_that_answers_neither_yes_nor_no_is_an_error(judged: Judged, answer: Any) -> None:
    @packetrig.check
    def it_holds(before: bytes, run: Run) -> Any:
        return answer

    with pytest.raises(Error, match="it_holds itself failed: it asserts, or returns True or False"):
        judged("passes").judge(PACKET, it_holds)


def test_a_check_that_asks_for_something_unknown_is_an_error() -> None:
    with pytest.raises(Error, match=r"check odd\(before, run, mpas\): it takes \(before, run\)"):

        @packetrig.check
        def odd(before: bytes, run: Run, mpas: object) -> None: ...


def test_a_check_that_asks_for_maps_cannot_be_called_alone(judged: Judged) -> None:
    @packetrig.check
    def needs_maps(before: bytes, run: Run, maps: object) -> None: ...

    with pytest.raises(Error, match="asks for maps: use object.judge"):
        needs_maps(PACKET, judged("passes").run(PACKET))


# Declared checks


def changed(judged: Judged, before: bytes, after: bytes) -> Run:
    return judged("passes").run(before)._replace(data=after)


def with_bytes(frame: bytes, at: int, data: bytes) -> bytes:
    return frame[:at] + data + frame[at + len(data) :]


@pytest.mark.parametrize(
    "fields, after, culprit",
    [
        ((), with_bytes(PACKET, 22, b"\x08"), "IP.ttl"),
        (("IP.ttl",), with_bytes(PACKET, 22, b"\x08"), ""),
        (("IP.ttl",), with_bytes(PACKET, 22, b"\x08\x11\x00"), "IP.chksum"),
        (("IP",), with_bytes(PACKET, 15, b"\x08"), ""),
        (("UDP.dport",), with_bytes(PACKET, 34, b"\x01"), "UDP.sport"),
        (("IP.ihl",), with_bytes(PACKET, 14, b"\x46"), ""),
        (("IP.ihl",), with_bytes(PACKET, 14, b"\x56"), "IP.version"),
        (("IP.version",), with_bytes(PACKET, 14, b"\x46"), "IP.ihl"),
        (("IP.frag",), with_bytes(PACKET, 20, b"\x01"), ""),
        (("IP.frag",), with_bytes(PACKET, 20, b"\x20"), "IP.flags"),
        (("IP.flags",), with_bytes(PACKET, 20, b"\x01"), "IP.frag"),
        ((), with_bytes(PACKET, len(PACKET) - 1, b"x"), "Raw.load"),
        (("Raw.load",), with_bytes(PACKET, len(PACKET) - 1, b"x"), ""),
        (("IP.ttl",), PACKET[:-1], "the length changed"),
        (("length",), PACKET[:-1], ""),
        (("Ether.dst", "Ether.src"), b"\xff" * 12 + PACKET[12:], ""),
    ],
)
def test_only_declared_fields_may_change(
    judged: Judged, fields: tuple[str, ...], after: bytes, culprit: str
) -> None:
    check, run = checks.only_change(*fields), changed(judged, PACKET, after)

    if not culprit:
        check(PACKET, run)
        return
    with pytest.raises(Failure) as caught:
        check(PACKET, run)
    assert culprit in str(caught.value).splitlines()[0]


INNER = IP(src="10.0.0.1") / UDP()
TWICE = bytes(ETHER / Dot1AD(vlan=5) / Dot1Q(vlan=6) / INNER)


def test_tags_may_be_taken_off_where_that_is_declared(judged: Judged) -> None:
    once = bytes(ETHER / Dot1Q(vlan=6) / INNER)
    declared = checks.only_change("Ether.type", takes=("Dot1Q", "Dot1AD"))

    declared(TWICE, changed(judged, TWICE, once))
    with pytest.raises(Failure, match="the length changed"):
        checks.only_change("Ether.type")(TWICE, changed(judged, TWICE, once))
    with pytest.raises(Failure, match=r"IP.tos changed"):
        declared(TWICE, changed(judged, TWICE, with_bytes(once, 19, b"\x04")))


def test_layers_may_be_put_around_where_that_is_declared(judged: Judged) -> None:
    plain = bytes(ETHER / INNER)
    tunnelled = bytes(ETHER / IP(dst="10.9.0.1") / INNER)
    declared = checks.only_change(adds=("IP",))

    declared(plain, changed(judged, plain, tunnelled))
    with pytest.raises(Failure, match="Ether.dst changed"):
        declared(plain, changed(judged, plain, b"\x04" + tunnelled[1:]))


def test_icmpv6_stands_for_each_of_its_messages(judged: Judged) -> None:
    frame = bytes(ETHER / IPv6() / ICMPv6PacketTooBig() / b"what was too big")
    after = with_bytes(frame, 56, b"ab")

    checks.only_change("ICMPv6.cksum")(frame, changed(judged, frame, after))
    with pytest.raises(Failure, match="ICMPv6PacketTooBig.cksum changed"):
        checks.only_change()(frame, changed(judged, frame, after))


@pytest.mark.parametrize(
    "name, hint", [("IP.tll", "ttl"), ("IPv7.ttl", "IPv6"), ("UDP.port", "dport")]
)
def test_a_field_that_there_is_not_is_named_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(NoSuchName, match=hint):
        checks.only_change(name)


def test_the_length_changes_as_declared(judged: Judged) -> None:
    shorter = changed(judged, PACKET, PACKET[:-4])

    checks.length_changes(by=-4)(PACKET, shorter)
    checks.length_changes(by=(-4, 20))(PACKET, shorter)
    with pytest.raises(Failure, match=r"it changed by -4, declared is \+20"):
        checks.length_changes(by=20)(PACKET, shorter)
    with pytest.raises(Failure, match="declared is nothing"):
        checks.length_changes()(PACKET, shorter)
    with pytest.raises(Error, match=r"length_changes\(by='x'\): 'x' is no number of bytes"):
        checks.length_changes(by="x")  # type: ignore[arg-type]


def test_a_second_pass_is_held_to_the_first(judged: Judged) -> None:
    once = checks.a_second_pass_changes_nothing

    judged("passes").judge(PACKET, once)
    with pytest.raises(Failure, match="its own output is changed once more"):
        judged("spoils_checksum").judge(PACKET, once, builtin=())


def test_a_second_pass_is_held_to_the_verdict_too(judged: Judged) -> None:
    first = judged("bridges").run(PACKET)._replace(data=PACKET[:-1])
    dropped = first._replace(verdict=XDP.DROP)
    once = checks.a_second_pass_changes_nothing

    once(PACKET, first, again=lambda _: first)
    with pytest.raises(Failure, match="and XDP.DROP of its output"):
        once(PACKET, first, again=lambda _: dropped)


# Steps from one state to the next


def test_a_transition_is_verdict_packet_and_changes(judged: Judged) -> None:
    program = judged("collects")

    assert program.transition(PACKET) == (XDP.DROP, PACKET, {"sources": {"10.0.0.1": (None, 1)}})
    assert program.transition(PACKET) == (XDP.DROP, PACKET, {})
    step = program.transition(PACKET, maps={"sources": {"10.0.0.1": 5}})
    assert step.maps == {"sources": {"10.0.0.1": (5, 1)}}


def test_a_tc_program_is_judged_as_well(judged: Judged) -> None:
    assert judged("writes_directly").judge(PACKET, ctx={"mark": 5}).verdict is TC.OK
