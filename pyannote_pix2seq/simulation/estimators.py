"""Three estimators: clusters of points, causes of choices, and rates of groups compared with all others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ROUNDS = 30


def k_means(points: np.ndarray, weights: np.ndarray, number: int) -> np.ndarray:
    """Weighted k-means (Lloyd), initialised as in k-means++; deterministic.

    Parameters
    ----------
    points : (num_points, num_features) float
        Standardised to zero mean and unit variance first.
    weights : (num_points,) float
    number : int
        Of clusters; fewer if there are fewer distinct points.

    Returns
    -------
    labels : (num_points,) int
        0, 1, ... without gaps, largest cluster first.
    """
    points = (points - points.mean(axis=0)) / np.maximum(points.std(axis=0), 1e-9)
    rng = np.random.default_rng(0)
    centres = points[[rng.choice(len(points), p=weights / weights.sum())]]
    while len(centres) < number:
        chance = weights * _distances(points, centres).min(axis=1)
        if chance.sum() < 1e-9:  # every point is a centre
            break
        centres = np.vstack([centres, points[rng.choice(len(points), p=chance / chance.sum())]])
    for _ in range(ROUNDS):
        labels = _distances(points, centres).argmin(axis=1)
        for label in np.unique(labels):
            inside = labels == label
            centres[label] = np.average(points[inside], axis=0, weights=weights[inside])
    size = np.bincount(labels, weights, minlength=len(centres))
    rank = np.argsort(np.argsort(-size, kind="stable"), kind="stable")
    return rank[labels]


def balance(
    causes: Sequence[np.ndarray], sizes: Sequence[int], chosen: np.ndarray, smoothing: float
) -> list[np.ndarray]:
    """Explain choices: the probability of a candidate is proportional to the product of one weight for each cause.

    Iterative scaling (Deming and Stephan, 1940): the weights of each cause in turn are multiplied by the observed
    number of choices of what they stand for, over the expected one.

    Parameters
    ----------
    causes : sequence of (num_choices, num_candidates) int
        Index of the weight that a candidate has of each cause; -1 for what cannot be chosen.
    sizes : sequence of int
        Number of weights of each cause.
    chosen : (num_choices,) int
        Which candidate was chosen.
    smoothing : float
        Choices, added to both observed and expected, that keep weights near 1.

    Returns
    -------
    weights : list of (num_weights,) float
        Of each cause.
    """
    allowed = causes[0] >= 0
    rows = np.arange(len(chosen))
    weights = [np.ones(size) for size in sizes]
    for _ in range(ROUNDS):
        for index, cause in enumerate(causes):
            product = (
                np.prod([weight[number] for weight, number in zip(weights, causes, strict=True)], axis=0) * allowed
            )
            expected = product / product.sum(axis=1, keepdims=True)
            # (num_choices, num_candidates)
            observed = np.bincount(cause[rows, chosen], minlength=sizes[index])
            foreseen = np.bincount(cause[allowed], expected[allowed], minlength=sizes[index])
            weights[index] *= (observed + smoothing) / (foreseen + smoothing)
    return weights


def excess(
    amounts: np.ndarray, exposures: np.ndarray, situations: np.ndarray, groups: np.ndarray, smoothing: float
) -> np.ndarray:
    """Ratio of the amount in each group to what is expected if it had the rates of all groups in each situation.

    Parameters
    ----------
    amounts, exposures : (num_events,) float
        What is counted, and what it is proportional to.
    situations, groups : (num_events,) int
    smoothing : float
        Exposure to an average situation, added to that of each group.

    Returns
    -------
    excess : (num_groups,) float
    """
    rates = np.bincount(situations, amounts) / np.maximum(np.bincount(situations, exposures), 1e-9)
    foreseen = np.bincount(groups, exposures * rates[situations])
    prior = max(smoothing * amounts.sum() / exposures.sum(), 1e-9)
    return (np.bincount(groups, amounts) + prior) / (foreseen + prior)


def _distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Squared distances: (num_points, num_centres)."""
    return np.square(points[:, None] - centres).sum(axis=2)
