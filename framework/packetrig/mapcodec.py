"""Keys and values of maps: by BTF where a map has types, as people write them where not."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ._bpf import lib
from ._bpf.btf import Btf, Kind
from ._bpf.codec import codec
from ._bpf.kinds import PER_CPU, MapKind
from ._bpf.values import Octets, Untyped
from .errors import CodecError, LoadError, NoSuchName
from .spec import MapSpec

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class MapCodec:
    """Turn one map's keys and values into bytes and back; sizes are in bytes.

    `row` is the size of what one look-up gives: for a per-CPU map a value for each possible CPU,
    each on a multiple of 8 bytes.
    """

    key_size: int
    row: int
    encode_key: Encode
    decode_key: Decode
    encode_value: Encode
    decode_value: Decode


def codec_of(spec: MapSpec, btf: Btf | None) -> MapCodec:
    """Work out how a map's keys and values are written."""
    encode_key, decode_key = _plain(spec.key_size, spec.key_type, btf)
    encode_value, decode_value = _plain(spec.value_size, spec.value_type, btf)
    if spec.kind is MapKind.LPM_TRIE:
        encode_key, decode_key = _prefix(spec.key_size, encode_key, decode_key)
    if spec.kind in _REDIRECTS and spec.value_size == 8 and not spec.value_type:
        encode_value, decode_value = _redirect(_REDIRECTS[spec.kind])
    row = spec.value_size
    if spec.kind in PER_CPU:
        cpus = lib.libbpf_num_possible_cpus()
        row = _stride(spec.value_size) * cpus
        encode_value, decode_value = _per_cpu(spec, cpus, encode_value, decode_value)
    return MapCodec(spec.key_size, row, encode_key, decode_key, encode_value, decode_value)


def record_codec(
    btf: Btf | None, name: str | None, size: int, *, is_padded: bool = False
) -> Decode:
    """Find the type of an event of `size` bytes: by name, else the only struct that fits.

    clang keeps a struct in BTF when a global points to it: `const struct event *unused_event;`.
    Events whose type cannot be told are Untyped. Those of a perf buffer are padded by the kernel,
    to 4 more than a multiple of 8.
    """
    if btf is None:
        if name is not None:
            raise CodecError(f"no type '{name}': the object has no BTF; compile it with -g")
        return Untyped
    if name is not None:
        try:
            found = codec(btf, btf.find(name).id)
        except NoSuchName as e:
            raise NoSuchName(
                f"{e}; clang leaves out what only a stack holds: keep it with "
                f"'const struct {name.split()[-1]} *unused_event;'"
            ) from None
        if size < found.size:
            raise CodecError(f"an event of {size} bytes is no {name}, which has {found.size}")
        return lambda raw: found.decode(raw[: found.size])

    def fits(known: int) -> bool:
        return known == size or (is_padded and (known + 11) // 8 * 8 - 4 == size)

    pointed = [
        btf.strip(btf.strip(t.target).target)
        for t in btf.types
        if t.kind is Kind.VAR and btf.strip(t.target).kind is Kind.PTR
    ]
    named = [t for t in btf.types if t.kind is Kind.STRUCT and not _NEVER_EVENTS.fullmatch(t.name)]
    for candidates in (pointed, named):
        fitting = {
            t.name: t for t in candidates if t.kind is Kind.STRUCT and t.name and fits(t.size)
        }
        if len(fitting) == 1:
            only = fitting.popitem()[1]
            decode = codec(btf, only.id).decode
            return lambda raw: decode(raw[: only.size])
    return Untyped


# Structs of the kernel's headers that programs have in their BTF for other reasons.
_NEVER_EVENTS = re.compile(
    r"xdp_md|__sk_buff|bpf_\w+|(eth|ip|ipv6|tcp|udp|icmp|icmp6|arp|vlan_|_vlan_)hdr|in6?_addr"
    r"|hdr_cursor"
)


def _plain(size: int, type_id: int, btf: Btf | None) -> tuple[Encode, Decode]:
    if type_id and btf is not None:
        try:
            found = codec(btf, type_id)
        except (CodecError, LoadError):
            found = None
        if found is not None and found.size == size:
            return found.encode, found.decode
    if size in (1, 2, 4, 8):
        return _number(size)

    def encode(value: Any) -> bytes:
        if isinstance(value, bytes | bytearray | memoryview) and len(value) == size:
            return bytes(value)
        if isinstance(value, list | tuple) and len(value) == size:
            with contextlib.suppress(ValueError, TypeError):
                return bytes(value)
        raise CodecError(
            f"{value!r} does not fit: the map has no BTF type, it takes {size} bytes, or a list of "
            "as many numbers"
        )

    return encode, Octets


def _number(size: int) -> tuple[Encode, Decode]:
    """Read and write untyped numbers in host order, as descriptors and indexes are."""

    def encode(value: Any) -> bytes:
        if isinstance(value, bytes | bytearray) and len(value) == size:
            return bytes(value)
        try:
            return int.to_bytes(value, size, _ORDER)
        except (TypeError, OverflowError) as e:
            raise CodecError(
                f"{value!r} does not fit: it takes an int of {size} bytes or {size} bytes"
            ) from e

    return encode, lambda raw: int.from_bytes(raw, _ORDER)


# struct bpf_devmap_val and bpf_cpumap_val, by their first field: programs declare these maps by
# sizes alone, as libbpf asks for.
_REDIRECTS: dict[MapKind | int, str] = {
    MapKind.DEVMAP: "ifindex",
    MapKind.DEVMAP_HASH: "ifindex",
    MapKind.CPUMAP: "qsize",
}


def _redirect(first: str) -> tuple[Encode, Decode]:
    """Write {"ifindex": 2, "bpf_prog": program}; reading gives the program's id, as BTF would."""
    number, _ = _number(8)

    def encode(value: Any) -> bytes:
        if not isinstance(value, Mapping):
            return number(value)
        if unknown := set(value) - {first, "bpf_prog"}:
            raise CodecError(f"there is no field {min(unknown)!r}; it has {first}, bpf_prog")
        program = value.get("bpf_prog", 0)
        if isinstance(program, Mapping):
            program = program.get("fd", 0)
        try:
            return struct.pack("=II", value.get(first, 0), getattr(program, "fd", program))
        except struct.error as e:
            raise CodecError(
                f"{value!r} does not fit: {first} is an int, bpf_prog a program"
            ) from e

    def decode(raw: bytes) -> Any:
        head, program = struct.unpack("=II", raw)
        return {first: head, "bpf_prog": {"fd": program, "id": program}}

    return encode, decode


def _native_order() -> str:
    return "little" if struct.pack("=H", 1)[0] else "big"


_ORDER: Any = _native_order()


def _prefix(key_size: int, plain_encode: Encode, plain_decode: Decode) -> tuple[Encode, Decode]:
    """Take a longest-prefix key as people write it: "10.0.0.0/8", "2001:db8::/32"."""
    width = key_size - 4
    if width not in (4, 16):
        return plain_encode, plain_decode

    def encode(value: Any) -> bytes:
        if isinstance(value, str | ipaddress.IPv4Address | ipaddress.IPv6Address):
            try:
                value = ipaddress.ip_network(value, strict=True)
            except ValueError as e:
                like = "10.0.0.0/8" if width == 4 else "2001:db8::/32"
                raise CodecError(f"'{value}' is no prefix: {e}; write it as '{like}'") from e
        if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
            packed = value.network_address.packed
            if len(packed) != width:
                raise CodecError(
                    f"'{value}' does not fit: the keys are IPv{4 if width == 4 else 6} prefixes"
                )
            return struct.pack("=I", value.prefixlen) + packed
        return plain_encode(value)

    def decode(raw: bytes) -> Any:
        length = struct.unpack_from("=I", raw)[0]
        if length > width * 8:
            return plain_decode(raw)
        return f"{ipaddress.ip_address(raw[4:])}/{length}"

    return encode, decode


def _stride(size: int) -> int:
    return (size + 7) // 8 * 8


def _per_cpu(
    spec: MapSpec, cpus: int, encode_one: Encode, decode_one: Decode
) -> tuple[Encode, Decode]:
    size, stride = spec.value_size, _stride(spec.value_size)
    padding = bytes(stride - size)

    def encode(value: Any) -> bytes:
        if isinstance(value, tuple | list):
            if len(value) != cpus:
                raise CodecError(
                    f"{spec.name} is per CPU: give one value, or {cpus}, one a possible CPU; "
                    f"got {len(value)}"
                )
            return b"".join(encode_one(item) + padding for item in value)
        return (encode_one(value) + padding) * cpus

    def decode(raw: bytes) -> tuple[Any, ...]:
        return tuple(decode_one(raw[at : at + size]) for at in range(0, stride * cpus, stride))

    return encode, decode
