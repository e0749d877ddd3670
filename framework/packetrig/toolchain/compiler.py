"""Compile one C file for BPF, or find it compiled."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import platform
import re
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ..errors import CompileError, Error, NotFound, ToolMissing
from .cache import FORMAT, Cache, Manifest, digest_of, folder
from .clang import Clang, find_clang, run

FLAGS = ("-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra")
# What stands behind the options in each command: where it runs, and of what.
ENDING = ("-fdebug-compilation-dir={folder}", "-c", "{source}")

# libc's headers choose by the machine that a program is compiled for; -target bpf tells them none,
# and they then ask for 32-bit headers that are not there (gnu/stubs-32.h).
_MACROS = {
    "x86_64": ("-D__x86_64__",),
    "aarch64": ("-D__aarch64__",),
    "riscv64": ("-D__riscv", "-D__riscv_xlen=64"),
    "s390x": ("-D__s390x__",),
    "ppc64le": ("-D__powerpc64__", "-D_CALL_ELF=2"),
    "loongarch64": ("-D__loongarch__", "-D__loongarch_grlen=64"),
}
_MULTIARCH = {"ppc64le": "powerpc64le"}
# What clang reads besides its arguments.
_VARIABLES = ("CPATH", "C_INCLUDE_PATH", "SOURCE_DATE_EPOCH")
_WITH_FOLDER = ("-I", "-isystem", "-iquote", "-idirafter", "-include")
_PACKAGES = (("bpf/", "libbpf-dev"), ("linux/", "linux-libc-dev"), ("asm/", "linux-libc-dev"))
_ERROR = re.compile(
    r"^(?P<file>.+?):(?P<line>\d+):\d+: (?:fatal )?error: (?P<text>.*)$", re.MULTILINE
)
# What stops clang and is no fault of the source.
_MACHINE = re.compile(r"No space left on device|Disk quota exceeded|Read-only file system")
_ERROR_ANYWHERE = re.compile(r"\berror: (?P<text>.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Built:
    """Describe a compiled program: the object file, and how it came about.

    `sha256` is the object's. `warnings` is clang's own text, also when the object was in the cache.
    `headers` are the files that clang read besides the source.
    """

    object: Path
    source: Path
    sha256: str
    warnings: str
    command: tuple[str, ...]
    headers: tuple[str, ...]
    cached: bool


def compile(  # noqa: A001 - toolchain.compile() is what it does
    source: str | os.PathLike[str],
    *,
    define: Mapping[str, object] | None = None,
    include: Iterable[str | os.PathLike[str]] = (),
    flags: Iterable[str] = (),
) -> Built:
    """Compile a C file for BPF; when nothing that it is made of has changed, find it in the cache.

    Args:
        source: the C file. `include/` beside it is searched for headers.
        define: macros: `{"LIMIT": 5, "FLAG": None}` is `-DLIMIT=5 -DFLAG`.
        include: more folders to search for headers, before all others.
        flags: more arguments for clang, after packetrig's own.

    Raises:
        CompileError: clang refused the source, or there is nothing in it.
        NotFound: there is no such file or folder.
        ToolMissing: there is no clang.
        Error: a macro has no valid name or value; the cache cannot be written.
    """
    given = os.fspath(source)
    # Without ".." or linked folders, so that one file has one name from everywhere.
    path = Path(given).parent.resolve() / Path(given).name
    content = _read(path, given)
    options = (
        *FLAGS,
        *_machine_flags(platform.machine()),
        *_definitions(define or {}),
        *_include_flags(path, include),
        *_absolute(flags),
    )
    clang = find_clang()
    ending = (each.format(folder=path.parent, source=path) for each in ENDING)
    command = (str(clang.path), *options, *ending)
    job = _Job(given, path, clang, command, Cache(folder(os.environ)))
    key = job.key(content)
    built = job.look_up(key)
    if built is None:
        with job.cache.lock(key):
            # Another process may have done it while we waited.
            built = job.look_up(key) or job.build(key, content)
    return built


@dataclass(frozen=True, slots=True)
class _Job:
    given: str
    path: Path
    clang: Clang
    command: tuple[str, ...]
    cache: Cache

    def key(self, content: bytes) -> str:
        compiler = (self.clang.version, self.clang.search, self.clang.stamp)
        variables = [os.environ.get(name) for name in _VARIABLES]
        text = hashlib.sha256(content).hexdigest()
        parts = json.dumps([FORMAT, compiler, variables, self.command, text])
        return hashlib.sha256(parts.encode("utf-8", "surrogateescape")).hexdigest()

    def look_up(self, key: str) -> Built | None:
        found = self.cache.look_up(key)
        return self._built(*found, cached=True) if found else None

    def build(self, key: str, content: bytes) -> Built:
        # Who edits a file while clang reads it must not find the old object under the new content.
        # A header that is only just written is therefore compiled a second time, and is good when
        # it was the same before and after.
        started = time.time_ns()
        made, manifest = self._compile()
        is_final = not any(_changed_since(Path(name), started) for name in manifest.headers)
        if not is_final:
            before = manifest.headers
            made, manifest = self._compile()
            is_final = manifest.headers == before
        is_final = is_final and digest_of(self.path) == hashlib.sha256(content).hexdigest()
        object_path = self.cache.store(key, manifest, made, is_final=is_final)
        return self._built(manifest, object_path, cached=False)

    def _compile(self) -> tuple[bytes, Manifest]:
        with self.cache.scratch() as scratch:
            output, listing = scratch / "out.o", scratch / "out.d"
            extra = ["-MD", "-MF", str(listing), "-o", str(output)]
            answer = run([*self.command, *extra], cwd=self.path.parent)
            if answer.returncode != 0:
                raise self._refused(answer.stderr, answer.returncode)
            try:
                made = output.read_bytes()
                files = _listed(listing.read_text("utf-8", "surrogateescape"))
            except OSError as e:
                if self.path.suffix != ".c":  # clang goes by the name
                    raise Error(f"{self.given}: is neither a C file (.c) nor an object") from e
                raise Error(
                    f"{self.given}: clang wrote no object with {shlex.join(self.command)}; "
                    "leave out flags that ask for other output"
                ) from e
        headers = [name for name in files if name != str(self.path)]
        return made, Manifest(
            source=str(self.path),
            object=f"{self.path.name.removesuffix('.c').removesuffix('.bpf')}.bpf.o",
            sha256=hashlib.sha256(made).hexdigest(),
            warnings=answer.stderr,
            headers={name: digest_of(Path(name)) or "" for name in headers},
            absent=tuple(_absent(self.path.parent, headers, self._searched())),
        )

    def _built(self, manifest: Manifest, path: Path, *, cached: bool) -> Built:
        warnings = self._as_given(manifest.warnings)
        made = (path, self.path, manifest.sha256, warnings, self.command)
        return Built(*made, headers=tuple(manifest.headers), cached=cached)

    def _searched(self) -> list[str]:
        # The folders in which clang looks for headers, in its order.
        own: dict[str, list[str]] = {flag: [] for flag in _WITH_FOLDER}
        for flag, value in zip(self.command, (*self.command[1:], ""), strict=True):
            if flag in own:
                own[flag].append(value)
            elif flag.startswith("-I"):
                own["-I"].append(flag[2:])
        first = [*own["-iquote"], *own["-I"], *own["-isystem"]]
        return [*first, *self.clang.search, *own["-idirafter"]]

    def _as_given(self, text: str) -> str:
        # Clang was told the whole path; people see the one that they gave.
        return text.replace(f"{self.path.parent}/", self.given.removesuffix(self.path.name))

    def _refused(self, stderr: str, code: int) -> Error:
        diagnostics = self._as_given(stderr)
        if "No available targets are compatible" in stderr or "unknown target triple" in stderr:
            return ToolMissing(
                f"{self.clang.path} cannot compile for BPF; install another (apt-get install "
                "clang-19), CLANG= names it"
            )
        if full := _MACHINE.search(stderr):
            # Nothing is wrong with the source.
            return Error(f"{self.given}: clang could not write what it made: {full[0]}")
        if found := _ERROR.search(diagnostics):
            text = f"{found['text']}{_package_of(found['text'])}"
            what = f"clang refused it: {text} ({found['file']}:{found['line']})"
        elif anywhere := _ERROR_ANYWHERE.search(diagnostics):
            what = f"clang refused it: {anywhere['text']}"
        else:
            what = f"clang itself failed with exit code {code}; try another with CLANG="
        return CompileError(f"{self.given}: {what}", source=self.given, diagnostics=diagnostics)


def _read(path: Path, given: str) -> bytes:
    if path.is_char_device() and path != Path(os.devnull):  # /dev/zero has no end
        raise Error(f"{given}: is a device, name a C file")
    try:
        content = path.read_bytes()
    except IsADirectoryError as e:
        raise CompileError(f"{given}: is a folder, name a C file in it", source=given) from e
    except (FileNotFoundError, NotADirectoryError) as e:
        raise NotFound(f"{given}: there is no such file{_near(path)}") from e
    except OSError as e:
        raise Error(f"{given}: cannot be read: {e.strerror or e}") from e
    if not content.strip():
        raise CompileError(f"{given}: the file is empty", source=given)
    return content


def _near(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f", nor a folder {path.parent}"
    near = difflib.get_close_matches(path.name, names, n=1)
    return f", did you mean {near[0]}?" if near else ""


def _machine_flags(machine: str) -> list[str]:
    place = Path(f"/usr/include/{_MULTIARCH.get(machine, machine)}-linux-gnu")
    # -isystem: nobody wants to hear clang's warnings about libc.
    return [*_MACROS.get(machine, ()), *(["-isystem", str(place)] if place.is_dir() else [])]


def _definitions(define: Mapping[str, object]) -> list[str]:
    flags = []
    for name, value in define.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(name)):
            raise Error(f"define: '{name}' is no name for a macro; letters, digits and _ are")
        if value is None:
            flags.append(f"-D{name}")
        elif isinstance(value, int):
            flags.append(f"-D{name}={int(value)}")
        elif isinstance(value, str) and not set("\n\r\0") & set(value):
            flags.append(f"-D{name}={value}")
        else:
            raise Error(f"define: {name}={value!r}; a macro takes an int, one line of text or None")
    return flags


def _include_flags(path: Path, include: Iterable[str | os.PathLike[str]]) -> list[str]:
    folders = [include] if isinstance(include, str | os.PathLike) else list(include)
    flags = []
    for place in folders:
        if not Path(place).is_dir():
            raise NotFound(f"include: there is no folder {os.fspath(place)}")
        flags += ["-I", str(Path(place).resolve())]
    beside = path.parent / "include"
    return [*flags, "-I", str(beside)] if beside.is_dir() else flags


def _absolute(flags: Iterable[str]) -> list[str]:
    # Folders in flags are meant from where the user is; clang runs beside the source, so that an
    # object does not depend on where it was compiled from.
    words = shlex.split(flags) if isinstance(flags, str) else list(flags)
    found: list[str] = []
    for word in words:
        if found and found[-1] in _WITH_FOLDER:
            # -include also names a header that is to be searched for.
            exists = found[-1] != "-include" or Path(word).exists()
            found.append(str(Path(word).resolve()) if exists else word)
        elif word.startswith("-I") and len(word) > 2:
            found.append(f"-I{Path(word[2:]).resolve()}")
        else:
            found.append(word)
    return found


def _listed(listing: str) -> list[str]:
    # Make's syntax: "out.o: a.c b.h \" newline "c\ d.h".
    _, _, names = listing.replace("\\\n", " ").partition(": ")
    words = re.findall(r"(?:\\[ #]|\$\$|\S)+", names)
    return [re.sub(r"\\([ #])", r"\1", word).replace("$$", "$") for word in words]


def _absent(own: Path, headers: Iterable[str], searched: list[str]) -> Iterator[str]:
    # Where a new file would be found before one of the headers: in a folder that clang searches
    # earlier, or beside a file of the user's that includes it.
    headers = list(headers)
    folders = {str(own): None} | {str(Path(name).parent): None for name in headers}
    users = [f for f in folders if not any(f"{f}/".startswith(f"{p}/") for p in searched)]
    seen = set()
    for header, (i, home) in product(headers, enumerate(searched)):
        if not header.startswith(f"{home}/"):
            continue
        for place in dict.fromkeys((*users, *searched[:i])):
            missing = _first_missing(Path(place), header[len(home) + 1 :])
            if missing and missing not in seen:
                seen.add(missing)
                yield missing


def _first_missing(place: Path, name: str) -> str | None:
    # The first folder that is missing stands for all that could be in it.
    for part in Path(name).parts:
        place = place / part
        if not os.path.lexists(place):
            return str(place)
    return None


def _changed_since(path: Path, started: int) -> bool:
    # The kernel stamps files with a clock that ticks up to 10 ms late.
    try:
        return path.stat().st_ctime_ns > started - 10_000_000
    except OSError:
        return True


def _package_of(text: str) -> str:
    if missing := re.match(r"'([^']+)' file not found", text):
        if Path(missing[1]).name == "vmlinux.h":
            return "; bpftool btf dump file /sys/kernel/btf/vmlinux format c > vmlinux.h makes one"
        for prefix, package in _PACKAGES:
            if missing[1].startswith(prefix):
                return f"; apt-get install {package}"
    return ""
