"""A virtual machine of another kernel that sees this machine's files, and one command in it.

virtme-ng boots it. Its root is this machine's, under a layer in memory that is thrown away; what
comes back is a folder for results. The root is mounted once more with a cache: Python would ask
the host for each of its files again, and start four times as slowly. How the command ended is read
from a file, not from virtme-ng: that needs udev in the guest, which containers have not.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import Error, ToolMissing

# QEMU's program for this processor, and the package of Debian and Ubuntu that has it.
_QEMU = {
    "x86_64": ("qemu-system-x86_64", "qemu-system-x86"),
    "aarch64": ("qemu-system-aarch64", "qemu-system-arm"),
}
_NEEDS = "another kernel needs QEMU, busybox, kmod, file, zstd and virtme-ng"
_GRACE = 10  # seconds for a machine to end when it is told to

# QEMU's two file systems: everything, to be read, and the folder for results.
_ROOT, _RESULTS = "packetrig-root", "packetrig-results"
_9P = "trans=virtio,version=9p2000.L,msize=512000"
_ENTER = f"mkdir -p /run/pr && mount -t 9p -o {_9P} {_RESULTS} /run/pr && sh /run/pr/boot.sh"
_BOOT = """\
set -e
cd /run
uname -r > pr/release
mkdir -p low top new
mount -t 9p -o ro,cache=loose,{options} {root} low
mount -t tmpfs tmpfs top
mkdir top/upper top/work
mount -t overlay -o lowerdir=low,upperdir=top/upper,workdir=top/work overlay new
for each in proc sys dev; do mount --rbind /$each new/$each; done
mount -t tmpfs tmpfs new/run
mount -t bpf bpf new/sys/fs/bpf || true
mkdir -p new{results}
mount --bind pr new{results}
ip link set lo up || true
set +e
cd pr
chroot ../new sh {results}/command.sh </dev/null >output 2>&1
echo $? > code
sync
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """Tell how a command ended on a kernel.

    `code` is its exit code, None when it had none: `why` says what happened instead. `output` is
    what it printed, both streams; `seconds` include the boot.
    """

    release: str
    code: int | None
    seconds: float
    output: str
    why: str = ""


def missing() -> ToolMissing | None:
    """Tell what is not installed that booting another kernel needs; None when all is there."""
    machine = platform.machine()
    qemu, package = _QEMU.get(machine, (f"qemu-system-{machine}", "qemu-system"))
    needed = {qemu: package, "busybox": "busybox-static", "depmod": "kmod"}
    needed |= {"file": "file", "zstd": "zstd", "timeout": "coreutils"}
    for tool, package in needed.items():
        found = shutil.which(tool, path=_path())
        # What begins in a guest has no loader yet, nor libraries.
        if found is None or (tool == "busybox" and b"/ld-" in Path(found).read_bytes()):
            kind = "static busybox" if tool == "busybox" else tool
            return ToolMissing(f"{_NEEDS}: there is no {kind} (apt-get install {package})")
    if not shutil.which("vng", path=_path()):
        return ToolMissing(f"{_NEEDS}: there is no vng (pip install 'packetrig[kernels]')")
    return None


def run(
    image: Path,
    words: Sequence[str],
    *,
    results: Path,
    timeout: float,
    memory: str,
    variables: Mapping[str, str],
) -> Ended:
    """Boot an image and run a command in it, in this folder and with this environment.

    Args:
        image: The kernel, as `find` gives it.
        words: The command. Its files are this machine's; what it writes is gone afterwards.
        results: A folder that it may write to, by the same name, and that stays.
        timeout: Seconds for all of it, the boot included.
        memory: Of the machine, as QEMU takes it.
        variables: What the environment has beyond this process's.

    Raises:
        Error: `results` cannot be written.
    """
    results = results.resolve()
    began = time.monotonic()
    try:
        _write(results, words, {**os.environ, **variables})
        said = _boot(image, results, timeout, memory)
    except OSError as e:
        raise Error(f"{results}: cannot be written: {e.strerror or e}") from e
    seconds = time.monotonic() - began
    release, output = _read(results, "release").strip(), _read(results, "output")
    code = _read(results, "code").strip()
    if code:
        return Ended(release, int(code), seconds, output)
    return Ended(release, None, seconds, output, _why(said, release, timeout))


def _write(results: Path, words: Sequence[str], environment: Mapping[str, str]) -> None:
    place = shlex.quote(str(results))
    boot = _BOOT.format(options=_9P, root=_ROOT, results=place)
    (results / "boot.sh").write_text(boot, encoding="utf-8")
    lines = [
        f"export {name}={shlex.quote(value)}"
        for name, value in environment.items()
        if name.isidentifier() and name not in ("PWD", "OLDPWD", "SHLVL", "_")
    ]
    lines += [f"cd {shlex.quote(str(Path.cwd()))} || exit 127", f"exec {shlex.join(words)}"]
    command = results / "command.sh"
    command.touch(mode=0o600)  # an environment may hold what others should not read
    command.write_text("\n".join([*lines, ""]), encoding="utf-8", errors="surrogateescape")


def _boot(image: Path, results: Path, timeout: float, memory: str) -> str | None:
    """Boot, and wait for the end; return what the console said, None when time was up."""
    shares = [
        *("-fsdev", f"local,id=pr0,path=/,{_share('readonly=on')}"),
        *("-device", f"virtio-9p-pci,fsdev=pr0,mount_tag={_ROOT}"),
        *("-fsdev", f"local,id=pr1,path={_escaped(results)},{_share()}"),
        *("-device", f"virtio-9p-pci,fsdev=pr1,mount_tag={_RESULTS}"),
    ]
    words = ["vng", "--verbose", "--force-9p", "--cpus", "1", "--memory", memory, "--user", "root"]
    words += [] if _can_virtualise() else ["--disable-kvm"]
    words += [f"--qemu-opts={shlex.join(shares)}", "--run", str(image), "--exec", _ENTER]
    # vng leaves folders in the home of whoever calls it, and QEMU cuts a file that is its stdout.
    with tempfile.TemporaryDirectory(prefix="packetrig-vng-") as home:
        environment = {**os.environ, "PATH": _path(), "HOME": home, "XDG_CACHE_HOME": home}
        process = subprocess.Popen(
            [*_bound(), "timeout", f"--kill-after={_GRACE}", str(timeout), *words],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        try:
            said = process.communicate()[0]
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.communicate()
            raise
    return None if process.returncode in (124, 137) else said


def _bound() -> list[str]:
    # A machine must not run on when whoever waits for it is killed.
    setpriv = shutil.which("setpriv", path=_path())
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def _why(said: str | None, release: str, timeout: float) -> str:
    if said is None:
        where = "its command did not end" if release else "it did not boot"
        return f"{where} within {timeout:g} s"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    panic = next((line for line in lines if "Kernel panic" in line), "")
    last = panic or (lines[-1] if lines else "nothing was said")
    return f"{'it ended early' if release else 'it did not boot'}: {last}"


def _share(more: str = "") -> str:
    return ",".join(filter(None, ["security_model=none,multidevs=remap", more]))


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")


def _can_virtualise() -> bool:
    # That /dev/kvm opens is not enough: where the processor has no extension, QEMU aborts.
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False
    has_extension = "vmx" in flags or "svm" in flags or platform.machine() == "aarch64"
    return has_extension and os.access("/dev/kvm", os.R_OK | os.W_OK)


def _path() -> str:
    # vng stands beside the interpreter that packetrig runs in; tools of root in sbin.
    own = str(Path(sys.executable).parent)
    return os.pathsep.join([own, os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def _read(results: Path, name: str) -> str:
    try:
        return (results / name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
