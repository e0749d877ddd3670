"""From source to a loaded object: what is chosen, what is refused and in which words."""

from __future__ import annotations

import errno
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import packetrig
from packetrig import XDP, CompileError, LoadError, NoSuchName, NotFound, Object, Spec
from packetrig._bpf import lib, libbpf
from packetrig.live import finish

from .conftest import SOURCES

Load = Callable[..., Object]
Write = Callable[..., Path]
FRAME = bytes(64)

TWO = """
SEC("xdp") int drops(struct xdp_md *ctx) { return XDP_DROP; }
SEC("xdp") int passes(struct xdp_md *ctx) { return XDP_PASS; }
"""


def test_an_object_of_one_program_is_run_directly(load: Load) -> None:
    rig = load('SEC("xdp") int only(struct xdp_md *ctx) { return XDP_DROP; }')

    assert rig.run(FRAME).verdict is XDP.DROP
    assert rig.program.name == "only"
    assert rig.program.kind == "xdp"


def test_an_object_of_two_programs_asks_which(load: Load) -> None:
    rig = load(TWO)

    with pytest.raises(
        LoadError, match=r"several programs: drops, passes.*programs\.drops\.run.*program='drops'"
    ):
        rig.run(FRAME)
    assert rig.programs.passes.run(FRAME).verdict is XDP.PASS
    with pytest.raises(NoSuchName, match="did you mean 'drops'"):
        rig.programs.drop  # noqa: B018


def test_one_of_several_programs_is_loaded_alone(load: Load) -> None:
    rig = load(
        TWO + 'SEC("xdp") int broken(struct xdp_md *c) { return *(int *)0; }', program="drops"
    )

    assert rig.run(FRAME).verdict is XDP.DROP
    assert list(rig.programs) == ["drops"]
    with pytest.raises(LoadError, match="'passes'.* was left out.*program='passes'"):
        rig.programs.passes  # noqa: B018
    with pytest.raises(NoSuchName, match="did you mean 'drops'"):
        rig.spec.load(program="dorps")


FILLED = """
int tail(struct xdp_md *ctx);
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, int(void *));
} calls SEC(".maps") = { .values = { [1] = (void *)&tail } };
SEC("%s") int tail(struct xdp_md *ctx) { return XDP_DROP; }
SEC("xdp") int entry(struct xdp_md *ctx) { bpf_tail_call(ctx, &calls, 1); return XDP_PASS; }
SEC("xdp") int broken(struct xdp_md *ctx) { return *(int *)0; }
"""


@pytest.mark.parametrize("section", ["xdp", "2/1"])
def test_what_a_program_array_holds_from_the_beginning_is_loaded_along(
    load: Load, section: str
) -> None:
    rig = load(FILLED % section, program="entry")

    assert rig.run(FRAME).verdict is XDP.DROP
    assert list(rig.programs) == ["entry"]
    rig.reload()
    assert rig.run(FRAME).verdict is XDP.DROP


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ("xdp_firewall", "xdp"),
        ("classifier/ingress", "tc"),
        ("tc/egress", "tc"),
        ("from-netdev", "tc"),
        ("action_x", "action"),
    ],
)
def test_sections_of_objects_in_the_wild_are_understood(
    load: Load, section: str, kind: str
) -> None:
    rig = load(f'SEC("{section}") int wild(void *ctx) {{ return 2; }}')

    assert rig.program.kind == kind
    assert int(rig.run(FRAME).verdict) == 2


def test_a_section_that_says_nothing_needs_a_kind(load: Load) -> None:
    text = 'SEC("prog") int wild(void *ctx) { return 2; }'

    with pytest.raises(LoadError, match=r'wild in SEC\("prog"\); say what it is: kind=.xdp'):
        load(text)
    assert load(text, kind="xdp").run(FRAME).verdict is XDP.PASS
    assert load(text, kind="tc").run(FRAME).verdict is packetrig.TC.SHOT
    assert load(text, kind="xdp.frags").run(bytes(9000)).verdict is XDP.PASS
    with pytest.raises(LoadError, match="no program kind 'xpd'"):
        load(text, kind="xpd")


def test_programs_that_trace_the_kernel_are_left_out_until_asked_for(load: Load) -> None:
    rig = load(
        'SEC("xdp") int main_one(struct xdp_md *ctx) { return XDP_PASS; }\n'
        'SEC("kprobe/tcp_v4_connect") int probe(void *ctx) { return 0; }\n'
        'SEC("fentry/tcp_v4_connect") int traced(void *ctx) { return 0; }'
    )

    assert rig.run(FRAME).verdict is XDP.PASS
    assert list(rig.programs) == ["main_one"]


def test_an_object_without_programs_says_so(load: Load) -> None:
    with pytest.raises(LoadError, match=r"holds no program; give one a section"):
        load("int unused(void) { return 1; }")


# Rust gives an object no ending; those in Go packages end in .elf.
@pytest.mark.parametrize("name", ["shipped.o", "shipped.elf", "shipped"])
def test_an_object_built_elsewhere_loads(tmp_path: Path, source: Write, name: str) -> None:
    spec = packetrig.build(source(TWO))
    elsewhere = tmp_path / name
    elsewhere.write_bytes(spec.data)

    again = Spec.read(elsewhere)

    assert again.sha256 == spec.sha256
    assert packetrig.build(elsewhere).sha256 == spec.sha256
    with again.load(program="drops") as rig:
        assert rig.run(FRAME).verdict is XDP.DROP


def test_a_program_compiled_without_debug_information_loads(source: Write) -> None:
    spec = packetrig.build(
        source('struct bpf_map_def;\nSEC("xdp") int bare(struct xdp_md *ctx) { return XDP_TX; }'),
        flags=("-g0",),
    )
    with spec.load() as rig:
        assert rig.run(FRAME).verdict is XDP.TX
        assert spec.btf is None
        assert dict(rig.globals) == {}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        (b"#include <linux/bpf.h>\n", "C source"),
        (b"\x7fELF", "truncated|too short|ends"),
        (b"nonsense" * 100, "not an ELF|no ELF"),
    ],
)
def test_what_is_no_object_is_named(tmp_path: Path, data: bytes, told: str) -> None:
    path = tmp_path / "wrong.o"
    path.write_bytes(data)

    with pytest.raises(LoadError, match=told) as caught:
        Spec.read(path)
    assert "\n" not in str(caught.value)
    assert "wrong.o" in str(caught.value)


def test_an_object_for_another_machine_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="x86-64|AArch64|executable"):
        Spec.read(sys.executable)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_object_is_named(tmp_path: Path, source: Write, part: float) -> None:
    data = packetrig.build(source(TWO)).data
    path = tmp_path / "cut.o"
    path.write_bytes(data[: int(len(data) * part)])

    with pytest.raises(LoadError, match="cut.o"):
        Spec.read(path).load()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for missing in (tmp_path / "no.bpf.c", tmp_path / "no.o"):
        with pytest.raises(NotFound, match=missing.name):
            packetrig.build(missing)


def test_a_source_that_clang_refuses_shows_its_words(source: Write) -> None:
    with pytest.raises(CompileError, match=r"written\.bpf\.c") as caught:
        packetrig.build(source("int x = ;"))

    assert "expected expression" in caught.value.diagnostics
    assert "\n" not in str(caught.value)


def test_a_legacy_map_is_refused_with_advice(load: Load) -> None:
    with pytest.raises(LoadError, match="legacy map definitions"):
        load(
            "struct bpf_map_def { int type, key_size, value_size, max_entries, flags; };\n"
            'struct bpf_map_def SEC("maps") old = { 1, 4, 4, 1, 0 };\n'
            'SEC("xdp") int only(struct xdp_md *ctx) { return XDP_DROP; }'
        )


def test_a_map_that_asks_to_be_pinned_is_not(load: Load) -> None:
    text = """
    struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(max_entries, 1);
        __type(key, __u32);
        __type(value, __u32);
        __uint(pinning, LIBBPF_PIN_BY_NAME);
    } pinned_by_packetrig_test SEC(".maps");
    SEC("xdp") int only(struct xdp_md *ctx)
    {
        __u32 key = 0, *value = bpf_map_lookup_elem(&pinned_by_packetrig_test, &key);
        if (value)
            return ++*value;
        return XDP_ABORTED;
    }
    """
    first, second = load(text), load(text)

    assert [int(first.run(FRAME).verdict) for _ in range(3)] == [1, 2, 3]
    assert int(second.run(FRAME).verdict) == 1, "no state goes from one object to another"
    assert not Path("/sys/fs/bpf/pinned_by_packetrig_test").exists()


def test_definitions_reach_the_preprocessor(source: Write) -> None:
    path = source('SEC("xdp") int only(struct xdp_md *ctx) { return ANSWER; }')
    for answer in (1, 2):
        with packetrig.build(path, define={"ANSWER": answer}).load() as rig:
            assert int(rig.run(FRAME).verdict) == answer


def test_a_program_that_includes_libc_s_headers_compiles(load: Load) -> None:
    rig = load(
        "#include <stdint.h>\n#include <netinet/in.h>\n#include <linux/if_ether.h>\n"
        'SEC("xdp") int only(struct xdp_md *ctx) { uint8_t x = IPPROTO_TCP; return x; }'
    )
    assert int(rig.run(FRAME).verdict) == 6


def test_a_closed_object_leaves_no_program_behind(source: Write) -> None:
    spec = packetrig.build(source(TWO))
    rig = spec.load()
    program_id = rig.programs.drops.id
    assert program_exists(program_id)

    rig.close()
    rig.close()

    assert rig.is_closed
    assert not program_exists(program_id)


def program_exists(program_id: int) -> bool:
    fd = lib.bpf_prog_get_fd_by_id(program_id)
    if fd >= 0:
        os.close(fd)
    return bool(fd >= 0)


@pytest.mark.parametrize(
    ("drop", "told"),
    [
        ("bpf,cap_sys_admin", "lacks CAP_BPF"),
        ("net_admin,cap_sys_admin", "lacks CAP_NET_ADMIN"),
    ],
)
def test_a_missing_capability_is_named(source: Write, drop: str, told: str) -> None:
    path = source(TWO)
    code = (
        "import packetrig, sys\n"
        f"spec = packetrig.build({str(path)!r})\n"
        "try:\n    spec.load()\n"
        "except packetrig.PermissionDenied as e:\n    sys.exit(str(e))\n"
    )
    names = ",".join(
        f"-{name if name.startswith('cap_') else 'cap_' + name}" for name in drop.split(",")
    )
    done = subprocess.run(
        [
            "setpriv",
            f"--bounding-set={names.replace('cap_', '')}",
            f"--inh-caps={names.replace('cap_', '')}",
            sys.executable,
            "-c",
            code,
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1, done.stderr
    assert told in done.stderr
    assert "run it as root" in done.stderr


def test_the_verifier_s_refusal_is_one_line_with_its_place(source: Write) -> None:
    path = source(
        """
        SEC("xdp") int reads_too_far(struct xdp_md *ctx)
        {
            unsigned char *data = (void *)(long)ctx->data;
            return data[40];
        }
        """
    )
    with pytest.raises(packetrig.VerifierError) as caught:
        packetrig.build(path).load()

    told = str(caught.value)
    assert "\n" not in told
    assert told.startswith("reads_too_far: rejected by the verifier: invalid access to packet")
    assert f"({path}:9)" in told
    explained = caught.value.explain()
    assert "return data[40];" in explained
    assert "<-- refused here" in explained
    assert "data_end" in explained
    assert "invalid access to packet" in caught.value.log
    assert caught.value.statistics.instructions > 0  # type: ignore[attr-defined]


def test_a_program_too_complex_for_the_verifier_says_so(source: Write) -> None:
    path = source(
        """
        SEC("xdp") int wanders(struct xdp_md *ctx)
        {
            unsigned long x = bpf_get_prandom_u32(), sum = 0;
            for (int i = 0; i < 100000; i++) {
                if (x & 1) sum += bpf_get_prandom_u32();
                else sum ^= x;
                x = x * 31 + sum;
            }
            return sum & 3;
        }
        """
    )
    with pytest.raises(packetrig.VerifierError, match="too large|too complex") as caught:
        packetrig.build(path).load()
    assert "tail calls" in caught.value.explain() or "too complex" in str(caught.value)


def test_a_timer_of_signals_is_no_reason_to_refuse_a_program(source: Write) -> None:
    spec = packetrig.build(
        source(
            """
            SEC("xdp") int counts(struct xdp_md *ctx)
            {
                volatile unsigned long sum = 0;
                for (int i = 0; i < 10000; i++)
                    sum += i;
                return sum & 3;
            }
            """
        )
    )
    seen: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: seen.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        with spec.load() as rig:
            assert rig.run(FRAME).verdict in XDP
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen


def test_a_verifier_that_never_got_to_its_end_has_refused_nothing(
    source: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = packetrig.build(source(TWO))

    class Stopped:
        def __getattr__(self, name: str) -> object:
            return getattr(lib, name)

        def bpf_object__load(self, _: object) -> int:
            return -errno.EAGAIN

    monkeypatch.setattr(libbpf, "lib", Stopped())

    with pytest.raises(LoadError, match="signals interrupted the verifier") as caught:
        spec.load()
    assert not isinstance(caught.value, packetrig.VerifierError)


def test_statistics_tell_what_an_accepted_program_costs(load: Load) -> None:
    rig = load('SEC("xdp") int only(struct xdp_md *ctx) { volatile long x = 5; return x & 3; }')
    found = rig.program.statistics

    assert found.instructions
    assert found.instructions >= 4
    assert found.stack == (8,)
    assert found.xlated
    assert found.states is not None
    assert len(rig.program.tag) == 16


def test_loading_many_times_leaks_no_descriptor(source: Write) -> None:
    spec = packetrig.build(SOURCES / "maps.bpf.c")
    spec.load().close()
    finish()
    gc.collect()  # what tests before this one have left to do
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(20):
        with spec.load() as rig:
            rig.programs.entry.run(FRAME)
            rig.reload()

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_the_verifier_leaves_to_perfmon_is_no_fault_of_the_program(source: Write) -> None:
    path = source(
        """
        SEC("xdp") int subtracts(struct xdp_md *ctx)
        {
            void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
            return end - data > 20 ? XDP_DROP : XDP_PASS;
        }
        """
    )
    code = (
        "import packetrig, sys\n"
        f"try:\n    packetrig.build({str(path)!r}).load()\n"
        "except packetrig.PermissionDenied as e:\n    sys.exit(f'{e.capability}: {e}')\n"
    )
    sets = [f"--{which}-{what}" for which, what in (("bounding", "set"), ("inh", "caps"))]
    done = subprocess.run(
        ["setpriv", *(f"{each}=-perfmon,-sys_admin" for each in sets), sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("CAP_PERFMON: subtracts: the verifier leaves this to CAP_PERFMON")
    with packetrig.build(path).load() as rig:
        assert rig.run(FRAME).verdict is XDP.DROP


def test_a_closed_object_can_be_loaded_again(load: Load) -> None:
    rig = load(
        'SEC("tc") int clones(struct __sk_buff *skb) { return bpf_clone_redirect(skb, 1, 0); }'
    )
    assert int(rig.run(FRAME).verdict) == 0
    rig.close()

    rig.reload()

    assert not rig.is_closed
    assert int(rig.run(FRAME).verdict) == 0


UNTYPED = """
struct sample { __u64 when; __u32 length; };
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096);
} samples SEC(".maps");
SEC("xdp") int entry(struct xdp_md *ctx) {
    struct sample *s = bpf_ringbuf_reserve(&samples, sizeof(*s), 0);
    if (s) { s->when = 1; s->length = 2; bpf_ringbuf_submit(s, 0); }
    return XDP_PASS;
}
"""


def test_an_event_without_a_type_says_what_would_tell_it(load: Load) -> None:
    rig = load(UNTYPED)
    rig.run(FRAME)

    (event,) = rig.maps.samples.read()
    assert len(event) == 16
    with pytest.raises(AttributeError, match=r"no field 'length'.* 16 bytes.*\*unused_event;"):
        _ = event.length
    assert not hasattr(event, "__wrapped__")
