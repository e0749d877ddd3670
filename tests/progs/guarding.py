"""What xdp_ports and tc_ingress_ports are set up with here, and packets that meet the rules."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from packetrig import Object
from packetrig import strategies as net

from .reference import model

MODEL, TC_MODEL = model("xdp_ports"), model("tc_ingress_ports")
CLOSED, OPEN, OTHER, OF_TCP_ONLY = 22, 80, 8080, 443
PROTOCOLS = (6, 17, 132)


def set_up(ports: Object) -> None:
    for protocol in PROTOCOLS:
        ports.maps.rules[{"protocol": protocol, "port": CLOSED}] = {"deny": True}
        ports.maps.rules[{"protocol": protocol, "port": OPEN}] = {"deny": False}
    ports.maps.rules[{"protocol": 6, "port": OF_TCP_ONLY}] = {"deny": True}


def packets() -> SearchStrategy[bytes]:
    """Generate packets to and from the ports in the rules, whole and in pieces, and portless."""
    several = st.sampled_from([CLOSED, OPEN, OTHER, OF_TCP_ONLY])
    fields = {
        "source_port": several,
        "destination_port": several,
        "fragment_offset": st.sampled_from([0, 0, 0, 1, 32, 8189]),
        "more_fragments": st.sampled_from([False, False, True]),
    }
    first = {**fields, "fragment_offset": 0, "more_fragments": True}
    return (
        net.tcp_packets(**fields)
        | net.udp_packets(**fields)
        | net.udp_packets(**first, length=st.sampled_from([7, 8, 3000]))
        | net.sctp_packets(**fields)
        | net.ipv6_packets(protocol=st.sampled_from([47, 50, 51, 253]))
    )


def counted(ports: Object) -> dict[str, int]:
    """Read the reasons that were counted, on all processors, without the zeros."""
    sums = {reason.name: sum(ports.maps.reasons[reason]) for reason in MODEL.ports.Reason}
    return {reason: count for reason, count in sums.items() if count}
