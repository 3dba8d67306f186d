"""Who was heard how recently, as a conversation goes on."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import NamedTuple

from pyannote_pix2seq.vocabulary import Triplet


class Listener(NamedTuple):
    """Somebody who does not have the floor.

    Attributes
    ----------
    speaker : int
    rank : int
        How many others, whoever has the floor not counted, were heard since he was.
    silence : float
        Seconds since he was heard; negative while he speaks, infinite before he is heard at all.
    """

    speaker: int
    rank: int
    silence: float


class Audience:
    """All speakers of a conversation; nobody was heard yet.

    Parameters
    ----------
    num_speakers : int
    """

    def __init__(self, num_speakers: int) -> None:
        self._recent = list(range(num_speakers))  # most recent first
        self._silent_since = [-inf] * num_speakers

    def hear(self, turn: Triplet) -> None:
        """A turn is spoken."""
        self._recent.remove(turn.speaker)
        self._recent.insert(0, turn.speaker)
        self._silent_since[turn.speaker] = turn.end

    def listeners(self, holder: int, moment: float) -> Iterator[Listener]:
        """Everybody but who has the floor, those first who were heard last."""
        others = (speaker for speaker in self._recent if speaker != holder)
        for rank, speaker in enumerate(others):
            yield Listener(speaker, rank, moment - self._silent_since[speaker])
