"""How many speak at once."""

import pytest
import torch

from pyannote_pix2seq.frontends.counting import SpeakerCounter, count_posteriors, pool_counts


def test_how_many_of_three_are_active():
    active = torch.tensor([[0.5, 0.5, 0.5], [0.1, 0.0, 0.0], [1.0, 1.0, 0.3], [0.2, 0.3, 0.0]])
    expected = [[0.125, 0.375, 0.5], [0.9, 0.1, 0.0], [0.0, 0.0, 1.0], [0.56, 0.38, 0.06]]
    torch.testing.assert_close(count_posteriors(active), torch.tensor(expected))


def test_a_compromise_is_about_how_many_not_about_who():
    num_active = torch.tensor([0, 1, 1, 2])
    posteriors = torch.tensor([0.5, 0.3, 0.1, 0.1])
    found = pool_counts(posteriors.log(), torch.tensor([0.2, 0.2, 0.6]), num_active).exp()
    moved = [0.5**0.65 * 0.2**0.35, 0.4**0.65 * 0.2**0.35, 0.1**0.65 * 0.6**0.35]
    expected = torch.tensor([moved[0], 0.75 * moved[1], 0.25 * moved[1], moved[2]]) / sum(moved)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        pool_counts(posteriors.log(), torch.tensor([0.5, 0.4, 0.1]), num_active).exp(), posteriors
    )


def test_a_compromise_with_who_is_certain():
    certain = pool_counts(
        torch.tensor([1.0, 0.0, 0.0, 0.0]).log(), torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0, 1, 1, 2])
    )
    assert certain.exp().tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("num_bins", [1, 125, 128, 500])
def test_a_counter_counts_in_every_bin(num_bins):
    numbers = SpeakerCounter(640)(0.1 * torch.randn(2, 1, 640 * num_bins - 639), num_bins)
    assert numbers.shape == (2, num_bins, 3)
    torch.testing.assert_close(numbers.sum(-1), torch.ones(2, num_bins))
