"""The door to scapy: imported when first used, kept away from this machine's network.

scapy is typed loosely (fields are made at run time), so its objects are `Any` here and behind.
"""

from __future__ import annotations

import functools
import ipaddress
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from ..errors import InputRefused

# What a packet gets where its writer left out an address: documentation and local ranges.
SOURCE_MAC = "02:00:00:00:00:01"
DESTINATION_MAC = "02:00:00:00:00:02"
SOURCE_IPV4 = "192.0.2.1"
SOURCE_IPV6 = "2001:db8::1"
_BROADCAST = "ff:ff:ff:ff:ff:ff"

# Fields whose default scapy takes from interfaces, routes and neighbours, by class.
_FILLED = {
    "SourceMACField": SOURCE_MAC,
    "SourceIPField": SOURCE_IPV4,
    "SourceIP6Field": SOURCE_IPV6,
}


@functools.cache
def scapy_all() -> Any:
    """Import scapy, whole, so that what a frame looks like never depends on earlier imports."""
    with warnings.catch_warnings():  # of scapy's own imports, on which no user has an influence
        warnings.simplefilter("ignore")
        import scapy.all
        import scapy.contrib.geneve
        import scapy.contrib.gtp
        import scapy.contrib.mpls

        return scapy.all


def is_scapy(value: object) -> bool:
    """Tell whether a value is a scapy packet, without importing scapy in order to ask."""
    module = sys.modules.get("scapy.packet")
    return module is not None and isinstance(value, module.Packet)


def dissect(frame: bytes) -> Any:
    """Read a frame as scapy does; what it cannot read is one Raw layer."""
    scapy = scapy_all()
    if len(frame) < 14:  # scapy would fill the rest of Ethernet with this machine's addresses
        return scapy.Raw(frame)
    try:
        return scapy.Ether(frame)
    except Exception:  # any: scapy's dissectors raise whatever they stumble over
        return scapy.Raw(frame)


def build(packet: Any) -> bytes:
    """Build a scapy packet; addresses left out are fixed ones, nothing is looked up."""
    unset = [
        (position, name)
        for position, layer in enumerate(chain(packet))
        for name in _unset_addresses(layer)
    ]
    try:
        if unset:
            packet = packet.copy()
            layers = list(chain(packet))
            for position, name in unset:
                layers[position].setfieldval(name, _address(layers[position], name))
        return bytes(packet)
    except Exception as e:  # any: a value that does not fit surfaces in scapy's innards
        reason = " ".join(str(e).split()) or type(e).__name__
        raise InputRefused(f"scapy cannot build this packet: {reason} ({packet!r})") from e


def chain(packet: Any) -> Iterator[Any]:
    """Yield the layers of a packet, outermost first."""
    while packet.__class__.__name__ != "NoPayload":
        yield packet
        packet = packet.payload


def named_layers(packet: Any) -> list[tuple[str, Any]]:
    """List the layers with their names: a second IP is `IP:2`."""
    counts: dict[str, int] = {}
    named = []
    for layer in chain(packet):
        name = layer.__class__.__name__
        counts[name] = counts.get(name, 0) + 1
        named.append((name if counts[name] == 1 else f"{name}:{counts[name]}", layer))
    return named


def is_host_field(layer: Any, name: str) -> bool:
    """Tell whether scapy would fill this field from the machine it runs on."""
    return bool(_filled_as(layer, name))


def _filled_as(layer: Any, name: str) -> str:
    field: Any = layer.get_field(name)
    while type(field).__name__ in ("ConditionalField", "Emph"):  # wrapped around the field
        field = field.fld
    if type(field).__name__ != "MultipleTypeField":
        kind = type(field).__name__
        return kind if kind in _FILLED or kind == "DestMACField" else ""
    # ARP: what kind of address a field holds depends on other fields, and on the address.
    for candidate, condition in field.flds:
        kind = type(candidate).__name__
        if kind in _FILLED and isinstance(condition, tuple) and condition[1](layer, _FILLED[kind]):
            return kind
    return ""


def _unset_addresses(layer: Any) -> list[str]:
    return [
        field.name
        for field in layer.fields_desc
        if layer.fields.get(field.name) is None
        and field.name not in layer.overloaded_fields
        and is_host_field(layer, field.name)
    ]


def _address(layer: Any, name: str) -> str:
    source = _FILLED.get(_filled_as(layer, name))
    if source is not None:
        return source
    inner = layer.payload
    kind = inner.__class__.__name__
    if kind == "ARP":
        return _BROADCAST
    if kind not in ("IP", "IPv6"):
        return DESTINATION_MAC
    try:
        target = ipaddress.ip_address(str(inner.dst))
    except ValueError:  # a Net, a name: something that becomes an address only when it is built
        return DESTINATION_MAC
    if target == ipaddress.IPv4Address("255.255.255.255"):
        return _BROADCAST
    if not target.is_multicast:
        return DESTINATION_MAC
    if target.version == 4:  # RFC 1112
        low = target.packed[1:]
        return "01:00:5e:" + bytes((low[0] & 0x7F, *low[1:])).hex(":")
    return "33:33:" + target.packed[-4:].hex(":")  # RFC 2464
