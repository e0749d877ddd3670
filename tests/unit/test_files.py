"""What is written for people: whole or not at all, and never in the place of a device or a link."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from packetrig import files
from packetrig.errors import Error, InputRefused
from packetrig.gate import write_text
from packetrig.packets import pcap

FRAMES = [bytes(60)]


def capture(path: Path) -> None:
    pcap.write(path, FRAMES)


def report(path: Path) -> None:
    write_text(path, "a report\n")


each_writer = pytest.mark.parametrize("write", [capture, report])
Writer = Callable[[Path], None]


@each_writer
def test_a_link_stays_and_the_file_behind_it_is_written(write: Writer, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    behind, link = tmp_path / "folder" / "behind", tmp_path / "link"
    link.symlink_to("folder/behind")

    write(link)
    write(link)

    assert link.is_symlink()
    assert behind.stat().st_size > 0
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["behind", "folder", "link"]


@each_writer
def test_a_fifo_is_written_to(write: Writer, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    write(fifo)
    came = os.read(reader, 4096)
    os.close(reader)

    assert came
    assert stat.S_ISFIFO(fifo.lstat().st_mode)


@each_writer
def test_a_device_stays_a_device(write: Writer, tmp_path: Path) -> None:
    node = tmp_path / "null"
    try:
        os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        node.write_bytes(b"")
    except PermissionError:
        pytest.skip("making a device, and opening it, is for root")

    write(node)

    assert stat.S_ISCHR(node.lstat().st_mode)


@each_writer
def test_a_full_device_is_an_error_in_one_line(write: Writer) -> None:
    with pytest.raises(Error, match=r"^/dev/full: cannot be written: no space left on device$"):
        write(Path("/dev/full"))

    assert stat.S_ISCHR(os.lstat("/dev/full").st_mode)


@each_writer
def test_a_folder_is_not_written(write: Writer, tmp_path: Path) -> None:
    with pytest.raises(Error, match=r": is a folder; name a file$"):
        write(tmp_path)


def test_a_capture_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(Error, match=r"x\.pcap: cannot be written: there is no folder .*/none$"):
        pcap.write(tmp_path / "none" / "x.pcap", FRAMES)


def test_a_file_is_no_folder_to_write_into(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(Error, match=r"/file is not a folder$"):
        files.check(tmp_path / "file" / "new" / "x.xml", makes_folders=True)


def test_what_was_there_stays_when_the_new_one_breaks_off(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(b"old")

    with pytest.raises(InputRefused):
        pcap.write(path, [*FRAMES, bytes(1 << 20)])

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_as_long_as_names_may_be_is_written(tmp_path: Path) -> None:
    files.write(tmp_path / ("x" * 255), b"1")

    assert (tmp_path / ("x" * 255)).read_bytes() == b"1"
