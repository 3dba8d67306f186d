"""How far apart the voices of one speaker, and of two, are in a recording, as far as its chunks know."""

from __future__ import annotations

import numpy as np

PARTED = 0.2
"""Added to the distance of two voices that were written for two speakers of one chunk."""
DISTANCE = 0.45
"""Groups of voices whose mean distance is at most this are one speaker, see `clustering.distances`."""
SHORTEST_DISTANCE = 0.25
"""In a recording where the voices of two speakers are nearer than usual, that distance is less, but at least this."""
FAR = 0.95
"""Quantile of the distances of pairs of two speakers that says how far apart two speakers are: where the model errs,
the pair is one speaker's, and near."""
ENOUGH = 10
"""Least number of pairs of one speaker, and of two, that tell how near those are."""


def separated(apart: np.ndarray, written: np.ndarray) -> tuple[np.ndarray, float]:
    """Distances of voices, and the one up to which groups are one speaker, corrected by what is known of chunks.

    Within a chunk, the model knows who is who by more than voices. So what it has written for two speakers of one chunk
    is farther apart by `PARTED`: among few voices, such pairs are many and carry much information; among those of
    hours they are few, and only keep apart what would be merged first. And since all voices of some recordings are
    similar, as on the telephone, groups are one speaker only up to halfway between voices of one speaker of a chunk and
    those of two.

    Parameters
    ----------
    apart : (num_voices, num_voices) array
        Distance of each pair of voices, see `clustering.distances`.
    written : (num_voices, 2) array
        Chunk, and speaker in that chunk, that each voice was written for.

    Returns
    -------
    apart : (num_voices, num_voices) array
    distance : float
        Groups of voices whose mean distance is at most this are one speaker: from `SHORTEST_DISTANCE` to `DISTANCE`.
    """
    chunks, speakers = written.T
    same_chunk = (chunks[:, None] == chunks) & ~np.eye(len(chunks), dtype=bool)
    same_speaker = speakers[:, None] == speakers
    one, two = same_chunk & same_speaker, same_chunk & ~same_speaker
    distance = _distance(apart[one], apart[two])
    apart = apart.copy()
    apart[two] += PARTED
    return apart, distance


def _distance(one: np.ndarray, two: np.ndarray) -> float:
    """Distance up to which groups are one speaker, from those of pairs of one speaker and of two, in both orders."""
    if min(len(one), len(two)) < 2 * ENOUGH:
        return DISTANCE
    halfway = (one.mean() + np.quantile(two, FAR)) / 2
    return float(np.clip(halfway, SHORTEST_DISTANCE, DISTANCE))
