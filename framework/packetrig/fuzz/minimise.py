"""The smallest story that shows a failure: fewer frames, then smaller and plainer ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..errors import Error
from . import plainer

Story = tuple[bytes, ...]
Fails = Callable[[Story], bool]

# Each try sets the object up and judges a story: so many take about a second, or a few.
MOST_TRIES = 1000
# And as many frames in all: of a story of a thousand each try takes as long as a thousand do.
MOST_FRAMES = 20_000
_KEPT = 64


@dataclass(frozen=True, slots=True)
class Smallest:
    """Tell the smallest story that was found, how many were tried, and the last that did not fail.

    Those in `passing` are one change away from it, the nearest ones last: what they do not execute
    of the program is where it decides.
    """

    frames: Story
    tries: int
    passing: tuple[Story, ...]


def smallest(frames: Sequence[bytes], fails: Fails, *, most: int = MOST_TRIES) -> Story:
    """Make a story as small and plain as it can be while `fails(story)` stays true.

    First the fewest frames; then each frame without the headers, bytes and values that do not
    matter. The answer is the same each time, and no longer than what was given.
    """
    return search(frames, fails, most=most).frames


def search(frames: Sequence[bytes], fails: Fails, *, most: int = MOST_TRIES) -> Smallest:
    """Do what `smallest` does, and tell what was tried on the way."""
    found = _Search(tuple(bytes(frame) for frame in frames), fails, most)
    found.allowed = MOST_FRAMES // 2
    found.fewer_frames()
    found.allowed = MOST_FRAMES
    was = None
    while was != found.best and not found.is_over:
        was = found.best
        found.plainer_frames()
        found.fewer_frames()
    return Smallest(found.best, found.tries, tuple(found.passing))


class _Search:
    """Try stories until none is left or the tries are used up; `best` fails at any time."""

    def __init__(self, story: Story, fails: Fails, most: int) -> None:
        self.best = story
        self.tries = 0
        self._frames = 0
        self.allowed = MOST_FRAMES  # of a long story, the first half is for leaving frames out
        self.passing: deque[Story] = deque(maxlen=_KEPT)
        self._fails = fails
        self._most = most
        self._tried: set[Story] = {story}

    def shows(self, story: Story) -> bool:
        """Try a story that was not tried yet; when it fails, it is the best."""
        if story in self._tried or self.is_over:
            return False
        self._tried.add(story)
        self.tries += 1
        self._frames += len(story)
        try:
            is_shown = self._fails(story)
        except Error:  # a frame that the kernel refuses, a check that it breaks: not this failure
            return False
        if is_shown:
            self.best = story
        else:
            self.passing.append(story)
        return is_shown

    @property
    def is_over(self) -> bool:
        """Tell whether no more may be tried."""
        return self.tries >= self._most or self._frames >= self.allowed

    def fewer_frames(self) -> None:
        """Leave frames out: all but the last, then by halves, one by one.

        Of frames that are the same it does not matter which is left out: that is tried once.
        """
        self.shows(self.best[-1:])
        self.alike()
        size = len(self.best) - 1
        while size > 0:
            at = 0
            while at < len(self.best) - 1:
                end = min(at + size, len(self.best) - 1)
                if not self.shows(self.best[:at] + self.best[end:]):
                    at = end
            size = min(size, len(self.best) - 1) // 2

    def alike(self) -> None:
        """Make the frames before the last all the same: often only their number matters."""
        if len(self.best) > 2:
            for frame in (plainer.PLAINEST, self.best[-1], self.best[0]):
                if self.shows((*[frame] * (len(self.best) - 1), self.best[-1])):
                    return

    def plainer_frames(self) -> None:
        """Make each frame plainer, the judged one first; those that are the same, together."""
        for at in range(len(self.best) - 1, -1, -1):
            if at < len(self.best) - 1 and self.best[at] in self.best[at + 1 :]:
                continue
            for ways in (
                plainer.without_a_part,
                plainer.shorter,
                plainer.plainer_fields,
                plainer.plainer_bytes,
            ):
                while self._is_improved(at, ways):
                    pass

    def _is_improved(self, at: int, ways: Callable[[bytes], Iterator[bytes]]) -> bool:
        frame = self.best[at]
        least = plainer.plainness(frame)
        return not self.is_over and any(
            plainer.plainness(tried) < least and self._is_shown_with(at, tried)
            for tried in ways(frame)
        )

    def _is_shown_with(self, at: int, tried: bytes) -> bool:
        frame = self.best[at]
        if self.best.count(frame) > 1 and self.shows(
            tuple(tried if each == frame else each for each in self.best)
        ):
            return True
        return self.shows((*self.best[:at], tried, *self.best[at + 1 :]))
