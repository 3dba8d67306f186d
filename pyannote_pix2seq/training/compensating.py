"""Fitting a model's `ChannelCompensation`, once the model is trained."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.frontends import AudioTokens, Frontend
from pyannote_pix2seq.inference import inference
from pyannote_pix2seq.network.compensation import ChannelCompensation
from pyannote_pix2seq.prompts import solo_segments
from pyannote_pix2seq.strategies.speakers import voice_of
from pyannote_pix2seq.training.examples import Example

HEARD = 2.0
"""Least seconds that a speaker speaks alone in an example."""
SHRINKAGE = 0.1
"""How much of the mean variance is added to that of each direction: few speakers say little about many directions."""
FOLDS = 5
"""Number of parts that speakers are divided into: a least cosine is that of speakers whom nothing was fitted to."""
FEW = 50
"""Number of speakers heard in several examples below which names may be lost; 57 did well, some twenty did not."""
ACCEPTED = 0.002
"""Share of the pairs of voices of two speakers that are as similar as one speaker's have to be."""
MORE = "Make more or longer conversations, or prepare more voices."


class CompensationError(Pix2SeqError, ValueError):
    """Voices that no compensation can be fitted to, or a frontend that has none."""


class HeardVoices(NamedTuple):
    """Voices of speakers, each as it was heard in one recording.

    Attributes
    ----------
    directions : (num_voices, voice_dim) array
        Of unit length.
    speakers, recordings : (num_voices,) array of str
    """

    directions: np.ndarray
    speakers: np.ndarray
    recordings: np.ndarray

    def of(self, chosen: np.ndarray) -> HeardVoices:
        """Those that are `chosen`, by (num_voices,) bool or by their indices."""
        return HeardVoices(*(field[chosen] for field in self))

    @property
    def deviations(self) -> np.ndarray:
        """Differences from the mean of the same speaker's voices: (num_voices, voice_dim)."""
        _, numbers, counts = np.unique(self.speakers, return_inverse=True, return_counts=True)
        totals = np.zeros((len(counts), self.directions.shape[1]))
        np.add.at(totals, numbers, self.directions)
        return self.directions - (totals / counts[:, None])[numbers]


def check_has_voices(frontend: Frontend) -> None:
    """Refuse a frontend without voices.

    Raises
    ------
    CompensationError
    """
    if not frontend.num_voices:
        raise CompensationError(
            f"{type(frontend).__name__} has no voices that could be compensated. Take a model whose frontend has some, "
            f"such as one of recipes/train.py."
        )


@inference
def heard_voices(examples: Iterable[Example], frontend: Frontend) -> HeardVoices:
    """Voice of each speaker of each example, where it can be heard alone.

    Parameters
    ----------
    examples : iterable of Example
        Of an `ExampleCache`; a speaker has the same name in all of them.
    frontend : Frontend
        What the cache was filled by; it has voices, see `check_has_voices`, and is put into evaluation mode.

    Raises
    ------
    CompensationError
        If too few speakers can be heard in several examples; few of them are reported in a warning.
    """
    frontend.eval()  # it may have been trained since
    found = [(voice, name, example.uri) for example in examples for name, voice in _voices_in(example, frontend)]
    several = sum(count > 1 for count in Counter(name for _, name, _ in found).values())
    if several < 2 * FOLDS:
        raise CompensationError(
            f"{several} speakers are heard alone for {HEARD:g} s or more in several conversations; it takes "
            f"{2 * FOLDS}. {MORE}"
        )
    if several < FEW:
        warnings.warn(
            f"Only {several} speakers are heard in several conversations: names may be lost. {MORE}", stacklevel=3
        )
    return HeardVoices(*map(np.array, zip(*found, strict=True)))


def _voices_in(example: Example, frontend: Frontend) -> Iterator[tuple[str, np.ndarray]]:
    """Name and voice of each speaker of an example: the direction of the sum of first voices."""
    length = torch.tensor([len(example.audio.content)])
    audio = frontend.finish(AudioTokens(*(field[None].float() for field in example.audio)), length).at(0)
    for number, name in enumerate(example.names):
        alone = solo_segments(example.turns, number)
        if sum(segment.duration for segment in alone) >= HEARD:
            yield name, F.normalize(voice_of(audio, alone), dim=0).numpy()


def fit(voices: HeardVoices) -> ChannelCompensation:
    """Fit a compensation to voices, and the least cosine of one speaker's.

    The latter is such that of the pairs of two speakers' voices in different recordings, `ACCEPTED` are as similar, by
    compensations that were fitted to other speakers.
    """
    fold = np.unique(voices.speakers, return_inverse=True)[1] % FOLDS
    apart = [_strangers(_whitened(voices.of(fold != k)), voices.of(fold == k)) for k in range(FOLDS)]
    compensation = _whitened(voices)
    compensation.least.fill_(float(np.quantile(np.concatenate(apart), 1 - ACCEPTED)))
    return compensation


def _whitened(voices: HeardVoices) -> ChannelCompensation:
    """A compensation by which what differs between voices of one speaker has the same variance in all directions."""
    deviations = voices.deviations
    variances, axes = np.linalg.eigh(deviations.T @ deviations / len(deviations))
    whitening = axes / np.sqrt(variances.clip(0) + SHRINKAGE * variances.mean()) @ axes.T
    compensation = ChannelCompensation(voices.directions.shape[1])
    for buffer, value in ((compensation.mean, voices.directions.mean(0)), (compensation.whitening, whitening)):
        buffer.copy_(torch.from_numpy(value))
    return compensation


def _strangers(compensation: ChannelCompensation, voices: HeardVoices) -> np.ndarray:
    """Cosines of the pairs of two speakers in two recordings: (num_pairs,)."""
    directions = compensation(torch.from_numpy(voices.directions)).numpy()
    are_two, are_apart = (field[:, None] != field for field in (voices.speakers, voices.recordings))
    return (directions @ directions.T)[are_two & are_apart]
