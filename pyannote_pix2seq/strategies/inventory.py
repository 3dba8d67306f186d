"""People whom a chain of chunks knows so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.output import SHORTEST_TURN
from pyannote_pix2seq.strategies.speakers import Speaker, new_numbers, numbered, similarity, voices_of

REMEMBERED = 64
"""Strangers who are remembered from chunk to chunk, however many there are in a recording."""


class SpeakerInventory:
    """The enrolled, and strangers in order of appearance.

    No more than `REMEMBERED` strangers are kept, so that what is kept does not grow with the recording: others are
    forgotten, those first who are silent for the longest time in proportion to what they said alone. A stranger who is
    forgotten and speaks again is somebody new; nobody else ever has his number. Who was enrolled is never forgotten.

    Parameters
    ----------
    limits : SpeakerLimits
        On those who speak in the recording.
    known : sequence of Speaker, optional
        Who was enrolled.

    Attributes
    ----------
    speakers : dict of int to Speaker
        By their numbers, see `speakers.numbered`.
    heard : set of int
        Numbers of those of them who spoke.
    present : set of int
        Numbers of those who still are somebody, as far as voices tell: whoever was taken for two is one of both.
    num_heard : int
        How many spoke, those who are forgotten included.
    """

    def __init__(self, limits: SpeakerLimits, known: Sequence[Speaker] = ()):
        self.limits = limits
        self.speakers = numbered(replace(speaker) for speaker in known)
        self.heard: set[int] = set()
        self.present: set[int] = set()
        self.num_heard = 0
        self._new = new_numbers(known)

    @property
    def allowed(self) -> int | None:
        """How many more may be heard; None is any number."""
        return self.limits.allowed(self.num_heard)

    def needed(self, later: int) -> int:
        """How many have to be heard now, if `later` ones can be afterwards."""
        return self.limits.needed(self.num_heard, later)

    def new_number(self) -> int:
        """The number of the next stranger."""
        return next(self._new)

    def add(self, number: int) -> None:
        """Somebody is heard for the first time."""
        self.heard.add(number)
        self.present.add(number)
        self.num_heard += 1

    def most_similar(self, voice: Tensor) -> int:
        """Number of the speaker among those heard who sounds most like somebody for whom there is no room."""
        heard = [number for number in self.speakers if number in self.heard]
        return heard[int(similarity([voice], voices_of(self.speakers[number] for number in heard)).argmax())]

    def forget(self, now: float) -> list[int]:
        """Let go of strangers of whom there are too many at a moment, in seconds; their numbers."""

        def silence(number: int) -> float:
            speaker = self.speakers[number]
            return max(now - speaker.last_heard, 0.0) / max(speaker.solo_duration, SHORTEST_TURN)

        strangers = [number for number, speaker in self.speakers.items() if speaker.name is None]
        forgotten = sorted(strangers, key=silence)[REMEMBERED:]
        for number in forgotten:
            del self.speakers[number]
            self.heard.remove(number)
            self.present.discard(number)
        return forgotten
