"""The packets that a program is measured on: a capture, or one packet that is written down."""

from __future__ import annotations

from pathlib import Path

from .. import files, packets
from ..errors import Error, NoSuchName
from ..packets import pcap


def smallest() -> bytes:
    """Make UDP over IPv4 in the smallest frame that Ethernet carries."""
    craft = packets.craft
    network = craft.Network(bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
    return bytes(network.frame(craft.udp(b"", network), craft.UDP).ljust(60, b"\0"))


def read(path: str | Path) -> list[bytes]:
    """Read packets: of a pcap those that are whole; of NAME.toml the one that is written there.

        format = 1
        [packet.Ether]
        dst = "02:00:00:00:00:02"
        ...

    Such a file is what golden packets are kept in.

    Raises:
        NotFound: There is no such file.
        Error: It is broken, or holds no whole packet.
    """
    path = Path(path)
    if path.suffix == ".toml":
        return [_written(path)]
    found = [record.data for record in pcap.read(path) if not record.is_snapped]
    if not found:
        raise Error(f"{path}: holds no whole packet: nothing can be measured with it")
    return found


def _written(path: Path) -> bytes:
    parts = files.toml(path, "packet")
    layers = parts.get("packet")
    if parts.get("format") != 1 or not isinstance(layers, dict) or not layers:
        raise Error(f"{path}: is no packet: it takes format = 1 and a table [packet.LAYER] a layer")
    try:
        return packets.written.rebuilt(layers)
    except (Error, NoSuchName) as e:
        raise Error(f"{path}: {e}") from e
