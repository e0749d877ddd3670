from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from packetrig import build, toolchain
from packetrig.errors import CompileError, Error, NotFound, ToolMissing

# A stand-in for clang that takes 3 ms: its object is the source with its headers; it logs each run.
STANDIN = """#!/bin/sh
echo run >>"{log}"
case "$*" in *" -E -v "*)
    echo "Debian clang version {version}" >&2; exit 0;;
esac
while [ $# -gt 0 ]; do
    case "$1" in -o) out=$2;; -MF) listing=$2;; -c) source=$2;; esac
    shift
done
headers=
while read -r word name; do
    [ "$word" = "#include" ] && headers="$headers ${{source%/*}}/$name"
done <"$source"
cat "$source" $headers >"$out"
{then}
echo "out.o: $source$headers" >"$listing"
echo "$source:1:1: warning: none" >&2
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PACKETRIG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CLANG", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def bin_folder(tmp_path, monkeypatch):
    """A PATH of its own, with nothing in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def program(bin_folder, tmp_path):
    """Put a script on the PATH."""

    def write(name, text):
        path = bin_folder / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def standin(program, tmp_path, monkeypatch):
    """Put a stand-in for clang on the PATH; call it for another one."""

    def install(*, version="19.1.7", then=""):
        program("clang-19", STANDIN.format(log=tmp_path / "log", version=version, then=then))

    install()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("CLANG", "clang-19")
    return install


@pytest.fixture
def runs(tmp_path):
    """Tell how often the stand-in ran, to compile or to tell its version."""
    return lambda: (tmp_path / "log").read_text().count("run")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "xdp_x.bpf.c"
    path.write_text("#include x.h\nint x;\n")
    (tmp_path / "x.h").write_text("int y;\n")
    return path


@pytest.fixture(scope="session")
def compilers(tmp_path_factory):
    """What the clang of this machine answers; to ask it in each test would take long."""
    folder = tmp_path_factory.mktemp("compilers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PACKETRIG_CACHE", str(folder))
        try:
            toolchain.find_clang()
        except ToolMissing as e:
            pytest.skip(str(e))
    return folder / "compilers.json"


@pytest.fixture
def real(compilers, cache):
    """Use the clang of this machine."""
    cache.mkdir()
    (cache / "compilers.json").write_bytes(compilers.read_bytes())


def answering(version: str) -> str:
    return f"#!/bin/sh\necho 'clang version {version}' >&2\n"


# Which clang -----------------------------------------------------------------------------------


def test_the_newest_clang_is_found(program):
    for name, version in {"clang-14": "14.0.6", "clang-19": "19.1.7", "clang": "16.0.0"}.items():
        program(name, answering(version))
    clang = toolchain.find_clang()
    assert (clang.path.name, clang.major) == ("clang-19", 19)
    assert clang.version == "clang version 19.1.7"


def test_a_plain_clang_that_is_newer_is_preferred(program):
    program("clang-14", answering("14.0.6"))
    program("clang", answering("21.1.0"))
    assert toolchain.find_clang().path.name == "clang"


def test_a_clang_that_does_not_run_is_none(program):
    program("clang-20", "#!/nowhere\n")
    program("clang-19", "#!/bin/sh\necho 'gcc version 12' >&2\n")
    program("clang-15", answering("15.0.0"))
    assert toolchain.find_clang().major == 15


def test_without_clang_the_error_says_how_to_get_it(bin_folder):
    with pytest.raises(ToolMissing) as caught:
        toolchain.find_clang()
    assert str(caught.value).startswith("no clang found: clang 14 or newer is needed (apt-get inst")
    assert "CLANG=" in str(caught.value)


@pytest.mark.parametrize("name", ["clang", "clang-13"])
def test_an_old_clang_is_named_with_its_version(program, name):
    path = program(name, answering("13.0.1"))
    with pytest.raises(ToolMissing, match=f"{path} is version 13: clang 14 or newer is needed"):
        toolchain.find_clang()


@pytest.mark.parametrize("as_path", [True, False])
def test_the_environment_names_another_clang(program, monkeypatch, as_path):
    program("clang-19", answering("19.1.7"))
    own = program("own", answering("15.0.0"))
    monkeypatch.setenv("CLANG", str(own) if as_path else "own")
    assert toolchain.find_clang().path == own


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "CLANG=own: there is no such program"),
        (answering("13.0.0"), "CLANG=own is version 13; clang 14 or newer"),
        ("#!/bin/sh\necho 'gcc (Debian) 12' >&2\n", "CLANG=own: .*/own is no clang, it answers"),
        ("#!/nowhere\n", "CLANG=own: .*/own does not start"),
    ],
    ids=["missing", "old", "gcc", "broken"],
)
def test_a_named_clang_that_is_no_good_is_refused(program, monkeypatch, text, message):
    program("clang-19", answering("19.1.7"))
    if text:
        program("own", text)
    monkeypatch.setenv("CLANG", "own")
    with pytest.raises(ToolMissing, match=message):
        toolchain.find_clang()


def test_clang_is_asked_once_and_again_when_it_was_replaced(standin, runs):
    toolchain.find_clang()
    toolchain.find_clang()
    assert runs() == 1
    standin(version="20.1.10")
    assert toolchain.find_clang().major == 20


def test_finding_clang_needs_no_cache(program, monkeypatch):
    program("clang-19", answering("19.1.7"))
    monkeypatch.setenv("PACKETRIG_CACHE", "/dev/null/cache")
    assert toolchain.find_clang().major == 19


# LLVM's other tools ----------------------------------------------------------------------------


def test_a_tool_with_the_version_in_its_name_is_found(program):
    program("clang-19", answering("19.1.7"))
    program("llvm-cov-14", "#!/bin/sh\n")
    program("llvm-cov-19", "#!/bin/sh\n")
    assert toolchain.tool("llvm-cov").name == "llvm-cov-19"


@pytest.mark.parametrize(("version", "is_found"), [("19.1.7", True), ("14.0.6", False)])
def test_a_plain_tool_is_asked_for_its_version(program, monkeypatch, tmp_path, version, is_found):
    program("clang-19", answering("19.1.7"))
    tools = tmp_path / "tools"
    tools.mkdir()
    program("llvm-cov", f"#!/bin/sh\necho '  Debian LLVM version {version}'\n").rename(
        tools / "llvm-cov"
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{tools}")
    if is_found:
        assert toolchain.tool("llvm-cov") == tools / "llvm-cov"
    else:
        with pytest.raises(ToolMissing, match=r"no llvm-cov of LLVM 19"):
            toolchain.tool("llvm-cov")


def test_a_tool_beside_clang_is_found(program):
    program("clang-19", answering("19.1.7"))
    beside = program("llvm-cov", "#!/bin/sh\n")
    assert toolchain.tool("llvm-cov") == beside


def test_a_missing_tool_is_named_with_its_package(program):
    program("clang-19", answering("19.1.7"))
    with pytest.raises(ToolMissing, match=r"no llvm-cov of LLVM 19.*apt-get install llvm-19"):
        toolchain.tool("llvm-cov")


# The cache -------------------------------------------------------------------------------------


def test_what_was_compiled_is_found_without_any_process(standin, source, runs):
    first, before = toolchain.compile(source), runs()
    second = toolchain.compile(source)
    assert (first.cached, second.cached, runs()) == (False, True, before)
    assert first.object == second.object
    assert first.object.read_bytes() == b"#include x.h\nint x;\nint y;\n"


def test_warnings_are_kept_with_the_object_and_name_the_source_as_given(
    standin, source, monkeypatch
):
    monkeypatch.chdir(source.parent.parent)
    given = f"{source.parent.name}/{source.name}"
    for _ in range(2):
        assert toolchain.compile(given).warnings == f"{given}:1:1: warning: none\n"


def test_the_object_is_named_after_its_source(standin, source):
    assert toolchain.compile(source).object.name == "xdp_x.bpf.o"
    plain = source.with_name("plain.c")
    plain.write_text("int x;")
    assert toolchain.compile(plain).object.name == "plain.bpf.o"


@pytest.mark.parametrize("name", ["xdp_x.bpf.c", "x.h"])
def test_a_changed_file_is_compiled_again(standin, source, name):
    toolchain.compile(source)
    with (source.parent / name).open("a") as file:
        file.write("int z;\n")
    again = toolchain.compile(source)
    assert not again.cached
    assert b"int z;" in again.object.read_bytes()


def test_a_header_changed_behind_the_back_of_its_times_is_noticed(standin, source):
    header = source.with_name("x.h")
    toolchain.compile(source)
    status = header.stat()
    header.write_text("int w;\n")
    os.utime(header, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not toolchain.compile(source).cached


@pytest.mark.parametrize("name", ["xdp_x.bpf.c", "x.h"])
def test_a_file_that_is_edited_while_clang_reads_it_is_compiled_again(standin, source, name):
    standin(then=f'echo "int z;" >>{source.parent / name}')
    content = source.read_bytes()
    toolchain.compile(source)
    source.write_bytes(content)  # with this content nothing was compiled
    assert not toolchain.compile(source).cached


def test_what_is_as_before_again_is_found_again(standin, source):
    first = toolchain.compile(source)
    toolchain.compile(source, define={"LIMIT": 1})
    again = toolchain.compile(source)
    assert again.cached and again.object == first.object


@pytest.mark.parametrize(
    "options",
    [{"define": {"LIMIT": 5}}, {"flags": ("-O1",)}, {"include": "."}],
    ids=["define", "flags", "include"],
)
def test_other_options_make_another_object(standin, source, options):
    toolchain.compile(source)
    assert not toolchain.compile(source, **options).cached


def test_another_clang_makes_another_object(standin, source):
    toolchain.compile(source)
    standin(version="19.1.10")
    assert not toolchain.compile(source).cached


@pytest.mark.parametrize("damage", [b"", b"#include", b"other content that is longer than that"])
def test_a_damaged_object_is_built_again(standin, source, damage):
    built = toolchain.compile(source)
    content = built.object.read_bytes()
    built.object.write_bytes(damage)
    again = toolchain.compile(source)
    assert not again.cached
    assert again.object.read_bytes() == content


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"absent": [], "format": 1}'])
def test_a_damaged_manifest_is_written_again(standin, source, cache, text):
    toolchain.compile(source)
    (manifest,) = cache.glob("manifests/*/*.json")
    manifest.write_text(text)
    assert not toolchain.compile(source).cached
    assert toolchain.compile(source).cached


def test_nothing_is_left_behind_but_the_object_and_its_manifest(standin, source, cache):
    toolchain.compile(source)
    files = {path.relative_to(cache).parts[0] for path in cache.rglob("*") if path.is_file()}
    assert files == {"objects", "manifests", "locks", "compilers.json"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"PACKETRIG_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"PACKETRIG_CACHE": "", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/packetrig"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/c"}, "/c/.cache/packetrig"),
        ({"HOME": "/c"}, "/c/.cache/packetrig"),
    ],
)
def test_the_cache_lies_where_the_environment_says(variables, expected, tmp_path):
    below = {
        name: f"{tmp_path}{value}" if value.startswith("/") else value
        for name, value in variables.items()
    }

    assert toolchain.folder(below) == Path(f"{tmp_path}{expected}")
    assert toolchain.elsewhere(below) == ""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"packetrig-{os.geteuid()}"


@pytest.mark.parametrize("name", ["HOME", "XDG_CACHE_HOME"])
def test_where_the_usual_place_cannot_be_written_a_private_folder_is_the_cache(temporary, name):
    for _ in range(2):
        assert toolchain.folder({name: "/dev/null"}) == temporary

    assert stat.S_IMODE(temporary.stat().st_mode) == 0o700
    assert f"cannot be written: compiled objects are kept in {temporary} (PACKETRIG_CACHE=" in (
        toolchain.elsewhere({name: "/dev/null"})
    )


@pytest.mark.parametrize("what", ["a link", "open to others", "a file"])
def test_a_temporary_folder_that_others_may_use_is_refused(temporary, what):
    if what == "a link":
        temporary.symlink_to("/")
    elif what == "a file":
        temporary.touch()
    else:
        temporary.mkdir()
        temporary.chmod(0o770)

    with pytest.raises(Error, match="is not a folder that this user alone can use; remove it"):
        toolchain.folder({"HOME": "/dev/null"})


def test_a_temporary_folder_of_another_user_is_refused(temporary, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    temporary.with_name(f"packetrig-{os.getuid() + 1}").mkdir(mode=0o700)

    with pytest.raises(Error, match="is not a folder that this user alone can use"):
        toolchain.folder({"HOME": "/dev/null"})


def test_a_cache_that_cannot_be_written_is_named_with_what_to_try(standin, source, monkeypatch):
    monkeypatch.setenv("PACKETRIG_CACHE", "/dev/null/cache")
    with pytest.raises(Error) as caught:
        toolchain.compile(source)
    assert str(caught.value) == (
        "the cache folder /dev/null/cache cannot be written: Not a directory; "
        "set PACKETRIG_CACHE= to a folder that can"
    )


@pytest.mark.slow
def test_processes_that_build_the_same_at_once_compile_it_once(standin, source, runs):
    toolchain.find_clang()
    source.write_text("int x;\n")  # a header that is only just written is compiled twice
    program = "import sys, packetrig.toolchain as t; print(t.compile(sys.argv[1]).sha256)"
    command = [sys.executable, "-c", program, str(source)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(4)
    ]
    answers = {process.communicate()[0] for process in processes}
    assert answers == {toolchain.compile(source).sha256 + "\n"}
    assert runs() == 2  # one to tell the version, one to compile


# What is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b" \n\t\n"])
def test_an_empty_source_is_refused(source, content):
    source.write_bytes(content)
    with pytest.raises(CompileError, match=r"xdp_x\.bpf\.c: the file is empty") as caught:
        toolchain.compile(source)
    assert caught.value.source == str(source)


def test_a_missing_source_suggests_the_near_one(source):
    with pytest.raises(NotFound, match="there is no such file, did you mean xdp_x"):
        toolchain.compile(source.with_name("xdp_y.bpf.c"))


def test_a_missing_folder_is_named(source):
    with pytest.raises(NotFound, match=r"there is no such file, nor a folder .*/nowhere"):
        toolchain.compile(source.parent / "nowhere" / "x.c")


def test_a_folder_is_no_source(source):
    with pytest.raises(CompileError, match="is a folder, name a C file in it"):
        toolchain.compile(source.parent)


def test_a_file_of_another_kind_is_no_source(program, source):
    program("clang-19", answering("19.1.7"))
    other = source.with_name("gate.toml")
    other.write_text("version = 1\n")

    with pytest.raises(Error, match="gate.toml: is neither a C file .* nor an object"):
        toolchain.compile(other)


def test_a_missing_include_folder_is_named(source):
    with pytest.raises(NotFound, match="include: there is no folder nowhere"):
        toolchain.compile(source, include=["nowhere"])


@pytest.mark.parametrize("name", ["1ST", "A-B", "A B", "", "F(x)", "A=1"])
def test_a_macro_needs_a_valid_name(source, name):
    with pytest.raises(Error, match="is no name for a macro"):
        toolchain.compile(source, define={name: 1})


@pytest.mark.parametrize("value", [1.5, b"x", "two\nlines", [1]])
def test_a_macro_needs_a_valid_value(source, value):
    with pytest.raises(Error, match="a macro takes an int, one line of text or None"):
        toolchain.compile(source, define={"A": value})


def test_macros_are_spelled_as_clang_takes_them(standin, source):
    define = {"LIMIT": 5, "NAME": "x", "FLAG": None, "ON": True}
    command = toolchain.compile(source, define=define).command
    assert [word for word in command if word[2:6] in ("LIMI", "NAME", "FLAG", "ON=1")] == [
        "-DLIMIT=5",
        "-DNAME=x",
        "-DFLAG",
        "-DON=1",
    ]


def test_flags_that_ask_for_other_output_are_refused(program, source):
    program("clang-19", answering("19.1.7"))
    with pytest.raises(Error, match=r"clang wrote no object with .* leave out flags"):
        toolchain.compile(source, flags=["-fsyntax-only"])


# The real clang --------------------------------------------------------------------------------


def test_a_program_that_includes_headers_of_libc_compiles(real, tmp_path):
    source = tmp_path / "xdp_libc.bpf.c"
    source.write_text(
        "#include <stdint.h>\n#include <netinet/in.h>\n#include <linux/if_ether.h>\n"
        "uint32_t a; struct sockaddr_in b; struct ethhdr c;\n"
    )
    built = toolchain.compile(source)
    assert built.warnings == ""
    assert built.object.read_bytes()[:4] == b"\x7fELF"
    assert toolchain.compile(source).cached


def test_an_error_is_told_in_one_line_and_kept_whole(real, tmp_path, monkeypatch):
    (tmp_path / "x.bpf.c").write_text("int a;\nint b = c;\nint d = e;\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CompileError) as caught:
        toolchain.compile("x.bpf.c")
    assert str(caught.value) == (
        "x.bpf.c: clang refused it: use of undeclared identifier 'c' (x.bpf.c:2)"
    )
    assert caught.value.diagnostics.startswith("x.bpf.c:2:9: error: use of undeclared")
    assert "2 errors generated" in caught.value.diagnostics
    assert caught.value.source == "x.bpf.c"


def test_an_error_in_a_header_names_the_header(real, tmp_path):
    (tmp_path / "x.bpf.c").write_text('#include "broken.h"\n')
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "broken.h").write_text("\nint a b;\n")
    with pytest.raises(CompileError, match=r"x\.bpf\.c: clang .*\(.*/include/broken\.h:2\)"):
        toolchain.compile(tmp_path / "x.bpf.c")


def test_a_missing_header_is_told_with_its_package(real, tmp_path):
    (tmp_path / "x.bpf.c").write_text("#include <bpf/nothing.h>\n")
    with pytest.raises(CompileError, match="file not found; apt-get install libbpf-dev"):
        toolchain.compile(tmp_path / "x.bpf.c")


def test_an_object_does_not_depend_on_the_current_folder(real, tmp_path, monkeypatch):
    folder = tmp_path / "progs"
    folder.mkdir()
    (folder / "x.bpf.c").write_text("int x;\n")
    objects = []
    for current, given, cache in [
        (tmp_path, "progs/x.bpf.c", "one"),
        (folder, "../progs/x.bpf.c", "two"),
    ]:
        monkeypatch.chdir(current)
        monkeypatch.setenv("PACKETRIG_CACHE", str(tmp_path / cache))
        objects.append(toolchain.compile(given).object.read_bytes())
    assert objects[0] == objects[1]


def test_a_new_header_that_clang_would_find_first_is_noticed(real, tmp_path):
    for name, text in {
        "near/a.h": "",
        "far/x/y.h": "int far;",
        "x.bpf.c": "#include <x/y.h>",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    folders = [tmp_path / "near", tmp_path / "far"]
    first = toolchain.compile(tmp_path / "x.bpf.c", include=folders)
    (tmp_path / "near" / "x").mkdir()
    (tmp_path / "near" / "x" / "y.h").write_text("int near;")

    second = toolchain.compile(tmp_path / "x.bpf.c", include=folders)

    assert not second.cached
    assert second.sha256 != first.sha256


def test_a_source_and_its_headers_may_have_any_name(real, tmp_path):
    source, header = tmp_path / "with space üml$#.bpf.c", tmp_path / "a b$#.h"
    source.write_text('#include "a b$#.h"\n')
    header.write_text("int x;\n")
    toolchain.compile(source)
    assert toolchain.compile(source).cached
    header.write_text("int yyy;\n")
    assert not toolchain.compile(source).cached


@pytest.mark.parametrize("given", ["LIMIT=5", ["LIMIT"]])
@pytest.mark.parametrize("name", ["define", "mocks"])
def test_what_names_no_values_is_named(name: str, given: object) -> None:
    with pytest.raises(Error, match=f"^{name}: .* names no values; write {name}="):
        build("progs/xdp_untag.bpf.c", **{name: given})  # type: ignore[arg-type]
