"""How recently each speaker has spoken, as a conversation goes on."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import NamedTuple

from pyannote_pix2seq.vocabulary import Triplet


class Listener(NamedTuple):
    """A speaker who does not have the floor.

    Attributes
    ----------
    speaker : int
    rank : int
        How many others, not counting the one who has the floor, have spoken since this speaker.
    silence : float
        Seconds since the end of this speaker's last turn; negative while they speak, infinite before they first speak.
    """

    speaker: int
    rank: int
    silence: float


class Audience:
    """All speakers of a conversation, in which nobody has spoken yet.

    Parameters
    ----------
    num_speakers : int
    """

    def __init__(self, num_speakers: int) -> None:
        self._recent = list(range(num_speakers))  # most recent first
        self._silent_since = [-inf] * num_speakers

    def hear(self, turn: Triplet) -> None:
        """Record a turn."""
        self._recent.remove(turn.speaker)
        self._recent.insert(0, turn.speaker)
        self._silent_since[turn.speaker] = turn.end

    def listeners(self, holder: int, moment: float) -> Iterator[Listener]:
        """All speakers but the one who has the floor, most recent first."""
        others = (speaker for speaker in self._recent if speaker != holder)
        for rank, speaker in enumerate(others):
            yield Listener(speaker, rank, moment - self._silent_since[speaker])
