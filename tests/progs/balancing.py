"""What xdp_balancer is set up with here, and the packets that it is to send on.

Port 80 is rewritten, port 443 goes through tunnels; TCP and UDP, IPv4 and IPv6.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from packetrig import Object
from packetrig import strategies as net

from .reference import model

MODEL = model("xdp_balancer")
FLOWS = model("flows")

SERVICE, SERVICE6 = "192.0.2.80", "2001:db8:80::80"
CLIENT, CLIENT6 = "198.51.100.7", "2001:db8:7::7"
ROUTER, ROUTER6 = "203.0.113.1", "2001:db8:ffff::1"
OWN, OWN6 = "192.0.2.2", "2001:db8:80::2"
BACKENDS = {1: "10.9.0.1", 2: "10.9.0.2", 3: "10.9.0.3"}
BACKENDS6 = {11: "2001:db8:9::1", 12: "2001:db8:9::2", 13: "2001:db8:9::3"}
MAC = "02:00:00:00:00:0a"  # the balancer's
REWRITTEN, TUNNELLED = 80, 443
SLOTS = 31


def mapped(address: str) -> str:
    return address if ":" in address else f"::ffff:{address}"


def mac_of(number: int) -> str:
    return f"02:00:00:00:09:{number:02d}"


def endpoint(address: str, port: int, protocol: int) -> dict[str, object]:
    return {"address": mapped(address), "port": port, "protocol": protocol}


def set_up(balancer: Object, *, slots: int = SLOTS) -> None:
    maps = balancer.maps
    for first, service, own, backends in (
        (0, SERVICE, OWN, BACKENDS),
        (slots, SERVICE6, OWN6, BACKENDS6),
    ):
        for slot, number in enumerate(MODEL.maglev(list(backends), slots)):
            maps.ring[first + slot] = number
        for number, address in backends.items():
            maps.backends[number] = {"address": mapped(address), "mac": mac_of(number)}
        for port, delivery in ((REWRITTEN, "REWRITE"), (TUNNELLED, "ENCAPSULATE")):
            for protocol in (6, 17):
                maps.services[endpoint(service, port, protocol)] = {
                    "ring": {"first": first, "slots": slots},
                    "delivery": delivery,
                    "source": mapped(own),
                }


def sound(version: int) -> dict[str, object]:
    """Give the arguments of a packet that comes to the balancer and has hops left."""
    plain = {"ip_options": b""} if version == 4 else {"extensions": ()}
    return {
        "version": version,
        "ttl": st.integers(2, 255),
        "tos": st.integers(0, 255),
        "destination_mac": MAC,
        **plain,
    }


def requests(version: int, **fields: object) -> SearchStrategy[bytes]:
    """Generate packets of clients to the services, TCP and UDP."""
    fields = {
        **sound(version),
        "destination": SERVICE if version == 4 else SERVICE6,
        "destination_port": st.sampled_from([REWRITTEN, TUNNELLED]),
        "source_port": st.integers(1024, 65535),
        **fields,
    }
    # Over IPv4, some of UDP have no checksum.
    checksum = st.sampled_from([None, None, 0]) if version == 4 else None
    return net.tcp_packets(**fields) | net.udp_packets(**fields, checksum=checksum)


def answers(version: int, port: int, **fields: object) -> SearchStrategy[bytes]:
    """Generate packets that go back from a service."""
    return requests(
        version,
        source=SERVICE if version == 4 else SERVICE6,
        destination=st.sampled_from([CLIENT, ROUTER] if version == 4 else [CLIENT6, ROUTER6]),
        source_port=port,
        destination_port=st.integers(1024, 65535),
        vlans=(),
        **fields,
    )


def too_big(version: int, quoted: SearchStrategy[bytes]) -> SearchStrategy[bytes]:
    """Generate the errors of a router for which packets of the services were too big."""
    kind, code = (3, 4) if version == 4 else (2, 0)
    cut = st.tuples(quoted, st.integers(28 if version == 4 else 48, 200))
    return net.icmp_packets(
        **sound(version),
        source=ROUTER if version == 4 else ROUTER6,
        destination=SERVICE if version == 4 else SERVICE6,
        kind=kind,
        code=code,
        payload=cut.map(lambda pair: pair[0][14:][: pair[1]]),
    )


def errors() -> SearchStrategy[bytes]:
    ports = (REWRITTEN, TUNNELLED)
    return st.one_of(*(too_big(v, answers(v, port)) for v in (4, 6) for port in ports))


def packets() -> SearchStrategy[bytes]:
    """Generate all that the balancer is to send on, unless it is too long."""
    return requests(4) | requests(6) | errors()


def counted(balancer: Object) -> dict[str, int]:
    """Read the reasons that were counted, on all processors, without the zeros."""
    sums = {reason.name: sum(balancer.maps.reasons[reason]) for reason in FLOWS.Reason}
    return {reason: count for reason, count in sums.items() if count}


def sent(balancer: Object) -> dict[int, int]:
    """Read how many packets each backend was sent, without the zeros."""
    return {
        int(number): backend.packets
        for number, backend in balancer.maps.backends.items()
        if backend.packets
    }
