"""What changed, what looks like what, and how a person is shown it."""

from __future__ import annotations

from unittest.mock import ANY

import pytest
import scapy.all
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.all import DNS, IP, TCP, UDP, Dot1Q, Ether, IPv6, Raw

from packetrig.errors import InputRefused
from packetrig.packets import explain, malformed, to_bytes
from packetrig.packets import strategies as net

A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
BASE = Ether(src=A, dst=B) / IP(src="10.0.0.1", dst="10.0.0.2", ttl=64) / UDP(dport=9) / b"hello"
FRAME = to_bytes(BASE)


def altered(**fields: object) -> bytes:
    packet = Ether(FRAME)
    for name, value in fields.items():
        setattr(packet[IP], name, value)
    return bytes(packet)


def test_equal_frames_have_no_changes():
    assert explain.changes(FRAME, FRAME) == {}


def test_changes_are_told_field_by_field():
    after = bytes(Ether(src=B, dst=C) / Ether(altered(ttl=63, chksum=0x1234)).payload)

    assert explain.changes(FRAME, after) == {
        "Ether.src": (A, B),
        "Ether.dst": (B, C),
        "IP.ttl": (64, 63),
        "IP.chksum": (ANY, 0x1234),
    }


def test_addresses_are_text_and_flags_compare_with_text_and_number():
    before = to_bytes(Ether() / IP(dst="10.0.0.2") / TCP(flags="S"))
    after = to_bytes(Ether() / IP(dst="10.0.0.3") / TCP(flags="SA"))

    changes = explain.changes(before, after)

    assert changes["IP.dst"] == ("10.0.0.2", "10.0.0.3")
    assert changes["TCP.flags"] == ("S", "SA")
    assert changes["TCP.flags"] == (0x02, 0x12)


def test_a_layer_that_appears_is_told_with_its_fields_and_so_is_the_length():
    tagged = FRAME[:12] + b"\x81\x00\x00\x07" + FRAME[12:]

    there, back = explain.changes(FRAME, tagged), explain.changes(tagged, FRAME)

    assert there == {
        "Ether.type": (0x0800, 0x8100),
        "Dot1Q": (None, {"prio": 0, "dei": 0, "vlan": 7, "type": 0x0800}),
        "length": (len(FRAME), len(FRAME) + 4),
    }
    assert back["Dot1Q"] == (there["Dot1Q"][1], None)


def test_a_second_layer_of_the_same_name_is_numbered():
    inner = Ether() / IP() / IP(dst="10.0.0.1") / UDP()
    other = Ether() / IP() / IP(dst="10.0.0.9") / UDP()

    assert "IP:2.dst" in explain.changes(to_bytes(inner), to_bytes(other))


def test_a_changed_payload_is_bytes():
    after = FRAME[:-1] + b"O"

    assert explain.changes(FRAME, after) == {"Raw.load": (b"hello", b"hellO")}
    assert explain.changes(FRAME, FRAME[:-1]) == {
        "Raw.load": (b"hello", b"hell"),
        "length": (47, 46),
    }


def test_a_port_that_makes_scapy_see_another_protocol_changes_only_the_port():
    before = to_bytes(Ether() / IP() / UDP(dport=9, sport=9, chksum=0) / bytes(DNS(id=7)))
    after = to_bytes(Ether() / IP() / UDP(dport=53, sport=9, chksum=0) / bytes(DNS(id=7)))

    assert explain.changes(before, after) == {"UDP.dport": (9, 53)}


@settings(max_examples=10)
@given(net.frames(), st.integers(0, 1000), st.integers(1, 255))
def test_different_frames_always_have_changes(frame, at, flip):
    at %= len(frame)
    other = frame[:at] + bytes((frame[at] ^ flip,)) + frame[at + 1 :]

    assert explain.changes(frame, frame) == {}
    assert explain.changes(frame, other) != {}
    assert explain.difference(frame, other)


@pytest.mark.slow
def test_every_malformed_frame_can_be_explained():
    sound = malformed.catalogue()[0].frame

    for case in malformed.catalogue()[::29]:
        assert explain.changes(sound, case.frame) or sound == case.frame
        assert explain.difference(sound, case.frame)
        assert bytes(eval(explain.expression(case.frame), dict(vars(scapy.all)))) == case.frame


@pytest.mark.parametrize("frame", [b"", b"\0", bytes(13), bytes(14), b"\xff" * 60, bytes(100)])
def test_garbage_is_dissected_without_an_error(frame):
    assert explain.dissect(frame) is not None
    assert explain.changes(frame, frame + b"\x01")["length"] == (len(frame), len(frame) + 1)
    assert explain.summary(frame)
    assert bytes(eval(explain.expression(frame), dict(vars(scapy.all)))) == frame


# --- looks_like ---


def test_a_mask_compares_only_what_it_names():
    template = Ether() / IP(dst="10.0.0.2", ttl=1) / UDP(dport=9)

    likeness = explain.looks_like(FRAME, template, only=("IP.dst", "UDP.dport"))

    assert likeness
    assert repr(likeness) == "looks like the template"


def test_each_field_that_differs_is_a_line():
    template = Ether() / IP(dst="10.0.0.9") / TCP(dport=8)

    likeness = explain.looks_like(FRAME, template, only=("IP.dst", "TCP.dport"))

    assert not likeness
    assert repr(likeness).splitlines() == [
        "does not look like the template:",
        "    IP.dst: expected 10.0.0.9, seen 10.0.0.2",
        "    TCP.dport: the frame has no TCP (it has Ether / IP / UDP / Raw)",
    ]


def test_without_a_mask_every_field_that_was_set_counts_and_no_other():
    assert explain.looks_like(FRAME, Ether() / IP(dst="10.0.0.2") / UDP())
    assert explain.looks_like(FRAME, Ether(dst=B.upper()) / IP() / UDP() / b"hello")
    assert not explain.looks_like(FRAME, Ether() / IP(ttl=63) / UDP())
    assert not explain.looks_like(FRAME, Ether() / IP() / UDP() / b"other")
    assert not explain.looks_like(FRAME, Ether() / IP() / UDP(chksum=1))


def test_layers_are_compared_in_their_order():
    assert explain.looks_like(FRAME, Ether() / IP()).mismatches == ()
    assert explain.looks_like(FRAME, Ether() / Dot1Q() / IP()).mismatches == (
        "layer 2: expected Dot1Q, seen Ether / IP / UDP / Raw",
    )
    assert explain.looks_like(FRAME, Ether() / IP() / UDP() / b"hello" / Dot1Q())


def test_options_are_compared_as_they_go_over_the_wire():
    packet = Ether() / IP() / TCP(options=[("MSS", 1460), ("WScale", 7)])

    assert explain.looks_like(to_bytes(packet), packet)


def test_a_payload_that_scapy_takes_for_a_protocol_still_compares_as_bytes():
    packet = Ether() / IP() / UDP(dport=53) / Raw(bytes(DNS(id=7)))

    assert explain.looks_like(to_bytes(packet), packet)


def test_a_frame_is_a_template_too():
    assert explain.looks_like(FRAME, FRAME)
    assert not explain.looks_like(altered(ttl=3), FRAME)
    assert explain.looks_like(altered(ttl=3), FRAME, only="IP.dst")


def test_a_mask_over_something_left_to_scapy_takes_what_scapy_would_build():
    assert explain.looks_like(FRAME, BASE, only=("IP.len", "IP.chksum", "UDP.chksum"))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("TCP.dport", "no layer for only='TCP.dport'; the template has Ether, IP, UDP"),
        ("IP.tttl", "no field for only='IP.tttl'; IP has version, ihl"),
        ("ttl", "no layer for only='ttl'"),
    ],
)
def test_a_mask_that_the_template_does_not_have_is_refused(key, message):
    with pytest.raises(InputRefused) as refused:
        explain.looks_like(FRAME, Ether() / IP() / UDP(), only=(key,))

    assert message in str(refused.value)


# --- for people ---


def test_a_difference_shows_layers_then_bytes():
    after = altered(ttl=63, chksum=0x1234)

    assert explain.difference(FRAME, after, names=("before", "after")) == (
        "- before: 47 bytes\n"
        "+ after: 47 bytes\n"
        "  Ether  same\n"
        "- IP     ttl=64 chksum=0x66c9\n"
        "+ IP     ttl=63 chksum=0x1234\n"
        "  UDP    same\n"
        "3 of 47 bytes differ:\n"
        "- 0010  00 21 00 01 00 00 40 11 66 c9 0a 00 00 01 0a 00\n"
        "+ 0010  00 21 00 01 00 00 3f 11 12 34 0a 00 00 01 0a 00\n"
        "                          ^^    ^^ ^^"
    )


def test_a_difference_in_length_shows_what_was_put_in():
    tagged = FRAME[:12] + b"\x81\x00\x00\x07" + FRAME[12:]

    lines = explain.difference(FRAME, tagged).splitlines()

    assert "+ Dot1Q  prio=0 dei=0 vlan=7 type=IPv4" in lines
    assert lines[-3:] == [
        "the first 12 and the last 35 bytes are the same; between them:",
        "- 000c  nothing",
        "+ 000c  81 00 00 07",
    ]


def test_frames_that_are_the_same_are_said_to_be():
    assert explain.difference(FRAME, FRAME) == "expected and seen are the same 47 bytes"


@pytest.mark.parametrize(
    ("packet", "line"),
    [
        (BASE, "Ether / IP 10.0.0.1 > 10.0.0.2 / UDP 53 > 9 / 5 bytes 'hello'"),
        (
            Ether() / Dot1Q(vlan=7) / IPv6(src="::1", dst="::2") / TCP(sport=1, flags="SA") / b"\0",
            "Ether / Dot1Q vlan 7 / IPv6 ::1 > ::2 / TCP 1 > 80 SA / 1 byte",
        ),
        (
            Ether() / IP(src="1.2.3.4", dst="5.6.7.8", frag=5, flags="MF") / b"x",
            "Ether / IP 1.2.3.4 > 5.6.7.8 (fragment at 40+) / 1 byte",
        ),
        (FRAME[:20], "Ether / IP (cut short or of an impossible length)"),
        (b"", "nothing"),
    ],
)
def test_a_summary_is_one_line(packet, line):
    assert explain.summary(to_bytes(packet)) == line


def test_an_expression_says_what_is_not_a_default():
    frame = to_bytes(Ether(src=A, dst=B) / IP(src="10.0.0.1", dst="10.0.0.2", ttl=3) / UDP(dport=9))

    assert explain.expression(frame) == (
        f"Ether(dst='{B}', src='{A}')/IP(ttl=3, src='10.0.0.1', dst='10.0.0.2')/UDP(dport=9)"
    )


def test_an_expression_names_a_checksum_only_if_it_is_wrong():
    assert "chksum=4660" in explain.expression(altered(chksum=0x1234))
    assert "chksum" not in explain.expression(FRAME)


@settings(max_examples=10)
@given(net.frames())
def test_an_expression_rebuilds_exactly_the_frame(frame):
    assert bytes(eval(explain.expression(frame), dict(vars(scapy.all)))) == frame


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (b"abcdef", b"abcdxyz", "the first 4 bytes are the same; behind them:"),
        (b"abcdef", b"xyzcdef", "the last 4 bytes are the same; before them:"),
        (b"abcdef", b"ghijklm", None),
    ],
)
def test_an_end_that_is_not_the_same_is_not_counted(
    one: bytes, other: bytes, told: str | None
) -> None:
    said = [line for line in explain.difference(one, other).splitlines() if "the same" in line]

    assert [line for line in said if "bytes" in line] == ([told] if told else [])
