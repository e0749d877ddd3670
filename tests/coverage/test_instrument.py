"""A program that counts: its counters, what stays as it was, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import packetrig
from packetrig import XDP, CompileError, Error, Unsupported, VerifierError, coverage
from packetrig._bpf import elf, libbpf, profile
from packetrig.coverage import twins
from packetrig.deploy import attaching
from packetrig.gate import candidates
from packetrig.gate.outcome import Answer
from packetrig.packets.malformed import catalogue
from packetrig.toolchain import llvm

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted((ROOT / "progs").glob("*.bpf.c"))


def numbers(counters: bytes) -> list[int]:
    return memoryview(counters).cast("Q").tolist()


def test_the_sections_of_counters_become_one_map(source: Path) -> None:
    spec = coverage.instrument(source)
    assert spec.profile is not None
    before = elf.every_section(spec.profile.elf)

    names = [section.name for section, _ in elf.every_section(spec.data) if section.size]

    assert sum(s.name == "__llvm_prf_cnts" for s, _ in before) == len(spec.profile.functions) == 3
    assert names.count(profile.COUNTERS) == 1
    assert spec.sections[profile.COUNTERS][0].size == spec.profile.counters_size
    assert [f.name.split(":")[-1] for f in spec.profile.functions] == ["shown", "judge", "used"]
    assert spec.profile.object.read_bytes() == spec.profile.elf


def test_what_the_user_sees_is_that_of_the_plain_object(source: Path) -> None:
    plain, counting = packetrig.build(source), coverage.instrument(source)

    assert counting.plain == plain
    assert counting.is_instrumented and not plain.is_instrumented
    assert counting.programs.keys() == plain.programs.keys()
    assert counting.maps == plain.maps
    assert counting.globals.keys() == plain.globals.keys() == {"limit"}
    with counting.load() as one, plain.load() as other:
        assert list(one.loaded.sections) == list(other.loaded.sections) == [".data"]
        assert one.state.take() == other.state.take()
        assert one.transition(bytes(40)).maps == other.transition(bytes(40)).maps
        assert one.program.statistics == other.program.statistics


def test_what_ran_under_instrumentation_says_so(source: Path) -> None:
    with coverage.instrument(source).load() as found:
        run = found.run(bytes(40))

        assert "(instrumented)" in repr(found)
        assert "(instrumented)" in repr(run)
        assert "instrumented for coverage" in run.explain()


def test_counters_outlive_renewal_and_the_object(source: Path) -> None:
    with coverage.instrument(source).load() as found:
        counters = coverage.Counters(found)
        found.run(bytes(40))
        once = numbers(counters.take())
        found.reload()
        found.run(bytes(40))
        found.restore()
        found.run(bytes(40))

        assert numbers(counters.take()) == [3 * count for count in once]
        assert [counters.address[i] for i in range(counters.size // 8)] == [3 * n for n in once]
        assert found.globals.limit == 60 + 6
    assert numbers(counters.take()) == [3 * count for count in once]


def test_counters_can_be_cleared(source: Path) -> None:
    with coverage.instrument(source, mcdc=True).load() as found:
        counters = coverage.Counters(found)
        found.run(bytes(40))
        assert any(counters.take()) and any(counters.take_bitmap())

        counters.clear()

        assert not any(counters.take()) and not any(counters.take_bitmap())


def test_a_plain_object_has_no_counters(source: Path) -> None:
    with (
        packetrig.build(source).load() as found,
        pytest.raises(Error, match=r"shown.bpf.o has no counters: packetrig.coverage.instrument"),
    ):
        coverage.Counters(found)


def test_fakes_are_in_the_twin_too(tmp_path: Path) -> None:
    path = tmp_path / "clock.bpf.c"
    path.write_text(
        "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n"
        'SEC("xdp") int clock(struct xdp_md *ctx)\n'
        "{ return bpf_ktime_get_ns() == 5 ? XDP_DROP : XDP_PASS; }\n"
        'char LICENSE[] SEC("license") = "GPL";\n'
    )
    now = packetrig.mocks.Value(4)

    with coverage.instrument(path, mocks={"bpf_ktime_get_ns": now}).load() as found:
        assert found.run(bytes(60)).verdict is XDP.PASS
        now.now = 5
        assert found.run(bytes(60)).verdict is XDP.DROP
        assert found.is_test_build and found.is_instrumented
        assert list(found.mocks) == ["bpf_ktime_get_ns"]


def test_an_object_file_cannot_be_instrumented(source: Path) -> None:
    built = packetrig.build(source).path
    assert built is not None

    with pytest.raises(Error, match=r"is compiled already: coverage needs the C source"):
        coverage.instrument(built)
    with pytest.raises(Error, match=r"it was read as an object: coverage needs the C source"):
        coverage.twin(packetrig.Spec.read(built))


def test_the_gate_refuses_an_instrumented_object(source: Path, tmp_path: Path) -> None:
    spec = coverage.instrument(source)
    assert spec.profile is not None

    (tmp_path / "ships.o").write_bytes(spec.data)
    candidate, outcome = candidates.prepare(
        tmp_path / "ships.o", into=tmp_path, warnings=None, kind=None
    )

    assert outcome.answer is Answer.REFUSED
    assert candidate.spec is None
    assert "gate the object that ships" in outcome.reasons[0].text


def test_it_is_never_attached(source: Path) -> None:
    request = attaching.Request(coverage.instrument(source), "none", "skb", lambda *_: None)

    with (
        pytest.raises(Error, match=r"counts what it executes, for coverage: never attach it"),
        attaching._loaded(request, None),
    ):
        pass


def test_mcdc_needs_a_clang_that_knows_it(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llvm, "MCDC_SINCE", 99)

    with pytest.raises(Unsupported, match=r"MC/DC is not supported here: clang 99 or newer"):
        coverage.instrument(source, mcdc=True)


def test_what_only_compiles_plain_is_told(tmp_path: Path) -> None:
    path = tmp_path / "refusing.bpf.c"
    path.write_text(
        "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n"
        "#ifdef COUNTED\n#error not counted\n#endif\n"
        'SEC("xdp") int p(struct xdp_md *ctx) { return XDP_PASS; }\n'
    )
    plain = packetrig.build(path)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(llvm, "INSTRUMENT", (*llvm.INSTRUMENT, "-DCOUNTED"))
        with pytest.raises(CompileError, match=r"it compiles, but not instrumented: .*not counted"):
            coverage.twin(plain)


def test_other_optimisation_is_tried_when_the_verifier_refuses(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twins, "_is_accepted", lambda made: "-Os" in made.command)

    spec = coverage.instrument(source)

    assert "-Os" in spec.command
    with spec.load() as found:
        assert found.run(bytes(31)).verdict is XDP.DROP


def test_a_twin_that_no_optimisation_saves_is_still_given(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twins, "_is_accepted", lambda _: False)

    spec = coverage.instrument(source)

    assert spec.is_instrumented
    assert "-Os" not in spec.command


@pytest.mark.slow
@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name.partition(".")[0])
def test_each_program_answers_the_catalogue_as_the_plain_one(path: Path) -> None:
    asks_time = 5 in packetrig.build(path).helpers
    mocks = {"bpf_ktime_get_ns": packetrig.mocks.Value(0)} if asks_time else None
    spec = coverage.instrument(path, mocks=mocks, mcdc=llvm.has_mcdc())
    assert spec.plain is not None and spec.profile is not None
    with spec.load() as one, spec.plain.load() as other, one.state.on_one_cpu():
        counters = coverage.Counters(one)
        for name, program in one.programs.items():
            if program.kind not in ("xdp", "tc"):
                continue
            frames = [m.frame for m in catalogue() if not m.refused_by(program.kind)]
            ours, theirs = program.run_many(frames), other.programs[name].run_many(frames)
            assert [(run.verdict, run.data) for run in ours] == [
                (run.verdict, run.data) for run in theirs
            ]
        assert one.state.take() == other.state.take()
        assert sum(numbers(counters.take())) > 0
    assert [f.counters for f in spec.profile.functions] != []


def test_a_refused_twin_raises_as_any_program_does(source: Path) -> None:
    text = source.read_text().replace("return judge(ctx);", "return *(int *)(long)ctx->data;")
    source.write_text(text)

    with pytest.raises(VerifierError, match=re.escape("shown.bpf.c")):
        coverage.instrument(source).load()


def test_the_end_of_the_verifiers_log_tells_the_same_reason(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "volatile int n = 0; n++; n++; n++; return *(int *)(long)ctx->data;"
    source.write_text(source.read_text().replace("return judge(ctx);", wrong))
    spec = packetrig.build(source)
    with pytest.raises(VerifierError) as whole:
        spec.load()
    monkeypatch.setattr(libbpf, "_TAIL", 512)

    with pytest.raises(VerifierError) as short, libbpf.short_log():
        spec.load()

    assert len(short.value.log) < 512 < len(whole.value.log)
    if whole.value.log.endswith(short.value.log):  # Linux 6.4
        assert str(short.value) == str(whole.value)
        assert short.value.statistics == whole.value.statistics
    else:
        assert "the end is missing" in str(short.value)


def test_proftext_writes_each_function_with_its_counters() -> None:
    functions = (profile.Function("a.c:f", 11, 2, 0, 1, 0), profile.Function("g", 12, 1, 16, 0, 1))
    described = profile.Profile(functions, 24, 1, b"", Path("x.o"))
    counters = b"".join(n.to_bytes(8, "little") for n in (5, 0, 1 << 40))

    assert described.proftext(counters) == (
        "a.c:f\n# Func Hash:\n11\n# Num Counters:\n2\n# Counter Values:\n5\n0\n\n"
        f"g\n# Func Hash:\n12\n# Num Counters:\n1\n# Counter Values:\n{1 << 40}\n\n"
    )
    assert "$1\n# Bitmap Byte Values:\n0x6\n" in described.proftext(counters, b"\6")
    assert "$0\n" in described.proftext(counters, b"\6")
