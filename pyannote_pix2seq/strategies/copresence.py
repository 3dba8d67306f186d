"""Groups of voices that are one person, by the chunks in which both of them are present."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import pdtr

from pyannote_pix2seq.strategies.reading import AUDIBLE, Part

CHANCE = 0.005
"""Highest probability of so few chunks with two speakers, were they independent, at which two groups may be one."""
SHARED = 0.2
"""Least number of chunks in which two groups are one speaker, relative to how many would have both of them if they were
independent. Below that they may be people who have never met, of whose parts one is mistaken."""


def reunite(assigned: np.ndarray, parts: Sequence[Part], min_groups: int) -> np.ndarray:
    """Merge groups of parts that are one person, whose voice has changed.

    In a conversation, two people are often in the same chunks, where the model writes them as two speakers. If
    clustering has split one person in two, the halves hardly ever are two speakers of one chunk, but sometimes they
    are the same one. So the chunks with audible parts of both groups are counted: those in which they are one speaker,
    and those in which they are two. The groups are merged if the former are more than the latter and not too few
    (`SHARED`), and the latter are significantly fewer than if each group were in its chunks independently of the other
    (Poisson, `CHANCE`). The shorter a recording is, the fewer groups can pass this test.

    Parameters
    ----------
    assigned : (num_parts,) int array
        Group of each part; none of the groups from 0 to the last is empty.
    parts : sequence of Part
        They have the chunks and speakers that they were written for.
    min_groups : int
        Least number of groups to leave, if there are as many.

    Returns
    -------
    assigned : (num_parts,) int array
        Group of each part; no group is empty.
    """
    written = np.array([part.written for part in parts])
    chunks, speakers = (np.unique(column, return_inverse=True)[1] for column in written.T)
    seconds = np.array([(part.seconds >= AUDIBLE) * part.turn.segment.duration for part in parts])
    while (num_groups := assigned.max() + 1) > max(min_groups, 1):
        spoken = np.zeros((chunks.max() + 1, num_groups, speakers.max() + 1))
        np.add.at(spoken, (chunks, assigned, speakers), seconds)
        chance = _chance(spoken)
        kept, merged = sorted(np.unravel_index(chance.argmin(), chance.shape))
        if chance[kept, merged] > CHANCE:
            break
        assigned = np.where(assigned == merged, kept, assigned)
        assigned -= assigned > merged
    return assigned


def _chance(spoken: np.ndarray) -> np.ndarray:
    """Probability of as few chunks with two groups as two speakers, 1 for groups that cannot be one person.

    (num_groups, num_groups), from the seconds of each group in each chunk, by the speaker of the chunk that they were
    written for: (num_chunks, num_groups, num_speakers).
    """
    is_present = spoken.sum(2) > 0
    is_main = is_present[:, :, None] & (spoken.argmax(2)[:, :, None] == np.arange(spoken.shape[2]))
    present, main = is_present.astype(float), is_main.astype(float)
    num_one = np.tensordot(main, main, ((0, 2), (0, 2)))
    num_two = present.T @ present - num_one
    num_chunks = present.sum(0)
    expected = np.outer(num_chunks, num_chunks) / len(spoken)
    may_be_one = (num_one > num_two) & (num_one >= SHARED * expected) & ~np.eye(len(expected), dtype=bool)
    return np.where(may_be_one, pdtr(num_two, expected), 1.0)
