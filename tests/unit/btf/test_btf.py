from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packetrig._bpf import elf
from packetrig._bpf.btf import Btf, Kind, line_info
from packetrig.errors import Error, LoadError, NoSuchName


@pytest.fixture(scope="module")
def btf(compiled):
    return Btf.from_object(compiled)


def test_types_are_found_by_name(btf):
    assert btf.find("flow").kind is Kind.STRUCT
    assert btf.find("struct flow") == btf.find("flow") == btf.find("flow", kind=Kind.STRUCT)
    assert btf.find("enum color").names == (("RED", 0), ("GREEN", 7), ("BLUE", 0x7FFFFFFF))


def test_a_wrong_name_suggests_the_near_one(btf):
    with pytest.raises(NoSuchName, match="no type named 'struct flwo', did you mean"):
        btf.find("struct flwo")


def test_a_prefix_asks_for_that_kind(btf):
    with pytest.raises(NoSuchName):
        btf.find("union flow")


def test_every_type_knows_its_id_and_void_is_the_first(btf):
    assert [found.id for found in btf.types] == list(range(len(btf)))
    assert btf.types[0].kind is Kind.VOID


def test_members_lie_where_clang_puts_them(btf):
    members = {m.name: (m.offset, m.bits) for m in btf.find("struct flow").members}
    assert members["sport"] == (32, 0)
    assert members["low"] == (96, 3)
    assert members["high"] == (99, 13)


def test_sizes_of_arrays_count_their_elements(btf):
    offset, size, type_id = btf.datasec(".data")["counters"]
    assert btf.size_of(type_id) == size == 16
    assert offset % 8 == 0


def test_variables_of_a_section_have_offset_size_and_type(btf):
    assert btf.datasec(".rodata")["limit"][:2] == (0, 4)
    assert set(btf.datasec(".bss")) == {"seen", "hidden"}
    assert btf.strip(btf.datasec(".bss")["seen"][2]).size == 8


def test_an_object_without_a_section_has_no_variables_in_it(btf):
    assert btf.datasec(".data.custom") == {}


# clang before 15 writes neither signs nor 64-bit values: these are built by hand.
def test_values_of_64_bit_enums_are_whole(types):
    made = types()
    made.add("wide", 19, 8, made.name("LARGE"), 0, 1, vlen=1)
    assert Btf(made.raw()).find("enum wide").names == (("LARGE", 1 << 32),)


def test_negative_enum_values_are_negative(types):
    made = types()
    made.enum("sign", signed=True, MINUS=-1, PLUS=1)
    made.add("wide", 19, 8, made.name("FAR"), 0xFFFFFFFE, 0xFFFFFFFF, vlen=1, flag=True)
    assert Btf(made.raw()).find("sign").names == (("MINUS", -1), ("PLUS", 1))
    assert Btf(made.raw()).find("wide").names == (("FAR", -2),)


def test_tags_functions_and_unknown_structs_are_read(types):
    made = types()
    number = made.int("int", 4, signed=True)
    proto = made.add("", 13, number, made.name("argument"), number, vlen=1)
    function = made.add("entry", 12, proto, vlen=1)
    made.add("tag", 17, function, 0xFFFFFFFF)
    tagged = made.add("user", 18, number)
    missing = made.add("task_struct", 7, 0)
    btf = Btf(made.raw())

    assert btf.type(proto).members[0].name == "argument"
    assert btf.type(function).target == proto
    assert btf.strip(tagged).id == number
    assert btf.type(missing).kind is Kind.FWD


def test_big_endian_types_are_read(types):
    made = types(">")
    made.struct("pair", 8, ("a", made.int("__u32", 4), 0), ("b", 1, 32))
    assert [m.name for m in Btf(made.raw()).find("pair").members] == ["a", "b"]


def test_lines_of_c_belong_to_instructions(compiled, btf):
    lines = line_info(elf.sections(compiled)[".BTF.ext"][1], btf)
    assert lines["xdp"][0].instruction == 0
    assert lines["xdp"][0].file.endswith("types.bpf.c")
    assert any("seen += limit" in line.text for line in lines["xdp"])
    assert all(line.line > 0 for line in lines["xdp"])


@pytest.mark.parametrize("raw", [b"", b"\x9f", b"\x9f\xeb", b"\x9f\xeb\x01\0" + bytes(8), b"ELF!"])
def test_what_is_no_btf_is_refused(raw):
    with pytest.raises(LoadError, match="BTF"):
        Btf(raw)


def test_a_later_version_is_refused(types):
    raw = bytearray(types().raw())
    raw[2] = 2
    with pytest.raises(LoadError, match="version 2"):
        Btf(bytes(raw))


def test_an_unknown_kind_is_refused(types):
    made = types()
    made.add("future", 25, 0)
    with pytest.raises(LoadError, match="of kind 25"):
        Btf(made.raw())


def test_types_that_refer_to_themselves_are_refused(types):
    made = types()
    made.typedef("loop", 1)
    with pytest.raises(LoadError, match="refers to itself"):
        Btf(made.raw()).strip(1)


def test_truncated_btf_is_refused_wherever_it_is_cut(compiled):
    raw = elf.sections(compiled)[".BTF"][1]
    for length in range(0, len(raw) - 1, 97):
        with pytest.raises(LoadError):
            Btf(raw[:length])


@settings(max_examples=40)
@given(data=st.data())
def test_damaged_btf_gives_an_error_or_types_and_nothing_else(compiled, data):
    raw = bytearray(elf.sections(compiled)[".BTF"][1])
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Error):
        assert len(Btf(bytes(raw)).types) > 0


@settings(max_examples=40)
@given(data=st.data())
def test_damaged_line_information_gives_an_error_or_lines_and_nothing_else(compiled, btf, data):
    raw = bytearray(elf.sections(compiled)[".BTF.ext"][1])
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, 60))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(LoadError):
        line_info(bytes(raw[: data.draw(st.integers(0, len(raw)))]), btf)


def test_lines_of_a_section_that_is_cut_short_are_refused(compiled, btf):
    raw = elf.sections(compiled)[".BTF.ext"][1]
    with pytest.raises(LoadError, match="cut short"):
        line_info(raw[: struct.unpack_from("<I", raw, 4)[0] + 12], btf)
