"""Bad input is named, and the interface keeps what it filters with."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import packetrig
from packetrig import Spec
from packetrig.live import Namespace, hooks, namespace
from packetrig.live.rtnl import netlink

from .rig import Ended, Rig

pytestmark = pytest.mark.live

Attach = Callable[..., Ended]


@pytest.fixture
def filtering(machine: Rig, attach: Attach, standing: Callable[[], list[int]]) -> Iterator[None]:
    """Have the old program stand on `right`, and hold the test to leaving it there."""
    attach("old_xdp")
    before = standing()
    assert len(before) == 1
    yield
    assert standing() == before


@pytest.fixture
def spare(machine: Rig) -> Iterator[str]:
    """Make an interface that a test may take down and away."""
    make(machine, "spare")
    yield "spare"
    with netlink(machine.wire.right.namespace, "removing spare") as route:
        for found in route.link_lookup(ifname="spare"):
            route.link("del", index=found)


def make(machine: Rig, name: str) -> None:
    with netlink(machine.wire.right.namespace, f"making {name}") as route:
        route.link("add", kind="veth", ifname=name, peer={"ifname": "other"})
        route.link("set", index=route.link_lookup(ifname=name)[0], state="up")


def put(machine: Rig, fd: int) -> None:
    attrs = [("IFLA_XDP_FD", fd), ("IFLA_XDP_FLAGS", 4)]
    with netlink(machine.wire.right.namespace, "somebody") as route:
        route.link("set", index=machine.wire.right.index, IFLA_XDP={"attrs": attrs})


def remove(machine: Rig, name: str) -> None:
    remove_from(machine.wire.right.namespace, name)


def remove_from(place: Namespace, name: str) -> None:
    with netlink(place, f"removing {name}") as route:
        route.link("del", index=route.link_lookup(ifname=name)[0])


def rename(machine: Rig, name: str, to: str) -> None:
    with netlink(machine.wire.right.namespace, "renaming") as route:
        index = route.link_lookup(ifname=name)[0]
        route.link("set", index=index, state="down")
        route.link("set", index=index, ifname=to)
        route.link("set", index=index, state="up")


def move(origin: Namespace, name: str, goal: Namespace) -> None:
    with netlink(origin, "moving") as route:
        route.link("set", index=route.link_lookup(ifname=name)[0], net_ns_fd=goal.fd)


def journal_of(machine: Rig) -> Path:
    (path,) = machine.state.glob("attached/*/journal.json")
    return path


def change(path: Path, **parts: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **parts}))


def force(path: Path, interface: str, program: str = "old_xdp") -> tuple[object, ...]:
    return ("attach", path, "--iface", interface, "--force", "a test", "--program", program)


def test_an_interface_that_is_not_there_is_named(machine: Rig, path: Path) -> None:
    ended = machine(*force(path, "rihgt"))

    assert ended.code == 2
    assert ended.err == (
        "packetrig: there is no interface named rihgt; there are: left, lo, right\n"
    )


def test_an_interface_that_is_down_is_named(machine: Rig, path: Path, spare: str) -> None:
    with netlink(machine.wire.right.namespace, "down") as route:
        route.link("set", index=route.link_lookup(ifname=spare)[0], state="down")

    ended = machine(*force(path, spare))
    allowed = machine(*force(path, spare), "--allow", "down")

    assert (ended.code, allowed.code) == (2, 0)
    assert "note: spare is down: nothing would show whether it works (allowed)\n" in allowed.out
    assert ended.err == (
        "packetrig: spare is down: nothing would show whether it works (--allow down attaches all "
        "the same)\n"
    )


def test_an_interface_that_vanishes_while_watched_is_named(
    machine: Rig, path: Path, spare: str, filtering: None
) -> None:
    machine(*force(path, spare))
    running = machine.start(*force(path, spare, "new_xdp"), "--for", "10m", "--every", "10ms")
    running.line("is attached, watched")

    remove(machine, spare)
    ended = running.end()

    assert ended.code == 2
    assert "there is no interface named spare; there are: left, lo, right" in ended.err
    assert [spot["interface"] for spot in machine.status()] == ["right"]


@pytest.mark.parametrize("stays_away", [True, False])
def test_a_carrier_that_is_lost_must_be_back_at_the_end(
    machine: Rig, attach: Attach, path: Path, tmp_path: Path, stays_away: bool
) -> None:
    attach("old_xdp")
    fifo = tmp_path / "fifo"
    command = f"test ! -p {fifo} && mkfifo {fifo} || cat {fifo}"
    held = ("--for", "1ms", "--watch", command, "--watch-timeout", "1h")
    common = ("--iface", "right", "--force", "a test", "--program", "new_xdp")
    running = machine.start("attach", path, *common, *held)
    running.line("is attached, watched")

    left = machine.wire.left
    with fifo.open("wb"), netlink(left.namespace, "unplugging it") as route:
        route.link("set", index=left.index, state="down")
        if not stays_away:
            route.link("set", index=left.index, state="up")
    ended = running.end()
    with netlink(left.namespace, "plugging it in") as route:
        route.link("set", index=left.index, state="up")

    assert ended.code == (2 if stays_away else 0)
    said = "right had a carrier and has none: nothing shows whether the program works: old_xdp"
    assert (said in ended.err) is stays_away


def test_an_interface_that_goes_down_while_watched_is_named(
    machine: Rig, path: Path, spare: str
) -> None:
    machine(*force(path, spare))
    before = machine.status()[0]["program_id"]
    watched = machine.start(*force(path, spare, "new_xdp"), "--for", "10m", "--every", "10ms")
    watched.line("is attached, watched")
    with netlink(machine.wire.right.namespace, "taking it down") as route:
        route.link("set", index=route.link_lookup(ifname=spare)[0], state="down")
    ended = watched.end()

    assert ended.code == 2
    assert "spare went down: nothing shows whether the program works" in ended.err
    assert "stands there again, as before" in ended.err
    assert [spot["program_id"] for spot in machine.status()] == [before]


def test_an_interface_that_vanished_is_told_and_can_be_forgotten(
    machine: Rig, path: Path, spare: str, filtering: None
) -> None:
    machine(*force(path, spare))
    remove(machine, spare)

    gone = {spot["interface"]: spot["state"] for spot in machine.status()}
    code = machine("status").code
    recovered = machine("attach", "--recover")

    assert gone == {"right": "attached", "spare": "interface gone"}
    assert code == 2
    assert "old_xdp went with it, forgotten" in recovered.out
    assert [spot["interface"] for spot in machine.status()] == ["right"]


def test_an_interface_that_was_renamed_keeps_its_program(
    machine: Rig, path: Path, spare: str
) -> None:
    machine(*force(path, spare))
    (before,) = machine.status()
    rename(machine, spare, "spear")

    (said,) = machine.status()
    recovered = machine("attach", "--recover")
    rename(machine, "spear", spare)

    assert said["state"] == "cannot tell"
    assert "the interface is named spear by now: name it spare again" in said["reason"]
    assert recovered.code == 2
    assert machine.status() == [before]


def test_an_interface_that_was_moved_keeps_its_program(
    machine: Rig, path: Path, spare: str
) -> None:
    machine(*force(path, spare))
    (before,) = machine.status()
    with namespace() as elsewhere:
        move(machine.wire.right.namespace, spare, elsewhere)
        (moved,) = machine.status()
        recovered = machine("attach", "--recover")
        move(elsewhere, spare, machine.wire.right.namespace)

    assert (moved["state"], moved["program_id"]) == ("another namespace", before["program_id"])
    assert "it was moved to another network namespace, and filters there" in moved["reason"]
    assert recovered.code == 2
    assert "its link is alive: it was moved to another network namespace" in recovered.out
    assert [spot["program_id"] for spot in machine.status()] == [before["program_id"]]


@pytest.mark.parametrize(
    ("program", "mode", "fits"),
    [
        ("old_tc", "native", "tc-ingress, tc-egress, tcx-ingress, tcx-egress"),
        ("new_xdp", "tc-ingress", "native, generic"),
        ("new_xdp", "tcx-egress", "native, generic"),
        (
            "behind_tc",
            "tcx-ingress",
            'none, an action needs a filter before it; SEC("tc") makes it one',
        ),
    ],
)
def test_a_program_of_the_wrong_kind_is_named(
    attach: Attach, filtering: None, program: str, mode: str, fits: str
) -> None:
    ended = attach(program, mode=mode)

    assert ended.code == 2
    assert f"it cannot be attached as {mode}; what fits: {fits}\n" in ended.err


def test_a_program_that_runs_behind_a_redirect_is_named(attach: Attach, filtering: None) -> None:
    ended = attach("behind_xdp", "--dry-run")

    assert ended.code == 2
    assert ended.err == (
        "packetrig: behind_xdp is a program for entries of maps (xdp/devmap): it runs behind a "
        "redirect and cannot be attached\n"
    )


def test_a_journal_from_another_boot_is_named(
    machine: Rig, attach: Attach, filtering: None
) -> None:
    change(journal_of(machine), boot="00000000-0000-0000-0000-000000000000")
    machine.lost_its_journal = True

    said = machine.status()
    again = attach("new_xdp")
    detached = machine("detach", "--iface", "right")
    recovered = machine("attach", "--recover")
    after = machine.status()

    assert [spot["state"] for spot in said] == ["another boot", "not ours"]
    assert (again.code, detached.code, recovered.code) == (2, 2, 0)
    assert "its journal is from another boot, and its programs are gone" in again.err
    assert "was attached before the machine was started again: forgotten" in recovered.out
    assert [spot["state"] for spot in after] == ["not ours"]
    named = attach("new_xdp", "--replace-foreign", after[0]["program_id"])
    back = machine("detach", "--iface", "right")
    assert (named.code, back.code) == (0, 0)


def test_a_namespace_that_was_given_the_number_of_another_gets_none_of_its_programs(
    machine: Rig, attach: Attach, standing: Callable[[], list[int]]
) -> None:
    attach("old_xdp")
    link = next(pin for pin in machine.pins() if pin.endswith("/link"))
    machine.ask({"run": ["rm", link.partition("/root")[2]]})  # as the interface went, so did it
    change(journal_of(machine), cookie=1 << 60)

    said = machine.status()
    again = attach("new_xdp")
    recovered = machine("attach", "--recover")

    assert [spot["state"] for spot in said] == ["interface gone"]
    assert (again.code, recovered.code) == (2, 0)
    assert "right: its network namespace is gone, this one only has its number; `pack" in again.err
    assert "went with it, forgotten" in recovered.out
    assert standing() == []


def test_a_name_of_no_interface_leaves_nothing_on_the_disk(machine: Rig, path: Path) -> None:
    codes = [machine(*force(path, name)).code for name in ("rihgt", "../../../right")]
    codes.append(machine("detach", "--iface", "../../../right", "--mode", "native").code)

    assert codes == [2, 2, 2]
    assert list(machine.state.parent.rglob("*lock*")) == []


def test_a_state_folder_that_is_a_file_is_named(machine: Rig, tmp_path: Path) -> None:
    machine.state, kept = tmp_path / "file", machine.state
    machine.state.touch()
    ended = machine("status")
    machine.state = kept

    assert (ended.code, ended.err) == (
        2,
        f"packetrig: {tmp_path}/file/attached: cannot be read: not a directory\n",
    )


def test_a_counter_with_a_field_that_is_not_there_is_named(attach: Attach, filtering: None) -> None:
    ended = attach("new_xdp", "--for", "1s", "--counter", "dropped[0].packets<=100")

    assert ended.code == 2
    assert "--counter dropped[0].packets<=100: what is there has no field 'packets'" in ended.err


def test_an_interface_that_is_renamed_while_watched_gets_its_old_program_back(
    machine: Rig, path: Path, spare: str
) -> None:
    machine(*force(path, spare))
    watched = machine.start(
        *force(path, spare, "new_xdp"), "--for", "30s", "--every", "20ms", "--watch", "true"
    )
    watched.line("is attached, watched")
    before = machine.status()[0]["generations"][1]["id"]
    rename(machine, spare, "renamed")
    ended = watched.end()
    with machine.wire.right.namespace.inside():
        stands = list(hooks.interface("renamed").xdp.values())
    (said,) = machine.status()
    rename(machine, "renamed", spare)

    assert ended.code == 2
    assert "stands there again, as before" in ended.err
    assert stands == [before]
    assert said["state"] == "cannot tell"


def test_a_journal_that_was_lost_does_not_take_the_program_along(
    machine: Rig, attach: Attach, filtering: None, standing: Callable[[], list[int]]
) -> None:
    shutil.rmtree(machine.state)
    machine.lost_its_journal = True

    (told,) = machine.status()
    named = attach(
        "new_xdp", "--replace-foreign", standing()[0], "--for", "1s", "--counter", "passed>0"
    )

    assert told["state"] == "not ours"
    assert "no journal speaks of it; rm /sys/fs/bpf/packetrig/" in told["reason"]
    assert named.code == 1
    assert "not ours) stands there again, as before" in named.err


def test_pins_whose_journal_and_interface_are_gone_are_told_and_taken_away(
    machine: Rig, path: Path, spare: str
) -> None:
    machine(*force(path, spare))
    remove(machine, spare)
    shutil.rmtree(machine.state / "attached")

    before = machine("status")
    recovered = machine("attach", "--recover")

    assert before.code == 2
    assert "left over" in before.out
    assert "pins without a journal: `packetrig attach --recover` takes them away" in before.out
    assert recovered.code == 0
    assert "left of a program whose journal is gone: taken away" in recovered.out
    assert machine.pins() == []
    assert list(machine.state.glob("attached/*")) == []


def test_pins_of_another_namespace_are_told(machine: Rig, path: Path) -> None:
    with namespace() as there:
        make(machine, "moving")
        machine(*force(path, "moving"))
        link = next(pin for pin in machine.pins() if pin.endswith("/link")).partition("/root")[2]
        name = Path(link).parent
        elsewhere = name.with_name(f"1-{name.name.partition('-')[2]}")
        machine.ask({"run": ["mv", str(name), str(elsewhere)]})
        shutil.rmtree(machine.state / "attached")
        move(machine.wire.right.namespace, "moving", there)
        held = machine.status()
        machine("attach", "--recover")
        still = machine.pins()
        remove_from(there, "moving")

    dead = machine.status()
    recovered = machine("attach", "--recover")

    assert [(spot["state"], spot["program_id"] > 0) for spot in held] == [("left over", True)]
    assert f"no journal speaks of it; rm {elsewhere}/link takes it off" in held[0]["reason"]
    assert any(pin.endswith("/link") for pin in still)
    assert [(spot["state"], spot["program_id"]) for spot in dead] == [("left over", 0)]
    assert "taken away" in recovered.out
    assert machine.pins() == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"format": 2}', "format 2 is not known; this packetrig reads 1"),
        ("{", "is no journal of packetrig; what is attached is not known"),
        ('{"format": 1}', "is broken ('work'); what is attached is not known"),
    ],
)
def test_a_journal_that_cannot_be_read_is_named(
    machine: Rig, attach: Attach, filtering: None, text: str, said: str
) -> None:
    journal = journal_of(machine)
    before = journal.read_text()
    journal.write_text(text)

    asked = machine("status")
    again = attach("new_xdp")
    recovered = machine("attach", "--recover")
    detached = machine("detach", "--iface", "right")
    journal.write_text(before)

    assert said in asked.out
    assert said in again.err
    assert said in recovered.out
    assert said in detached.err
    assert "`packetrig detach --forget --mode ...` gives the journal up" in again.err or "2" in text
    assert (asked.code, again.code, recovered.code, detached.code) == (2, 2, 2, 2)


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ({"index": "7"}, "is broken (index is '7')"),
        ({"index": 1 << 70}, "is broken (index 1180591620717411303424)"),
        ({"carrier": {}}, "is broken ('by')"),
        ({"carrier": {"by": "filter", "priority": 1, "handle": None}}, "(handle is None)"),
        ({"mode": "tc-egress"}, "is broken (mode tc-egress of hook xdp)"),
        ({"last": 5}, "is broken (last is 5)"),
        ({"work": {}}, "is broken ("),
        ({"generations": []}, "is broken (it has no generations)"),
        ({"interface": "left"}, "is about left (xdp), another spot"),
    ],
)
def test_a_journal_that_was_edited_is_named_and_nothing_else_goes_unsaid(
    machine: Rig, attach: Attach, filtering: None, lie: dict[str, object], said: str
) -> None:
    journal = journal_of(machine)
    before = journal.read_text()
    change(journal, **lie)

    asked = machine("status")
    again = attach("new_xdp")
    journal.write_text(before)

    told, stands = asked.out.splitlines()[1:]
    assert said in told
    assert told.split()[:5] == ["right", "xdp", "cannot", "tell", "?"]
    assert stands.split()[2:4] == ["not", "ours"]
    assert said in again.err
    assert (asked.code, again.code) == (2, 2)


def test_an_interface_that_came_again_is_not_the_one_that_was(
    machine: Rig, path: Path, spare: str
) -> None:
    machine(*force(path, spare))
    remove(machine, spare)
    make(machine, spare)

    said = machine.status()
    refused = machine(*force(path, spare))
    recovered = machine("attach", "--recover", "--iface", spare)
    again = machine(*force(path, spare))

    assert [spot["state"] for spot in said] == ["interface gone"]
    assert (refused.code, recovered.code, again.code) == (2, 0, 0)
    assert "is another interface of that name by now" in refused.err
    assert "`packetrig attach --recover` forgets the one that is gone" in refused.err


def test_maps_of_another_shape_are_not_kept(
    machine: Rig, attach: Attach, filtering: None, tmp_path: Path
) -> None:
    source = tmp_path / "other.bpf.c"
    text = Path(__file__).with_name("filters.bpf.c").read_text()
    source.write_text(text.replace("__type(key, __be32);", "__type(key, __u64);"))
    other = tmp_path / "other.o"
    other.write_bytes(packetrig.build(source).data)

    ended = machine(*force(other, "right", "new_xdp"), "--keep-maps")

    assert ended.code == 2
    assert "--keep-maps: the map blocked that is there is of another shape: key size 4, not 8" in (
        ended.err
    )


def test_frames_without_an_ethernet_header_are_told(machine: Rig, path: Path) -> None:
    with netlink(machine.wire.right.namespace, "a tunnel") as route:
        route.link("add", ifname="tun0", kind="tuntap", mode="tun")
        route.link("set", index=route.link_lookup(ifname="tun0")[0], state="up")
    words = (*force(path, "tun0", "old_tc"), "--mode", "tc-ingress")
    try:
        refused = machine(*words)
        allowed = machine(*words, "--allow", "link")
    finally:
        remove_from(machine.wire.right.namespace, "tun0")

    assert (refused.code, allowed.code) == (2, 0)
    assert "frames of tun0 begin with their IP header" in refused.err


def test_an_ingress_qdisc_is_no_place_for_egress(
    machine: Rig, attach: Attach, filters: Spec
) -> None:
    index = machine.wire.right.index
    with netlink(machine.wire.right.namespace, "somebody") as route:
        route.tc("add", "ingress", index)
    try:
        ingress = attach("old_tc", mode="tc-ingress")
        egress = attach("old_tc", "--allow", "beside", mode="tc-egress")
        spots = [(spot["hook"], spot["state"]) for spot in machine.status()]
        machine("detach", "--iface", "right")
        with machine.wire.right.namespace.inside():
            kept = hooks.qdisc(index)
    finally:
        with netlink(machine.wire.right.namespace, "somebody") as route:
            route.tc("del", "ingress", index)

    assert (ingress.code, egress.code, kept) == (0, 2, "ingress")
    assert "an ingress qdisc in the place of clsact, and a filter for egress would" in egress.err
    assert spots == [("tc-ingress", "attached")]


def add_to_chain(chain: int, index: int, fd: int) -> None:
    """Add a filter of priority 49152 at ingress to a chain, of which pyroute2 does not know."""

    def attribute(kind: int, value: bytes) -> bytes:
        return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)

    def number(kind: int, value: int) -> bytes:
        return attribute(kind, struct.pack("=I", value))

    body = struct.pack("=BxxxiIII", 0, index, 1, 0xFFFFFFF2, 49152 << 16 | socket.htons(3))
    body += attribute(1, b"bpf\0") + number(11, chain)
    body += attribute(2, number(6, fd) + attribute(7, b"abc\0") + number(8, 1))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        # RTM_NEWTFILTER; NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE
        sock.send(struct.pack("=IHHII", 16 + len(body), 44, 0x605, 1, 0) + body)
        assert struct.unpack_from("=i", sock.recv(4096), 16) == (0,)


def test_a_filter_that_is_not_as_it_looks_is_told(
    machine: Rig, attach: Attach, filters: Spec
) -> None:
    index = machine.wire.right.index
    first = {"name": "x", "direct_action": True, "parent": 0xFFFFFFF2, "handle": 1}
    with filters.load(program="old_tc") as strange, filters.load(program="blocks_tc") as other:
        with netlink(machine.wire.right.namespace, "somebody") as route:
            route.tc("add", "clsact", index)
            for prio, protocol in ((7, 0x0800), (9, 0x0806)):
                words = {**first, "prio": prio, "protocol": protocol}
                route.tc("add-filter", "bpf", index, fd=strange.program.fd, **words)
        with machine.wire.right.namespace.inside():
            add_to_chain(5, index, other.program.fd)
        try:
            theirs = ("--replace-foreign", strange.program.id, "--allow", "beside")
            some = attach("new_tc", *theirs, mode="tc-ingress")
            machine("detach", "--iface", "right")
            theirs = ("--replace-foreign", other.program.id, "--allow", "beside")
            chained = attach("new_tc", *theirs, mode="tc-ingress")
            there = [spot["program_id"] for spot in machine.status()]
        finally:
            with netlink(machine.wire.right.namespace, "somebody") as route:
                route.tc("del", "clsact", index)

        assert (some.code, chained.code) == (0, 2)
        assert "takes frames of EtherType 0x0800 alone: yours will see no others" in some.out
        assert "stands in 2 filters of tc-ingress: yours takes the place of the first" in some.out
        assert f"program {other.program.id} at tc-ingress stands in chain 5" in chained.err
        assert there == [strange.program.id] * 2 + [other.program.id]


def test_an_index_that_another_interface_has_by_now_is_not_a_new_name(
    machine: Rig, path: Path, spare: str
) -> None:
    machine(*force(path, spare))
    with netlink(machine.wire.right.namespace, "another") as route:
        (index,) = route.link_lookup(ifname=spare)
        route.link("del", index=index)
        route.link("add", kind="veth", ifname="another", peer={"ifname": "other"}, index=index)
    try:
        (spot,) = machine.status()
        recovered = machine("attach", "--recover")
    finally:
        remove(machine, "another")

    assert spot["state"] == "interface gone"
    assert spot["reason"] == "spare: is gone, and another has its index by now"
    assert recovered.code == 0
    assert "old_xdp went with it, forgotten" in recovered.out


def test_an_interface_whose_name_another_has_by_now_is_told(
    machine: Rig, path: Path, spare: str
) -> None:
    machine(*force(path, spare))
    rename(machine, spare, "moved")
    with netlink(machine.wire.right.namespace, "another") as route:
        route.link("add", kind="veth", ifname=spare, peer={"ifname": "third"})
    try:
        (spot,) = machine.status()
    finally:
        remove(machine, spare)
        rename(machine, "moved", spare)

    assert spot["state"] == "cannot tell"
    assert "the interface is named moved by now: name it spare again" in spot["reason"]
    assert [each["state"] for each in machine.status()] == ["attached"]


def test_an_interface_may_be_called_by_another_name(machine: Rig, path: Path, spare: str) -> None:
    with netlink(machine.wire.right.namespace, "naming") as route:
        (index,) = route.link_lookup(ifname=spare)
        route.link("property_add", index=index, altname="enp9s9")

    attached = machine(*force(path, "enp9s9"))
    told = machine("status", "--iface", "enp9s9", "--json")
    detached = machine("detach", "--iface", "enp9s9")

    assert (attached.code, attached.err, detached.code) == (0, "", 0)
    assert [spot["interface"] for spot in json.loads(told.out)["spots"]] == [spare]
    assert detached.out.startswith("spare (xdp): old_xdp (id ")


def test_another_state_folder_leaves_pins_alone(
    machine: Rig, attach: Attach, filtering: None, tmp_path: Path
) -> None:
    pins = machine.pins()
    other = {"environment": {"PACKETRIG_STATE": str(tmp_path / "other")}}

    refused = attach("new_xdp", **other)
    recovered = machine("attach", "--recover", **other)
    told = machine("status", "--json", **other)

    assert (refused.code, recovered.code) == (2, 0)
    assert "a program that packetrig did not attach" in refused.err
    assert [spot["state"] for spot in json.loads(told.out)["spots"]] == ["not ours"]
    assert machine.pins() == pins


def test_a_disk_that_fails_at_the_very_end_is_told_with_what_stands_there(
    machine: Rig, attach: Attach, standing: Callable[[], list[int]]
) -> None:
    ended = attach("new_xdp", without_sync=True)
    (spot,) = machine.status()

    assert ended.code == 2
    assert "journal.json: cannot be written: input/output error: new_xdp (id " in ended.err
    assert ended.err.endswith(") is attached, and stays\n")
    assert (spot["state"], [spot["program_id"]]) == ("attached", standing())


def test_a_disk_that_fails_at_the_end_of_a_detach_is_told_with_what_stands_there(
    machine: Rig, attach: Attach, standing: Callable[[], list[int]]
) -> None:
    attach("old_xdp")
    attach("new_xdp")

    ended = machine("detach", "--iface", "right", without_sync=True)
    (spot,) = machine.status()

    assert ended.code == 2
    assert "journal.json: cannot be written: input/output error: new_xdp (id " in ended.err
    assert f") is off; now: old_xdp (id {standing()[0]})\n" in ended.err
    assert (spot["state"], [spot["program_id"]]) == ("attached", standing())


def test_filters_that_are_no_programs_are_told(machine: Rig, attach: Attach) -> None:
    index = machine.wire.right.index
    with netlink(machine.wire.right.namespace, "somebody") as route:
        route.tc("add", "clsact", index)
        words = {"parent": 0xFFFFFFF2, "prio": 7, "protocol": 0x0800, "target": 0x10020}
        route.tc("add-filter", "u32", index, keys=["0x0/0x0+0"], **words)

    ended = attach("old_tc", mode="tc-ingress")

    machine("detach", "--iface", "right")
    with netlink(machine.wire.right.namespace, "somebody") as route:
        route.tc("del", "clsact", index)
    assert ended.code == 0
    assert "filters that are no BPF programs: u32 (priority 7); yours" in ended.out


def test_a_program_that_somebody_put_there_while_watched_is_left_alone(
    machine: Rig, path: Path, filters: Spec, standing: Callable[[], list[int]]
) -> None:
    words = force(path, "right", "new_xdp")
    with filters.load(program="old_xdp") as first, filters.load(program="drops_all") as second:
        with machine.wire.right.attach(first):
            replaced = ("--replace-foreign", first.program.id, "--for", "10m", "--every", "10ms")
            running = machine.start(*words, *replaced)
            running.line("is attached, watched")
            put(machine, second.program.fd)  # as `ip link set xdp` does: it asks nobody
            ended = running.end()
            state = machine.status()[0]["state"]
            stuck = machine("attach", "--recover")
            forgotten = machine("detach", "--iface", "right", "--forget")
            there = standing()
            put(machine, first.program.fd)

        assert (ended.code, stuck.code, forgotten.code) == (2, 2, 0)
        assert f"program {second.program.id} stands there: somebody else changed it" in ended.err
        assert "`packetrig detach --forget` gives up what is known" in ended.err
        assert state == "unfinished"
        assert "what stands there was left alone" in forgotten.out
        assert there == [second.program.id]


def test_what_is_forgotten_goes_on_filtering(machine: Rig, attach: Attach, filtering: None) -> None:
    machine.lost_its_journal = True

    forgotten = machine("detach", "--iface", "right", "--forget", "--json")
    again = machine("detach", "--iface", "right", "--mode", "native", "--forget")

    assert "its program stays: /sys/fs/bpf/packetrig/" in json.loads(forgotten.out)["forgotten"]
    assert again.err == "packetrig: right (xdp): packetrig knows nothing of it\n"
    assert [spot["state"] for spot in machine.status()] == ["not ours"]


def test_an_mtu_that_is_too_large_is_named_before_and_by_the_kernel(
    machine: Rig, path: Path, spare: str
) -> None:
    with netlink(machine.wire.right.namespace, "a large MTU") as route:
        for name in (spare, "other"):
            route.link("set", index=route.link_lookup(ifname=name)[0], mtu=9000)

    stopped = machine(*force(path, spare))
    refused = machine(*force(path, spare), "--allow", "mtu")

    assert (stopped.code, refused.code) == (2, 2)
    assert "spare has an MTU of 9000: a frame does not fit one page" in stopped.err
    assert "Peer MTU is too large to set XDP (the MTU is too large for a program" in refused.err
    assert "nothing stands there again, as before" in refused.err
    assert machine.status() == []


def test_two_attaches_at_once_are_named(
    machine: Rig, attach: Attach, path: Path, filtering: None
) -> None:
    running = machine.start(*force(path, "right", "new_xdp"), "--for", "10m")
    running.line("is attached, watched")

    second = attach("new_xdp")
    detached = machine("detach", "--iface", "right")
    recovered = machine("attach", "--recover")
    running.send(signal.SIGTERM)
    running.end()

    for ended in (second, detached):
        assert ended.code == 2
        assert (
            f"right (xdp): another packetrig is at work there (process {running.pid})" in ended.err
        )
    assert recovered.code == 2
    assert "another packetrig is at work there" in recovered.out


def test_a_program_that_somebody_took_off_is_told_and_put_back(
    machine: Rig, attach: Attach
) -> None:
    attach("old_tc", mode="tc-ingress")
    with netlink(machine.wire.right.namespace, "somebody") as route:
        route.tc("del", "clsact", machine.wire.right.index)

    said = machine("status")
    again = attach("new_tc", mode="tc-ingress")
    recovered = machine("attach", "--recover")
    (spot,) = machine.status()

    assert (said.code, again.code, recovered.code) == (2, 2, 0)
    assert "taken off" in said.out
    assert "nothing stands there and not old_tc" in again.err
    assert "is back: somebody had taken it off" in recovered.out
    assert (spot["state"], spot["program_id"]) == ("attached", spot["generations"][-1]["id"])


def test_without_a_reason_nothing_is_attached(machine: Rig, path: Path) -> None:
    common = ("attach", path, "--iface", "right", "--program", "old_xdp")

    neither = machine(*common)
    empty = machine(*common, "--force", " ")
    both = machine(*common, "--force", "x", "--evidence", "gate.json")

    assert (neither.code, empty.code, both.code) == (2, 2, 2)
    assert "say why this object may be attached: --evidence FILE" in neither.err
    assert "--force needs a reason" in empty.err
    assert machine.status() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--watch", "true"), "nothing would be watched: say for how long with --for"),
        (("--for", "soon"), "'soon' is no time: write 30s, 500ms, 5m or 1h"),
        (("--min-traffic", "2"), "2.0 is not in the range"),
        (("--min-traffic", "nan", "--for", "3s"), "write a share from 0 to 1"),
        (("--for", "9999999h"), "'9999999h' is more than a year"),
        (("--program", "odl_xdp"), "no program named 'odl_xdp', did you mean 'old_xdp'?"),
        (("--set", "pased=1"), "no global named 'pased', did you mean 'passed'?"),
        (("--keep-maps",), "--keep-maps: packetrig has attached nothing to right yet"),
        (("--min-traffic", "0.5", "--for", "1s"), "--for must be at least as long"),
        (("--mode", "nativ"), "'nativ' is not one of 'native'"),
    ],
)
def test_a_wrong_option_is_named(
    machine: Rig, path: Path, words: tuple[str, ...], said: str
) -> None:
    ended = machine(*force(path, "right"), *words)

    assert ended.code == 2
    assert said in ended.err
    assert machine.status() == []


def test_what_cannot_be_told_of_nothing_is_told(machine: Rig) -> None:
    assert machine("detach", "--iface", "right").err == (
        "packetrig: right: packetrig has attached nothing there\n"
    )
    assert machine("detach", "--iface", "nope").code == 2
    assert machine("attach", "--recover").out == (
        "nothing is attached by packetrig, and nothing is unfinished\n"
    )
    assert "--recover" in machine("attach").err
    assert machine("status", "--iface", "nope").code == 2
    assert "no interface named nope" in machine("attach", "--recover", "--iface", "nope").err


def test_a_bpffs_that_cannot_be_written_is_named(
    machine: Rig, attach: Attach, filtering: None
) -> None:
    mount = ["mount", "-o", "remount,ro", "/sys/fs/bpf"]
    machine.ask({"run": mount})
    try:
        ended = attach("new_xdp")
    finally:
        machine.ask({"run": [*mount[:2], "remount,rw", mount[3]]})

    assert ended.code == 2
    assert ended.err.startswith("packetrig: /sys/fs/bpf/packetrig/")
    assert ended.err.endswith(": pinning it: Read-only file system\n")


def test_without_a_bpffs_the_command_to_mount_one_is_named(machine: Rig, path: Path) -> None:
    # The one of the whole machine as well, below that of the test.
    every = "while umount /sys/fs/bpf 2>/dev/null; do :; done"
    machine.ask({"run": ["sh", "-c", every]})
    ended = machine(*force(path, "right"))
    machine.ask({"run": ["mount", "-t", "bpf", "bpf", "/sys/fs/bpf"]})
    machine.ask({"run": ["mount", "-t", "tmpfs", "hides it", "/sys/fs/bpf"]})
    hidden = machine(*force(path, "right"))
    machine.ask({"run": ["umount", "/sys/fs/bpf"]})

    assert ended.code == 2
    assert "no bpffs at /sys/fs/bpf" in ended.err
    assert hidden.err == ended.err
    assert "mount -t bpf bpf /sys/fs/bpf" in ended.err
    assert machine.status() == []
