"""What counts as a packet, and what is filled into one that leaves something out."""

from __future__ import annotations

import subprocess
import sys

import pytest
from scapy.all import ARP, IP, UDP, Ether, ICMPv6ND_NS, IPv6, conf

from packetrig import packets
from packetrig.errors import InputRefused


@pytest.mark.parametrize("packet", [b"abc", bytearray(b"abc"), memoryview(b"abc")])
def test_bytes_are_taken_as_they_are(packet):
    assert packets.to_bytes(packet) == b"abc"


def test_a_scapy_packet_is_built():
    packet = Ether(src="02:00:00:00:00:07", dst="02:00:00:00:00:08") / IP(
        src="10.0.0.1", dst="10.0.0.2"
    )

    assert packets.to_bytes(packet) == bytes(packet)


def test_what_a_packet_leaves_out_is_not_looked_up_on_this_machine(monkeypatch):
    monkeypatch.setattr(conf.neighbor, "resolve", None)
    monkeypatch.setattr(conf, "route", None)
    monkeypatch.setattr(conf, "route6", None)

    frame = packets.to_bytes(Ether() / IP(dst="10.0.0.1") / UDP())
    request = packets.to_bytes(Ether() / ARP(pdst="10.0.0.1"))
    solicitation = packets.to_bytes(Ether() / IPv6(dst="ff02::1:ff00:2") / ICMPv6ND_NS())

    assert frame[:12].hex() == "020000000002020000000001"
    assert Ether(frame).payload.src == "192.0.2.1"
    assert request[:12].hex() == "ffffffffffff020000000001"
    assert (request[22:28].hex(), request[28:32]) == ("020000000001", bytes((192, 0, 2, 1)))
    assert solicitation[:6].hex() == "3333ff000002"
    assert Ether(solicitation).payload.src == "2001:db8::1"


def test_building_leaves_the_packet_as_it_was():
    packet = Ether() / IP(dst="10.0.0.1")

    packets.to_bytes(packet)

    assert packet.fields == {}
    assert "src" not in packet.payload.fields


@pytest.mark.parametrize(
    ("packet", "message"),
    [
        (None, "a packet is bytes or a scapy packet, not None"),
        (14, "not int 14"),
        ("0800", "not str '0800'; bytes.fromhex() reads hexadecimal text"),
        ([b"a"], "give one packet at a time"),
    ],
)
def test_anything_else_is_refused(packet, message):
    with pytest.raises(InputRefused) as refused:
        packets.to_bytes(packet)

    assert message in str(refused.value)


def test_a_value_that_does_not_fit_its_field_is_refused():
    with pytest.raises(InputRefused) as refused:
        packets.to_bytes(Ether() / IP(ttl=300))

    assert "scapy cannot build this packet" in str(refused.value)
    assert "ttl" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_submodule_comes_when_it_is_asked_for():
    assert packets.frames.walk(b"") == ()
    with pytest.raises(AttributeError):
        packets.nonsense  # noqa: B018 # to ask is the test


@pytest.mark.slow
def test_importing_the_package_loads_neither_scapy_nor_hypothesis():
    code = (
        "import sys, packetrig.packets as p; p.to_bytes(b''); p.frames; p.pcap; p.malformed;"
        "print(sorted({'scapy', 'hypothesis'} & {m.split('.')[0] for m in sys.modules}))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
