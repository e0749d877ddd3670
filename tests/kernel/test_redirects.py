"""Where a run redirected its frame to: interface, map and key, as the kernel noted them."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from packetrig import LWT, TC, XDP, Error, InputRefused, Object, Unsupported, redirects
from packetrig._bpf import ffi, lib
from packetrig.live import Wire
from packetrig.redirects import Redirect

Load = Callable[..., Object]
FRAME = bytes(12) + b"\x08\x00" + bytes(50)

TARGETS = """
struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 8);
         __type(key, __u32); __type(value, struct bpf_devmap_val); } ports SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_DEVMAP_HASH); __uint(max_entries, 8);
         __type(key, __u32); __type(value, __u32); } vlans SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_CPUMAP); __uint(max_entries, 8);
         __type(key, __u32); __type(value, __u32); } cpus SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_XSKMAP); __uint(max_entries, 8);
         __type(key, __u32); __type(value, __u32); } sockets SEC(".maps");
"""
# The last byte of the destination's MAC address says what to do.
CHOOSER = (
    TARGETS
    + """
SEC("xdp") int chooser(struct xdp_md *ctx)
{
    unsigned char *frame = (void *)(long)ctx->data;
    if ((void *)(frame + 14) > (void *)(long)ctx->data_end)
        return XDP_ABORTED;
    __u32 key = frame[4];
    switch (frame[5]) {
    case 1: return bpf_redirect(key, 0);
    case 2: return bpf_redirect_map(&ports, key, XDP_PASS);
    case 3: return bpf_redirect_map(&vlans, key, XDP_DROP);
    case 4: return bpf_redirect_map(&cpus, key, 0);
    case 5: return bpf_redirect_map(&sockets, key, XDP_PASS);
    case 6: return bpf_redirect_map(&ports, 0, BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS);
    case 7: return XDP_REDIRECT;
    case 8: bpf_redirect_map(&ports, key, 0); return bpf_redirect(9, 0);
    case 9: bpf_redirect(9, 0); return bpf_redirect_map(&ports, key, 0);
    case 10: bpf_redirect(9, 0); return XDP_TX;
    }
    return XDP_PASS;
}
"""
)
DIVERTER = """
SEC("tc") int diverter(struct __sk_buff *skb)
{
    switch (skb->mark) {
    case 1: return bpf_redirect(5, 0);
    case 2: return bpf_redirect(5, BPF_F_INGRESS);
    case 3: return bpf_redirect_peer(5, 0);
    case 4: return bpf_redirect_neigh(5, 0, 0, 0);
    case 5: return 7;
    }
    return 0;
}
"""


def asking(what: int, key: int = 0) -> bytes:
    return bytes((0, 0, 0, 0, key, what)) + FRAME[6:]


@pytest.fixture
def chooser(load: Load) -> Object:
    return load(CHOOSER)


def target(chooser: Object, what: int, key: int = 0) -> Redirect | None:
    run = chooser.run(asking(what, key), redirect=True)
    return run.redirect


def test_a_redirect_names_its_interface(chooser: Object) -> None:
    run = chooser.run(asking(1, 77), redirect=True)

    assert run.verdict is XDP.REDIRECT
    assert run.redirect == Redirect(77)
    assert repr(run).endswith(", to interface 77>")
    assert "  target  interface 77\n" in run.explain()


def test_a_devmap_names_its_entry_and_the_interface_that_stands_there(chooser: Object) -> None:
    chooser.maps.ports[3] = {"ifindex": 1}
    chooser.maps.vlans[200] = 1

    assert target(chooser, 2, 3) == Redirect(1, "ports", 3, "bpf_redirect_map")
    assert target(chooser, 3, 200) == Redirect(1, "vlans", 200, "bpf_redirect_map")
    assert str(target(chooser, 2, 3)) == "ports[3], interface 1"


def test_a_cpumap_names_the_processor(chooser: Object) -> None:
    chooser.maps.cpus[0] = 128

    assert target(chooser, 4, 0) == Redirect(None, "cpus", 0, "bpf_redirect_map")


def test_a_map_of_af_xdp_sockets_names_the_queue(chooser: Object) -> None:
    with socket.socket(44, socket.SOCK_RAW) as queue:  # AF_XDP
        chooser.maps.sockets[2] = queue.fileno()

        assert target(chooser, 5, 2) == Redirect(None, "sockets", 2, "bpf_redirect_map")


def test_a_broadcast_has_no_key(chooser: Object) -> None:
    found = target(chooser, 6)

    assert found == Redirect(None, "ports", None, "bpf_redirect_map", flags=0x18)
    assert str(found) == "ports[all], flags 0x18"


def test_an_entry_that_is_missing_is_no_redirect(chooser: Object) -> None:
    run = chooser.run(asking(2, 3), redirect=True)

    assert (run.verdict, run.redirect) == (XDP.PASS, None)


def test_a_verdict_without_a_target_leads_nowhere(chooser: Object) -> None:
    run = chooser.run(asking(7), redirect=True)

    assert (run.verdict, run.redirect) == (XDP.REDIRECT, None)
    assert repr(run).endswith(", to no target>")


def test_the_last_choice_counts_and_only_if_it_is_the_verdict(chooser: Object) -> None:
    chooser.maps.ports[3] = {"ifindex": 1}

    assert target(chooser, 8, 3) == Redirect(9)
    assert target(chooser, 9, 3) == Redirect(1, "ports", 3, "bpf_redirect_map")
    assert target(chooser, 10) is None


def test_tc_says_how(load: Load) -> None:
    diverter = load(DIVERTER)

    runs = [diverter.run(FRAME, ctx={"mark": n}, redirect=True) for n in range(6)]

    assert [run.verdict for run in runs] == [TC.OK, *[TC.REDIRECT] * 5]
    assert [run.redirect for run in runs] == [
        None,
        Redirect(5),
        Redirect(5, flags=1),
        Redirect(5, helper="bpf_redirect_peer"),
        Redirect(5, helper="bpf_redirect_neigh"),
        None,
    ]
    assert runs[1].context.mark == 1


def test_a_lightweight_tunnel_redirects_too(load: Load) -> None:
    leaving = load(
        'SEC("lwt_xmit") int leaving(struct __sk_buff *s) { return bpf_redirect(4, 0); }'
    )

    run = leaving.run(FRAME, redirect=True)

    assert (run.verdict, run.redirect) == (LWT.REDIRECT, Redirect(4))


def test_what_a_tail_call_chose_is_known(load: Load) -> None:
    pipeline = load(
        """
        struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 2);
                 __type(key, __u32); __type(value, __u32); } jumps SEC(".maps");
        SEC("xdp") int last(struct xdp_md *ctx) { return bpf_redirect(12, 0); }
        SEC("xdp") int first(struct xdp_md *ctx) { bpf_tail_call(ctx, &jumps, 0); return XDP_DROP; }
        """
    )
    first = pipeline.programs.first

    assert first.run(FRAME, redirect=True).verdict is XDP.DROP
    pipeline.maps.jumps[0] = pipeline.programs.last
    assert first.run(FRAME, redirect=True).redirect == Redirect(12)


def test_functions_and_callbacks_are_no_obstacle(load: Load) -> None:
    looping = load(
        """
        static __noinline long each(__u32 at, void *sum) { *(__u32 *)sum += at; return 0; }
        static __noinline int out(__u32 at) { return bpf_redirect(at, 0); }
        SEC("xdp") int looping(struct xdp_md *ctx)
        {
            __u32 sum = 0;
            bpf_loop(5, each, &sum, 0);
            return out(sum);
        }
        """
    )

    assert looping.run(FRAME, redirect=True).redirect == Redirect(10)


def test_a_frame_of_several_pieces_is_redirected(load: Load) -> None:
    whole = load('SEC("xdp.frags") int whole(struct xdp_md *ctx) { return bpf_redirect(4, 0); }')

    run = whole.run(bytes(9000), redirect=True)

    assert (run.redirect, len(run.data)) == (Redirect(4), 9000)


def test_maps_of_maps_name_the_inner_one(load: Load) -> None:
    nested = load(
        """
        struct inner { __uint(type, BPF_MAP_TYPE_DEVMAP_HASH); __uint(max_entries, 2);
                       __type(key, __u32); __type(value, __u32); };
        struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 1);
                 __type(key, __u32); __array(values, struct inner); } tenants SEC(".maps");
        SEC("xdp") int nested(struct xdp_md *ctx)
        {
            __u32 zero = 0;
            void *ports = bpf_map_lookup_elem(&tenants, &zero);
            return ports ? bpf_redirect_map(ports, 7, XDP_DROP) : XDP_ABORTED;
        }
        """
    )
    ports = nested.maps.tenants.new_inner()
    nested.maps.tenants[0] = ports
    ports[7] = 1

    assert nested.run(FRAME, redirect=True).redirect == Redirect(
        1, ports.name, 7, "bpf_redirect_map"
    )


def test_the_program_is_the_one_that_was_loaded_and_its_maps_count_once(load: Load) -> None:
    counting = load(
        """
        int runs;
        SEC("xdp") int counting(struct xdp_md *ctx) { return bpf_redirect(100 + runs++, 0); }
        """
    )
    for _ in range(2):  # renewed by either way
        for expected in (100, 101):
            assert counting.run(FRAME, redirect=True).redirect == Redirect(expected)
        assert counting.run(FRAME).verdict is XDP.REDIRECT
        assert counting.globals.runs == 3
        counting.reload()
    assert counting.run(FRAME, redirect=True).redirect == Redirect(100)
    counting.restore()
    assert counting.run(FRAME, redirect=True).redirect == Redirect(100)


def test_answers_are_otherwise_those_of_the_program(chooser: Object) -> None:
    for what in range(12):
        plain = chooser.run(asking(what, 3))
        assert chooser.run(asking(what, 3), redirect=True) == plain
        assert plain == chooser.run(asking(what, 3), redirect=True)


def test_runs_that_lead_elsewhere_differ(chooser: Object) -> None:
    chooser.maps.ports[3] = chooser.maps.ports[4] = {"ifindex": 1}
    one, other = [redirects.Redirected(*chooser.run(FRAME)) for _ in range(2)]
    one._target, other._target = target(chooser, 2, 3), target(chooser, 2, 4)

    assert one != other
    assert one == one
    assert one == chooser.run(FRAME)


def test_a_run_that_was_not_asked_says_how_to_ask(chooser: Object) -> None:
    with pytest.raises(Error, match=r"chooser: .* run\(packet, redirect=True\)\.redirect"):
        chooser.run(asking(1, 77)).redirect  # noqa: B018  # it raises


def test_programs_that_redirect_nothing_are_refused(load: Load) -> None:
    kept = load('SEC("socket") int kept(struct __sk_buff *skb) { return 14; }')

    with pytest.raises(InputRefused, match="this one is socket_filter"):
        kept.run(FRAME, redirect=True)


def test_the_namespace_is_the_programs_own(load: Load) -> None:
    with Wire(ports=2) as wire:
        router = load(CHOOSER, netns=wire.right.namespace)
        with wire.right.namespace.inside():
            router.maps.ports[3] = {"ifindex": wire.ports[1].index}

        assert target(router, 2, 3).ifindex == wire.ports[1].index


def test_a_kernel_that_keeps_no_note_is_named(
    chooser: Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Older:  # before Linux 6.10, task_struct has no such member
        def __getattr__(self, name: str) -> object:
            return (lambda _: -2) if name == "pr_redirect_places" else getattr(lib, name)

    redirects._places.cache_clear()
    monkeypatch.setattr(redirects, "lib", Older())

    with pytest.raises(Unsupported, match=r"Linux 6\.10 .* several ports"):
        chooser.run(asking(1, 77), redirect=True)
    assert redirects._places.cache_info().currsize == 0
    monkeypatch.undo()
    assert target(chooser, 1, 77) == Redirect(77)


def test_nothing_is_left_when_the_object_is_closed(load: Load) -> None:
    made = load(CHOOSER)
    made.run(asking(1, 77), redirect=True)
    info = ffi.new("struct pr_prog_info *")
    caller = made.recorders["redirects of chooser"]._caller
    lib.pr_prog_info(caller, info)

    made.close()

    assert lib.bpf_prog_get_fd_by_id(info.id) < 0
