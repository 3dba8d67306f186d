"""History of the voices in a recording, clustered anew with each chunk."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.strategies.assignment import CLEAR, assign_speakers
from pyannote_pix2seq.strategies.matching import match
from pyannote_pix2seq.strategies.reading import AUDIBLE, Part
from pyannote_pix2seq.strategies.speakers import directions

MAX_PARTS = 1000
"""Most parts that are kept. Beyond that, the speaker with the most parts loses the one with the fewest seconds
without overlap; all those of `CLEAR` seconds or more count as equal, and the oldest of equals goes first."""
MIN_COMMON = 0.1
"""Least weight of a part, in seconds, and least seconds that a group shares with a speaker to be matched to them."""


class Group(NamedTuple):
    """A cluster of parts of turns: one speaker.

    Attributes
    ----------
    voice : (voice_dim,) tensor
        Sum of the directions of the parts' voices, each weighted by its seconds without overlap; not of unit length.
    here : (voice_dim,) tensor
        The same sum over the parts in the current chunk only; 0 if there are none.
    seconds : dict of int to float
        Seconds without overlap of the group's earlier parts that are assigned to each speaker, by speaker number.
    """

    voice: torch.Tensor
    here: torch.Tensor
    seconds: dict[int, float]


class PartHistory:
    """Parts of turns with audible voices, and the speakers that they were assigned to.

    With each chunk, all parts so far are clustered again, instead of comparing the new ones with the speakers found so
    far. This corrects mistakes made early on little speech: a speaker who was split into two becomes one, and keeps the
    number that they had for longer. Turns that were returned are not revised.
    """

    def __init__(self) -> None:
        self._parts: list[Part] = []

    def __len__(self) -> int:
        return len(self._parts)

    def assign(self, parts: Sequence[Part], until: float, max_speakers: int | None) -> tuple[list[int], list[Group]]:
        """Cluster the parts of the next chunk together with all earlier ones.

        Parameters
        ----------
        parts : sequence of Part
            Of all turns of the chunk; at least one.
        until : float
            How much of the recording has been read, in seconds.
        max_speakers : int or None
            Most speakers in the recording; None for any number.

        Returns
        -------
        assigned : list of int
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
        """Add audible parts, and all parts of speakers who have none yet; the turns have final speaker numbers."""
        known = {part.turn.speaker for part in self._parts}
        self._parts += [part for part in parts if part.seconds >= AUDIBLE or part.turn.speaker not in known]
        while len(self) > MAX_PARTS:
            ((number, _),) = Counter(part.turn.speaker for part in self._parts).most_common(1)
            own = (index for index, part in enumerate(self._parts) if part.turn.speaker == number)
            del self._parts[min(own, key=lambda index: min(self._parts[index].seconds, CLEAR))]

    def forget(self, number: int) -> None:
        """Remove all parts of a speaker."""
        self._parts = [part for part in self._parts if part.turn.speaker != number]


def same_people(groups: Sequence[Group], given: Mapping[int, int]) -> dict[int, int]:
    """Match groups with the speakers that their parts were assigned to before.

    Parameters
    ----------
    groups : sequence of Group
    given : mapping of int to int
        Numbers that are assigned already, by index of the group: those of enrolled speakers.

    Returns
    -------
    numbers : dict of int to int
        By index of the group: those given, and numbers of other speakers, each for one group at most, chosen so that as
        many seconds as possible keep their speaker. New speakers have none.
    """
    others = [group for group in range(len(groups)) if group not in given]
    known = sorted({number for group in groups for number in group.seconds if number >= 0})
    common = np.array([[groups[group].seconds.get(number, 0.0) for number in known] for group in others])
    pairs = match(common.reshape(len(others), len(known)), MIN_COMMON)
    return {**given, **{others[row]: known[column] for row, column in pairs.items()}}


def unclaimed(groups: Sequence[Group], numbers: Mapping[int, int]) -> list[int]:
    """Numbers that no group has any more, because the parts that were assigned to them are another speaker's.

    Parameters
    ----------
    groups : sequence of Group
    numbers : mapping of int to int
        By index of the group: what `same_people` returned.

    Returns
    -------
    numbers : list of int
        Sorted; never those of enrolled speakers.
    """
    assigned = {number for group in groups for number in group.seconds if number >= 0}
    return sorted(assigned - set(numbers.values()))
