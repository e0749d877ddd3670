from __future__ import annotations

import copy
import ipaddress
import pickle
from enum import IntEnum

import pytest

from packetrig._bpf.btf import Btf
from packetrig._bpf.codec import codec
from packetrig._bpf.values import Be32
from packetrig.errors import CodecError, NoSuchName


@pytest.fixture(scope="module")
def btf(compiled):
    return Btf.from_object(compiled)


@pytest.fixture(scope="module")
def variable(compiled, btf):
    """Read a variable as clang initialised it: its codec and its bytes."""
    from packetrig._bpf import elf

    data = elf.sections(compiled)[".data"][1]

    def read(name):
        offset, size, type_id = btf.datasec(".data")[name]
        return codec(btf, type_id), data[offset : offset + size]

    return read


@pytest.fixture(scope="module")
def flow(variable):
    made, raw = variable("sample")
    return made.decode(raw)


@pytest.fixture
def of(btf):
    return lambda name: codec(btf, btf.find(name).id)


VARIABLES = [
    "sample",
    "odd",
    "counters",
    "signed_number",
    "weight",
    "matrix",
    "socket_address",
]  # one of each kind


@pytest.mark.parametrize("name", VARIABLES)
def test_what_clang_laid_out_is_read_and_written_alike(variable, name):
    made, raw = variable(name)
    assert made.encode(made.decode(raw)) == raw


def plain(value):
    if hasattr(value, "keys"):
        return {name: plain(value[name]) for name in value}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize("name", VARIABLES)
def test_plain_dicts_and_lists_are_laid_out_as_clang_does(variable, name):
    made, raw = variable(name)
    assert made.encode(plain(made.decode(raw))) == raw


def test_every_field_has_the_value_that_c_gave_it(flow):
    assert flow == {
        "saddr": "10.0.0.66",
        "sport": 8080,
        "mac": "02:00:00:00:00:01",
        "low": 5,
        "high": 1000,
        "negative": -3,
        "six": "2001:db8::1",
        "name": "eth0",
        "color": "GREEN",
        "points": ({"x": 1, "y": -2}, {"x": 3, "y": -4}),
        "number": 0x01020304,
        "octets": flow.octets,
        "is_open": True,
        "pointer": 0,
    }


def test_enums_of_all_sizes_know_their_names(variable, types):
    made, raw = variable("odd")
    assert made.decode(raw).sign == "MINUS"
    wide = types()
    wide.add("wide", 19, 8, wide.name("LARGE"), 0, 1, wide.name("SMALL"), 1, 0, vlen=2)
    large = codec(Btf(wide.raw()), 1).decode((1 << 32).to_bytes(8, "little"))
    assert large == 1 << 32 and large == "LARGE" and large.name == "LARGE"
    assert repr(large) == "LARGE (4294967296)"


def test_a_number_that_the_enum_does_not_name_is_a_number(of):
    assert of("enum color").decode((5).to_bytes(4, "little")) == 5


def test_arrays_are_tuples_and_floats_are_floats(variable):
    made, raw = variable("counters")
    assert made.decode(raw) == ({"packets": 1}, {"packets": 2})
    assert made.name == "struct counter[2]"
    made, raw = variable("matrix")
    assert made.decode(raw) == ("ab", "cd")
    assert made.name == "char[2][4]"
    made, raw = variable("weight")
    assert made.decode(raw) == 0.5


def test_the_socket_addresses_of_libc_are_in_network_order(variable):
    made, raw = variable("socket_address")
    address = made.decode(raw)
    assert address.sin_port == 443
    assert address.sin_addr.s_addr == "10.0.0.1"


# Values that people write ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    ["10.0.0.66", ipaddress.ip_address("10.0.0.66"), 0x0A000042, Be32(0x0A000042), b"\x0a\0\0\x42"],
)
def test_a_be32_takes_an_address_in_every_form(of, value):
    assert of("__be32").encode(value) == bytes([10, 0, 0, 66])


def test_a_be32_is_a_number_that_knows_its_address(of):
    address = of("__be32").decode(bytes([10, 0, 0, 66]))
    assert address == 0x0A000042
    assert address == "10.0.0.66" == address
    assert address == ipaddress.ip_address("10.0.0.66")
    assert address != "10.0.0.67"
    assert {0x0A000042: 1}[address] == 1
    assert repr(address) == "10.0.0.66 (167772226)"
    assert f"{address:#x}" == "0xa000042"


@pytest.mark.parametrize("text", ["02:00:00:00:00:01", "02-00-00-00-00-01", "2:0:0:0:0:1"])
def test_six_octets_take_a_mac_address(of, text):
    encoded = of("struct flow").encode({"mac": text})
    assert encoded[6:12] == bytes([2, 0, 0, 0, 0, 1])
    assert of("struct flow").decode(encoded).mac == text


def test_octets_equal_bytes_lists_and_addresses(flow):
    assert flow.mac == b"\x02\0\0\0\0\1"
    assert flow.mac == [2, 0, 0, 0, 0, 1] and flow.mac == (2, 0, 0, 0, 0, 1)
    assert flow.mac == "02:00:00:00:00:01"
    assert flow.mac != "02:00:00:00:00:02" and flow.mac != "no address"
    assert repr(flow.mac) == "'02:00:00:00:00:01'"
    assert hash(flow.mac) == hash(b"\x02\0\0\0\0\1")


def test_text_is_padded_with_nul_and_read_up_to_it(of, flow):
    assert flow.name == "eth0" and flow.name == b"eth0" + bytes(12)
    assert flow.name.text == "eth0" and repr(flow.name) == "'eth0'"
    full = of("struct flow").decode(of("struct flow").encode({"name": "x" * 16}))
    assert full.name == "x" * 16


def test_text_with_something_behind_the_nul_shows_it(of):
    flow = of("struct flow").decode(of("struct flow").encode({"name": b"a\0b" + bytes(13)}))
    assert flow.name == "a"
    assert repr(flow.name).startswith(r"b'a\x00b")


def test_addresses_of_ipv6_are_text(of, flow):
    assert flow.six == "2001:db8::1"
    made = of("struct in6_addr")
    assert made.encode(ipaddress.ip_address("2001:db8::1")) == made.encode("2001:DB8:0::1")


def test_an_address_of_ipv6_equals_its_bytes_and_every_spelling(of):
    made = of("struct in6_addr")
    packed = ipaddress.ip_address("2001:db8::1").packed
    address = made.decode(packed)

    assert (bytes(address), hash(address)) == (packed, hash("2001:db8::1"))
    for same in (packed, "2001:DB8:0::1", ipaddress.ip_address(packed)):
        assert address == same and same == address
    for other in (packed[:-1], bytes(16), "2001:db8::2", "no address", 1):
        assert address != other


def test_numbers_may_be_of_any_whole_kind(of):
    class Port(IntEnum):
        HTTP = 80

    class Numpys:
        def __index__(self):
            return 80

    made = of("__u32")
    assert made.encode(Port.HTTP) == made.encode(Numpys()) == made.encode(80)
    assert made.encode(True) == made.encode(1)


def test_missing_fields_and_padding_are_zero(of):
    assert of("struct point").encode({"x": 255, "y": -1}) == b"\xff\0\0\0\xff\xff\xff\xff"
    assert of("struct flow").encode({}) == bytes(of("struct flow").size)


def test_a_struct_of_one_field_takes_the_value_of_the_field(of):
    assert of("struct counter").encode(7) == of("struct counter").encode({"packets": 7})


def test_bytes_of_the_exact_size_are_taken_as_they_are(of):
    raw = bytes(range(8))
    for value in (raw, bytearray(raw), memoryview(raw)):
        assert of("struct point").encode(value) == raw


def test_fields_of_an_unnamed_union_share_their_bytes(of, flow):
    assert flow.number == int.from_bytes(flow.octets, "little")
    octets = of("struct flow").encode({"octets": [4, 3, 2, 1]})
    assert octets == of("struct flow").encode({"number": 0x01020304})
    assert of("struct flow").encode(dict(flow)) == flow.raw


# Records ---------------------------------------------------------------------------------------


def test_a_record_is_a_mapping_with_attributes(flow):
    assert flow["saddr"] == flow.saddr
    assert list(flow)[:2] == ["saddr", "sport"] and len(flow) == 14
    assert {**flow, "low": 1}["low"] == 1
    assert "saddr" in flow and "saddr" in dir(flow)


def test_equal_records_have_equal_hashes_whatever_their_padding(of):
    clean, dirty = (of("struct point").decode(bytes([1, b, b, b, 2, 0, 0, 0])) for b in (0, 9))
    assert clean == dirty and hash(clean) == hash(dirty)
    assert clean.raw != dirty.raw


def test_a_record_keeps_its_bytes_so_that_its_key_is_found_again(of):
    raw = bytes([1, 9, 9, 9, 2, 0, 0, 0])
    assert of("struct point").encode(of("struct point").decode(raw)) == raw
    assert of("struct point").encode(dict(of("struct point").decode(raw))) == b"\1\0\0\0\2\0\0\0"


def test_a_record_prints_as_the_dict_that_would_make_it(of):
    assert repr(of("struct point").decode(bytes(8))) == "{'x': 0, 'y': 0}"


def test_a_record_cannot_be_changed_and_says_what_to_do(flow):
    with pytest.raises(TypeError, match=r"assign the whole: \{\*\*record, 'low': \.\.\.\}"):
        flow.low = 3


def test_a_wrong_field_suggests_the_near_one(flow):
    with pytest.raises(NoSuchName, match="no field named 'sadr', did you mean 'saddr'"):
        flow.sadr  # noqa: B018 - asking is the test
    assert flow.get("sadr") is None and not hasattr(flow, "sadr")


def test_a_record_survives_copying_and_pickling(flow):
    for twin in (copy.copy(flow), copy.deepcopy(flow), pickle.loads(pickle.dumps(flow))):
        assert twin == flow and twin.raw == flow.raw


def test_a_record_of_a_reloaded_object_fits(compiled, of, flow):
    again = Btf.from_object(compiled)
    assert codec(again, again.find("struct flow").id).encode(flow) == flow.raw


# What does not fit -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"sadr": 1}, "struct flow: no field named 'sadr', did you mean 'saddr'?; it has: saddr,"),
        ({"sport": 70000}, "struct flow.sport: 70000 does not fit, __be16 takes 0 to 65535"),
        ({"sport": -1}, "struct flow.sport: -1 does not fit, __be16 takes 0 to 65535"),
        ({"sport": "10.0.0.1"}, "struct flow.sport: '10.0.0.1' is no number"),
        ({"saddr": "10.0.0.300"}, "struct flow.saddr: '10.0.0.300' is no IPv4 address"),
        ({"saddr": None}, "struct flow.saddr: None is no whole number"),
        ({"saddr": b"123"}, "struct flow.saddr: 3 bytes do not fit, __be32 has 4"),
        ({"mac": "02:00"}, "struct flow.mac: '02:00' does not fit; __u8[6] takes a MAC address,"),
        ({"mac": b"12345"}, "struct flow.mac: 5 bytes do not fit; __u8[6] takes a MAC"),
        ({"mac": [1, 2, 3, 4, 5, 256]}, "struct flow.mac: [1, 2, 3, 4, 5, 256] does not fit"),
        ({"mac": 5}, "struct flow.mac: 5 does not fit"),
        ({"low": 8}, "struct flow.low: 8 does not fit, its 3 bits take 0 to 7"),
        ({"negative": 16}, "struct flow.negative: 16 does not fit, its 5 bits take -16 to 15"),
        ({"six": "10.0.0.1"}, "struct flow.six: '10.0.0.1' is no IPv6 address"),
        ({"six": b"1"}, "struct flow.six: 1 bytes do not fit, an IPv6 address has 16"),
        ({"name": "x" * 17}, "struct flow.name: 17 bytes do not fit; char[16] takes text, 16"),
        ({"color": "REd"}, "struct flow.color: no value named 'REd', did you mean 'RED'?"),
        ({"points": [{}, {"y": "1"}]}, "struct flow.points[1].y: '1' is no number; __s32 takes"),
        ({"points": [{}]}, "struct flow.points: 1 values given, struct point[2] takes 2"),
        ({"points": 5}, "struct flow.points: 5 does not fit; struct point[2] takes 2 values or 16"),
        ({"number": 1, "octets": "1.2.3.4"}, "struct flow: number shares its bytes with another"),
        ({"is_open": 2}, "struct flow.is_open: 2 does not fit, _Bool takes 0 to 1"),
        (5, "struct flow: 5 does not fit; give a dict of saddr, sport,"),
        (b"short", "struct flow: b'short' does not fit; give a dict of"),
    ],
)
def test_a_refusal_names_the_field_and_what_fits(of, value, message):
    with pytest.raises(CodecError) as caught:
        of("struct flow").encode(value)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_an_address_for_a_plain_number_hints_at_be32(of):
    with pytest.raises(CodecError, match="declare it __be32 to give addresses"):
        of("__u32").encode("10.0.0.1")


@pytest.mark.parametrize("value", ["1", b"12", 1e400, None, "nan"])
def test_a_float_takes_numbers_only(variable, value):
    made, _ = variable("weight")
    if value == 1e400:
        assert made.decode(made.encode(value)) == value  # infinity is a float
        return
    with pytest.raises(CodecError):
        made.encode(value)


@pytest.mark.parametrize("length", [0, 7, 9])
def test_bytes_of_another_size_are_not_decoded(of, length):
    with pytest.raises(CodecError, match=f"struct point: {length} bytes given, it has 8"):
        of("struct point").decode(bytes(length))


@pytest.mark.parametrize("name", ["entry"])
def test_what_has_no_value_has_no_codec(of, name):
    with pytest.raises(CodecError, match="a func has no value"):
        of(name)


def test_void_and_undeclared_structs_have_no_codec(types):
    made = types()
    undeclared = made.add("task_struct", 7, 0)
    btf = Btf(made.raw())
    for type_id in (0, undeclared):
        with pytest.raises(CodecError, match="has no value that could be encoded"):
            codec(btf, type_id)


# Rarer types, built by hand --------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
def test_bit_fields_follow_the_byte_order(types, order):
    made = types(order)
    number = made.int("unsigned int", 4)
    made.struct("bits", 4, ("a", number, 0, 4), ("b", number, 4, 12), ("c", number, 16, 16))
    bits = codec(Btf(made.raw()), 2)
    raw = bits.encode({"a": 0xA, "b": 0xBCD, "c": 0x1234})
    assert raw == bytes.fromhex("dabc3412" if order == "<" else "abcd1234")
    assert bits.decode(raw) == {"a": 0xA, "b": 0xBCD, "c": 0x1234}


def test_bit_fields_of_before_the_kind_flag_are_read(types):
    made = types()
    three = made.int("unsigned int", 4, bits=3, offset=2)
    made.struct("bits", 4, ("a", three, 8))
    bits = codec(Btf(made.raw()), 2)
    assert bits.encode({"a": 7}) == bytes([0, 0b11100, 0, 0])


def test_big_endian_numbers_and_network_order(types):
    made = types(">")
    made.int("__u32", 4)
    made.typedef("__be32", 1)
    btf = Btf(made.raw())
    assert codec(btf, 1).encode(1) == codec(btf, 2).encode(1) == b"\0\0\0\1"
    assert codec(btf, 2).encode("10.0.0.1") == bytes([10, 0, 0, 1])


def test_numbers_of_128_bits_are_whole(types):
    made = types()
    made.int("__int128", 16, signed=True)
    wide = codec(Btf(made.raw()), 1)
    assert wide.decode(wide.encode(-(1 << 127))) == -(1 << 127)
    with pytest.raises(CodecError):
        wide.encode(1 << 127)


def test_four_words_in_network_order_take_an_ipv6_address(types):
    made = types()
    made.int("__u32", 4)
    made.typedef("__be32", 1)
    made.array(2, 4)
    words = codec(Btf(made.raw()), 3)
    assert words.encode("2001:db8::1") == ipaddress.ip_address("2001:db8::1").packed
    assert words.decode(words.encode("2001:db8::1")) == (0x20010DB8, 0, 0, 1)


def test_a_union_is_a_record_of_all_its_members(types):
    made = types()
    made.int("__u32", 4)
    made.int("unsigned char", 1)
    made.array(2, 4)
    made.struct("either", 4, ("number", 1, 0), ("octets", 3, 0), union=True)
    either = codec(Btf(made.raw()), 4)
    assert either.decode(b"\1\2\3\4") == {"number": 0x04030201, "octets": b"\1\2\3\4"}
    assert either.encode({"octets": [1, 2, 3, 4], "number": 0x04030201}) == b"\1\2\3\4"


def test_arrays_of_nothing_are_empty(types):
    made = types()
    made.int("__u32", 4)
    made.array(1, 0)
    made.struct("message", 4, ("length", 1, 0), ("data", 2, 32))
    message = codec(Btf(made.raw()), 3)
    assert message.decode(b"\1\0\0\0") == {"length": 1, "data": ()}


def test_negative_values_of_an_enum_that_old_clang_calls_unsigned_are_taken(types):
    made = types()
    made.enum("sign", MINUS=-1)
    sign = codec(Btf(made.raw()), 1)
    assert sign.encode(-1) == sign.encode("MINUS") == b"\xff" * 4


def test_a_member_outside_of_its_struct_is_damage(types):
    made = types()
    made.int("__u32", 4)
    made.struct("broken", 4, ("a", 1, 32))
    with pytest.raises(CodecError, match=r"damaged BTF: struct broken.a ends at 8"):
        codec(Btf(made.raw()), 2)


def test_a_struct_inside_itself_is_damage(types):
    made = types()
    made.struct("endless", 4, ("a", 1, 0))
    made.struct("", 4, ("", 2, 0))
    btf = Btf(made.raw())
    for type_id in (1, 2):
        with pytest.raises(CodecError, match="damaged BTF"):
            codec(btf, type_id)


def test_an_array_beyond_all_memory_is_damage(types):
    made = types()
    made.int("__u64", 8)
    made.array(1, 0xFFFFFFFF)
    made.struct("empty", 0)
    made.array(3, 0xFFFFFFFF)
    btf = Btf(made.raw())
    for type_id in (2, 4):
        with pytest.raises(CodecError, match="cannot be encoded"):
            codec(btf, type_id)


def test_types_nested_without_end_are_damage(types):
    made = types()
    made.int("__u32", 4)
    for inner in range(1, 2000):
        made.array(inner, 1)
    with pytest.raises(CodecError, match="nested too deep"):
        codec(Btf(made.raw()), 2000)


def test_a_number_of_two_gigabytes_is_damage(types):
    made = types()
    made.int("__u32", 1 << 31, bits=32)
    with pytest.raises(CodecError, match="a number of 2147483648 bytes"):
        codec(Btf(made.raw()), 1)


def test_a_bit_field_of_an_array_is_damage(types):
    made = types()
    made.int("unsigned char", 1)
    made.array(1, 4)
    made.struct("broken", 4, ("a", 2, 0, 3))
    with pytest.raises(CodecError, match=r"damaged BTF: broken\.a lies at 0, 3 bits wide"):
        codec(Btf(made.raw()), 3)
