"""What programs print with bpf_printk is heard by the process that runs them, and by no other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from packetrig import Error, Object, PermissionDenied, Unsupported
from packetrig._bpf import lib, printing
from packetrig._bpf.printing import Printing

Load = Callable[..., Object]

SAYS = """
SEC("xdp") int say(struct xdp_md *ctx)
{
    bpf_printk("%d bytes", ctx->data_end - ctx->data);
    bpf_printk("with an end\\n");
    return XDP_PASS;
}
"""


@pytest.fixture
def heard() -> Iterator[Printing]:
    found = Printing()
    yield found
    found.close()


def instances_of(pid: int) -> list[str]:
    fd = lib.pr_tracefs()
    try:
        folder = os.open("instances", os.O_RDONLY, dir_fd=fd)
        try:
            names = os.listdir(folder)  # noqa: PTH208  # it has no path
            return [name for name in names if name.startswith(f"packetrig-{pid}-")]
        finally:
            os.close(folder)
    finally:
        os.close(fd)


def test_each_line_is_taken_once(load: Load, heard: Printing) -> None:
    rig = load(SAYS)
    assert heard() == []

    rig.run(bytes(60))
    rig.run(bytes(61))

    assert heard() == ["60 bytes", "with an end", "61 bytes", "with an end"]
    assert heard() == []
    assert len(heard.of_test) == 4


def test_another_test_begins_without_the_lines_of_the_one_before(
    load: Load, heard: Printing
) -> None:
    load(SAYS).run(bytes(60))

    heard.forget()

    assert (heard(), heard.of_test) == ([], [])


def test_what_another_process_prints_is_its_own(load: Load, heard: Printing) -> None:
    rig = load(SAYS)

    child = os.fork()
    if child == 0:
        rig.run(bytes(60))
        os._exit(0)
    os.waitpid(child, 0)
    rig.run(bytes(70))

    assert heard()[0] == "70 bytes"


def test_lines_that_were_lost_are_an_error(load: Load, heard: Printing) -> None:
    load(SAYS).run_many([bytes(60)] * 60_000)

    with pytest.raises(Error, match="lines more than the kernel keeps"):
        heard()


@pytest.mark.slow
def test_nothing_is_left_even_by_a_process_that_was_killed() -> None:
    code = (
        "import os; from packetrig._bpf.printing import Printing; heard = Printing(); "
        "os.kill(os.getpid(), 9)"
    )
    killed = subprocess.Popen([sys.executable, "-c", code])
    killed.wait()

    Printing().close()

    assert killed.returncode == -9
    assert instances_of(killed.pid) == []
    assert instances_of(os.getpid()) == []


@pytest.mark.parametrize("error, kind", [(1, PermissionDenied), (19, Unsupported), (5, Error)])
def test_where_nothing_can_be_heard_it_is_said(
    monkeypatch: pytest.MonkeyPatch, error: int, kind: type[Error]
) -> None:
    class Refusing:
        def pr_tracefs(self) -> int:
            return -error

    monkeypatch.setattr(printing, "lib", Refusing())

    with pytest.raises(kind, match="reading what programs print"):
        Printing()
