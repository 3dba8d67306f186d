"""Consensus of several sampled sequences, by a vote in every time bin.

As DOVER-Lap does with whole systems (Raj et al., arXiv 2011.01997), speakers of different samples are matched by when
they speak; then the samples vote in every time bin, first on the number of active speakers and then on who they are. So
where they agree that there is speech but not on the speaker, the speaker with the most votes is written, unless the
winner changes within a few bins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pyannote_pix2seq.activity import rasterize
from pyannote_pix2seq.decoding.postprocessing import BinTurn, write
from pyannote_pix2seq.vocabulary import TOKENS_PER_TRIPLET, Vocabulary

MIN_ELECTED = 0.2
"""Minimum duration for which a speaker has to win the vote without a break, in seconds, and at least two time bins:
where samples are split between two speakers, the majority changes within a few bins."""


def match(activity: Tensor, reference: Tensor, num_fixed: int = 0) -> Tensor:
    """Permute the speakers of activity (num_bins, num_speakers) to agree best with those of a reference.

    The first `num_fixed` speakers keep their places.
    """
    return activity[:, torch.as_tensor(_order((reference.T @ activity).numpy(), num_fixed))]


def medoid(samples: Tensor, num_fixed: int) -> int:
    """Index of the sample that differs least from all, in (num_samples, num_bins, num_speakers) zeros and ones."""
    common = torch.einsum("stn,rtm->srnm", samples, samples).numpy()
    sizes = samples.sum((1, 2)).numpy()
    shared = np.diag(sizes)
    for pair in combinations(range(len(samples)), 2):
        bins = common[pair]
        shared[pair] = shared[pair[::-1]] = bins[np.arange(len(bins)), _order(bins, num_fixed)].sum()
    return int((sizes[:, None] + sizes - 2 * shared).sum(0).argmin())


def _order(common: np.ndarray, num_fixed: int) -> np.ndarray:
    """Optimal assignment of columns to rows, given their bins in common; the first `num_fixed` keep their places."""
    certain = np.zeros_like(common)
    np.fill_diagonal(certain[:num_fixed, :num_fixed], common.sum() + 1)
    return linear_sum_assignment(-common - certain)[1]


def vote(
    vocabulary: Vocabulary,
    samples: Sequence[Sequence[int]],
    given: Sequence[int],
    num_bins: int,
    threshold: float,
) -> tuple[list[int], list[float]]:
    """Vote of the samples in every time bin.

    Parameters
    ----------
    vocabulary : Vocabulary
    samples : sequence of sequences of int
        Whole triplets, `given` ones first.
    given : sequence of int
        Whole triplets of the prompts, with which all samples begin.
    num_bins : int
        Time bins of the audio.
    threshold : float
        In each bin, n speakers are active if more than this share of the samples have n or more; the largest such n
        counts.

    Returns
    -------
    tokens : list of int
        Whole triplets within the grammar, the given ones first; there may be no others.
    agreement : list of float
        Share of the samples that agree, averaged over each turn; 1 for given ones.
    """

    def activity_of(sequence: Sequence[int]) -> Tensor:
        return rasterize(vocabulary, sequence, torch.zeros(num_bins, vocabulary.num_speakers))

    num_given = len(given) // TOKENS_PER_TRIPLET
    activities = torch.stack([activity_of(sample) for sample in samples])
    reference = activities[medoid(activities, num_given)]
    matched = torch.stack([match(activity, reference, num_given) for activity in activities])
    votes = (matched - activity_of(given)).clamp(min=0)
    mean = votes.mean(0)
    runs = _runs(_elected(votes, threshold), mean, max(round(MIN_ELECTED / vocabulary.resolution), 2))
    return write(vocabulary, list(given), [1.0] * num_given, runs)


def _elected(votes: Tensor, threshold: float) -> Tensor:
    """Winners of the vote, (num_bins, num_speakers) bool, of samples (num_samples, num_bins, num_speakers)."""
    sizes = torch.arange(1, votes.shape[-1] + 1)
    num_active = ((votes.sum(-1, keepdim=True) >= sizes).float().mean(0) > threshold).sum(-1, keepdim=True)
    # (num_bins, 1)
    order = votes.mean(0).argsort(dim=-1, descending=True, stable=True)
    return torch.zeros_like(votes[0], dtype=torch.bool).scatter(1, order, sizes <= num_active)


def _runs(active: Tensor, mean: Tensor, shortest: int) -> Iterator[BinTurn]:
    """Runs of `shortest` or more active bins in (num_bins, num_speakers) bool, with their mean vote as confidence."""
    edges = torch.diff(active.int(), dim=0, prepend=active.new_zeros(1, active.shape[1]).int())
    edges = torch.cat([edges, -active[-1:].int()])
    for speaker in range(active.shape[1]):
        starts, ends = ((edges[:, speaker] == sign).nonzero()[:, 0].tolist() for sign in (1, -1))
        for start, end in zip(starts, ends, strict=True):
            if end - start >= shortest:
                yield BinTurn(start, end - 1, speaker, mean[start:end, speaker].mean().item(), end - start)
