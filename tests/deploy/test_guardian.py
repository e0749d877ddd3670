"""What a guardian hears: when it takes a watcher for one that watches no longer."""

from __future__ import annotations

from packetrig.deploy.guardian import BEAT, SILENT, vigil

SILENCE = None


class Script:
    """Say one word after the other, and note how long each was waited for."""

    def __init__(self, *words: bytes | None) -> None:
        self._words = list(words)
        self.patience: list[float | None] = []

    def __call__(self, seconds: float | None) -> bytes | None:
        self.patience.append(seconds)
        return self._words.pop(0)


def test_a_watcher_that_promised_nothing_is_waited_for_without_end() -> None:
    script = Script(b"group 7", b"group 0", b"beat", b"quiet", b"done")

    assert vigil(script) == ("", 0)
    assert script.patience == [None, None, None, BEAT, None]


def test_a_watcher_that_gives_no_sign_of_life_so_many_times_in_a_row_is_taken_for_dead() -> None:
    almost = [SILENCE] * (SILENT - 1)
    script = Script(b"beat", *almost, b"beat", b"group 7", *almost, SILENCE)

    assert vigil(script) == ("the process that watched it was stopped, or hung", 7)


def test_the_group_of_a_watcher_that_dies_is_known() -> None:
    assert vigil(Script(b"group 7", b"group 8", b"")) == ("the process that watched it died", 8)
    assert vigil(Script(b"group 7", b"group 0", b""))[1] == 0
