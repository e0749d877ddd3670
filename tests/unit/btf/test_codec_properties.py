from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from packetrig._bpf import elf
from packetrig._bpf.btf import Btf
from packetrig._bpf.codec import codec
from packetrig.errors import Error

# Enough for a change to be noticed; `--hypothesis-profile=thorough` looks further.
quick = settings(max_examples=max(20, settings.default.max_examples // 10))


@st.composite
def layouts(draw, depth=2):
    """Lay out a struct as C would: a list of (kind, argument), nested up to depth."""
    kinds = st.one_of(
        st.tuples(st.just("int"), st.tuples(st.sampled_from([1, 2, 4, 8]), st.booleans())),
        st.tuples(st.just("be"), st.sampled_from([2, 4, 8])),
        st.tuples(st.just("octets"), st.sampled_from([1, 3, 4, 6, 16])),
        st.tuples(st.just("text"), st.integers(1, 9)),
        st.tuples(st.just("numbers"), st.integers(1, 4)),
        st.tuples(st.just("enum"), st.booleans()),
        st.tuples(st.just("bits"), st.lists(st.integers(1, 12), min_size=1, max_size=4)),
        *([st.tuples(st.just("struct"), layouts(depth=depth - 1))] if depth else []),
        *([st.tuples(st.just("structs"), layouts(depth=depth - 1))] if depth else []),
    )
    return draw(st.lists(kinds, min_size=1, max_size=5))


def lay_out(made, layout, name="s"):
    """Add the layout's types; answer its id, its size, and a strategy of its values."""
    members, values, at = [], {}, 0
    for i, (kind, argument) in enumerate(layout):
        label = f"f{i}"
        if kind == "bits":
            number = made.int("unsigned int", 4)
            at = (at + 3) // 4 * 4
            bit = at * 8
            for j, width in enumerate(argument):
                members.append((f"{label}_{j}", number, bit, width))
                values[f"{label}_{j}"] = st.integers(0, (1 << width) - 1)
                bit += width
            at = (bit + 31) // 32 * 4
            continue
        type_id, size, align, strategy = lay_out_field(made, kind, argument)
        at = (at + align - 1) // align * align
        members.append((label, type_id, at * 8, 0))
        values[label] = strategy
        at += size
    size = (at + 7) // 8 * 8
    return made.struct(name, size, *members), size, st.fixed_dictionaries(values)


def lay_out_field(made, kind, argument):
    if kind == "int":
        size, signed = argument
        low = -(1 << size * 8 - 1) if signed else 0
        high = (1 << size * 8 - signed) - 1
        return made.int("number", size, signed=signed), size, size, st.integers(low, high)
    if kind == "be":
        type_id = made.typedef(f"__be{argument * 8}", made.int("number", argument))
        return type_id, argument, argument, st.integers(0, (1 << argument * 8) - 1)
    if kind == "octets":
        type_id = made.array(made.int("unsigned char", 1), argument)
        return type_id, argument, 1, st.binary(min_size=argument, max_size=argument)
    if kind == "text":
        letters = st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=argument)
        return made.array(made.int("char", 1, signed=True), argument), argument, 1, letters
    if kind == "numbers":
        numbers = st.lists(st.integers(0, 65535), min_size=argument, max_size=argument)
        return made.array(made.int("__u16", 2), argument), argument * 2, 2, numbers.map(tuple)
    if kind == "enum":
        low = -2 if argument else 3
        names = st.sampled_from(["A", "B"]) | st.sampled_from([low, 1])
        return made.enum("kinds", signed=argument, A=low, B=1), 4, 4, names
    inner, size, values = lay_out(made, argument, name="inner")
    if kind == "struct":
        return inner, size, 8, values
    return made.array(inner, 2), size * 2, 8, st.tuples(values, values)


orders = st.sampled_from("<>")


@quick
@given(data=st.data(), layout=layouts(), order=orders)
def test_every_value_is_decoded_as_it_was_encoded(types, data, layout, order):
    made = types(order)
    type_id, size, values = lay_out(made, layout)
    struct = codec(Btf(made.raw()), type_id)
    value = data.draw(values)

    encoded = struct.encode(value)

    assert len(encoded) == size == struct.size
    assert struct.decode(encoded) == value


def plain(value):
    if hasattr(value, "keys"):
        return {name: plain(value[name]) for name in value}
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    return value


@quick
@given(data=st.data(), layout=layouts(), order=orders)
def test_all_bytes_are_encoded_as_they_were_decoded(types, data, layout, order):
    made = types(order)
    type_id, size, _ = lay_out(made, layout)
    struct = codec(Btf(made.raw()), type_id)
    raw = data.draw(st.binary(min_size=size, max_size=size))
    # All ones, where a field has bits: what is left is padding.
    used = int.from_bytes(struct.encode(plain(struct.decode(b"\xff" * size))), "little")

    value = struct.decode(raw)

    assert struct.encode(value) == raw
    without_padding = (int.from_bytes(raw, "little") & used).to_bytes(size, "little")
    assert struct.encode(plain(value)) == without_padding
    assert struct.decode(without_padding) == value
    assert hash(struct.decode(without_padding)) == hash(value)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.ip_addresses(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
FIELDS = ["saddr", "sport", "mac", "low", "six", "name", "color", "points", "number", "octets"]


@quick
@given(value=anything | st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, anything)))
def test_any_value_is_encoded_whole_or_refused(compiled, value):
    btf = Btf.from_object(compiled)
    flow = codec(btf, btf.find("struct flow").id)
    with contextlib.suppress(Error):
        assert len(flow.encode(value)) == flow.size


@quick
@given(data=st.data())
def test_codecs_of_damaged_types_are_made_or_refused(compiled, data):
    raw = bytearray(elf.sections(compiled)[".BTF"][1])
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(24, len(raw) // 2))] = data.draw(st.integers(0, 255))
    try:
        btf = Btf(bytes(raw))
    except Error:
        return
    for type_id in range(len(btf)):
        try:
            made = codec(btf, type_id)
        except Error:
            continue
        if made.size < 4096:
            assert len(made.encode(made.decode(bytes(made.size)))) == made.size
