"""The context structures of program kinds: which fields may be set, and their bytes.

The layouts are kernel ABI (include/uapi/linux/bpf.h): they grow at the end and never change, so
they are written down here; which fields a test run lets a caller set is kernel behaviour
(net/bpf/test_run.c, convert___skb_to_skb and xdp_convert_md_to_buff) and is told in words.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..errors import InputRefused, no_such


@dataclass(frozen=True, slots=True)
class Field:
    """Describe one field: byte offset, struct code ("I", "5I", "Q"), and its highest value."""

    offset: int
    code: str = "I"
    settable: bool = False
    most: int = 0xFFFFFFFF
    why_not: str = "the kernel derives it from the frame and refuses any other value"
    address: int = 0  # the IP version of an address in network order

    @property
    def count(self) -> int:
        return int(self.code[:-1] or 1)


@dataclass(frozen=True, slots=True)
class Layout:
    """Describe a context: its C name, size in bytes and fields."""

    name: str
    size: int
    fields: Mapping[str, Field]


def _layout(name: str, size: int, fields: dict[str, Field]) -> Layout:
    return Layout(name, size, MappingProxyType(fields))


_META = "pass the metadata as meta=b'...'; packetrig sets the three data pointers"

_PIECES = "run(packet, linear=14) splits the frame behind so many bytes"

XDP_MD = _layout(
    "struct xdp_md",
    24,
    {
        "data": Field(0, why_not=_META),
        "data_end": Field(4, why_not=_PIECES),
        "data_meta": Field(8, why_not=_META),
        "ingress_ifindex": Field(12, settable=True),
        "rx_queue_index": Field(16, settable=True),
        "egress_ifindex": Field(20, why_not="the kernel accepts only 0 in a test run"),
    },
)

_VLAN = "a test run has no out-of-band VLAN tag: put the tag into the frame (Dot1Q)"

SK_BUFF = _layout(
    "struct __sk_buff",
    192,
    {
        "len": Field(0),
        "pkt_type": Field(4, why_not="it follows from the frame's destination MAC and ctx ifindex"),
        "mark": Field(8, settable=True),
        "queue_mapping": Field(12, why_not="the kernel accepts only 0 in a test run"),
        "protocol": Field(16),
        "vlan_present": Field(20, why_not=_VLAN),
        "vlan_tci": Field(24, why_not=_VLAN),
        "vlan_proto": Field(28, why_not=_VLAN),
        "priority": Field(32, settable=True),
        "ingress_ifindex": Field(36, settable=True),
        "ifindex": Field(40, settable=True),
        "tc_index": Field(44, why_not="the kernel accepts only 0 in a test run"),
        "cb": Field(48, "5I", settable=True),
        "hash": Field(68),
        "tc_classid": Field(72, why_not="the kernel accepts only 0 in a test run"),
        "data": Field(76),
        "data_end": Field(80, why_not=_PIECES),
        "napi_id": Field(84),
        "family": Field(88),
        "remote_ip4": Field(92),
        "local_ip4": Field(96),
        "remote_ip6": Field(100, "4I"),
        "local_ip6": Field(116, "4I"),
        "remote_port": Field(132),
        "local_port": Field(136),
        "data_meta": Field(140, why_not="a test run of this kind has no metadata"),
        "tstamp": Field(152, "Q", settable=True, most=(1 << 64) - 1),
        "wire_len": Field(160, settable=True, most=65536),
        "gso_segs": Field(164, settable=True, most=65535),
        "gso_size": Field(176, settable=True),
        "tstamp_type": Field(180, "B"),
        "hwtstamp": Field(184, "Q", settable=True, most=(1 << 64) - 1),
    },
)

FLOW_KEYS = _layout(
    "struct bpf_flow_keys",
    56,
    {
        "nhoff": Field(0, "H"),
        "thoff": Field(2, "H"),
        "addr_proto": Field(4, "H"),
        "is_frag": Field(6, "B"),
        "is_first_frag": Field(7, "B"),
        "is_encap": Field(8, "B"),
        "ip_proto": Field(9, "B"),
        "n_proto": Field(10, "H"),
        "sport": Field(12, "H"),
        "dport": Field(14, "H"),
        "addresses": Field(16, "8I"),
        "flags": Field(48, settable=True, most=7),
        "flow_label": Field(52),
    },
)

SK_LOOKUP = _layout(
    "struct bpf_sk_lookup",
    72,
    {
        "cookie": Field(0, "Q", why_not="the kernel writes it: the socket that was chosen"),
        "family": Field(8, settable=True),
        "protocol": Field(12, settable=True),
        "remote_ip4": Field(16, settable=True, address=4),
        "remote_ip6": Field(20, "4I", settable=True, address=6),
        "remote_port": Field(36, "H", settable=True, most=65535),
        "local_ip4": Field(40, settable=True, address=4),
        "local_ip6": Field(44, "4I", settable=True, address=6),
        "local_port": Field(60, settable=True, most=65535),
        "ingress_ifindex": Field(64, settable=True),
    },
)

# NF_INET_LOCAL_OUT and NFPROTO_IPV6 (include/uapi/linux/netfilter.h)
_LOCAL_OUT, _NFPROTO_IPV6 = 3, 10

LAYOUTS: dict[str, Layout] = {
    "xdp": XDP_MD,
    "tc": SK_BUFF,
    "action": SK_BUFF,
    "socket_filter": SK_BUFF,
    "cgroup_skb": SK_BUFF,
    "lwt_in": SK_BUFF,
    "lwt_out": SK_BUFF,
    "lwt_xmit": SK_BUFF,
    "lwt_seg6local": SK_BUFF,
    "flow_dissector": FLOW_KEYS,
    "sk_lookup": SK_LOOKUP,
}


class Context(Mapping[str, Any]):
    """Hold a context that came out of a run: fields by name, as a mapping or as attributes.

    Numbers are as the program sees them (host order unless the field is a network-order one).
    """

    __slots__ = ("_layout", "_raw")

    def __init__(self, raw: bytes, layout: Layout) -> None:
        self._raw = raw
        self._layout = layout

    @property
    def raw(self) -> bytes:
        """Return the bytes of the C structure."""
        return self._raw

    def __getitem__(self, name: str) -> Any:
        field = self._layout.fields.get(name)
        if field is None:
            raise no_such("field", name, self._layout.fields, owner=self._layout.name)
        if field.offset + struct.calcsize("<" + field.code) > len(self._raw):
            return 0
        values = struct.unpack_from("=" + field.code, self._raw, field.offset)
        return values if field.count > 1 else values[0]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layout.fields)

    def __len__(self) -> int:
        return len(self._layout.fields)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Context):
            return self._raw == other._raw and self._layout is other._layout
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._raw)

    def __repr__(self) -> str:
        told = ", ".join(
            f"{name}={value}"
            for name, value in self.items()
            if value and not (isinstance(value, tuple) and not any(value))
        )
        return f"{self._layout.name.removeprefix('struct ')}({told})"


def encode(kind: str, fields: Mapping[str, Any], *, frame_size: int = 0) -> bytearray:
    """Write a context's bytes from its fields by name, each checked before the kernel sees it.

    Args:
        kind: The program's kind.
        fields: Values by field name; those not named are zero.
        frame_size: Length of the frame in bytes, for `wire_len`, which may not be less.

    Raises:
        InputRefused: A field that this kernel interface does not let a caller set, or a value
            out of its range.
        NoSuchName: The context has no such field.
    """
    layout = LAYOUTS.get(kind)
    if layout is None:
        raise InputRefused(f"a {kind} program takes no context by field: pass ctx=bytes")
    raw = bytearray(layout.size)
    for name, value in fields.items():
        field = layout.fields.get(name)
        if field is None:
            raise no_such("field", name, layout.fields, owner=layout.name)
        _encode_field(raw, layout, name, field, value)
    wire_len = fields.get("wire_len", 0)
    if layout is SK_BUFF and wire_len and wire_len < frame_size:
        raise InputRefused(
            f"ctx wire_len={wire_len}: the kernel refuses less than the frame's {frame_size} bytes"
        )
    return raw


def _encode_field(raw: bytearray, layout: Layout, name: str, field: Field, value: Any) -> None:
    if not field.settable:
        raise InputRefused(f"ctx {name} of {layout.name} cannot be set: {field.why_not}")
    if field.address and not isinstance(value, int | list | tuple):
        values = list(struct.unpack("=" + field.code, _packed(name, value, field.address)))
    else:
        is_several = field.count > 1 and isinstance(value, list | tuple)
        values = list(value) if is_several else [value]
    if len(values) > field.count:
        raise InputRefused(f"ctx {name} holds {field.count} numbers, {len(values)} were given")
    for number in values:
        if isinstance(number, bool) or not isinstance(number, int):
            raise InputRefused(
                f"ctx {name}={number!r}: it takes an int, got {type(number).__name__}"
            )
        if not 0 <= number <= field.most:
            raise InputRefused(f"ctx {name}={number}: it takes 0 to {field.most}")
    values += [0] * (field.count - len(values))
    struct.pack_into("=" + field.code, raw, field.offset, *values)


def _packed(name: str, value: Any, version: int) -> bytes:
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    try:
        return kind(value).packed
    except (TypeError, ValueError) as e:
        raise InputRefused(
            f"ctx {name}={value!r}: it takes an IPv{version} address, or numbers in network order"
        ) from e


def hook_state(packet: bytes) -> bytes:
    """Give the context of a netfilter program for a packet that leaves: struct nf_hook_state.

    Without one the kernel takes the packet for IPv4 at LOCAL_OUT, whatever its first byte says.

    Raises:
        InputRefused: The bytes begin with no IP header.
    """
    version = packet[0] >> 4 if packet else 0
    if version not in (4, 6):
        raise InputRefused(
            "a netfilter test run takes a packet from its IP header on (packet[IP]), not a frame; "
            "ctx= takes the bytes of struct nf_hook_state for hooks that are given whole frames"
        )
    return b"" if version == 4 else struct.pack("=2B46x", _LOCAL_OUT, _NFPROTO_IPV6)
