"""The corpus: whole entries or none, whoever is killed when; nothing strange is passed over."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
from pathlib import Path

import pytest

from packetrig.errors import Error
from packetrig.fuzz import corpus as corpora
from packetrig.fuzz.corpus import Corpus, name_of

FRAMES = [bytes([n]) * (14 + n) for n in range(5)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A corpus of five frames."""
    made = Corpus(tmp_path / "corpus")
    for frame in FRAMES:
        made.add(frame)
    return tmp_path / "corpus"


def test_a_frame_is_a_file_named_by_the_hash_of_its_bytes(tmp_path: Path) -> None:
    Corpus(tmp_path / "deep" / "corpus").add(b"frame")

    (path,) = (tmp_path / "deep" / "corpus").iterdir()
    assert path.name == hashlib.sha256(b"frame").hexdigest()[:32] + ".frame"
    assert path.read_bytes() == b"frame"


def test_a_frame_that_is_there_is_not_added_again(folder: Path) -> None:
    corpus = Corpus(folder)
    corpus.load()

    assert not corpus.add(FRAMES[0])
    assert corpus.add(b"another")
    assert len(corpus) == 6
    assert b"another" in corpus


def test_loading_gives_the_frames_in_the_order_of_their_names(folder: Path) -> None:
    corpus = Corpus(folder)

    assert corpus.load() == sorted(FRAMES, key=name_of) == list(corpus)


def test_a_folder_that_is_not_there_yet_is_an_empty_corpus(tmp_path: Path) -> None:
    assert Corpus(tmp_path / "absent").load() == []
    assert not (tmp_path / "absent").exists()


def test_a_corpus_without_a_folder_is_held_in_memory() -> None:
    corpus = Corpus()
    corpus.add(b"frame")

    assert corpus.load() == [b"frame"]


def test_two_processes_may_add_the_same_frame(folder: Path) -> None:
    one, two = Corpus(folder), Corpus(folder)

    assert one.add(b"same")
    assert two.add(b"same")
    assert len(list(folder.iterdir())) == 6


def test_merging_takes_over_what_is_new(folder: Path, tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "mine")
    corpus.add(FRAMES[1])
    other = Corpus(folder)
    other.load()

    assert corpus.merge(other) == 4
    assert sorted(Corpus(tmp_path / "mine").load()) == sorted(FRAMES)


def test_minimising_keeps_the_fewest_and_smallest_that_cover_the_same(folder: Path) -> None:
    # Sizes rise with the number: 0 and 1 together do what 4 does.
    covers = [{1, 2}, {2, 3}, {1}, {9}, {1, 2, 3}]
    corpus = Corpus(folder)
    corpus.load()

    done = corpus.minimise(lambda frame: frozenset(covers[frame[0]]))

    assert (done.kept, done.removed, done.covered) == (3, 2, 4)
    assert sorted(Corpus(folder).load()) == [FRAMES[0], FRAMES[1], FRAMES[3]]
    assert len(corpus) == 3


def test_an_entry_that_larger_ones_make_superfluous_goes(folder: Path) -> None:
    covers = [{1}, {2}, {1, 2, 5}, {3}, {3, 6}]
    corpus = Corpus(folder)
    corpus.load()

    corpus.minimise(lambda frame: frozenset(covers[frame[0]]))

    assert sorted(corpus) == [FRAMES[2], FRAMES[4]]


def test_nothing_is_removed_when_nothing_covers_anything(folder: Path) -> None:
    corpus = Corpus(folder)
    corpus.load()

    with pytest.raises(Error, match="none of 5 entries covers anything"):
        corpus.minimise(lambda _: frozenset())
    assert len(list(folder.iterdir())) == 5


def test_foreign_files_are_named_and_left(folder: Path) -> None:
    (folder / "README").write_text("hello")
    (folder / "notes.frame").write_bytes(b"x")

    with pytest.raises(Error) as caught:
        Corpus(folder).load()
    assert str(caught.value) == (
        f"{folder}/README, {folder}/notes.frame: no part of a corpus, which holds "
        f"{'x' * 32}.frame alone; move it away, or name another folder (nothing was changed)"
    )
    assert len(list(folder.iterdir())) == 7


def test_a_truncated_entry_is_named_and_left(folder: Path) -> None:
    path = folder / name_of(FRAMES[4])
    path.write_bytes(FRAMES[4][:3])

    with pytest.raises(Error, match=r"is not what it was \(3 bytes\): cut short\?; move it away"):
        Corpus(folder).load()
    assert path.read_bytes() == FRAMES[4][:3]


def test_an_entry_that_cannot_be_read_is_named_and_left(folder: Path) -> None:
    path = folder / name_of(b"a folder")
    path.mkdir()

    with pytest.raises(Error, match=f"{path.name} cannot be read: is a directory"):
        Corpus(folder).load()
    assert path.is_dir()


def test_many_strange_things_are_counted(folder: Path) -> None:
    for number in range(5):
        (folder / f"seed{number}").write_bytes(b"x")

    with pytest.raises(Error, match=r"seed0, .*seed1, .*seed2 and 2 more: no part of a corpus"):
        Corpus(folder).load()


def test_what_a_killed_process_may_leave_is_passed_over(folder: Path) -> None:
    (folder / ".packetrig-1234-abcdef01").write_bytes(b"half")

    assert len(Corpus(folder).load()) == 5


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    corpus = Corpus(tmp_path / "file")

    with pytest.raises(Error, match="file: is a file; a corpus is a folder"):
        corpus.load()
    with pytest.raises(Error, match="file: is a file; a corpus is a folder"):
        corpus.add(b"frame")
    with pytest.raises(Error, match="file: is a file; name a folder"):
        corpora.check(tmp_path / "file")
    with pytest.raises(Error, match=r"file is a file; name a folder"):
        corpora.check(tmp_path / "file" / "below")


def test_a_disk_that_takes_no_more_is_named_and_leaves_nothing_half_written(folder: Path) -> None:
    frame = bytes(9000)

    def child() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            Corpus(folder).add(frame)
        except Error as e:
            return 7 if f"{name_of(frame)}: cannot be written: file too large" in str(e) else 8
        return 9

    assert forked(child) == 7
    assert len(Corpus(folder).load()) == len(list(folder.iterdir())) == 5


@pytest.mark.slow
@pytest.mark.parametrize("has_unnamed", [True, False], ids=["unnamed files", "renamed files"])
def test_killing_a_writer_at_any_moment_corrupts_and_loses_nothing(
    tmp_path: Path, has_unnamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_unnamed:
        monkeypatch.setattr(corpora, "_link_whole", _refuse)
    folder = tmp_path / "corpus"
    folder.mkdir()
    told = 0
    for number in range(25):
        told += killed_after(folder, number, entries=1 + number * 3)

    frames = Corpus(folder).load()

    assert len(frames) >= told > 25 * 36
    assert {frame[:4] for frame in frames} == {n.to_bytes(4, "big") for n in range(25)}


def _refuse(*_: object) -> None:
    raise OSError(95, "not here")


def killed_after(folder: Path, number: int, *, entries: int) -> int:
    """Kill a process that writes entries, when it has told of so many; return how many it told."""
    readable, writable = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            corpus = Corpus(folder)
            for at in range(1_000_000):
                corpus.add(number.to_bytes(4, "big") + at.to_bytes(4, "big") * (1 + at % 400))
                os.write(writable, b".")
        finally:
            os._exit(1)
    os.close(writable)
    told = 0
    while told < entries:
        told += len(os.read(readable, entries - told))
    os.kill(pid, signal.SIGKILL)
    while more := os.read(readable, 4096):
        told += len(more)
    os.close(readable)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    return told


def forked(work: object) -> int:
    """Run a function in a process of its own and return what it returned."""
    pid = os.fork()
    if not pid:
        code = 99
        try:
            code = work()  # type: ignore[operator]
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
