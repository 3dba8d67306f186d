"""Matching of speakers by their voices."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from pyannote_pix2seq.frontends import TOKEN_DURATION, AudioTokens
from pyannote_pix2seq.network.compensation import ChannelCompensation
from pyannote_pix2seq.strategies.speakers import Speaker, directions, voices_of

PRESENCE_DURATION = 1.0
"""Seconds of the audio tokens most similar to a speaker, over which `likeliest` averages the similarity."""
MIN_PRESENCE = 0.3
"""Least such average of a speaker who may be in a chunk although nobody found them there: a prompt of somebody who is
absent is a chance to name the wrong one."""


def similarity(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> np.ndarray:
    """Cosine similarity of each voice of one sequence with each of another.

    Parameters
    ----------
    first, second : sequence of (voice_dim,) tensors

    Returns
    -------
    similarity : (len(first), len(second)) array
        0 where voices have no dimension.
    """
    if not first or not second:
        return np.zeros((len(first), len(second)))
    return (directions(first) @ directions(second).T).numpy()


def likeliest(
    speakers: Mapping[int, Speaker], audio: AudioTokens, count: int, found: Container[int] | None = None
) -> list[int]:
    """Choose the speakers who are likeliest to speak in a chunk.

    They are ranked by the cosine of their voices with those of the audio tokens, times the certainty of these, averaged
    over the `PRESENCE_DURATION` seconds of tokens where it is highest. Of equals, as all are where there are no voices,
    the last to have spoken comes first.

    Parameters
    ----------
    speakers : mapping of int to Speaker
        By number.
    audio : AudioTokens
        Of the chunk, (num_tokens, ...).
    count : int
        How many to choose at most.
    found : container of int, optional
        Numbers of the speakers who were found in the chunk, and come first. Others are chosen only if their average is
        at least `MIN_PRESENCE`. Defaults to everybody.

    Returns
    -------
    numbers : list of int
        Their numbers, in the order of `speakers`.
    """
    if not speakers or not count:
        return []
    found = speakers if found is None else found
    voices = audio.voice.float().cpu() @ directions(voices_of(speakers.values())).T
    # (num_tokens, num_voices, num_speakers)
    best = voices.amax(1).sort(0, descending=True).values if voices.shape[1] else voices.sum(1)
    present = best[: round(PRESENCE_DURATION / TOKEN_DURATION)].mean(0).tolist()
    ranks = {
        number: (number in found, presence, speaker.last_heard)
        for (number, speaker), presence in zip(speakers.items(), present, strict=True)
        if number in found or presence >= MIN_PRESENCE
    }
    chosen = sorted(ranks, key=lambda number: ranks[number])[-count:]
    return [number for number in ranks if number in chosen]


def match(similarity: np.ndarray, threshold: float) -> dict[int, int]:
    """Pair rows and columns one to one, so that the sum of their similarities in excess of a threshold is largest.

    Parameters
    ----------
    similarity : (num_rows, num_columns) array
    threshold : float
        Least similarity of a pair.

    Returns
    -------
    pairs : dict of int to int
        Column of each row that has one.
    """
    gain = np.maximum(similarity - threshold, 0.0)
    pairs = zip(*linear_sum_assignment(gain, maximize=True), strict=True)
    return {int(row): int(column) for row, column in pairs if similarity[row, column] >= threshold}


def enrolled_similarity(
    known: Sequence[Speaker], voices: Sequence[torch.Tensor], compensation: ChannelCompensation
) -> np.ndarray:
    """Cosine similarity of each enrolled speaker with each voice of a recording, as if heard through one channel.

    Parameters
    ----------
    known : sequence of Speaker
        Enrolled speakers.
    voices : sequence of (voice_dim,) tensors
    compensation : ChannelCompensation
        Whose `least` is the least similarity of somebody who may get the name.

    Returns
    -------
    similarity : (len(known), len(voices)) array
    """
    if not known or not voices:
        return np.zeros((len(known), len(voices)))
    enrolled, heard = (compensation(torch.stack(list(some))) for some in (voices_of(known), voices))
    return (enrolled @ heard.T).numpy()


def match_enrolled(
    known: Sequence[Speaker], voices: Sequence[torch.Tensor], compensation: ChannelCompensation
) -> dict[int, int]:
    """Match enrolled speakers with voices, one to one, where they are similar enough.

    Parameters are those of `enrolled_similarity`.

    Returns
    -------
    pairs : dict of int to int
        Index of the voice of each index of `known` that has one.
    """
    return match(enrolled_similarity(known, voices, compensation), compensation.least.item())
