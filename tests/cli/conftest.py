"""What the tests of the commands share: a folder of their own, and the command itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from packetrig.cli import main
from packetrig.packets import pcap

from .given import RAW_IP, SOURCES, STATE, Ended


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder that has sources and captures of every sort, as a user would."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):  # a test says itself when it is there
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "progs").symlink_to(SOURCES)
    (tmp_path / "raw.pcap").write_bytes(RAW_IP)
    (tmp_path / "nothing.pcap").write_bytes(b"")
    (tmp_path / "state.toml").write_text(STATE)
    pcap.write(tmp_path / "no-packet.pcap", [])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def packetrig(place: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Call the command as from a shell."""

    def call(*words: object) -> Ended:
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return Ended(int(code), said.out, said.err)

    return call


@pytest.fixture
def capture(place: Path) -> Callable[..., str]:
    """Write frames into a capture of the folder."""

    def write(*frames: bytes, name: str = "in.pcap") -> str:
        pcap.write(place / name, frames)
        return name

    return write
