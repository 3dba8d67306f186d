"""Speaker activity from tokens."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pyannote_pix2seq.vocabulary import Vocabulary


def rasterize(vocabulary: Vocabulary, tokens: Sequence[int], activity: Tensor) -> Tensor:
    """Mark the time bins in which each speaker is active, according to a token sequence.

    Parameters
    ----------
    vocabulary : Vocabulary
    tokens : sequence of int
    activity : (num_bins, num_speakers) tensor
        All zeros; modified in place.

    Returns
    -------
    activity : (num_bins, num_speakers) tensor
        The same tensor, 1 where a speaker is active.
    """
    for start, end, speaker in vocabulary.spans(tokens):
        activity[start : end + 1, speaker] = 1
    return activity
