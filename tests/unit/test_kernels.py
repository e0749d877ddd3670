"""Which kernel a word means, and what reports of several kernels say together."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from packetrig import kernels
from packetrig.errors import Error, NotFound, ToolMissing
from packetrig.kernels import apt, guest, images, results

OFFERED = [
    *("linux-image-6.1.0-9-amd64", "linux-image-6.1.0-56-amd64", "linux-image-6.1.0-56-rt-amd64"),
    *("linux-image-6.1.0-57-cloud-amd64", "linux-image-6.12-amd64", "linux-image-amd64"),
    *("linux-image-6.12.9+deb12-amd64", "linux-image-6.12.100+deb12-amd64"),
    *("linux-image-6.1.0-99-amd64-dbg", "linux-image-6.8.0-31-generic"),
]
NEEDED = [
    "busybox",
    "depmod",
    "file",
    "zstd",
    "timeout",
    "vng",
    f"qemu-system-{os.uname().machine}",
]
IMAGE = bytes(0x202) + b"HdrS"
Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Put shell scripts first on PATH, which stand for the tools of a distribution."""
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")

    def write(name: str, text: str) -> None:
        (place / name).write_text(f"#!/bin/sh\n{text}\n")
        (place / name).chmod(0o755)

    return write


@pytest.fixture
def machine(tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be a machine with no kernels of its own, whose apt offers some; return its cache."""
    monkeypatch.setattr(images, "_BOOT", tmp_path / "boot")
    monkeypatch.setenv("PACKETRIG_CACHE", str(tmp_path / "cache"))
    program("apt-cache", f"printf '%s\\n' {' '.join(OFFERED)}")
    return tmp_path / "cache" / "kernels"


def unpacked(folder: Path, release: str) -> Path:
    image = folder / "boot" / f"vmlinuz-{release}"
    image.parent.mkdir(parents=True)
    image.write_bytes(IMAGE)
    return image


@pytest.mark.parametrize(
    ("wanted", "release"),
    [
        ("6.1", "6.1.0-56-amd64"),
        ("6.12", "6.12.100+deb12-amd64"),
        ("6.12.9", "6.12.9+deb12-amd64"),
        ("6", "6.12.100+deb12-amd64"),
        ("6.8", "6.8.0-31-generic"),
        ("6.1.0-9-amd64", "6.1.0-9-amd64"),
    ],
)
def test_a_release_is_the_newest_that_begins_so(
    wanted: str, release: str, machine: Path, program: Program
) -> None:
    # What is downloaded has the package's name in it, and is made a tree by dpkg-deb.
    program("apt-get", 'for name; do :; done; echo "$name" > "$name.deb"')
    program("dpkg-deb", 'r=$(sed s/linux-image-// $2); mkdir -p $3/boot; : > "$3/boot/vmlinuz-$r"')
    told: list[str] = []

    found = images.find(wanted, tell=told.append)

    assert found == machine / release / "boot" / f"vmlinuz-{release}"
    assert told == [f"{release}: fetching it"]
    assert sorted(machine.iterdir()) == [machine / release]


def test_what_is_kept_is_not_fetched_again(machine: Path) -> None:
    image = unpacked(machine / "6.1.0-50-amd64", "6.1.0-50-amd64")
    told: list[str] = []

    assert images.find("6.1", tell=told.append) == image
    assert told == []


def test_all_parts_of_a_split_kernel_are_fetched(machine: Path, program: Program) -> None:
    parts = ("linux-image-7.1.2-amd64", "linux-modules-7.1.2-amd64", "linux-binary-7.1.2-amd64")
    program("apt-cache", f"printf '%s\\n' {' '.join(parts)}")
    program("apt-get", f'echo "$@" > {machine}/../asked; : > one.deb')
    program("dpkg-deb", "m=$3/usr/lib/modules/7.1.2-amd64; mkdir -p $m; : > $m/vmlinuz")
    machine.parent.mkdir()

    found = images.find("7.1")

    assert found == machine / "7.1.2-amd64/usr/lib/modules/7.1.2-amd64/vmlinuz"
    asked = (machine.parent / "asked").read_text().split()
    assert [each for each in asked if each.startswith("linux-")] == [parts[0], parts[2], parts[1]]


def test_a_release_that_nobody_has_is_named_with_those_that_there_are(machine: Path) -> None:
    with pytest.raises(NotFound) as caught:
        images.find("5.4")

    assert str(caught.value).startswith("kernel 5.4: there are: 6.1, 6.8, 6.12; ")


def test_apt_s_own_words_tell_why_it_could_not(machine: Path, program: Program) -> None:
    program("apt-get", "echo 'E: Failed to fetch it  404  Not Found' >&2; exit 100")

    with pytest.raises(Error) as caught:
        images.find("6.1")

    assert str(caught.value) == (
        "apt-get could not fetch 6.1.0-56-amd64: E: Failed to fetch it  404  Not Found; "
        "try: apt-get update"
    )
    assert list(machine.iterdir()) == []


def test_where_there_is_no_apt_nothing_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    assert apt.offered() == []


def test_paths_are_images_folders_and_packages(machine: Path, tmp_path: Path) -> None:
    image = unpacked(tmp_path / "tree", "6.9.0")
    control = tmp_path / "tree" / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text(
        "Package: linux-image-6.9.0\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\n"
        "Description: a kernel\n"
    )
    package = tmp_path / "kernel.deb"
    subprocess.run(
        ["dpkg-deb", "-b", str(tmp_path / "tree"), str(package)], check=True, capture_output=True
    )
    digest = hashlib.sha256(package.read_bytes()).hexdigest()[:12]

    assert images.find(str(image)) == image
    assert images.find(str(tmp_path / "tree")) == image
    for _ in range(2):
        found = images.find(str(package))
        assert found == machine / f"kernel-{digest}" / "boot" / "vmlinuz-6.9.0"
        assert found.read_bytes() == IMAGE


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("./nothing", "nothing: there is no such image of a kernel"),
        ("newest", "kernel 'newest': is neither a release (6.1, 6.12.100) nor a path; "),
        ("{place}", "{place}: holds no image of a kernel: boot/vmlinuz-*, "),
    ],
)
def test_what_is_no_kernel_is_named(wanted: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(Error) as caught:
        images.find(wanted.format(place=tmp_path))

    assert str(caught.value).startswith(said.format(place=tmp_path))


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("qemu", "there is no qemu-system-"),
        ("busybox", "there is no static busybox (apt-get install busybox-static)"),
        ("depmod", "there is no depmod (apt-get install kmod)"),
        ("file", "there is no file (apt-get install file)"),
        ("vng", "there is no vng (pip install 'packetrig[kernels]')"),
    ],
)
def test_what_is_missing_to_boot_a_kernel_is_named(
    lacking: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in NEEDED:
        if not name.startswith(lacking):
            (tmp_path / name).write_text("#!/bin/sh\n")
            (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(guest, "_path", lambda: str(tmp_path))

    found = kernels.missing()

    assert isinstance(found, ToolMissing)
    assert said in str(found)


def test_a_busybox_with_a_loader_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NEEDED:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(guest, "_path", lambda: str(tmp_path))
    assert kernels.missing() is None

    (tmp_path / "busybox").write_bytes(b"\x7fELF /lib64/ld-linux-x86-64.so.2")

    assert "there is no static busybox" in str(kernels.missing())


REPORT = """<testsuites><testsuite name="pytest" tests="4">
<testcase classname="tests.test_it" name="test_a[x/y]" file="tests/test_it.py" line="1"/>
<testcase classname="tests.test_it.TestB" name="test_b" file="tests/test_it.py">
<failure message="assert 1 == 2&#10;more">...</failure></testcase>
<testcase classname="tests.test_it" name="test_c" file="tests/test_it.py">
<skipped type="pytest.skip" message="no tcx here"/></testcase>
<testcase classname="tests.test_it" name="test_d" file="tests/test_it.py"/>
<testcase classname="tests.test_it" name="test_d" file="tests/test_it.py">
<error message="failed on teardown"/></testcase>
</testsuite></testsuites>"""


def test_a_report_tells_how_each_test_ended_by_pytest_s_own_name(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text(REPORT)

    found = results.read(tmp_path / "junit.xml")

    assert [(each.name, each.outcome, each.why) for each in found.values()] == [
        ("tests/test_it.py::test_a[x/y]", "passed", ""),
        ("tests/test_it.py::TestB::test_b", "failed", "assert 1 == 2"),
        ("tests/test_it.py::test_c", "skipped", "no tcx here"),
        ("tests/test_it.py::test_d", "error", "failed on teardown"),
    ]


def test_no_report_and_half_a_report_tell_nothing(tmp_path: Path) -> None:
    (tmp_path / "half.xml").write_text(REPORT[:200])

    assert results.read(tmp_path / "half.xml") == {}
    assert results.read(tmp_path / "none.xml") == {}


def test_tests_that_tell_kernels_apart_end_otherwise_or_are_not_everywhere() -> None:
    def ended(**outcomes: str) -> dict[str, results.Tested]:
        return {name: results.Tested(name, outcome) for name, outcome in outcomes.items()}

    found = dict(
        results.differing(
            {
                "old": ended(same="passed", other="skipped", gone="passed"),
                "new": ended(same="passed", other="passed", more="failed"),
            }
        )
    )

    assert {name: {c: t.outcome for c, t in each.items()} for name, each in found.items()} == {
        "other": {"old": "skipped", "new": "passed"},
        "gone": {"old": "passed"},
        "more": {"new": "failed"},
    }


def test_joined_reports_name_the_kernel_and_a_cell_without_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text(REPORT)

    text = kernels.joined({"6.1": tmp_path / "junit.xml", "7.0": tmp_path / "none.xml"})

    root = Xml.fromstring(text)
    assert [suite.get("name") for suite in root] == ["6.1", "7.0"]
    assert root[0][0].get("classname") == "6.1.tests.test_it"
    error = root[1].find("testcase/error")
    assert error is not None and error.get("message") == "there is no report of this cell"
