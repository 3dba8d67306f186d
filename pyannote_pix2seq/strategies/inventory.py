"""Inventory of the speakers that a chain of chunks knows so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.output import SHORTEST_TURN
from pyannote_pix2seq.strategies.matching import similarity
from pyannote_pix2seq.strategies.speakers import Speaker, new_numbers, numbered, voices_of

REMEMBERED = 64
"""Most speakers, besides the enrolled ones, that are kept from chunk to chunk, however many a recording has."""


class SpeakerInventory:
    """Enrolled speakers, and others in order of appearance.

    At most `REMEMBERED` speakers who are not enrolled are kept, so that memory does not grow with the recording: those
    who have been silent longest, relative to how long they spoke alone, are forgotten first. A forgotten speaker who
    speaks again is a new one; numbers are only reused where no more may appear, and clustering has left one to nobody.
    Enrolled speakers are never forgotten.

    Parameters
    ----------
    limits : SpeakerLimits
        On the number of speakers in the recording.
    known : sequence of Speaker, optional
        Enrolled speakers.

    Attributes
    ----------
    speakers : dict of int to Speaker
        By their numbers, see `speakers.numbered`.
    heard : set of int
        Numbers of the speakers who have spoken and are not forgotten.
    present : set of int
        Numbers of the speakers found in the latest clustering of voices: when two numbers turn out to be one speaker,
        only one of them stays.
    num_heard : int
        How many speakers have spoken, including those forgotten.
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
        """How many more speakers may appear; None for any number."""
        return self.limits.allowed(self.num_heard)

    def needed(self, later: int) -> int:
        """How many speakers have to appear now, if `later` ones can appear afterwards."""
        return self.limits.needed(self.num_heard, later)

    def new_number(self) -> int:
        """The number of the next new speaker."""
        return next(self._new)

    def add(self, number: int) -> None:
        """Record that a speaker speaks for the first time."""
        self.heard.add(number)
        self.present.add(number)
        self.num_heard += 1

    def most_similar(self, voice: Tensor) -> int:
        """Number of the most similar speaker of those who have spoken, for a voice that cannot be a new speaker."""
        possible = self.heard & self.present or self.heard
        heard = [number for number in self.speakers if number in possible]
        return heard[int(similarity([voice], voices_of(self.speakers[number] for number in heard)).argmax())]

    def forget(self, now: float) -> list[int]:
        """Remove the excess of speakers at a moment, in seconds, and return their numbers; the enrolled ones stay."""

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
