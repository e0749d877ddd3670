"""What this machine and kernel can do, found out by doing it: yes, no, or cannot tell."""

from __future__ import annotations

import os
import platform
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from .. import kernels, live, toolchain
from .._bpf import capability_missing, denied, lib, probes, strerror
from .._bpf.kinds import PROGRAM_KINDS
from .._bpf.probes import Answer, Feature
from ..errors import Error, ToolMissing, Unsupported
from ..refusals import LEAST, limits

_ROOT = "run it as root, or grant CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN"
_LLVM = ("llvm-objdump", "llvm-cov", "llvm-profdata")

# r0 = 2; exit: XDP_PASS, and for TC a drop that nobody meets.
_TWO = struct.pack("=BBhi", 0xB7, 0, 0, 2) + struct.pack("=BBhi", 0x95, 0, 0, 0)

# Without these, `packetrig gate` cannot decide about an XDP or TC program.
MAIN_JOB = frozenset(
    {
        *("bpf(2)", "xdp test run", "tc test run", "clang", "network namespace", "veth"),
        *("attach native", "attach generic", "attach tc-ingress", "attach tc-egress"),
    }
)


def answers() -> Iterator[Feature]:
    """Ask for everything, in the order in which a person looks for a fault; nothing raises."""
    yield Feature("kernel", Answer.YES, f"{platform.system()} {_release()} {platform.machine()}")
    yield _privileges()
    asked = probes.features()
    yield _bpf_call(asked)
    yield _jit()
    yield _btf()
    yield _lockdown()
    yield from (_short(feature) for feature in asked)
    yield _asked("XDP frame sizes", _xdp_sizes)
    yield _asked("TC frame sizes", _tc_sizes)
    clang = _asked("clang", _clang)
    yield clang
    for name in _LLVM:
        found = _asked(name, lambda name=name: _llvm(name))  # type: ignore[misc]
        yield found if clang.answer is Answer.YES else Feature(name, Answer.NO, "there is no clang")
    version = f"{lib.libbpf_major_version()}.{lib.libbpf_minor_version()}"
    yield Feature("libbpf", Answer.YES, f"version {version}")
    yield _bpffs()
    yield _asked("network namespace", _namespace)
    yield _asked("veth", _veth)
    for mode in live.Mode:
        yield _asked(f"attach {mode.value}", lambda mode=mode: _attach(mode))  # type: ignore[misc]
    yield _cgroup2()
    yield _kprobes()
    yield _asked("other kernels", _other_kernels)


def _asked(name: str, ask: Callable[[], str]) -> Feature:
    """Turn what a question answers or raises into a feature."""
    try:
        return Feature(name, Answer.YES, ask())
    except ToolMissing as e:
        what, _, advice = str(e).partition(": ")
        return Feature(name, Answer.NO, what, advice)
    except Unsupported as e:
        return Feature(name, Answer.NO, e.reason)
    except (Error, OSError) as e:
        return _short(Feature(name, Answer.UNKNOWN, str(e)))


def _short(feature: Feature) -> Feature:
    """Say what is missing once, in the line about privileges, and not twenty times."""
    missing = capability_missing()
    if feature.answer is Answer.UNKNOWN and missing:
        return Feature(feature.name, Answer.UNKNOWN, f"{missing} is missing")
    return feature


def _release() -> str:
    return platform.release()


def _privileges() -> Feature:
    missing = capability_missing()
    if missing:
        return Feature("privileges", Answer.NO, f"{missing} is missing", _ROOT)
    who = "root" if os.geteuid() == 0 else "the capabilities are there"
    return Feature("privileges", Answer.YES, who)


def _bpf_call(asked: list[Feature]) -> Feature:
    if any(feature.answer is Answer.YES for feature in asked):
        return Feature("bpf(2)", Answer.YES, "programs can be loaded and run")
    if missing := capability_missing():
        return Feature("bpf(2)", Answer.UNKNOWN, f"{missing} is missing")
    unknown = next((f for f in asked if f.answer is Answer.UNKNOWN), asked[0])
    return Feature("bpf(2)", Answer.NO, unknown.reason, "look for a seccomp filter, lockdown")


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _jit() -> Feature:
    found = _read("/proc/sys/net/core/bpf_jit_enable")
    if found is None:
        return Feature("JIT", Answer.UNKNOWN, "net.core.bpf_jit_enable cannot be read")
    if found == "0":
        advice = "sysctl net.core.bpf_jit_enable=1; verdicts are the same, times are not"
        return Feature("JIT", Answer.NO, "programs are interpreted", advice)
    return Feature("JIT", Answer.YES)


def _btf() -> Feature:
    path = Path("/sys/kernel/btf/vmlinux")
    if path.exists():
        return Feature("kernel BTF", Answer.YES, str(path))
    advice = "programs with CO-RE need a kernel with CONFIG_DEBUG_INFO_BTF"
    return Feature("kernel BTF", Answer.NO, f"there is no {path}", advice)


def _lockdown() -> Feature:
    name = "no lockdown"
    found = _read("/sys/kernel/security/lockdown")
    if found is None:
        advice = "mount -t securityfs securityfs /sys/kernel/security"
        return Feature(name, Answer.UNKNOWN, "securityfs is not mounted", advice)
    level = found.partition("[")[2].partition("]")[0] or found
    if level == "none":
        return Feature(name, Answer.YES)
    advice = "tracing programs (fentry, freplace) are refused; XDP and TC work"
    return Feature(name, Answer.NO, f"lockdown={level}", advice)


def _xdp_sizes() -> str:
    found = limits()
    whole = f", to {found.xdp_most} with xdp.frags" if found.xdp_most > found.xdp_linear else ""
    return f"{LEAST} to {found.xdp_linear} bytes{whole}"


def _tc_sizes() -> str:
    return f"{LEAST} to {limits().skb_most} bytes"


def _clang() -> str:
    found = toolchain.find_clang()
    return f"{found.version} ({found.path})"


def _llvm(name: str) -> str:
    return str(toolchain.tool(name))


def _mounted(kind: str) -> list[str]:
    mounts = (_read("/proc/self/mounts") or "").splitlines()
    return [line.split()[1] for line in mounts if line.split()[2] == kind]


def _bpffs() -> Feature:
    if found := _mounted("bpf"):
        return Feature("bpffs", Answer.YES, found[0])
    advice = "mount -t bpf bpf /sys/fs/bpf; packetrig attach pins there, tests do not"
    return Feature("bpffs", Answer.NO, "not mounted", advice)


def _namespace() -> str:
    with live.namespace():
        return ""


def _veth() -> str:
    with live.Wire():
        return ""


def _other_kernels() -> str:
    if (lacking := kernels.missing()) is not None:
        raise lacking
    return "can be booted: packetrig matrix"


class _Smallest:
    """Be a program of two instructions, for as long as it is attached."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.name = "doctor"
        described = PROGRAM_KINDS[kind]
        self.fd = lib.pr_prog_load(described.type, described.attach, 0, _TWO, len(_TWO) // 8)
        if self.fd in (-1, -13):
            raise denied(f"loading a {kind} program")
        if self.fd < 0:
            raise Unsupported(f"{kind} programs", f"the kernel refused one: {strerror(-self.fd)}")


def _attach(mode: live.Mode) -> str:
    program = _Smallest(mode.kind)
    try:
        with live.Wire() as wire, wire.right.attach(program, mode):
            return "to a veth"
    finally:
        os.close(program.fd)


def _cgroup2() -> Feature:
    if found := _mounted("cgroup2"):
        return Feature("cgroup2", Answer.YES, found[0])
    advice = "mount -t cgroup2 none /sys/fs/cgroup; cgroup/connect programs need it"
    return Feature("cgroup2", Answer.NO, "not mounted", advice)


def _kprobes() -> Feature:
    path = Path("/sys/bus/event_source/devices/kprobe")
    if path.exists():
        return Feature("kprobes", Answer.YES)
    if not path.parent.exists():
        return Feature("kprobes", Answer.UNKNOWN, f"{path.parent} is not there", "mount sysfs")
    advice = "kprobe programs need a kernel with CONFIG_KPROBE_EVENTS"
    return Feature("kprobes", Answer.NO, "the kernel has none", advice)
