"""Attach, replace, detach: in each mode the interface always has exactly one of the programs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute

import packetrig
from packetrig import Object, Spec, deploy
from packetrig.deploy import kernel
from packetrig.live import hooks
from packetrig.live.rtnl import netlink

from .rig import Ended, Rig

pytestmark = pytest.mark.live

Attach = Callable[..., Ended]
MODES = ("native", "generic", "tc-ingress", "tc-egress", "tcx-ingress", "tcx-egress")


def kind(mode: str) -> str:
    return "xdp" if mode in ("native", "generic") else "tc"


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_each_program_takes_the_place_of_the_one_before_and_gives_it_back(
    machine: Rig, attach: Attach, mode: str
) -> None:
    first = attach(f"old_{kind(mode)}", mode=mode)
    second = attach(f"new_{kind(mode)}", mode=mode)
    (spot,) = machine.status()
    names = [each["program"] for each in spot["generations"]]
    back = machine("detach", "--iface", "right")
    off = machine("detach", "--iface", "right")

    assert (first.code, second.code, back.code, off.code) == (0, 0, 0, 0)
    assert (spot["state"], names) == ("attached", ["", f"old_{kind(mode)}", f"new_{kind(mode)}"])
    assert f"new_{kind(mode)} (id {spot['program_id']}) is off; now: old_{kind(mode)}" in back.out
    assert off.out.endswith("now: nothing\n")


def test_what_is_attached_filters_when_its_process_has_gone(machine: Rig, attach: Attach) -> None:
    frame = bytes.fromhex("020000000002 020000000001 88b6") + bytes(46)
    assert machine.wire.send(frame) == [frame]

    attach("old_xdp")

    assert machine.wire.send(frame) == []


def test_status_tells_who_attached_what_for_which_reason(
    machine: Rig, attach: Attach, path: Path
) -> None:
    attach("old_xdp")
    attach("new_xdp")

    said = machine("status")

    header, row = said.out.splitlines()
    assert header.split()[:4] == ["interface", "hook", "state", "program"]
    assert row.split()[:4] == ["right", "xdp", "attached", "new_xdp"]
    assert "forced: a test" in row
    assert "old_xdp (id" in row
    (spot,) = machine.status()
    assert spot["generations"][-1]["object"] == str(path)
    assert said.code == 0


def test_a_reason_of_several_lines_stays_in_its_row() -> None:
    assert deploy.force(" one\n two ").forced == "one two"


def test_detach_all_goes_back_to_before_the_first(machine: Rig, attach: Attach) -> None:
    attach("old_xdp")
    attach("new_xdp")

    ended = machine("detach", "--iface", "right", "--all")

    assert ended.out.endswith("now: nothing\n")
    assert machine.status() == []


def test_only_the_last_few_are_kept(machine: Rig, attach: Attach) -> None:
    for _ in range(6):
        assert attach("old_xdp").code == 0

    (spot,) = machine.status()

    assert [each["what"] for each in spot["generations"]] == ["nothing", *["ours"] * 4]
    assert (
        len({pin.split("/generation-")[1].split("/")[0] for pin in machine.pins() if "gen" in pin})
        == 4
    )


def test_maps_are_pinned_and_can_be_taken_over(
    machine: Rig, attach: Attach, tmp_path: Path
) -> None:
    setup = tmp_path / "setup.toml"
    setup.write_text('format = 1\n[maps.blocked]\n"10.0.0.66" = 7\n')
    attach("old_xdp", "--setup", setup)
    frame = bytes.fromhex("020000000002 020000000001 88b6") + bytes(46)
    machine.wire.send(frame)

    kept = attach("new_xdp", "--keep-maps", "--for", "1ms", "--counter", "dropped[0]==1")
    held = attach("new_xdp", "--keep-maps", "--for", "1ms", "--counter", "blocked[10.0.0.66]==7")
    fresh = attach("new_xdp", "--for", "1ms", "--counter", "dropped[0]==1")

    assert (kept.code, held.code, fresh.code) == (0, 0, 1)
    assert "counter dropped[0]==1 does not hold: it is 0" in fresh.err


def test_a_strangers_program_is_replaced_only_when_named_and_comes_back(
    machine: Rig, attach: Attach, filters: Spec, standing: Callable[[], list[int]]
) -> None:
    with filters.load(program="old_xdp") as strange, machine.wire.right.attach(strange):
        theirs = strange.program.id
        refused = attach("new_xdp")
        wrong = attach("new_xdp", "--replace-foreign", theirs + 1)
        named = attach("new_xdp", "--replace-foreign", theirs)
        (spot,) = machine.status()
        ours = standing()
        back = machine("detach", "--iface", "right")

        assert (refused.code, wrong.code, named.code, back.code) == (2, 2, 0, 0)
        assert f"a program that packetrig did not attach: {theirs}" in refused.err
        assert f"--replace-foreign {theirs}" in refused.err
        assert f"there are: {theirs}" in wrong.err
        assert ours == [spot["program_id"]] != [theirs]
        assert standing() == [theirs]


@pytest.mark.parametrize("mode", ["tc-ingress", "tcx-ingress"])
def test_a_strangers_tc_program_may_stand_beside(
    machine: Rig, attach: Attach, filters: Spec, mode: str
) -> None:
    with filters.load(program="old_tc") as strange, machine.wire.right.attach(strange, mode=mode):
        refused = attach("new_tc", mode=mode)
        beside = attach("new_tc", "--allow", "beside", mode=mode)
        order = [spot["program_id"] for spot in machine.status()]
        machine("detach", "--iface", "right")
        theirs = [spot["program_id"] for spot in machine.status()]

        assert (refused.code, beside.code) == (2, 0)
        assert "beside it yours would run first" in refused.err
        assert len(order) == 2
        assert theirs == [strange.program.id]


def test_a_strangers_link_is_borrowed_and_given_back(
    machine: Rig, attach: Attach, filters: Spec, standing: Callable[[], list[int]]
) -> None:
    from packetrig._bpf import lib

    with filters.load(program="old_xdp") as strange:
        with machine.wire.right.namespace.inside():
            link = lib.pr_link_create(strange.program.fd, machine.wire.right.index, 37, 4)
        try:
            theirs = strange.program.id
            named = attach("new_xdp", "--replace-foreign", theirs)
            ours = standing()
            machine("detach", "--iface", "right")

            assert (named.err, named.code) == ("", 0)
            assert ours != [theirs]
            assert standing() == [theirs]
        finally:
            os.close(link)
    assert standing() == []


def test_all_interfaces_are_asked_about_over_one_socket(
    machine: Rig, filters: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def counted(**how: Any) -> IPRoute:
        opened.append(how)
        return IPRoute(**how)

    right = machine.wire.right
    with filters.load() as strange, ExitStack() as stack:
        for program, mode in (("old_xdp", "native"), ("old_tc", "tc-egress")):
            stack.enter_context(right.attach(strange.programs[program], mode=mode))
        stack.enter_context(right.namespace.inside())
        one = hooks.interface("right")
        theirs = {hook: hooks.filters(right.index, hook) for hook in hooks.PARENT}
        monkeypatch.setattr(hooks, "IPRoute", counted)
        found = {interface.name: (interface, told) for interface, told in hooks.everything()}

    assert len(opened) == 1
    assert found["right"] == (replace(one, counters=found["right"][0].counters), theirs)
    assert [each.program_id for each in theirs["tc-egress"]]
    assert found["lo"][1] == {"tc-ingress": [], "tc-egress": []}


def link_of_somebody_else(machine: Rig, strange: Object) -> int:
    """Attach a program by a link that packetrig knows nothing of; return its descriptor."""
    right = machine.wire.right
    with right.namespace.inside():
        return kernel.create_link(
            strange.program.fd, right.index, "native", hook="xdp", doing="somebody else"
        )


def test_a_strangers_link_whose_owner_is_gone_still_gives_its_program_back(
    machine: Rig, attach: Attach, filters: Spec, standing: Callable[[], list[int]]
) -> None:
    with filters.load(program="old_xdp") as strange:
        link = link_of_somebody_else(machine, strange)
        attach("new_xdp", "--replace-foreign", strange.program.id)
        os.close(link)  # as when the process that attached it ends

        back = machine("detach", "--iface", "right")
        (spot,) = machine.status()
        machine.lost_its_journal = True

        assert (back.code, back.err) == (0, "")
        assert standing() == [strange.program.id] == [spot["program_id"]]
        assert "rm /sys/fs/bpf/packetrig/" in spot["reason"]


def test_a_pin_of_a_strangers_link_goes_when_the_stranger_holds_it(
    machine: Rig, attach: Attach, filters: Spec, standing: Callable[[], list[int]]
) -> None:
    with filters.load(program="old_xdp") as strange:
        link = link_of_somebody_else(machine, strange)
        attach("new_xdp", "--replace-foreign", strange.program.id)
        kernel.update_link(link, strange.program.fd, expected=-1, doing="as a recovery does")
        shutil.rmtree(machine.state / "attached")  # and is killed then

        (before,) = machine.status()
        machine("attach", "--recover")

        assert "`packetrig attach --recover` takes them away" in before["reason"]
        assert standing() == [strange.program.id]
        assert machine.pins() == []
        os.close(link)


def test_what_was_found_on_the_interface_is_told_with_its_reason(
    machine: Rig, attach: Attach
) -> None:
    attach("old_tc", mode="tc-ingress")

    said = attach("old_xdp", "--json")

    found = {each["what"]: each for each in json.loads(said.out)["findings"]}
    assert found["vlan"]["answer"] == "note"
    assert "takes VLAN tags off" in found["vlan"]["reason"]
    assert "tc-ingress of right has a program as well" in found["leftover"]["reason"]
    assert {
        found[what]["answer"] for what in ("kind", "driver", "down", "mtu", "queues", "foreign")
    } == {"ok"}
    assert found["bpffs"]["reason"] == "bpffs at /sys/fs/bpf"


def test_native_and_generic_are_not_exchanged_in_one_step(machine: Rig, attach: Attach) -> None:
    attach("old_xdp", mode="generic")

    refused = attach("new_xdp", mode="native")

    assert refused.code == 2
    assert "in mode generic: native and generic exclude each other" in refused.err
    assert machine.status()[0]["generations"][-1]["program"] == "old_xdp"


def test_a_clsact_that_was_there_before_stays(machine: Rig, attach: Attach) -> None:
    with machine.wire.right.namespace.inside():
        index = hooks.interface("right").index
        hooks.ensure_clsact(index, doing="a test")

    attach("old_tc", mode="tc-ingress")
    machine("detach", "--iface", "right")

    with machine.wire.right.namespace.inside():
        assert not hooks.ensure_clsact(index, doing="a test")
        hooks.remove_clsact(index, doing="a test")
        attach("old_tc", mode="tc-ingress")
        machine("detach", "--iface", "right")
        assert hooks.ensure_clsact(index, doing="a test")
        hooks.remove_clsact(index, doing="a test")


def test_a_clsact_of_two_hooks_goes_with_the_last_of_them(machine: Rig, attach: Attach) -> None:
    for mode in ("tc-ingress", "tc-egress"):
        attach("old_tc", mode=mode)
    for mode in ("tc-ingress", "tc-egress"):
        machine("detach", "--iface", "right", "--mode", mode)

    with machine.wire.right.namespace.inside():
        assert hooks.qdisc(hooks.interface("right").index) == ""


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_a_detach_that_has_to_choose_names_the_modes_to_choose_from(
    machine: Rig, attach: Attach, mode: str
) -> None:
    attach("old_tc", mode="tcx-ingress")
    attach("old_xdp", mode=mode)

    unclear = machine("detach", "--iface", "right")

    assert unclear.code == 2
    assert unclear.err.endswith(f"--mode tcx-ingress or {mode}\n")
    assert machine("detach", "--iface", "right", "--mode", mode).code == 0


def test_a_driver_without_native_xdp_is_named(machine: Rig, path: Path) -> None:
    words = ("--iface", "lo", "--force", "a test", "--program", "old_xdp")

    native = machine("attach", path, *words)
    generic = machine("attach", path, *words, "--mode", "generic")

    assert (native.code, generic.code) == (2, 0)
    assert "the driver of lo (" in native.err
    assert "has no native XDP: use --mode generic" in native.err


def test_a_kernel_without_links_holds_programs_over_netlink(
    machine: Rig, path: Path, standing: Callable[[], list[int]]
) -> None:
    words = ("attach", path, "--iface", "right", "--force", "a test", "--program")

    first = machine(*words, "old_xdp", without_links=True)
    second = machine(*words, "new_xdp", without_links=True)
    (spot,) = machine.status()
    machine("detach", "--iface", "right")
    back = standing()
    machine("detach", "--iface", "right")

    assert (first.code, second.code) == (0, 0)
    assert spot["carrier"] == {"by": "netlink"}
    assert back == [spot["generations"][1]["id"]]
    assert standing() == []


def test_a_dry_run_changes_nothing(machine: Rig, attach: Attach) -> None:
    attach("old_xdp")
    (before,) = machine.status()

    ended = attach("new_xdp", "--dry-run")
    refused = attach("old_tc", "--dry-run")

    assert (ended.code, refused.code) == (0, 2)
    assert ended.out.endswith("right (native): nothing stands in the way\n")
    assert machine.status() == [before]
    assert len([pin for pin in machine.pins() if "generation" in pin and "program" in pin]) == 1


def test_a_program_that_jumps_to_another_still_does_when_its_process_has_gone(
    machine: Rig, tmp_path: Path
) -> None:
    path = tmp_path / "jumps.o"
    path.write_bytes(packetrig.build(Path(__file__).with_name("jumps.bpf.c")).data)
    frame = bytes.fromhex("020000000002 020000000001 0800") + bytes(46)
    words = ("--iface", "right", "--force", "a test", "--program", "jumps_entry")

    ended = machine("attach", path, *words)

    assert (ended.code, ended.err) == (0, "")
    assert machine.wire.send(frame) == []


def test_an_object_is_kept_as_long_as_one_can_go_back_to_it(
    machine: Rig, attach: Attach, filters: Spec
) -> None:
    attach("old_xdp")
    attach("old_tc", mode="tc-ingress")
    objects = machine.state / "objects"

    machine("detach", "--iface", "right", "--mode", "tc-ingress")
    one = [path.name for path in objects.iterdir()]
    machine("detach", "--iface", "right")

    assert one == [f"{filters.sha256}.o"]
    assert list(objects.iterdir()) == []


def test_a_strangers_program_is_not_replaced_beside_one_of_ours(
    machine: Rig, attach: Attach, filters: Spec
) -> None:
    attach("old_tc", mode="tc-ingress")
    with (
        filters.load(program="old_tc") as strange,
        machine.wire.right.attach(strange, mode="tc-ingress"),
    ):
        ended = attach("new_tc", "--replace-foreign", strange.program.id, mode="tc-ingress")

    assert ended.code == 2
    assert "--replace-foreign is for a first attach; `packetrig detach --all` first" in ended.err


def test_a_strangers_filter_is_given_back_as_it_was(
    machine: Rig, attach: Attach, filters: Spec
) -> None:
    index = machine.wire.right.index
    ip = {"parent": 0xFFFFFFF2, "prio": 7, "handle": 3, "protocol": 0x0800}
    with filters.load(program="old_tc") as strange:
        with netlink(machine.wire.right.namespace, "somebody") as route:
            route.tc("add", "clsact", index)
            route.tc(
                "add-filter",
                "bpf",
                index,
                fd=strange.program.fd,
                name="x",
                direct_action=True,
                **ip,
            )
        theirs = ("--replace-foreign", strange.program.id)
        named = attach("new_tc", *theirs, mode="tc-ingress")
        machine("detach", "--iface", "right")
        with machine.wire.right.namespace.inside():
            (back,) = hooks.filters(index, "tc-ingress")
        with netlink(machine.wire.right.namespace, "somebody") as route:
            route.tc("del-filter", "bpf", index, **ip)
            route.tc("add-filter", "bpf", index, fd=strange.program.fd, name="x", classid=1, **ip)
        refused = attach("new_tc", *theirs, mode="tc-ingress")
        with netlink(machine.wire.right.namespace, "somebody") as route:
            route.tc("del", "clsact", index)

        assert (named.code, refused.code) == (0, 2)
        assert (back.at, back.name) == ((7, 3, 0x0800), "x")
        assert back.program_id == strange.program.id
        assert "a filter like that cannot be put back as it was" in refused.err
