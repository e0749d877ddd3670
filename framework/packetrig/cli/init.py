"""`packetrig init`: a new project, whose program passes its own gate."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import click

from .. import files, packets
from ..errors import Error
from ..packets import pcap
from . import console
from .main import Exit

_TEMPLATES = Path(__file__).with_name("project")

_WORKFLOW = ".github/workflows/packetrig.yml"

# What is written, and which template it is; the capture and its verdicts are made.
_FILES = {
    "progs/xdp_blocklist.bpf.c": "xdp_blocklist.bpf.c",
    "tests/test_xdp_blocklist.py": "test_xdp_blocklist.py.txt",
    "gate.toml": "gate.toml",
    "fixtures/policy/xdp_blocklist.toml": "setup.toml",
    "Makefile": "Makefile",
    _WORKFLOW: "packetrig.yml",
    ".gitignore": "gitignore",
}
# What says where pytest's rootdir is: without any of them it may be a folder above.
_PYTEST = "pytest.ini"
_CONFIGURES = (_PYTEST, ".pytest.ini", "pytest.toml", ".pytest.toml", "pyproject.toml", "tox.ini")
_CAPTURE = "fixtures/pcap/first.pcap"
_VERDICTS = "fixtures/pcap/first.toml"


@click.command("init")
@click.argument("folder", metavar="[DIR]", default=".")
def command(folder: str) -> int:
    """Make a new project: a program, its tests, a policy, a Makefile, a CI workflow.

    DIR is made where it is not there; without it, the project is made in the present folder. What
    is there already is never overwritten: then nothing is written at all.
    """
    place = Path(folder)
    templates = dict(_FILES)
    # Beside settings of one's own it would be read in their place.
    if not any(os.path.lexists(place / name) for name in (*_CONFIGURES, "setup.cfg")):
        templates[_PYTEST] = "pytest.ini"
    names = sorted([*templates, _CAPTURE, _VERDICTS])
    there = [name for name in names if os.path.lexists(place / name)]
    if there:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise Error(f"{place / there[0]}: is there already{more}; nothing was written")
    for name in names:
        files.check(place / name, makes_folders=True)
    for name, template in templates.items():
        files.write(place / name, _TEMPLATES.joinpath(template).read_bytes())
    files.write(place / _VERDICTS, b"")  # and its folder
    pcap.write(place / _CAPTURE, _frames())
    files.write(place / _VERDICTS, _verdicts((place / _CAPTURE).read_bytes()))
    for name in names:
        console.say(str(place / name))
    console.say()
    where = "" if folder == "." else f" -C {folder}"
    console.say(f"next, as root: make{where} test, then make{where} gate")
    console.say(f"in CI: PACKETRIG in {place / _WORKFLOW} says what pip installs there")
    return Exit.HELD


def _frames() -> list[bytes]:
    """Make five packets: UDP from three hosts, of which one is blocked, TCP from that, and IPv6."""
    craft = packets.craft
    hosts = [craft.Network(bytes((10, 0, 0, last)), bytes((10, 0, 0, 2))) for last in (1, 66, 7)]
    hosts.append(craft.Network(bytes.fromhex("20010db8") + bytes(12), bytes(15) + b"\x02"))
    datagrams = [host.frame(craft.udp(b"hello", host), craft.UDP) for host in hosts]
    segment = hosts[1].frame(craft.tcp(b"", hosts[1]), craft.TCP)
    return [*datagrams[:3], segment, datagrams[3]]


def _verdicts(capture: bytes) -> bytes:
    lines = [
        "# What each program must say to the packets of first.pcap, one after the other.",
        "format = 1",
        "packets = 5",
        f'sha256 = "{hashlib.sha256(capture).hexdigest()}"',
        "",
        "[verdicts]",
        'xdp_blocklist = "PASS DROP PASS DROP PASS"',
        "",
    ]
    return "\n".join(lines).encode()
