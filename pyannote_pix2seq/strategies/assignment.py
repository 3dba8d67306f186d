"""Who is in a recording, according to the voices of what was written about its chunks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.strategies.clustering import cluster
from pyannote_pix2seq.strategies.reading import Part
from pyannote_pix2seq.strategies.speakers import directions

PART_DURATION = 3.0
"""Seconds of a turn, about, whose voice is compared as a whole: short enough to be one person's."""
CLEAR, AUDIBLE = 2.0, 0.75
"""Seconds of a part that nobody else may speak for its voice to be grouped: where there are few such parts, those count
as well in which it is less."""
DISTANCE = 0.45
"""Voices whose mean distance is smaller are one person's, see `clustering.distances`..."""
FEW, WIDER = 500, 0.03
"""... if they are as few as this, or fewer, for which less clear ones are added. Among twice as many, so much more: the
nearest ones of each are nearer there. But not where people can be told apart by far, see `clustering.APART`."""
MIN_DURATION = 30.0
MIN_SHARE = 0.01
"""Who is heard for fewer seconds than this and for less than this share of a recording is a mistake."""
MAX_CLUSTERED = 2000
"""Parts that are grouped; of more, they are taken from all of the recording. The others follow them."""


def assign_speakers(parts: Sequence[Part], duration: float, limits: SpeakerLimits) -> np.ndarray:
    """Who says what: (num_parts,) int, people are numbered from 0.

    The voices of the clearest parts are grouped; those that were written for two speakers of one chunk not as readily
    (`clustering.PARTED`). All others are told to the person whose mean voice is nearest.

    Parameters
    ----------
    parts : sequence of Part
    duration : float
        Of the recording, in seconds.
    limits : SpeakerLimits
        Obeyed if there are as many parts as people.
    """
    if not parts:
        return np.zeros(0, dtype=int)
    voices = directions([part.voice for part in parts])
    seconds = np.array([part.seconds for part in parts])
    clearest = _clearest(seconds, limits.min_speakers)
    chosen = _spread(clearest, max(MAX_CLUSTERED, limits.min_speakers))
    heard = seconds[chosen] * len(clearest) / len(chosen)
    shortest = min(MIN_DURATION, MIN_SHARE * duration)
    people = cluster(
        voices[chosen].numpy(),
        heard,
        distance=DISTANCE,
        shortest=shortest,
        min_speakers=limits.min_speakers,
        max_speakers=limits.max_speakers,
        widest=_widest(len(chosen)),
        parted=_parted([parts[index] for index in chosen]),
    )
    groups = [chosen[members] for members in people]
    assigned = (voices @ _means(voices, seconds, groups).T).argmax(1).numpy()
    for number, group in enumerate(groups):
        assigned[group] = number
    return assigned


def _widest(num_voices: int) -> float:
    """At which voices of one person may be parted from those of another, if these are blurred."""
    return DISTANCE + WIDER * math.log2(max(num_voices / FEW, 1.0))


def _parted(parts: Sequence[Part]) -> np.ndarray:
    """Which parts are of one chunk and were written for two speakers: (num_parts, num_parts) bool."""
    chunks, speakers = np.array([part.written for part in parts]).T
    return (chunks[:, None] == chunks) & (speakers[:, None] != speakers)


def _clearest(seconds: np.ndarray, min_speakers: int) -> np.ndarray:
    """Indices of the parts whose voices are clear; where these are few, of others as well; of all if it has to be."""
    clear, audible = (int((seconds >= shortest).sum()) for shortest in (CLEAR, AUDIBLE))
    longest = np.argsort(-seconds, kind="stable")[: max(clear, min(audible, FEW))]
    return np.sort(longest) if len(longest) >= max(min_speakers, 1) else np.arange(len(seconds))


def _spread(indices: np.ndarray, number: int) -> np.ndarray:
    """So many of them at most, evenly spread."""
    return indices[np.linspace(0, len(indices) - 1, min(len(indices), number)).round().astype(int)]


def _means(voices: Tensor, seconds: np.ndarray, groups: Sequence[np.ndarray]) -> Tensor:
    """Mean voice of each group, (num_groups, voice_dim), unit length."""
    weighted = voices * torch.from_numpy(seconds).float()[:, None]
    return F.normalize(torch.stack([weighted[group].sum(0) for group in groups]), dim=-1)
