"""bpf(2) forbidden although no capability is missing: the message must not blame capabilities."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import packetrig

# A seccomp filter that answers EPERM to bpf(2) and allows the rest, installed with prctl.
FORBID = """
import ctypes, struct, sys, platform
import packetrig
from packetrig._bpf import lib
number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
def op(code, jt, jf, k): return struct.pack("=HBBI", code, jt, jf, k)
code = op(0x20, 0, 0, 0) + op(0x15, 0, 1, number)
code += op(0x06, 0, 0, 0x00050001) + op(0x06, 0, 0, 0x7fff0000)
buffer = ctypes.create_string_buffer(code)
program = struct.pack("=HxxxxxxQ", 4, ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0) == 0, ctypes.get_errno()
try:
    packetrig.build(sys.argv[1]).load()
except packetrig.PermissionDenied as e:
    sys.exit(str(e))
"""


def test_a_filter_that_forbids_bpf_is_told_from_a_missing_capability(
    source: Callable[..., Path],
) -> None:
    path = source('SEC("xdp") int only(struct xdp_md *ctx) { return XDP_PASS; }')

    done = subprocess.run(
        [sys.executable, "-c", FORBID, str(path)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1, done.stderr
    assert "no capability is missing" in done.stderr
    assert "seccomp" in done.stderr


# The process keeps nothing but what it is said to need.
FEW = """
import ctypes, os, struct, sys
import packetrig
from packetrig._bpf import CAP_BPF, CAP_NET_ADMIN
spec = packetrig.build(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
kept = 1 << CAP_BPF | 1 << CAP_NET_ADMIN
low, high = kept & 0xffffffff, kept >> 32
header = struct.pack("=Ii", 0x20080522, 0)
data = struct.pack("=6I", low, low, 0, high, high, 0)
assert libc.capset(header, data) == 0, ctypes.get_errno()
for name, asked in (("rate", {}), ("rate", {"redirect": True}), ("trace", {})):
    try:
        with spec.load(program=name) as rig:
            print(rig.run(b"" if name == "trace" else bytes(60), **asked).verdict)
    except packetrig.PermissionDenied as e:
        print(e)
"""


def test_two_capabilities_are_enough_and_a_third_is_named_where_it_is_not(
    source: Callable[..., Path],
) -> None:
    path = source(
        """
        SEC("xdp") int rate(struct xdp_md *ctx) { return bpf_redirect(1, 0); }
        SEC("raw_tp/x") int trace(void *ctx) { return 0; }
        """
    )

    packetrig.build(path).load(program="trace").close()  # skips where there is less already
    done = subprocess.run(
        [sys.executable, "-c", FEW, str(path)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    plain, noting, tracing = done.stdout.splitlines()
    assert plain == "XDP.REDIRECT"
    for line in (noting, tracing):
        assert line.endswith("lacks CAP_PERFMON; run it as root or grant CAP_PERFMON"), line
