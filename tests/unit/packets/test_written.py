"""Frames as layers and fields: what is written down is the frame, to the byte."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given, settings
from scapy.layers.inet import IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Dot1Q, Ether

from packetrig import InputRefused, NoSuchName
from packetrig import strategies as net
from packetrig.packets.written import rebuilt, written

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
HTTP = bytes(ETHER / IP(src="192.0.2.1", dst="192.0.2.2") / TCP() / b"GET / HTTP/1.1\r\n\r\n")


def test_layers_and_fields_have_scapys_names() -> None:
    assert written(bytes(ETHER / Dot1Q(vlan=5) / IP(src="192.0.2.1", dst="192.0.2.2"))) == {
        "Ether": {"dst": "02:00:00:00:00:02", "src": "02:00:00:00:00:01", "type": 0x8100},
        "Dot1Q": {"prio": 0, "dei": 0, "vlan": 5, "type": 0x0800},
        "IP": {
            "version": 4,
            "ihl": 5,
            "tos": 0,
            "len": 20,
            "id": 1,
            "flags": "",
            "frag": 0,
            "ttl": 64,
            "proto": 0,
            "chksum": 0xF6E5,
            "src": "192.0.2.1",
            "dst": "192.0.2.2",
            "options": [],
        },
    }


def test_a_second_layer_of_a_kind_is_numbered() -> None:
    tunnel = bytes(ETHER / IP(src="192.0.2.1") / IP(src="192.0.2.3", ttl=9))

    assert list(written(tunnel)) == ["Ether", "IP", "IP:2"]
    assert written(tunnel)["IP:2"]["ttl"] == 9


def test_payload_that_is_text_is_text_line_by_line() -> None:
    assert written(HTTP)["Raw"] == {"load": ["GET / HTTP/1.1\r\n", "\r\n"]}
    assert written(HTTP[:-4])["Raw"] == {"load": "GET / HTTP/1.1"}


def test_payload_that_is_no_text_is_hexadecimal_sixteen_bytes_a_line() -> None:
    packet = bytes(ETHER / IP(src="192.0.2.1") / UDP(dport=9) / bytes(20))

    assert written(packet)["Raw"] == {"hex": ["00" + " 00" * 15, "00 00 00 00"]}


def test_padding_is_told_from_payload() -> None:
    packet = bytes(ETHER / IP(src="192.0.2.1") / UDP(dport=9) / b"hi") + bytes(3)

    assert written(packet)["Raw"] == {"load": "hi"}
    assert written(packet)["Padding"] == {"hex": ["00 00 00"]}


def test_options_are_readable() -> None:
    options = [("MSS", 1460), ("NOP", None), ("Timestamp", (1, 2)), (77, b"ab")]
    packet = bytes(
        ETHER / IP(src="192.0.2.1", options=[IPOption_Router_Alert()]) / TCP(options=options)
    )

    assert written(packet)["TCP"]["options"][:3] == [["MSS", 1460], ["NOP"], ["Timestamp", [1, 2]]]
    assert written(packet)["TCP"]["options"][3] == [77, {"hex": "61 62"}]
    assert written(packet)["IP"]["options"][0]["layer"] == "IPOption_Router_Alert"
    assert rebuilt(written(packet)) == packet


def test_what_scapy_guesses_from_a_port_stays_payload() -> None:
    packet = bytes(ETHER / IP(src="192.0.2.1") / UDP(dport=53) / b"no DNS")
    ping = bytes(ETHER / IPv6(src="2001:db8::1", dst="2001:db8::2") / ICMPv6EchoRequest(data=b"hi"))

    assert written(packet)["Raw"] == {"load": "no DNS"}
    assert written(ping)["Raw"] == {"load": "hi"}
    assert "data" not in written(ping)["ICMPv6EchoRequest"]


def test_a_header_that_is_cut_short_is_bytes() -> None:
    assert written(HTTP[:40]) == {
        **{name: fields for name, fields in written(HTTP).items() if name in ("Ether", "IP")},
        "Raw": {"hex": [HTTP[34:40].hex(" ")]},
    }
    assert written(b"") == {}
    assert written(b"\x01\x02") == {"Raw": {"hex": ["01 02"]}}


@settings(max_examples=50)
@given(frame=net.frames() | net.mangled())
def test_every_frame_comes_back_to_the_byte(frame: bytes) -> None:
    assert rebuilt(written(frame)) == frame


@settings(max_examples=25)
@given(frame=net.tcp_packets() | net.udp_packets())
def test_a_sound_packet_is_written_in_fields_alone(frame: bytes) -> None:
    layers = written(frame)
    headers = [name for name in layers if name not in ("Raw", "Padding")]

    assert [name for name in headers if "hex" in layers[name]] == []


def test_a_field_that_is_edited_is_in_the_frame() -> None:
    layers = written(HTTP)
    layers["IP"]["ttl"] = 3

    assert rebuilt(layers) == HTTP[:22] + b"\x03" + HTTP[23:]


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ({"IPv5": {}}, "no layer named 'IPv5', did you mean 'IPv[46]'?"),
        ({"IP": {"ttl": "many"}}, "IP"),
        ({"IP": {"ttl": 300}}, "IP"),
        ({"Raw": {}}, r"layer Raw: it takes load \(text\) or hex"),
        ({"Raw": {"load": 5}}, "layer Raw: it takes load"),
        ({"Raw": {"hex": "zz"}}, "layer Raw: hex takes hexadecimal text, got 'zz'"),
        ({"IP": 7}, "layer IP: it takes a table of fields"),
        ({"IP": {"options": [{"layer": "IPOption_Router_Alarm"}]}}, "did you mean 'IPOption_R"),
    ],
)
def test_what_is_no_frame_says_why(layers: dict[str, object], said: str) -> None:
    with pytest.raises(InputRefused, match=said):
        rebuilt(layers)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layer", "fields", "name"),
    [
        ("IP", {"src": "foo.example"}, "foo.example"),
        ("IP", {"dst": "10.0.0.0/24"}, "10.0.0.0/24"),
        ("IPv6", {"dst": "foo.example"}, "foo.example"),
        ("ARP", {"plen": 4, "psrc": "foo.example"}, "foo.example"),
        ("IP", {"options": [{"layer": "IPOption_RR", "routers": ["foo.example"]}]}, "foo.example"),
    ],
)
def test_a_name_in_the_place_of_an_address_is_not_looked_up(
    layer: str, fields: dict[str, object], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "getaddrinfo")

    with pytest.raises(InputRefused, match=f"'{name}' is no address, and names are not looked up"):
        rebuilt({layer: fields})


def test_a_wrong_field_suggests_the_right_one() -> None:
    with pytest.raises(NoSuchName, match="no field named 'tll', did you mean 'ttl'"):
        rebuilt({"IP": {"tll": 5}})
