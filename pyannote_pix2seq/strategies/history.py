"""Voices of what was said so far, told apart anew whenever there is more."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.strategies.assignment import AUDIBLE, CLEAR, assign_speakers
from pyannote_pix2seq.strategies.reading import Part
from pyannote_pix2seq.strategies.speakers import directions, match

MAX_PARTS = 1000
"""Parts that are remembered; of more, those who said the most lose their least clear ones, then their oldest."""
MIN_COMMON = 0.1
"""Seconds that a part counts for, at least, and that a group and a person have to have in common to be the same."""


class Group(NamedTuple):
    """Parts of turns that are one person's.

    Attributes
    ----------
    voice : (voice_dim,) tensor
        Sum of the directions of their voices, each weighted by how long it was heard alone; not of unit length.
    here : (voice_dim,) tensor
        Sum over those alone that are in the chunk; 0 where none is.
    seconds : dict of int to float
        How much of what is remembered of it was told to each person, by their numbers.
    """

    voice: torch.Tensor
    here: torch.Tensor
    seconds: dict[int, float]


class PartHistory:
    """Audible parts of turns, and who was said to speak in them.

    Clustering all that was heard so far again with each chunk, instead of comparing it with people as they are known,
    mends what was told wrongly when little was known: somebody who was taken for two becomes one, and he keeps the
    number that he had for longer. What was said about the past stays as it is.
    """

    def __init__(self) -> None:
        self._parts: list[Part] = []

    def __len__(self) -> int:
        return len(self._parts)

    def assign(self, parts: Sequence[Part], until: float, max_speakers: int | None) -> tuple[list[int], list[Group]]:
        """Who says what in the next chunk.

        Parameters
        ----------
        parts : sequence of Part
            Of all turns of the chunk, one at least.
        until : float
            Where the recording has got to, in seconds.
        max_speakers : int or None
            People in it.

        Returns
        -------
        told : list of int
            Index of a group for each part.
        groups : list of Group
        """
        everything = [*self._parts, *parts]
        assigned = assign_speakers(everything, until, SpeakerLimits(0, max_speakers))
        weights = torch.tensor([max(part.seconds, MIN_COMMON) for part in everything])
        voices = directions([part.voice for part in everything]) * weights[:, None]
        now = np.arange(len(assigned)) >= len(self)
        groups = [
            Group(voices[assigned == group].sum(0), voices[now & (assigned == group)].sum(0), defaultdict(float))
            for group in range(assigned.max() + 1)
        ]
        for part, group in zip(self._parts, assigned, strict=False):
            groups[group].seconds[part.turn.speaker] += part.seconds
        return assigned[len(self) :].tolist(), groups

    def add(self, parts: Iterable[Part]) -> None:
        """Remember what is audible, and any of people of whom nothing is; turns are those of people's numbers."""
        known = {part.turn.speaker for part in self._parts}
        self._parts += [part for part in parts if part.seconds >= AUDIBLE or part.turn.speaker not in known]
        while len(self) > MAX_PARTS:
            ((number, _),) = Counter(part.turn.speaker for part in self._parts).most_common(1)
            own = (index for index, part in enumerate(self._parts) if part.turn.speaker == number)
            del self._parts[min(own, key=lambda index: min(self._parts[index].seconds, CLEAR))]

    def forget(self, number: int) -> None:
        """Let go of all that somebody said."""
        self._parts = [part for part in self._parts if part.turn.speaker != number]


def same_people(groups: Sequence[Group], given: Mapping[int, int]) -> dict[int, int]:
    """Numbers of groups of whom something was told to somebody before.

    Parameters
    ----------
    groups : sequence of Group
    given : mapping of int to int
        Numbers that are given already, by the index of their group: those of people who were enrolled.

    Returns
    -------
    numbers : dict
        Those given, and those of strangers: each of one group at most, so that as much as possible stays whose it was.
    """
    others = [group for group in range(len(groups)) if group not in given]
    known = sorted({number for group in groups for number in group.seconds if number >= 0})
    common = np.array([[groups[group].seconds.get(number, 0.0) for number in known] for group in others])
    pairs = match(common.reshape(len(others), len(known)), MIN_COMMON)
    return {**given, **{others[row]: known[column] for row, column in pairs.items()}}
