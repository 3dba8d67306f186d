"""Who of one chunk is who of another: agglomerative clustering of voices."""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

APART = 2.0
"""Distance of two speakers who should not be the same person, such as those of one chunk: that of opposite voices.

It counts in the mean distance of their groups, so one chunk in which the model takes one person for two does not part
all that is known of him.
"""


def cluster(
    voices: np.ndarray,
    chunks: np.ndarray,
    seconds: np.ndarray,
    distance: float,
    shortest: float,
    least: int = 1,
    most: int | None = None,
    names: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Group speakers of chunks by their voices.

    Average linkage over cosine distances. People are the groups that said enough; the others are outliers, which the
    caller has to tell to somebody. Where another number of people is asked for than there is at that distance, the tree
    is cut at the nearest level that has it.

    Parameters
    ----------
    voices : (num_voices, dimension) array
        Unit length.
    chunks : (num_voices,) int array
        Which chunk each was heard in.
    seconds : (num_voices,) array
        For how long.
    distance : float
        Groups whose mean distance is smaller are one person.
    shortest : float
        Seconds that a group has to be heard to be a person.
    least, most : int, optional
        Fewest and most people; `least` is obeyed if there are as many voices.
    names : (num_voices,) int array, optional
        Who each certainly is, -1 where that is not known. Voices of one name are as near as can be, those of two names
        as far apart as speakers of one chunk.

    Returns
    -------
    people : list of int arrays
        Indices of the voices of each; none is in two of them.
    """
    if len(voices) == 0:
        return []
    distances = np.clip(1 - voices @ voices.T, 0, APART)
    if names is not None:
        have_names = (names[:, None] >= 0) & (names >= 0)
        distances = np.where(have_names, APART * (names[:, None] != names), distances)
    distances[chunks[:, None] == chunks] = APART
    np.fill_diagonal(distances, 0)
    merges = linkage(squareform(distances, checks=False), "average") if len(voices) > 1 else np.zeros((0, 4))
    natural = int((merges[:, 2] <= distance).sum())
    counts = _num_people(merges, seconds, shortest)
    wanted = max(counts[natural], least, 1)
    wanted = min(wanted, most or wanted)
    levels = [level for level, count in enumerate(counts) if count == wanted]
    if not levels:  # so many people were asked for that some have hardly said anything, or nobody has
        return _groups(merges, max(len(voices) - wanted, 0), len(voices))
    groups = _groups(merges, min(levels, key=lambda level: abs(level - natural)), len(voices))
    return [group for group in groups if seconds[group].sum() >= shortest]


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
    """Members of each group after a number of merges."""
    members = {number: [number] for number in range(num_voices)}
    for number, (first, second) in enumerate(merges[:num_merges, :2].astype(int)):
        members[num_voices + number] = members.pop(first) + members.pop(second)
    return [np.array(sorted(group)) for group in members.values()]
