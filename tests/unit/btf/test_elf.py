from __future__ import annotations

import contextlib
import struct
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packetrig._bpf import elf
from packetrig._bpf.btf import Btf
from packetrig.errors import LoadError

X86, EXECUTABLE = 62, 2


def changed(data: bytes, offset: int, form: str, value: int) -> bytes:
    out = bytearray(data)
    struct.pack_into(form, out, offset, value)
    return bytes(out)


def test_sections_are_found_by_name(compiled):
    sections = elf.sections(compiled)
    assert {"xdp", ".BTF", ".BTF.ext", "license", ".data", ".bss", ".rodata"} <= set(sections)
    assert sections["license"][1] == b"GPL\0"


def test_a_section_without_content_has_a_size_and_no_bytes(compiled):
    header, body = elf.sections(compiled)[".bss"]
    assert header.size == 12
    assert body == b""


def test_symbols_say_where_variables_and_programs_are(compiled):
    symbols = elf.symbols(compiled)
    assert symbols["entry"].type == elf.STT_FUNC
    assert symbols["sample"].type == elf.STT_OBJECT
    assert symbols["seen"].is_global and not symbols["hidden"].is_global


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.o: the file is empty; compile it again"),
        (b"\x7fE", "x.o: not an ELF object file, it begins with 7f 45"),
        (b"hello world", "x.o: not an ELF object file, it begins with 68 65 6c 6c"),
        (b"BC\xc0\xde" + bytes(99), "x.o: not an ELF object file, it is LLVM bitcode"),
        (b'#include "a.h"', "x.o: not an ELF object file, it is C source"),
        (b"\x7fELF\x02", "x.o: truncated, 5 bytes of at least 64"),
    ],
)
def test_what_is_no_object_is_named(content, message):
    with pytest.raises(LoadError) as caught:
        elf.sections(content, name="x.o")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_32_bit_file_is_refused(compiled):
    with pytest.raises(LoadError, match="a 32-bit ELF file"):
        elf.sections(changed(compiled, 4, "B", 1))


def test_the_other_byte_order_is_refused(compiled):
    other = 2 if sys.byteorder == "little" else 1
    with pytest.raises(LoadError, match=r"made for (big|little)-endian machines, this one is"):
        elf.sections(changed(compiled, 5, "B", other))


def test_another_machine_is_named(compiled):
    with pytest.raises(LoadError, match="compiled for x86-64, not for BPF"):
        elf.sections(changed(compiled, 18, "H", X86))


def test_an_executable_is_no_object(compiled):
    with pytest.raises(LoadError, match="an executable, not an object file"):
        elf.sections(changed(compiled, 16, "H", EXECUTABLE))


def test_an_object_without_section_headers_is_refused(compiled):
    with pytest.raises(LoadError, match="no section headers"):
        elf.sections(changed(compiled, 60, "H", 0))


def test_an_object_without_types_asks_for_debug_information(compiled):
    with pytest.raises(LoadError, match=r"x.o: it has no BTF; compile it with clang -g"):
        Btf.from_object(compiled.replace(b".BTF\0", b".BTX\0"), name="x.o")


def test_a_truncated_object_is_refused_wherever_it_is_cut(compiled):
    for length in range(0, len(compiled) - 1, 331):
        with pytest.raises(LoadError):
            elf.sections(compiled[:length])


@settings(max_examples=40)
@given(data=st.data())
def test_a_damaged_object_gives_an_error_or_sections_and_nothing_else(compiled, data):
    raw = bytearray(compiled)
    tables = st.integers(0, 63) | st.integers(len(raw) - 64 * 8, len(raw) - 1)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(tables)] = data.draw(st.integers(0, 255))
    with contextlib.suppress(LoadError):
        assert elf.symbols(bytes(raw)) is not None
