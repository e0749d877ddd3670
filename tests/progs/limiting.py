"""What xdp_ratelimit is set up with here, and packets that take tokens, or should."""

from __future__ import annotations

from hypothesis.strategies import SearchStrategy

from packetrig import Object
from packetrig import strategies as net

from .reference import model

MODEL = model("xdp_ratelimit")
# No token is earned back: what is decided does not depend on the time.
GLOBALS = {"depth": 3, "period_ns": 0}


def set_up(limiter: Object) -> None:
    limiter.maps.buckets["192.0.2.1"] = {"tokens": 0, "refilled_ns": 0}


def packets() -> SearchStrategy[bytes]:
    """Generate IPv4 packets, tagged ones among them, and others."""
    return net.udp_packets() | net.tcp_packets() | net.frames()
