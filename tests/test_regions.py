"""Means over regions of the audio."""

import pytest
import torch

from pyannote_pix2seq.network.regions import region_mean, running_sum


def test_borders_may_lie_within_tokens() -> None:
    sums = running_sum(torch.tensor([[[1.0], [2.0], [4.0]]]))
    regions = torch.tensor([[[0.0, 3.0], [0.5, 1.25], [1.0, 1.0], [2.5, 2.75]]])
    assert sums[0, :, 0].tolist() == [0, 1, 3, 7]
    assert region_mean(sums, regions)[0, :, 0].tolist() == pytest.approx([7 / 3, 1 / 0.75, 0, 4])


def test_beyond_the_audio_zeros_count() -> None:
    sums = running_sum(torch.tensor([[[1.0], [2.0], [4.0]]]))
    assert region_mean(sums, torch.tensor([[[2.0, 6.0], [4.0, 8.0]]]))[0, :, 0].tolist() == [1, 0]


def test_long_audio_of_half_precision_is_summed_precisely() -> None:
    sums = running_sum(torch.full((1, 10_000, 1), 0.1).half())
    assert sums.dtype == torch.float32
    assert region_mean(sums, torch.tensor([[[9_000.0, 9_001.0]]])).item() == pytest.approx(0.1, abs=1e-3)
