"""What tc_egress_balancer is set up with here, and the answers that it is to rename."""

from __future__ import annotations

from hypothesis.strategies import SearchStrategy

from packetrig import Object
from packetrig.packets.frames import with_right_checksums

from . import balancing
from .balancing import BACKENDS, BACKENDS6, FLOWS, REWRITTEN, SERVICE, SERVICE6
from .reference import model

MODEL = model("tc_egress_balancer")
OWN, OWN6 = BACKENDS[1], BACKENDS6[11]


def set_up(egress: Object) -> None:
    """Let all backends of the balancer's tests answer in the services' names."""
    for own, service in ((BACKENDS, SERVICE), (BACKENDS6, SERVICE6)):
        for address in own.values():
            for protocol in (6, 17):
                key = balancing.endpoint(address, REWRITTEN, protocol)
                egress.maps.sources[key] = {"source": balancing.mapped(service)}


def replies(version: int) -> SearchStrategy[bytes]:
    """Generate what the first backend of a family sends."""
    at, size = (26, 4) if version == 4 else (22, 16)
    own = FLOWS.packed(balancing.mapped(OWN if version == 4 else OWN6))[-size:]

    def of_backend(frame: bytes) -> bytes:
        return with_right_checksums(frame[:at] + own + frame[at + size :])

    return balancing.answers(version, REWRITTEN).map(of_backend)


def packets() -> SearchStrategy[bytes]:
    return replies(4) | replies(6)
