"""Without libbpf nothing can be loaded: that is said in one line, and it is nobody's program."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT = "import sys; sys.modules['packetrig._bpf._kernel'] = None; "


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + code], capture_output=True, text=True, check=False
    )


def test_a_missing_libbpf_is_named_with_how_to_get_it() -> None:
    done = python(
        "import packetrig\ntry: packetrig.Spec\nexcept packetrig.ToolMissing as e: sys.exit(str(e))"
    )

    assert done.returncode == 1
    assert "kernel extension cannot be loaded" in done.stderr
    assert "apt-get install libbpf1" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_command_without_libbpf_ends_undecided_and_in_one_line() -> None:
    done = python(
        "from packetrig.cli import main\n"
        "sys.argv = ['packetrig', 'run', 'x.bpf.c', '--frame', '00']\n"
        "sys.exit(main())"
    )

    assert done.returncode == 2
    assert "kernel extension cannot be loaded" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_strategies_and_packets_work_without_libbpf() -> None:
    done = python(
        "from packetrig import strategies, packets\n"
        "print(len(packets.malformed.catalogue()) > 1000)"
    )

    assert done.stdout == "True\n"
