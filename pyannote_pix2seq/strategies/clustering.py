"""Agglomerative clustering of voices into speakers."""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

NEIGHBOURS, NEIGHBOURHOOD = 10, 0.05
"""Number of nearest neighbours, or share of all voices where that is less, that set the local scale of a voice."""
LEAST_LIKENESS = 0.45
"""Floor of the local scale of a voice, which may have no neighbours of the same speaker."""


def cluster(
    apart: np.ndarray,
    seconds: np.ndarray,
    distance: float,
    shortest: float,
    min_speakers: int = 1,
    max_speakers: int | None = None,
) -> list[np.ndarray]:
    """Cluster voices into speakers, by average linkage.

    Groups with enough speech are speakers; the others are outliers, which the caller has to assign. Where there are
    more or fewer speakers than asked for, the tree is cut at the nearest level that has the right number.

    Parameters
    ----------
    apart : (num_voices, num_voices) array
        Distance of each pair of voices, see `distances`.
    seconds : (num_voices,) array
        Seconds of speech of each.
    distance : float
        Groups whose mean distance is at most this are merged.
    shortest : float
        Least seconds of speech of a speaker.
    min_speakers, max_speakers : int, optional
        Fewest and most speakers; `min_speakers` is met if there are as many voices.

    Returns
    -------
    people : list of int arrays
        Indices of the voices of each speaker, ordered by the first of each; no voice is in two of them.
    """
    if len(apart) == 0:
        return []
    seconds, shortest = np.round(1e6 * seconds), round(1e6 * shortest)  # whole, so that sums do not depend on order
    merges = linkage(squareform(apart, checks=False), "average") if len(apart) > 1 else np.zeros((0, 4))
    natural = int((merges[:, 2] <= distance).sum())
    counts = _num_people(merges, seconds, shortest)
    wanted = max(counts[natural], min_speakers, 1)
    wanted = min(wanted, max_speakers or wanted)
    levels = [level for level, count in enumerate(counts) if count == wanted]
    if not levels:  # more speakers are asked for than groups have enough speech, or no group has enough
        return _groups(merges, max(len(apart) - wanted, 0), len(apart))
    groups = _groups(merges, min(levels, key=lambda level: abs(level - natural)), len(apart))
    return [group for group in groups if seconds[group].sum() >= shortest]


def distances(voices: np.ndarray) -> np.ndarray:
    """Cosine distance of each pair of voices, scaled by how similar each is to its nearest neighbours.

    Noise and reverberation make all voices of a recording less similar, and some more so than others. So a cosine is
    divided by the geometric mean of two local scales, one for each voice, which is its mean cosine with its nearest
    neighbours: as in self-tuning spectral clustering (Zelnik-Manor and Perona, NIPS 2004). The distance is 1 minus
    that.

    Parameters
    ----------
    voices : (num_voices, dimension) array
        Unit length, at least one.

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


def _num_people(merges: np.ndarray, seconds: np.ndarray, shortest: float) -> list[int]:
    """How many groups have enough speech, after each number of merges."""
    total = [*seconds.tolist()]
    counts = [sum(heard >= shortest for heard in total)]
    for first, second in merges[:, :2].astype(int):
        total.append(total[first] + total[second])
        before = (total[first] >= shortest) + (total[second] >= shortest)
        counts.append(counts[-1] + (total[-1] >= shortest) - before)
    return counts


def _groups(merges: np.ndarray, num_merges: int, num_voices: int) -> list[np.ndarray]:
    """Members of each group after a number of merges, ordered by the first of each."""
    members = {number: [number] for number in range(num_voices)}
    for number, (first, second) in enumerate(merges[:num_merges, :2].astype(int)):
        members[num_voices + number] = members.pop(first) + members.pop(second)
    return [np.array(group) for group in sorted(map(sorted, members.values()))]
