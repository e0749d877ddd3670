"""Attach: what is refused is named, what is attached is read back, what was attached goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import packetrig
from packetrig import _bpf
from packetrig.errors import Error
from packetrig.live import Mode, Wire, finish

pytestmark = pytest.mark.live

XDP_MODES = ("native", "generic")


@pytest.mark.parametrize("mode", XDP_MODES)
def test_an_attached_program_says_where_it_is(wire, xdp, mode):
    with wire.right.attach(xdp, mode=mode) as attached:
        assert attached.interface == "right"
        assert attached.mode is Mode(mode)
        assert attached.program == "answer_xdp"
        assert attached.program_id > 0


MODES = [*XDP_MODES, "tc-ingress", "tc-egress", "tcx-ingress", "tcx-egress"]


@pytest.mark.parametrize("mode", MODES)
def test_a_detached_program_decides_nothing_any_more(wire, frame, load, mode):
    shot = frame(1 if Mode(mode).is_xdp else 2)
    source = load("answer_xdp" if Mode(mode).is_xdp else "answer_tc")
    for _ in range(2):
        with wire.left.attach(source, mode=mode), wire.right.attach(source, mode=mode):
            assert wire.send(shot) == []
    assert wire.send(shot) == [shot]


def test_a_program_of_an_object_can_be_attached(wire, frame, answers):
    with answers.load() as every, wire.right.attach(every.programs.answer_xdp):
        assert wire.send(frame(1)) == []


def test_an_object_with_several_programs_asks_which(wire, answers):
    with (
        answers.load() as every,
        pytest.raises(Error, match="several programs"),
        wire.right.attach(every),
    ):
        pass


def test_a_program_for_another_hook_is_refused_with_what_fits(wire, tc):
    with pytest.raises(Error, match=r"answer_tc is a program for tc.*tc-ingress, tc-egress"):
        wire.right.attach(tc, mode="native").__enter__()


def test_an_unknown_mode_is_told_the_known_ones(wire, xdp):
    with pytest.raises(Error, match="no attach mode named 'offload'; there are: native"):
        wire.right.attach(xdp, mode="offload").__enter__()


def test_a_program_for_cgroups_is_told_where_it_belongs(wire):
    source = Path(__file__).parents[2] / "progs" / "socket" / "cgroup_connect.bpf.c"
    with (
        packetrig.build(source).load() as loaded,
        pytest.raises(Error, match=r"cgroup_connect is a program for cgroup.*live\.cgroup\(\)"),
        wire.right.attach(loaded.programs.cgroup_connect, mode="tc-egress"),
    ):
        pass


def test_an_object_that_is_closed_is_named(wire, xdp):
    xdp.close()
    with pytest.raises(Error, match="the object is closed"):
        wire.right.attach(xdp).__enter__()


def test_a_program_that_is_attached_without_with_is_named(wire, frame, xdp):
    wire.right.attach(xdp)
    with pytest.raises(Error, match=r"not entered, so nothing was attached: with wire\.right"):
        wire.send(frame(1))
    assert wire.leftovers() == ["right: attach() without with (native)"]
    wire.right.forgotten.clear()


def test_one_attach_is_for_one_block_at_a_time(wire, frame, xdp):
    attachment = wire.right.attach(xdp)
    with attachment, pytest.raises(Error, match="in its with block already"):
        attachment.__enter__()
    with attachment:
        assert wire.send(frame(1)) == []
    assert wire.send(frame(1)) == [frame(1)]


def test_a_program_stays_attached_until_its_block_ends(wire, frame, xdp):
    wire.right.attach(xdp).__enter__()
    assert wire.send(frame(1)) == []
    wire.right.attachments[0].close()
    assert wire.send(frame(1)) == [frame(1)]


def test_programs_on_both_ends_at_once_are_parked_side_by_side(wire, frame, load):
    one, other = load("answer_xdp"), load("only_the_first")
    with wire.right.attach(one), wire.left.attach(other):
        assert wire.send(frame(1)) == []
        assert wire.right.send(frame(0)) == [frame(0)]
        assert wire.right.send(frame(0)) == []


@pytest.mark.slow
def test_a_forked_child_leaves_the_parents_programs_alone(wire, frame, xdp):
    with wire.right.attach(xdp):
        child = os.fork()
        if child == 0:
            with Wire() as own, own.right.attach(xdp):
                os._exit(own.send(frame(1)) != [])
        assert os.waitpid(child, 0)[1] == 0
        assert wire.send(frame(1)) == []


def test_a_program_is_unloaded_when_its_object_is_closed_and_the_wire_is_finished(answers):
    with (
        answers.load(program="answer_xdp") as loaded,
        Wire() as wire,
        wire.right.attach(loaded) as a,
    ):
        number = a.program_id
    assert is_loaded(number)  # parked: the next one to be attached takes its place
    finish()
    while is_loaded(number):  # the kernel frees it in its own time
        os.sched_yield()


def is_loaded(number: int) -> bool:
    fd = _bpf.lib.bpf_prog_get_fd_by_id(number)
    if fd >= 0:
        os.close(fd)
    return bool(fd >= 0)


def test_an_action_is_refused(wire, tmp_path):
    source = tmp_path / "action.bpf.c"
    source.write_text(
        "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n"
        'SEC("action") int acts(struct __sk_buff *skb) { (void)skb; return 0; }\n'
        'char LICENSE[] SEC("license") = "GPL";\n'
    )
    with packetrig.build(source).load() as action, pytest.raises(Error, match="needs a filter"):
        wire.right.attach(action, mode="tcx-ingress").__enter__()


def test_what_is_no_program_is_refused(wire):
    with pytest.raises(Error, match="str cannot be attached"):
        wire.right.attach("xdp_http").__enter__()


@pytest.mark.parametrize("first", XDP_MODES)
@pytest.mark.parametrize("second", XDP_MODES)
def test_a_second_xdp_program_is_refused_and_the_first_stays(wire, frame, xdp, first, second):
    with wire.right.attach(xdp, mode=first):
        with pytest.raises(Error, match=f"right: attaching answer_xdp .{second}.*detach"):
            wire.right.attach(xdp, mode=second).__enter__()
        assert wire.send(frame(1)) == []


def test_the_object_may_be_closed_before_the_program_is_detached(wire, frame, answers):
    loaded = answers.load(program="answer_xdp")
    with wire.right.attach(loaded):
        loaded.close()
        assert wire.send(frame(1)) == []
    assert wire.send(frame(1)) == [frame(1)]


def test_a_program_is_detached_when_the_block_raises(wire, frame, xdp):
    with pytest.raises(ZeroDivisionError), wire.right.attach(xdp):
        _ = 1 // 0
    assert wire.send(frame(1)) == [frame(1)]


def test_an_mtu_that_is_too_large_for_the_program_is_named(xdp):
    with (
        Wire(mtu=9000) as wide,
        pytest.raises(Error, match=r"right: attaching answer_xdp \(native\).*MTU"),
        wide.right.attach(xdp),
    ):
        pass


def test_an_interface_that_is_gone_is_named(wire, xdp):
    wire.right.index = 4711
    with pytest.raises(Error, match=r"right: attaching answer_xdp \(native\)"):
        wire.right.attach(xdp).__enter__()


def test_two_tc_programs_may_share_a_hook(wire, frame, load):
    with wire.right.attach(load("answer_tc"), mode="tc-ingress"):
        with wire.right.attach(load("drops_bare_frames"), mode="tc-ingress"):
            pass
        assert wire.send(frame(2)) == []
        assert wire.send(frame(0)) == [frame(0)]
