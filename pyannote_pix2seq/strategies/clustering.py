"""Which voices are one person's: agglomerative clustering."""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

NEIGHBOURS, NEIGHBOURHOOD = 10, 0.05
"""Voices, or share of all voices where that is less, by which it is judged how alike the voices of a person are."""
APART = 0.3
"""Where no two groups of one person are as far apart as this, people are easily told, and the cut is not widened."""
LEAST_LIKENESS = 0.45
"""No two voices of a person are thought less alike than this: one may have no neighbours of the same person."""
PARTED = 0.2
"""Voices that were taken for two people's by whoever heard them side by side are farther apart by so much."""


def cluster(
    voices: np.ndarray,
    seconds: np.ndarray,
    distance: float,
    shortest: float,
    min_speakers: int = 1,
    max_speakers: int | None = None,
    widest: float = 0.0,
    parted: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Group voices.

    Average linkage over distances that say how much less alike two voices are than each and its nearest neighbours, see
    `distances`. People are the groups that said enough; the others are outliers, which the caller has to tell to
    somebody. Where another number of people is asked for than there is at that distance, the tree is cut at the nearest
    level that has it.

    Parameters
    ----------
    voices : (num_voices, dimension) array
        Unit length.
    seconds : (num_voices,) array
        For how long each was heard.
    distance : float
        Groups whose mean distance is not larger are one person.
    shortest : float
        Seconds that a group has to be heard to be a person.
    min_speakers, max_speakers : int, optional
        Fewest and most people; `min_speakers` is obeyed if there are as many voices.
    widest : float, optional
        Distance in the place of `distance`, if it is larger and groups no farther apart than `distance` are blurred:
        some of them are `APART` or more.
    parted : (num_voices, num_voices) bool array, optional
        Pairs of voices that were heard side by side and taken for two people's. Among few voices, such pairs are many
        and say much; among those of hours they are few, and only keep apart what would be grouped first.

    Returns
    -------
    people : list of int arrays
        Indices of the voices of each, in the order of the first ones; none is in two of them.
    """
    if len(voices) == 0:
        return []
    merges = _tree(voices, parted) if len(voices) > 1 else np.zeros((0, 4))
    is_blurred = ((merges[:, 2] >= APART) & (merges[:, 2] <= distance)).any()
    natural = int((merges[:, 2] <= (max(distance, widest) if is_blurred else distance)).sum())
    counts = _num_people(merges, seconds, shortest)
    wanted = max(counts[natural], min_speakers, 1)
    wanted = min(wanted, max_speakers or wanted)
    levels = [level for level, count in enumerate(counts) if count == wanted]
    if not levels:  # so many people were asked for that some have hardly said anything, or nobody has
        return _groups(merges, max(len(voices) - wanted, 0), len(voices))
    groups = _groups(merges, min(levels, key=lambda level: abs(level - natural)), len(voices))
    return [group for group in groups if seconds[group].sum() >= shortest]


def distances(voices: np.ndarray) -> np.ndarray:
    """1 minus the cosine of each pair of voices, over what it is between voices of one person.

    Noise and echoes make all voices of a recording less alike, and some of them more than others. So a cosine is
    divided by the likeness of both voices, the mean cosine with their nearest neighbours: a local scale for each point,
    as in self-tuning spectral clustering (Zelnik-Manor and Perona, NIPS 2004).

    Parameters
    ----------
    voices : (num_voices, dimension) array
        Unit length, at least two.

    Returns
    -------
    distances : (num_voices, num_voices) array
        From 0 to 2, 0 on the diagonal.
    """
    cosines = voices @ voices.T
    np.fill_diagonal(cosines, -1)
    count = max(min(NEIGHBOURS, int(NEIGHBOURHOOD * len(voices))), 1)
    likeness = np.partition(cosines, -count, axis=1)[:, -count:].mean(1).clip(min=LEAST_LIKENESS)
    cosines /= np.sqrt(likeness[:, None] * likeness)
    apart = np.clip(1 - cosines, 0, 2)
    np.fill_diagonal(apart, 0)
    return apart


def _tree(voices: np.ndarray, parted: np.ndarray | None) -> np.ndarray:
    """(num_voices - 1, 4) merges, as scipy has them."""
    apart = distances(voices)
    if parted is not None:
        apart[parted] += PARTED
    return linkage(squareform(apart, checks=False), "average")


def _num_people(merges: np.ndarray, seconds: np.ndarray, shortest: float) -> list[int]:
    """How many groups are heard for long enough, after each number of merges."""
    total = [*seconds.tolist()]
    counts = [sum(heard >= shortest for heard in total)]
    for first, second in merges[:, :2].astype(int):
        total.append(total[first] + total[second])
        before = (total[first] >= shortest) + (total[second] >= shortest)
        counts.append(counts[-1] + (total[-1] >= shortest) - before)
    return counts


def _groups(merges: np.ndarray, num_merges: int, num_voices: int) -> list[np.ndarray]:
    """Members of each group after a number of merges, in the order of their first ones."""
    members = {number: [number] for number in range(num_voices)}
    for number, (first, second) in enumerate(merges[:num_merges, :2].astype(int)):
        members[num_voices + number] = members.pop(first) + members.pop(second)
    return [np.array(group) for group in sorted(map(sorted, members.values()))]
