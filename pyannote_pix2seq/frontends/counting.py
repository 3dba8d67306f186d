"""How many people speak at once, according to a second segmentation network."""

import math

import torch
from torch import Tensor, nn

from .pieces import cross_fade, padded
from .refinement import SMALLEST
from .segmentation import build_overlap_segmentation, piece_by_piece

WEIGHT = 0.35
"""Of the second network in the compromise, see `pool_counts` and docs/log.md."""


class SpeakerCounter(nn.Module):
    """How likely it is that nobody, one person, or two and more speak.

    Another network errs elsewhere: this one was trained on other recordings, with a sigmoid for each of three speakers
    and chunks of 5 s (Bredin and Laurent, End-to-end speaker segmentation for overlap-aware resegmentation,
    Interspeech 2021). Whom it hears is not used, so that its speakers need not be found among those of the first.

    Parameters
    ----------
    samples_per_bin : float
        Of the time bins.
    bfloat16 : bool, optional
        See `build_overlap_segmentation`.
    """

    LENGTH = 125
    """Bins of a piece: 5 s."""
    HOP = 100
    """Bins from one piece to the next."""

    def __init__(self, samples_per_bin: float, bfloat16: bool = False) -> None:
        super().__init__()
        self.samples_per_bin = samples_per_bin
        self.segmentation = build_overlap_segmentation(bfloat16)

    def forward(self, waveforms: Tensor, num_bins: int) -> Tensor:
        """Count.

        Parameters
        ----------
        waveforms : (batch, 1, num_samples) torch.Tensor
        num_bins : int
            As many as it takes to hold them, or a few more: those hear zeros.

        Returns
        -------
        numbers : (batch, num_bins, 3) torch.Tensor
            Probabilities.
        """
        waveforms = padded(waveforms, round(num_bins * self.samples_per_bin))
        numbers = piece_by_piece(self._count, waveforms, self.LENGTH, self.HOP, self.samples_per_bin)
        return cross_fade(numbers, self.HOP)[:, :num_bins]

    def _count(self, waveforms: Tensor) -> Tensor:
        return count_posteriors(self.segmentation(waveforms))


def count_posteriors(active: Tensor) -> Tensor:
    """Probabilities that none, one, or two and more of three speakers are active, if these are independent.

    Parameters
    ----------
    active : (..., 3) torch.Tensor
        Probability of each.

    Returns
    -------
    numbers : (..., 3) torch.Tensor
    """
    nobody = (1 - active).prod(dim=-1)
    one = (active * (1 - active.roll(1, -1)) * (1 - active.roll(2, -1))).sum(dim=-1)
    return torch.stack([nobody, one, (1 - nobody - one).clamp(min=0)], dim=-1)


def pool_counts(log_posteriors: Tensor, numbers: Tensor, num_active: Tensor) -> Tensor:
    """Posteriors whose number of speakers is a compromise with somebody else's; who speaks, given how many, stays.

    Logarithms are averaged: a logarithmic opinion pool (Genest and Zidek, Combining probability distributions,
    Statistical Science 1986).

    Parameters
    ----------
    log_posteriors : (..., num_classes) torch.Tensor
    numbers : (..., 3) torch.Tensor
        Probabilities of nobody, one, two: what the other says, see `SpeakerCounter`.
    num_active : (num_classes,) torch.Tensor
        How many speak in each class: 0, 1 or 2.

    Returns
    -------
    log_posteriors : (..., num_classes) torch.Tensor
    """
    own = torch.stack([log_posteriors[..., num_active == number].logsumexp(-1) for number in range(3)], dim=-1)
    shift = WEIGHT * (numbers.clamp(min=SMALLEST).log() - own.clamp(min=math.log(SMALLEST)))
    return (log_posteriors + shift[..., num_active]).log_softmax(dim=-1)
