"""Number of speakers who are active at once, according to a second segmentation network."""

import math

import torch
from torch import Tensor, nn

from pyannote_pix2seq.frontends.pieces import cross_fade, padded
from pyannote_pix2seq.frontends.refinement import SMALLEST
from pyannote_pix2seq.frontends.segmentation import build_overlap_segmentation, piece_by_piece

WEIGHT = 0.35
"""Weight of the second network, see `pool_counts` and docs/log.md."""


class SpeakerCounter(nn.Module):
    """Probabilities that no speaker, one, or two or more are active.

    A second network makes other errors: this one was trained on other recordings, with a sigmoid for each of three
    speakers and chunks of 5 s (Bredin and Laurent, End-to-end speaker segmentation for overlap-aware resegmentation,
    Interspeech 2021). Who its speakers are is not used, so they need not be matched with those of the first network.

    Parameters
    ----------
    samples_per_bin : float
        Number of samples in a time bin.
    """

    LENGTH = 125
    """Bins of a piece: 5 s."""
    HOP = 100
    """Bins from the start of one piece to that of the next."""

    def __init__(self, samples_per_bin: float) -> None:
        super().__init__()
        self.samples_per_bin = samples_per_bin
        self.segmentation = build_overlap_segmentation()

    def forward(self, waveforms: Tensor, num_bins: int) -> Tensor:
        """Count active speakers in each time bin.

        Parameters
        ----------
        waveforms : (batch, 1, num_samples) torch.Tensor
        num_bins : int
            As many as the waveforms span, or a few more: waveforms are padded with zeros.

        Returns
        -------
        numbers : (batch, num_bins, 3) torch.Tensor
            Probabilities of no speaker, one, and two or more.
        """
        waveforms = padded(waveforms, round(num_bins * self.samples_per_bin))
        numbers = piece_by_piece(self._count, waveforms, self.LENGTH, self.HOP, self.samples_per_bin)
        return cross_fade(numbers, self.HOP)[:, :num_bins]

    def _count(self, waveforms: Tensor) -> Tensor:
        return count_posteriors(self.segmentation(waveforms))


def count_posteriors(active: Tensor) -> Tensor:
    """Probabilities that none, one, or two or more of three speakers are active, if they are independent.

    Parameters
    ----------
    active : (..., 3) torch.Tensor
        Probability that each speaker is active.

    Returns
    -------
    numbers : (..., 3) torch.Tensor
    """
    nobody = (1 - active).prod(dim=-1)
    one = (active * (1 - active.roll(1, -1)) * (1 - active.roll(2, -1))).sum(dim=-1)
    return torch.stack([nobody, one, (1 - nobody - one).clamp(min=0)], dim=-1)


def pool_counts(log_posteriors: Tensor, numbers: Tensor, num_active: Tensor) -> Tensor:
    """Pool the number of active speakers in posteriors with another estimate; who they are, given the number, is kept.

    Log-probabilities of the numbers are averaged with weights 1 - `WEIGHT` and `WEIGHT`: a logarithmic opinion pool
    (Genest and Zidek, Combining probability distributions, Statistical Science 1986).

    Parameters
    ----------
    log_posteriors : (..., num_classes) torch.Tensor
    numbers : (..., 3) torch.Tensor
        Other estimate: probabilities of no speaker, one, and two or more, see `SpeakerCounter`.
    num_active : (num_classes,) torch.Tensor
        Number of active speakers of each class: 0, 1 or 2.

    Returns
    -------
    log_posteriors : (..., num_classes) torch.Tensor
    """
    own = torch.stack([log_posteriors[..., num_active == number].logsumexp(-1) for number in range(3)], dim=-1)
    shift = WEIGHT * (numbers.clamp(min=SMALLEST).log() - own.clamp(min=math.log(SMALLEST)))
    return (log_posteriors + shift[..., num_active]).log_softmax(dim=-1)
