"""bpf(2) forbidden although no capability is missing: the message must not blame capabilities."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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
