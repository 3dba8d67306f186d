"""Refinement of the posteriors of a segmentation network by frames of a speaker embedding network."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST = 1e-4
"""Floor of posteriors, before their logarithms are taken."""
TRUST = 0.5
"""Scale of corrections after training, because real rooms differ from simulated ones: see docs/log.md."""

WIDTH, KERNEL = 96, 5
"""Channels and size of the convolutions."""
DROPOUT = 0.3
NOISE = 0.3
"""In training: standard deviation of each of two noises that are added to the frames (whose own is 1), one of them the
same for all bins."""
FRAME_DROPOUT = 0.2
"""In training: probability that an example has no frames."""


class Convolution(nn.Module):
    """Residual dilated convolution over time: (batch, num_bins, 96), in and out."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.convolution = nn.Conv1d(WIDTH, WIDTH, KERNEL, padding=dilation * (KERNEL // 2), dilation=dilation)
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.convolution(self.norm(inputs).transpose(1, 2)).transpose(1, 2)
        return inputs + self.dropout(self.linear(F.gelu(hidden)))


class Refinement(nn.Module):
    """Correct local posteriors, given the frames from which voices are pooled.

    The segmentation network is small, and its input is normalised in loudness; the frames come from a network that
    was trained on many more recordings to tell speakers apart, in noise or not. So they carry information on quiet
    speakers beside loud ones, and on a second speaker beneath the first. A temporal convolutional network (Bai
    et al., arXiv 1803.01271) adds corrections to the log-posteriors; before training, it adds nothing.

    In training, noise is added to the frames, and sometimes there are none: posteriors alone must suffice as well.
    After training, corrections are halved (`TRUST`).

    Parameters
    ----------
    num_classes : int
        Number of classes of the posteriors.
    num_channels : int
        Number of channels of the frames.
    """

    DILATIONS = (1, 2, 4, 8, 16)

    def __init__(self, num_classes: int, num_channels: int) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm1d(num_channels, affine=False)
        self.hear_posteriors = nn.Linear(num_classes, WIDTH)
        self.hear_frames = nn.Linear(num_channels, WIDTH)
        self.dropout = nn.Dropout(DROPOUT)
        self.convolutions = nn.Sequential(*(Convolution(dilation) for dilation in self.DILATIONS))
        self.correct = nn.Linear(WIDTH, num_classes)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)

    def forward(self, posteriors: Tensor, frames: Tensor) -> Tensor:
        """Correct posteriors.

        Parameters
        ----------
        posteriors : (batch, num_bins, num_classes) torch.Tensor
        frames : (batch, num_bins, num_channels) torch.Tensor
            Mean frame of each bin.

        Returns
        -------
        log_posteriors : (batch, num_bins, num_classes) torch.Tensor
        """
        heard = posteriors.clamp(min=SMALLEST).log()
        frames = self.normalise(frames.transpose(1, 2)).transpose(1, 2).clamp(-4, 4)  # no outliers
        if self.training:
            frames = self._disturbed(frames)
        # logarithms of 1e-4 to 1 are scaled to the range of the frames
        hidden = self.hear_posteriors(heard / 3) + self.hear_frames(self.dropout(frames))
        correction = self.correct(self.convolutions(hidden))
        return (heard + (1.0 if self.training else TRUST) * correction).log_softmax(dim=-1)

    def _disturbed(self, frames: Tensor) -> Tensor:
        noise = torch.randn_like(frames[:, :1]) + torch.randn_like(frames)
        is_heard = torch.rand_like(frames[:, :1, :1]) > FRAME_DROPOUT
        return (frames + NOISE * noise) * is_heard
