"""Assigning parts of turns to the speakers of a recording, by clustering their voices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.strategies.clustering import cluster, distances
from pyannote_pix2seq.strategies.copresence import reunite
from pyannote_pix2seq.strategies.reading import AUDIBLE, Part
from pyannote_pix2seq.strategies.separation import separated
from pyannote_pix2seq.strategies.speakers import directions

CLUSTERED_DURATION = 3.0
"""Approximate length of the parts of a turn whose voices are compared, in seconds: short enough to have one speaker."""
CLEAR = 2.0
"""Seconds without overlap that a part needs to be clustered. Where few parts have as many, the longest of those that
have `AUDIBLE` seconds are added."""
FEW = 500
"""Number of parts up to which less clear ones are added."""
MIN_DURATION = 30.0
MIN_SHARE = 0.01
"""A group with fewer seconds of speech than `MIN_DURATION`, and than this share of the recording, is not a speaker."""
MAX_CLUSTERED = 2000
"""Most parts that are clustered; of more, evenly spread ones are taken. The others are assigned to the nearest
speaker."""


def assign_speakers(parts: Sequence[Part], duration: float, limits: SpeakerLimits) -> np.ndarray:
    """Assign each part to a speaker: (num_parts,) int, speakers are numbered from 0.

    The voices of the clearest parts are clustered, as far apart as chunks say that they are (`separated`). All other
    parts are assigned to the speaker whose mean voice is nearest. In the end, speakers who were split in two are made
    one where the chunks say so (`copresence.reunite`).

    Parameters
    ----------
    parts : sequence of Part
    duration : float
        Of the recording, in seconds.
    limits : SpeakerLimits
        Met if there are at least as many parts as speakers.
    """
    if not parts:
        return np.zeros(0, dtype=int)
    voices = directions([part.voice for part in parts])
    seconds = np.array([part.seconds for part in parts])
    clearest = _clearest(seconds, limits.min_speakers)
    chosen = _spread(clearest, max(MAX_CLUSTERED, limits.min_speakers))
    heard = seconds[chosen] * len(clearest) / len(chosen)
    shortest = min(MIN_DURATION, MIN_SHARE * duration)
    written = np.array([parts[index].written for index in chosen])
    apart, distance = separated(distances(voices[chosen].numpy()), written)
    people = cluster(apart, heard, distance, shortest, limits.min_speakers, limits.max_speakers)
    groups = [chosen[members] for members in people]
    assigned = (voices @ _means(voices, seconds, groups).T).argmax(1).numpy()
    for number, group in enumerate(groups):
        assigned[group] = number
    return reunite(assigned, parts, limits.min_speakers)


def _clearest(seconds: np.ndarray, min_speakers: int) -> np.ndarray:
    """Indices of the clearest parts; of all parts if the clear ones are fewer than `min_speakers`."""
    clear, audible = (int((seconds >= shortest).sum()) for shortest in (CLEAR, AUDIBLE))
    longest = np.argsort(-seconds, kind="stable")[: max(clear, min(audible, FEW))]
    return np.sort(longest) if len(longest) >= max(min_speakers, 1) else np.arange(len(seconds))


def _spread(indices: np.ndarray, number: int) -> np.ndarray:
    """At most `number` of the indices, evenly spread."""
    return indices[np.linspace(0, len(indices) - 1, min(len(indices), number)).round().astype(int)]


def _means(voices: Tensor, seconds: np.ndarray, groups: Sequence[np.ndarray]) -> Tensor:
    """Mean voice of each group, weighted by seconds: (num_groups, voice_dim), unit length."""
    weighted = voices * torch.from_numpy(seconds).float()[:, None]
    return F.normalize(torch.stack([weighted[group].sum(0) for group in groups]), dim=-1)
